"""Which files make a cycle, and how those that name others are rewritten: for the bucket, and for another machine.

    speech/<name>.wav                the audio that the manifests name, once for all cycles
    models/<sha256>.nemo             every model by its content: the fine-tuned, the promoted, the base if it was given
    cycles/cycle1/...                the files of the cycle's folder
    cycles/cycle1/shared/...         what it shares with other cycles, as it was: registry, overrides, verdicts, answers
    cycles/cycle1/index.json         all of these with size and SHA-256, written last

What is in the package, such as the bundled model, is named and not sent. Names that begin with a dot are left out:
they are of writes that did not end. So are the ledger of what was paid for and the notes of what cached audio
held, which are each machine's own.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Final

from flywheel.corpus.manifest import moved_root, read_manifest, rebase, write_manifest
from flywheel.errors import FlywheelError
from flywheel.files import bundled
from flywheel.files.atomic import sha256_of_file
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import read_record, write_record
from flywheel.recognisers.bases import BaseRecord, read_base
from flywheel.recognisers.nemo_asr import TrainingRecord
from resources.data_folder import DataFolder
from resources.object_store.index import IndexEntry, Kind

__all__ = ["LocalFile", "collect", "local_path", "localised"]

_MODEL: Final = ".nemo"
_BUNDLED: Final = "bundled:"
_REGISTRY: Final = "models/registry.json"
_OVERRIDES: Final = "pronunciation_overrides.csv"
_VERDICTS: Final = "verdicts.csv"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that belongs to a cycle.

    Args:
        path: in the index: relative to a data folder.
        key: the object's path below the bucket's prefix.
        kind: how it gets to another machine.
        source: what is sent: the file itself or its rewritten copy. Audio may be missing here.
        original_sha256: of the file itself, where `source` is a rewritten copy.
    """

    path: str
    key: str
    kind: Kind
    source: Path
    original_sha256: str = ""


def collect(data: DataFolder, cycle: str, root: str, scratch: Path) -> tuple[LocalFile, ...]:
    """The files of `cycle`, each once; rewritten copies are made in the folder `scratch`.

    Args:
        data: the data folder.
        cycle: which cycle.
        root: where paths begin in the bucket, ``s3://name/prefix``.
        scratch: an empty folder.

    Raises:
        FlywheelError: the cycle has no files, a manifest names audio outside of the data folder, or a model is not
            what it was.
    """
    folder = data.cycle(cycle)
    files = [*_folder_files(data, folder, root, scratch), *_models(data, folder), *_shared(data, cycle)]
    if not folder.root.is_dir() or not files:
        raise FlywheelError(f"{folder.root}: there is no {cycle} here; run it, or pull it from the bucket")
    by_path = {each.path: each for each in files}
    return tuple(by_path[path] for path in sorted(by_path))


def _folder_files(data: DataFolder, folder: CycleFolder, root: str, scratch: Path) -> Iterator[LocalFile]:
    manifests = _manifests(folder)
    bases = _bases(folder)
    for path in sorted(folder.root.rglob("*")):
        inside = path.relative_to(folder.root)
        if not path.is_file() or any(part.startswith(".") for part in inside.parts):
            continue
        name = f"cycles/{folder.cycle}/{inside.as_posix()}"
        copy = scratch / inside
        if path in manifests:
            yield from _rewritten_manifest(path, name, data, root, copy)
        elif path in bases:
            _rewrite_base(path, bases[path], copy, lambda base: _base_in_bucket(base, root))
            yield LocalFile(name, name, "base", copy, sha256_of_file(path))
        elif path.suffix == _MODEL:
            yield _model(path, name)
        else:
            yield LocalFile(name, name, "plain", path)


def _manifests(folder: CycleFolder) -> set[Path]:
    return {
        *(folder.manifest, folder.train, folder.development, folder.validation),
        *(folder.baseline.rows, folder.boosted.rows, folder.boosting_trials, folder.next.rows),
    }


def _bases(folder: CycleFolder) -> dict[Path, type[BaseRecord] | type[TrainingRecord]]:
    """The files that name a base, and what they hold."""
    return {folder.base_model: BaseRecord, folder.training_run_info: TrainingRecord}


def _rewritten_manifest(
    path: Path, name: str, data: DataFolder, root: str, copy: Path
) -> Iterator[LocalFile]:
    """The manifest as the bucket has it, and the audio it names."""
    inside: dict[str, Path] = {}
    roots = {data.path, data.path.resolve()}

    def in_bucket(audio: PurePath) -> str:
        here = Path(os.path.normpath(path.parent / audio))
        relative = next(
            (here.relative_to(each).as_posix() for each in roots if here.is_relative_to(each)), ""
        )
        if not relative:
            raise ValueError(f"allowed: a path below {data.path}")
        inside[relative] = here
        return f"{root}/{relative}"

    write_manifest(copy, rebase(read_manifest(path, allow_empty=True), in_bucket))
    yield LocalFile(name, name, "manifest", copy, sha256_of_file(path))
    yield from (LocalFile(relative, relative, "plain", here) for relative, here in inside.items())


