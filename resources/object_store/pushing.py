"""A cycle goes into the bucket."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from flywheel.errors import Problems
from flywheel.files.atomic import read_json, write_json
from flywheel.files.locks import held
from resources.data_folder import DataFolder
from resources.object_store.bucket import Bucket, Stored, StoreError
from resources.object_store.cycle_files import LocalFile, collect
from resources.object_store.index import Index, IndexEntry, index_path, read_index
from resources.object_store.progress import Log, Progress, in_threads
from resources.object_store.transfers import Outgoing, abort_stale, send

__all__ = ["Pushed", "known_index", "note_index", "notes_folder", "push"]

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did.

    Args:
        files: of the cycle.
        sent: objects that were sent; `bytes_sent` are theirs.
        already_there: objects that were in the bucket with the same size and SHA-256.
        index_url: of the copy's index.
        index_sha256: of its content, and so of the whole copy.
    """

    files: int
    sent: int
    bytes_sent: int
    already_there: int
    index_url: str
    index_sha256: str


@dataclass(frozen=True, slots=True)
class _Object:
    """One object of the copy, for all files that have its content; its ETag where the bucket has it already."""

    file: Outgoing
    etag: str


def notes_folder(data: DataFolder) -> Path:
    """Where transfers that are under way, and the indexes known here, are noted."""
    return data.path / "transfers"


def known_index(data: DataFolder, bucket: Bucket, cycle: str) -> str:
    """SHA-256 of the index of `cycle` that this data folder pushed or pulled last; empty for none."""
    note = _index_note(data, cycle)
    found = read_json(note) if note.exists() else {}
    return str(found.get("index", "")) if found.get("url") == bucket.url(index_path(cycle)) else ""


def note_index(data: DataFolder, bucket: Bucket, cycle: str, sha256: str) -> None:
    """Remember the index that this data folder and the bucket agree on."""
    write_json(_index_note(data, cycle), {"url": bucket.url(index_path(cycle)), "index": sha256})


def _index_note(data: DataFolder, cycle: str) -> Path:
    return notes_folder(data) / "indexes" / f"{cycle}.json"


def push(bucket: Bucket, data: DataFolder, cycle: str, log: Log, *, overwrite: bool = False) -> Pushed:
    """Send what the bucket lacks of `cycle`: its folder, its audio, its models; the index last.

    What is there with the same size and SHA-256 is not sent again. Until the index is written the copy counts as
    unfinished, and nobody can pull half of it.

    Args:
        bucket: where to.
        data: the data folder.
        cycle: e.g. ``cycle1``.
        log: takes a line of progress.
        overwrite: replace what another machine pushed under the same names.

    Raises:
        Problems: other recordings are in the bucket under the names of these, or audio is neither here nor there.
        StoreError: another machine pushed this cycle, or the bucket cannot be used.
        FlywheelError: the cycle is not here, or its files are not what they should be.
    """
    notes = notes_folder(data)
    with _scratch(notes / "push") as scratch:
        files = collect(data, cycle, bucket.options.url, scratch)
        old = read_index(bucket, cycle)
        objects = _compared(bucket, files, old, overwrite)
        # Small ones first: a large one that is cut off is sent again, and they are not.
        missing = sorted((each.file for each in objects if not each.etag), key=lambda file: file.size)
        index = _index(bucket, cycle, files, objects)
        same = old is not None and not missing and index.says_the_same_as(old)
        if old is not None and not same:
            if not overwrite:
                _check_known(bucket, data, old)
            bucket.delete(index_path(cycle))
        send(bucket, missing, on_bytes=Progress(log, "sent", sum(each.size for each in missing)).add)
        if old is not None and same:
            digest = old.sha256
        else:
            index = _index(bucket, cycle, files, _as_listed(bucket, cycle, objects))
            digest = bucket.put(index_path(cycle), index.to_json())
        note_index(data, bucket, cycle, digest)
    _end_stale(bucket, log)
    return Pushed(
        files=len(files),
        sent=len(missing),
        bytes_sent=sum(each.size for each in missing),
        already_there=len(objects) - len(missing),
        index_url=bucket.url(index_path(cycle)),
        index_sha256=digest,
    )


