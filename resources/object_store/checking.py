"""Whether the bucket holds what was pushed; and room on this machine, once it does."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flywheel.errors import Problems
from flywheel.files.atomic import read_jsonl, sha256_of_file
from resources.data_folder import DataFolder
from resources.object_store.bucket import Bucket, Gone, Mismatch
from resources.object_store.downloads import prove, remove_proved
from resources.object_store.index import IndexEntry, read_index
from resources.object_store.progress import Log, Progress, in_threads
from resources.object_store.pulling import whole_index

__all__ = ["Freed", "Verified", "free", "verify"]

_SHOWN = 20
_AUDIO = "speech/"


@dataclass(frozen=True, slots=True)
class Verified:
    """How many objects were read back, and their bytes."""

    objects: int
    bytes_read: int


@dataclass(frozen=True, slots=True)
class Freed:
    """Audio files that were removed here, their bytes, and how many were kept for cycles that are not pushed."""

    removed: int
    bytes_removed: int
    kept: int


def verify(bucket: Bucket, cycle: str, log: Log) -> Verified:
    """Read every object of the copy of `cycle` back and hold it against the index by size and SHA-256.

    Raises `Problems` with every object that is missing or another one, `StoreError` where there is no whole copy.
    """
    objects = {entry.key: entry for entry in whole_index(bucket, cycle).files}
    total = sum(entry.size for entry in objects.values())
    progress = Progress(log, "read back", total)

    def wrong(entry: IndexEntry) -> str:
        return _said(
            lambda: prove(bucket, entry.key, size=entry.size, content=entry.sha256, on_bytes=progress.add)
        )

    said = in_threads(bucket.options.threads, (partial(wrong, entry) for entry in objects.values()))
    _raise_any(f"{cycle} in {bucket.options.url}", said)
    return Verified(len(objects), total)


def free(bucket: Bucket, data: DataFolder, cycle: str, log: Log) -> Freed:
    """Remove the audio of `cycle` here, each file only after its object was read back and is the same.

    Audio that another cycle here names, too, is kept unless the bucket has a whole copy of that cycle with it.

    Raises:
        Problems: objects that are missing or other ones; their files are kept.
        StoreError: there is no whole copy, or the bucket cannot be used.
    """
    audio = [entry for entry in whole_index(bucket, cycle).files if entry.path.startswith(_AUDIO)]
    here = [entry for entry in audio if (data.path / entry.path).is_file()]
    needed = _needed_elsewhere(bucket, data, cycle)
    removable = [entry for entry in here if entry.path not in needed]
    progress = Progress(log, "read back", sum(entry.size for entry in removable))
    sizes: list[int] = []

    def remove(entry: IndexEntry) -> str:
        return _said(lambda: sizes.append(_removed(bucket, data.path / entry.path, entry, progress)))

    said = in_threads(bucket.options.threads, (partial(remove, entry) for entry in removable))
    log(f"{len(sizes)} files are removed here")
    _raise_any(f"{cycle} in {bucket.options.url}", said)
    return Freed(len(sizes), sum(sizes), len(here) - len(removable))


def _removed(bucket: Bucket, local: Path, entry: IndexEntry, progress: Progress) -> int:
    if sha256_of_file(local) != entry.sha256:
        raise Mismatch(f"{local}: is another recording than {bucket.url(entry.key)}, and is kept")
    return remove_proved(bucket, entry.key, local, on_bytes=progress.add)


def _needed_elsewhere(bucket: Bucket, data: DataFolder, cycle: str) -> set[str]:
    """Audio of other cycles here, by path, that no whole copy in the bucket has."""
    needed: set[str] = set()
    for manifest in sorted(data.path.glob(f"cycles/*/{data.cycle(cycle).manifest.name}")):
        other = manifest.parent.name
        if other == cycle:
            continue
        index = read_index(bucket, other)
        copied = {entry.path for entry in index.files} if index else set()
        needed |= {f"{_AUDIO}{Path(row['audio_filepath']).name}" for row in read_jsonl(manifest)} - copied
    return needed


def _said(work: Callable[[], object]) -> str:
    """What is wrong with one object; empty where nothing is. A bucket that cannot be used ends everything."""
    try:
        work()
    except (Gone, Mismatch) as error:
        return str(error)
    return ""


def _raise_any(subject: str, said: Iterable[str]) -> None:
    if wrong := sorted(filter(None, said)):
        more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        raise Problems(subject, [*wrong[:_SHOWN], *more])
