"""Whether the bucket holds what was pushed; and room on this machine, once it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flywheel.errors import Problems
from flywheel.files.atomic import read_jsonl
from resources.data_folder import DataFolder
from resources.object_store.bucket import Bucket
from resources.object_store.index import read_index
from resources.object_store.progress import Log, Progress
from resources.object_store.pulling import whole_index
from resources.object_store.transfers import proved

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
    wanted = {entry.key: entry.wanted for entry in whole_index(bucket, cycle).files}
    total = sum(each.size for each in wanted.values())
    progress = Progress(log, "read back", total)
    wrong = [str(error) for _, error in proved(bucket, wanted.values(), on_bytes=progress.add) if error]
    _raise_any(f"{cycle} in {bucket.options.url}", wrong)
    return Verified(len(wanted), total)


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
    files = {entry.wanted: data.path / entry.path for entry in here if entry.path not in needed}
    progress = Progress(log, "read back", sum(each.size for each in files))
    wrong: list[str] = []
    sizes: list[int] = []
    for wanted, error in proved(bucket, files, on_bytes=progress.add):
        local = files[wanted]
        if error:
            wrong.append(f"{error}. {local} is kept")
        elif not wanted.is_in(local):
            wrong.append(f"{local}: is another recording than {bucket.url(wanted.key)}, and is kept")
        else:
            local.unlink()
            sizes.append(wanted.size)
    log(f"{len(sizes)} files are removed here")
    _raise_any(f"{cycle} in {bucket.options.url}", wrong)
    return Freed(len(sizes), sum(sizes), len(here) - len(files))


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


def _raise_any(subject: str, wrong: Sequence[str]) -> None:
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        raise Problems(subject, [*sorted(wrong)[:_SHOWN], *more])
