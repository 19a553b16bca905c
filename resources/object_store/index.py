"""The index of a cycle's copy: what belongs to it, written last, so that a copy with an index is whole."""

import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Final, Literal, get_args

from flywheel.errors import Problems
from resources.object_store.bucket import Bucket, Mismatch

__all__ = ["Index", "IndexEntry", "Kind", "index_path", "read_index"]

Kind = Literal["plain", "manifest", "base", "registry", "append", "answer"]
"""How a file gets to another machine.

`plain`: as it is. `manifest`: its audio paths are rewritten. `base`: the path of its base model is. `registry`: its
entries are added to those that are there. `append`: a file that only grows; the longer one stays. `answer`: left alone
where there is one.
"""

_FORMAT: Final = 1
_KINDS: Final = get_args(Kind)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One file of a copy.

    Args:
        path: in a data folder, relative to it.
        key: the object's path below the bucket's prefix; files of equal content may share one.
        kind: how it gets to another machine.
        size, sha256: of the object, in bytes and hexadecimal.
        etag: the service's name for the content when it was sent.
        original_sha256: of the file on the machine that pushed it, where the object is a rewritten copy.
    """

    path: str
    key: str
    kind: Kind
    size: int
    sha256: str
    etag: str
    original_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """The copy of one cycle.

    Args:
        cycle: e.g. ``cycle1``.
        root: where paths in the rewritten files begin, ``s3://name/prefix`` as it was when they were sent.
        pushed_at: ISO 8601 in UTC.
        files: in the order of their paths.
        sha256: of the object; empty where there is none yet.
    """

    cycle: str
    root: str
    pushed_at: str
    files: tuple[IndexEntry, ...]
    sha256: str = ""

    def says_the_same_as(self, other: "Index") -> bool:
        """Whether both describe the same copy, whenever they were written."""
        return replace(self, pushed_at="", sha256="") == replace(other, pushed_at="", sha256="")

    def to_json(self) -> bytes:
        """The object's content."""
        value = asdict(self)
        del value["sha256"]
        return (json.dumps({"format": _FORMAT, **value}, ensure_ascii=False, indent=1) + "\n").encode()


def index_path(cycle: str) -> str:
    """Where the index of a cycle lies in a bucket."""
    return f"cycles/{cycle}/index.json"


def read_index(bucket: Bucket, cycle: str) -> Index | None:
    """The index of the copy of `cycle`, or None where there is no whole copy.

    Raises `Problems` for an index that is none, or that names files where no cycle's files belong.
    """
    path = index_path(cycle)
    # A listing is refused with a reason, and a look at one object, which would do, without.
    about = bucket.head(path) if path in bucket.listed(path) else None
    if about is None:
        return None
    content = b"".join(bucket.read(path, about.size))
    found = sha256(content).hexdigest()
    if found != about.sha256:
        raise Mismatch(
            f"{bucket.url(path)}: its SHA-256 is not the one it was sent with; push {cycle} again from where it was "
            "made, with --overwrite"
        )
    return _parsed(bucket.url(path), cycle, content, found)


def _parsed(url: str, cycle: str, content: bytes, digest: str) -> Index:
    try:
        value = json.loads(content)
        if value["format"] != _FORMAT:
            raise Problems(
                url, [f"format: found {value['format']!r}; allowed: {_FORMAT}; use a newer flywheel"]
            )
        files = value["files"]
        problems = [
            f"file {number}: {why}" for number, each in enumerate(files, 1) for why in _wrong(each, cycle)
        ]
        if value["cycle"] != cycle:
            problems.append(f"cycle: found {value['cycle']!r}; allowed: {cycle!r}")
        if problems:
            raise Problems(url, problems)
        entries = tuple(IndexEntry(**each) for each in files)
        return Index(cycle, str(value["root"]), str(value["pushed_at"]), entries, digest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, Problems):
            raise
        raise Problems(url, [f"not an index ({type(error).__name__}); push {cycle} again"]) from None


def _wrong(entry: dict[str, Any], cycle: str) -> Sequence[str]:
    """What is wrong with one file's entry: above all a path that leads out of the data folder."""
    known = {each.name: each for each in fields(IndexEntry)}
    wrong = [f"{name}: unknown" for name in entry if name not in known]
    wrong += [
        f"{name}: missing" for name, each in known.items() if each.default is MISSING and name not in entry
    ]
    if wrong:
        return wrong
    if entry["kind"] not in _KINDS:
        wrong.append(f"kind: found {entry['kind']!r}; allowed: {', '.join(_KINDS)}")
    if not isinstance(entry["size"], int) or entry["size"] < 0:
        wrong.append(f"size: found {entry['size']!r}; allowed: a number of bytes")
    for name in ("path", "key"):
        path = PurePosixPath(str(entry[name]))
        inside = not path.is_absolute() and ".." not in path.parts and str(path) == entry[name]
        if not inside or "\\" in entry[name]:
            wrong.append(f"{name}: found {entry[name]!r}; allowed: a path below the data folder")
        elif path.parts[0] == "cycles" and path.parts[1:2] != (cycle,):
            wrong.append(f"{name}: found {entry[name]!r}; allowed: the files of {cycle}, no other cycle's")
    return wrong
