"""The index of a cycle's copy: what belongs to it, written last, so that a copy with an index is whole."""

from hashlib import sha256
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from pydantic_core import ErrorDetails

from flywheel.errors import Problems
from resources.object_store.bucket import Bucket, Mismatch
from resources.object_store.transfers import Wanted

__all__ = ["Index", "IndexEntry", "Kind", "index_path", "read_index"]

Kind = Literal["plain", "manifest", "base", "registry", "append", "answer"]
"""How a file gets to another machine.

`plain`: as it is. `manifest`: its audio paths are rewritten. `base`: the path of its base model is. `registry`: its
entries are added to those that are there. `append`: a file that only grows; the longer one stays. `answer`: left alone
where there is one.
"""

_SHOWN: Final = 20


def _inside(path: str) -> str:
    plain = PurePosixPath(path)
    if plain.is_absolute() or ".." in plain.parts or str(plain) != path or "\\" in path:
        raise ValueError("a path below the data folder")
    return path


_InsidePath = Annotated[str, AfterValidator(_inside)]


class IndexEntry(BaseModel):
    """One file of a copy.

    Args:
        path: in a data folder, relative to it.
        key: the object's path below the bucket's prefix; files of equal content may share one.
        kind: how it gets to another machine.
        size, sha256: of the object, in bytes and hexadecimal.
        etag: the service's name for the content when it was sent.
        original_sha256: of the file on the machine that pushed it, where the object is a rewritten copy.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    path: _InsidePath
    key: _InsidePath
    kind: Kind
    size: NonNegativeInt
    sha256: str
    etag: str
    original_sha256: str = ""

    @property
    def wanted(self) -> Wanted:
        """The object, and what it must hold."""
        return Wanted(self.key, self.size, self.sha256)


class Index(BaseModel):
    """The copy of one cycle.

    Args:
        cycle: e.g. ``cycle1``.
        root: where paths in the rewritten files begin, ``s3://name/prefix`` as it was when they were sent.
        pushed_at: ISO 8601 in UTC.
        files: in the order of their paths.
        sha256: of the object; empty where there is none yet.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    format: Literal[1] = 1
    cycle: str
    root: str
    pushed_at: str
    files: tuple[IndexEntry, ...]
    sha256: str = Field(default="", exclude=True)

    def says_the_same_as(self, other: "Index") -> bool:
        """Whether both describe the same copy, whenever they were written."""
        return (self.cycle, self.root, self.files) == (other.cycle, other.root, other.files)

    def to_json(self) -> bytes:
        """The object's content."""
        return f"{self.model_dump_json(indent=1)}\n".encode()


def index_path(cycle: str) -> str:
    """Where the index of a cycle lies in a bucket."""
    return f"cycles/{cycle}/index.json"


def read_index(bucket: Bucket, cycle: str) -> Index | None:
    """The index of the copy of `cycle`, or None where there is no whole copy.

    Raises `Problems` for an index that is none, or that names files where no cycle's files belong.
    """
    path = index_path(cycle)
    # A listing is refused with a reason, and a look at one object, which would do, without.
    if path not in bucket.listed(path):
        return None
    content, expected = bucket.get(path)
    found = sha256(content).hexdigest()
    if found != expected:
        raise Mismatch(
            f"{bucket.url(path)}: its SHA-256 is not the one it was sent with; push {cycle} again from where it was "
            "made, with --overwrite"
        )
    return _parsed(bucket.url(path), cycle, content, found)


def _parsed(url: str, cycle: str, content: bytes, digest: str) -> Index:
    try:
        index = Index.model_validate_json(content)
    except ValidationError as error:
        found = [_said(each) for each in error.errors(include_url=False)]
        advice = f"push {cycle} again, or use a newer flywheel"
        raise Problems(url, [*found[:_SHOWN], advice]) from None
    problems = [] if index.cycle == cycle else [f"cycle: found {index.cycle!r}; allowed: {cycle!r}"]
    problems += [
        f"file {number}: found {path!r}; allowed: the files of {cycle}, no other cycle's"
        for number, entry in enumerate(index.files, 1)
        for path in {entry.path, entry.key}
        if path.startswith("cycles/") and not path.startswith(f"cycles/{cycle}/")
    ]
    if problems:
        raise Problems(url, problems[:_SHOWN])
    return index.model_copy(update={"sha256": digest})


def _said(error: ErrorDetails) -> str:
    """What pydantic found, with the number of the file as people count."""
    where = [
        f"file {each + 1}" if isinstance(each, int) else each for each in error["loc"] if each != "files"
    ]
    if error["type"] != "value_error":
        return ": ".join([*where, error["msg"]])
    return f"{': '.join(where)}: found {error['input']!r}; allowed: {error['ctx']['error']}"
