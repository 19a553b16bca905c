"""A cycle comes out of the bucket, onto this machine or back onto it."""

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from flywheel.errors import FlywheelError, Problems
from flywheel.files.atomic import atomic_path
from flywheel.files.locks import held
from flywheel.recognisers.registry import read_entries
from resources.data_folder import DataFolder
from resources.object_store.bucket import Bucket, StoreError
from resources.object_store.cycle_files import local_path, localised
from resources.object_store.index import Index, IndexEntry, index_path, read_index
from resources.object_store.options import MIB
from resources.object_store.progress import Log, Progress
from resources.object_store.pushing import note_index, notes_folder
from resources.object_store.transfers import fetch

__all__ = ["Pulled", "pull", "whole_index"]

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did: files of the cycle, those put in place, the bytes fetched, and those that were here."""

    files: int
    placed: int
    bytes_fetched: int
    already_here: int


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A file that is to be put in place: `staged` is its content for this machine, once that is known."""

    entry: IndexEntry
    target: Path
    staged: Path | None = None


def pull(bucket: Bucket, data: DataFolder, cycle: str, log: Log, *, overwrite: bool = False) -> Pulled:
    """Bring `cycle` into the data folder, its audio and models with it, as if it had been made here.

    Everything is fetched to one side first and checked by size and SHA-256; then it is put in place. Files that were
    fetched before a pull was cut off are not fetched again, and what is here already is not fetched at all.

    Args:
        bucket: where from.
        data: the data folder, which may be empty.
        cycle: e.g. ``cycle1``.
        log: takes a line of progress.
        overwrite: replace files that differ here.

    Raises:
        Problems: files that are here differ; nothing is changed then.
        Mismatch: an object is not what was sent; nothing is put in place then.
        StoreError: there is no whole copy, or the bucket cannot be used.
        RegistryError: models were promoted here and there.
    """
    index = whole_index(bucket, cycle)
    staging = notes_folder(data) / f"pull-{cycle}"
    with held(notes_folder(data) / "pull.lock"):
        staging.mkdir(exist_ok=True)
        needed, fetched_small = _needed(bucket, data, index, staging, overwrite)
        _check_space(data, needed)
        fetched = _fetch(bucket, staging, needed, log)
        placed = _place(data, staging, needed)
        note_index(data, bucket, cycle, index.sha256)
        shutil.rmtree(staging)
    return Pulled(len(index.files), placed, fetched_small + fetched, len(index.files) - placed)


def whole_index(bucket: Bucket, cycle: str) -> Index:
    """The index of `cycle`; raises `StoreError` where there is no whole copy of it."""
    index = read_index(bucket, cycle)
    if index is None:
        begun = (
            " A push of it began and never finished: push it again."
            if bucket.listed(f"cycles/{cycle}/")
            else ""
        )
        raise StoreError(
            f"{bucket.url(index_path(cycle))}: is not there, so there is no whole copy of {cycle}.{begun}"
        )
    return index


def _needed(
    bucket: Bucket, data: DataFolder, index: Index, staging: Path, overwrite: bool
) -> tuple[list[_Arrival], int]:
    """What is not here, and the bytes of rewritten files that had to be fetched to tell. Files that are here and
    differ are `Problems`."""
    arrivals: list[_Arrival] = []
    differing: list[str] = []
    rewritten = [entry for entry in index.files if entry.kind not in ("plain", "answer")]
    fetch(bucket, {staging / entry.sha256: entry.wanted for entry in rewritten})
    for entry in index.files:
        target = local_path(data, entry.path)
        if entry.kind == "plain":
            arrival = _Arrival(entry, target)
            same = target.is_file() and entry.wanted.is_in(target)
        elif entry.kind == "answer":
            arrival, same = _Arrival(entry, target), target.is_file()
        else:
            fetched = staging / entry.sha256
            copy = staging / f"{sha256(entry.path.encode()).hexdigest()}.local"
            arrival = _Arrival(entry, target, localised(entry, fetched, data, index.cycle, index.root, copy))
            same = _is_settled(arrival, data)
        if same:
            continue
        if target.exists() and not _may_replace(arrival):
            differing.append(f"{target}: differs from {bucket.url(entry.key)}")
        arrivals.append(arrival)
    if differing and not overwrite:
        advice = "push what is here, or pull with --overwrite to replace it"
        raise Problems(f"{data.path} (nothing was changed)", [*differing[:_SHOWN], advice])
    return arrivals, sum(entry.size for entry in rewritten)


def _is_settled(arrival: _Arrival, data: DataFolder) -> bool:
    """Whether what is here says all that the bucket's copy says. Raises `RegistryError` where both went on."""
    assert arrival.staged is not None
    if arrival.entry.kind == "registry":
        theirs = read_entries(arrival.staged)
        data.registry.check_adoptable(theirs)
        return len(theirs) <= len(data.registry.entries())
    if not arrival.target.is_file():
        return False
    here, there = arrival.target.read_bytes(), arrival.staged.read_bytes()
    return here.startswith(there) if arrival.entry.kind == "append" else here == there


def _may_replace(arrival: _Arrival) -> bool:
    """Whether nothing that is here would be lost."""
    if arrival.entry.kind == "append":
        assert arrival.staged is not None
        return arrival.staged.read_bytes().startswith(arrival.target.read_bytes())
    return arrival.entry.kind == "registry"


def _check_space(data: DataFolder, needed: Sequence[_Arrival]) -> None:
    size = sum(each.entry.size for each in needed)
    free_bytes = shutil.disk_usage(notes_folder(data)).free
    if size > free_bytes:
        raise FlywheelError(
            f"{data.path}: {size / MIB:.0f} MiB are to be fetched, {free_bytes / MIB:.0f} MiB are free"
        )


def _fetch(bucket: Bucket, staging: Path, needed: Sequence[_Arrival], log: Log) -> int:
    """Fetch each object of `needed` once into `staging`, by its SHA-256; returns their bytes."""
    # Small ones first: a large one that is cut off is fetched again, and they are not.
    entries = sorted((each.entry for each in needed if each.staged is None), key=lambda entry: entry.size)
    files = {staging / entry.sha256: entry.wanted for entry in entries}
    total = sum(each.size for each in files.values())
    fetch(bucket, files, on_bytes=Progress(log, "fetched", total).add)
    return total


def _place(data: DataFolder, staging: Path, needed: Sequence[_Arrival]) -> int:
    """Put everything in place: audio and models first, then the cycle's files, the registry last."""
    left = [each.entry.sha256 for each in needed if each.staged is None]

    def order(arrival: _Arrival) -> tuple[bool, bool]:
        return arrival.entry.kind == "registry", arrival.entry.path.startswith("cycles/")

    for arrival in sorted(needed, key=order):
        if arrival.entry.kind == "registry":
            assert arrival.staged is not None
            data.registry.adopt(read_entries(arrival.staged))
            continue
        if arrival.staged is not None:
            _move(arrival.staged, arrival.target)
            continue
        source = staging / arrival.entry.sha256
        left.remove(arrival.entry.sha256)
        if arrival.entry.sha256 in left:
            # Another file has this content, too: the model of the cycle's folder and the promoted one.
            source = source.with_name(f"{source.name}.copy")
            shutil.copyfile(staging / arrival.entry.sha256, source)
        _move(source, arrival.target)
    return len(needed)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A folder of audio or models may be a disk of its own.
        with atomic_path(target) as path:
            shutil.copyfile(source, path)