def _check_known(bucket: Bucket, data: DataFolder, old: Index) -> None:
    """Raise `StoreError` where the copy in the bucket is not the one that this data folder pushed or pulled last."""
    if old.sha256 != known_index(data, bucket, old.cycle):
        raise StoreError(
            f"{bucket.url(index_path(old.cycle))}: was pushed from another data folder on {old.pushed_at} and differs "
            f"from the {old.cycle} here; pull it into another data folder to compare, or push with --overwrite"
        )


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """`folder`, empty, to this process alone; what a killed push left there is removed."""
    with held(folder.with_suffix(".lock")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _compared(
    bucket: Bucket, files: Sequence[LocalFile], old: Index | None, overwrite: bool
) -> list[_Object]:
    """Each object of the copy, held against what the bucket has."""
    listed = _listing(bucket, (each.key for each in files))
    known = {entry.key: entry for entry in old.files} if old else {}
    by_key = {each.key: each for each in files}
    found = in_threads(
        bucket.options.threads,
        (partial(_look, bucket, each, listed.get(key), known.get(key)) for key, each in by_key.items()),
    )
    problems = [
        f"{each.file.source}: is not here, and not in the bucket"
        for each in found
        if not each.etag and not each.file.sha256
    ]
    if problems:
        advice = "materialise speech again, or pull the cycle from where it is whole"
        raise Problems(bucket.url("speech"), [*sorted(problems)[:_SHOWN], advice])
    others = [
        f"{key}: {each.file.source} is another recording"
        for each in found
        if not each.etag and (key := each.file.key) in listed and not key.startswith(("cycles/", "models/"))
    ]
    if others and not overwrite:
        advice = (
            "another machine pushed them, or they were damaged in the bucket: push with --overwrite to replace them, "
            "which makes the copies of other cycles that name them invalid until those are pushed again"
        )
        raise Problems(f"{bucket.options.url} (nothing was sent)", [*sorted(others)[:_SHOWN], advice])
    return found


def _look(bucket: Bucket, file: LocalFile, listed: Stored | None, known: IndexEntry | None) -> _Object:
    """One object; without a SHA-256 where its file is not here and the bucket has not what the last index says."""
    as_known = (
        known is not None and listed is not None and (known.size, known.etag) == (listed.size, listed.etag)
    )
    if not file.source.exists():
        # Freed here after its copy was checked: what the last index says of it holds while it is unchanged there.
        if known is None or not as_known:
            return _Object(Outgoing(file.key, file.source, 0, 0, ""), "")
        return _Object(Outgoing(file.key, file.source, known.size, 0, known.sha256), known.etag)
    here = Outgoing.of(file.key, file.source)
    if listed is None or listed.size != here.size:
        return _Object(here, "")
    if known is not None and as_known and known.sha256 == here.sha256:
        return _Object(here, known.etag)
    about = bucket.head(file.key)
    same = about is not None and (about.size, about.sha256) == (here.size, here.sha256)
    return _Object(here, about.etag if about is not None and same else "")


def _listing(bucket: Bucket, keys: Iterable[str]) -> dict[str, Stored]:
    """What the bucket has in the folders of `keys`: of the cycles', only in the one cycle's."""
    folders = {"/".join(key.split("/")[: 2 if key.startswith("cycles/") else 1]) for key in keys}
    return {path: found for folder in folders for path, found in bucket.listed(f"{folder}/").items()}


def _index(bucket: Bucket, cycle: str, files: Sequence[LocalFile], objects: Sequence[_Object]) -> Index:
    """The index of `files`; of objects that were not sent yet there is no ETag to name."""
    by_key = {each.file.key: each for each in objects}
    entries = tuple(
        IndexEntry(
            path=file.path,
            key=file.key,
            kind=file.kind,
            size=by_key[file.key].file.size,
            sha256=by_key[file.key].file.sha256,
            etag=by_key[file.key].etag,
            original_sha256=file.original_sha256,
        )
        for file in files
    )
    pushed_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Index(cycle=cycle, root=bucket.options.url, pushed_at=pushed_at, files=entries)


def _as_listed(bucket: Bucket, cycle: str, objects: Sequence[_Object]) -> list[_Object]:
    """All objects with their ETags, those that were just sent, too; `Problems` where the bucket lists other ones."""
    listed = _listing(bucket, (each.file.key for each in objects))
    wrong = [
        f"{each.file.key}: {each.file.size} bytes were sent, and the bucket has "
        f"{there.size if there else 'nothing'}, or others"
        for each in objects
        if (there := listed.get(each.file.key)) is None
        or there.size != each.file.size
        or each.etag not in ("", there.etag)
    ]
    if wrong:
        raise Problems(f"{bucket.options.url} after the push", [*wrong[:_SHOWN], f"push {cycle} again"])
    return [_Object(each.file, listed[each.file.key].etag) for each in objects]


def _end_stale(bucket: Bucket, log: Log) -> None:
    try:
        ended = abort_stale(bucket)
    except StoreError as error:
        log(f"unfinished uploads may be left in the bucket, and cost: {error}")
    else:
        if ended:
            log(f"{ended} uploads that were begun more than a week ago and never finished are removed")