def _models(data: DataFolder, folder: CycleFolder) -> Iterator[LocalFile]:
    """What this cycle started from, what it promoted, and what the next one starts from."""
    if folder.base_model.is_file():
        base = read_base(folder.base_model)
        if base.file is not None and not _is_bundled(base.file):
            yield _model(base.file, f"models/{base.sha256}{_MODEL}")
    promoted = [entry for entry in data.registry.entries() if entry.event == "promoted"]
    entries = [entry for entry in promoted if entry.cycle == folder.cycle]
    newest = data.registry.newest(before_cycle=folder.number + 1)
    for entry in [*entries, *([newest] if newest else [])]:
        yield _model(data.registry.path_of(entry), f"models/{entry.model}")
        trained_on = data.registry.trained_on_file(entry)
        if trained_on.is_file():
            name = f"models/{trained_on.name}"
            yield LocalFile(name, name, "plain", trained_on)


def _model(file: Path, path: str) -> LocalFile:
    # Two archives of one content are two objects.
    return LocalFile(path, f"models/{sha256_of_file(file)}{_MODEL}", "plain", file)


def _shared(data: DataFolder, cycle: str) -> Iterator[LocalFile]:
    """Copies of their own for each cycle: what one cycle's index says stays true when another one is pushed."""
    answers = sorted(data.dictionary.glob("[!.]*")) if data.dictionary.is_dir() else []
    shared: list[tuple[str, Kind]] = [(_REGISTRY, "registry"), (_OVERRIDES, "append"), (_VERDICTS, "append")]
    shared += [(f"dictionary/{each.name}", "answer") for each in answers]
    for path, kind in shared:
        source = local_path(data, path)
        if source.is_file():
            yield LocalFile(path, f"cycles/{cycle}/shared/{path}", kind, source)


def local_path(data: DataFolder, path: str) -> Path:
    """Where the file with this path of an index lies, or will lie, on this machine."""
    if path == _OVERRIDES:
        return data.overrides
    if path == _VERDICTS and (chosen := os.environ.get("FLYWHEEL_VERDICTS")):
        return Path(chosen).absolute()
    return data.path / path


def localised(entry: IndexEntry, fetched: Path, data: DataFolder, cycle: str, root: str, copy: Path) -> Path:
    """The file `fetched` from the bucket as it should be on this machine: rewritten to `copy`, or as it is.

    Args:
        entry: what it is.
        cycle: whose it is.
        fetched: its content in the bucket.
        data: the data folder.
        root: where paths in it begin.
        copy: where a rewritten copy is written to.
    """
    if entry.kind == "manifest":
        moved = moved_root(PurePath(root), data.path.resolve())
        write_manifest(copy, rebase(read_manifest(fetched, allow_empty=True), moved))
        return copy
    if entry.kind == "base":
        kind = _bases(data.cycle(cycle)).get(local_path(data, entry.path))
        if kind is None:
            raise FlywheelError(f"{entry.path}: is not known to name a base model; use a newer flywheel")
        _rewrite_base(fetched, kind, copy, lambda base: _base_here(str(base.file), data, root))
        return copy
    return fetched


def _rewrite_base(
    path: Path,
    kind: type[BaseRecord] | type[TrainingRecord],
    copy: Path,
    new_file: Callable[[BaseRecord], str],
) -> None:
    """Write `copy` of a record with another file of its base; a published model has none."""
    record = read_record(path, kind)

    def moved(base: BaseRecord) -> BaseRecord:
        return base if base.file is None else replace(base, file=Path(new_file(base)))

    write_record(
        copy, moved(record) if isinstance(record, BaseRecord) else replace(record, base=moved(record.base))
    )


def _is_bundled(file: Path) -> bool:
    return file.parent == Path(bundled.__file__).parent


def _base_in_bucket(base: BaseRecord, root: str) -> str:
    if base.file is not None and _is_bundled(base.file):
        return f"{_BUNDLED}{base.file.name}"
    return f"{root}/models/{base.sha256}{_MODEL}"


def _base_here(file: str, data: DataFolder, root: str) -> str:
    if file.startswith(_BUNDLED):
        return str(bundled.path(PurePath(file.removeprefix(_BUNDLED)).name))
    return str(data.path / file.removeprefix(f"{root}/"))
