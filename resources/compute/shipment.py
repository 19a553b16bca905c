"""A job's workspace as it is sent elsewhere: all files in one folder, named as the job will see them there."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Final

import flywheel
from flywheel.compute.job import (
    ComputeJob,
    InputMissing,
    JobError,
    JobFailed,
    JobNotStarted,
    JobTimedOut,
    OutputMissing,
    Seconds,
)
from flywheel.corpus.audio_headers import check_audio
from flywheel.corpus.manifest import ManifestRow, read_manifest, rebase, write_manifest
from flywheel.files.atomic import atomic_path, read_json, write_json

__all__ = [
    "FOLDER",
    "Ending",
    "StageInFailed",
    "bring",
    "check_inputs",
    "missing_outputs",
    "pack",
    "read_rows",
    "runner_environment",
]

FOLDER: Final = ".flywheel"
"""What the runner needs lies below this name in the workspace; a job's own files lie beside it."""
_SOURCE: Final = f"{FOLDER}/source"
_AUDIO: Final = f"{FOLDER}/audio"


class StageInFailed(JobError):
    """A job whose files could not be brought to where it should run. Its command was not started."""

    def __init__(self, job: ComputeJob, reason: str) -> None:
        super().__init__(f"job {job.name} was not started, its files could not be brought there: {reason}")


def check_inputs(job: ComputeJob) -> None:
    """Look at every file that the job reads, here, before anything is started or paid for.

    Raises `InputMissing`, or the errors of manifests and audio that fail their checks.
    """
    files = {**job.inputs, **job.manifests}
    if missing := {relative: path for relative, path in files.items() if not path.is_file()}:
        raise InputMissing(job, missing)
    for path in job.manifests.values():
        check_audio(read_rows(path))


def pack(job: ComputeJob, folder: Path, root: PurePosixPath, *, grace: Seconds) -> None:
    """Lay the workspace of `job` into the empty `folder`, as it shall lie at `root` where the job runs.

    Files are hard links where that is possible, copies elsewhere. Manifests are copies whose audio lies below
    `root`. The package `flywheel` goes along (without the bundled model): there the job imports it from. Nothing
    of the job's environment is written: see `flywheel.compute.programs.runner`.
    """
    for relative, path in job.inputs.items():
        _place(path, folder / relative)
    rows = {relative: read_rows(path) for relative, path in job.manifests.items()}
    parents = sorted({str(PurePath(row.audio_filepath).parent) for each in rows.values() for row in each})
    there = {parent: f"{_AUDIO}/{number}" for number, parent in enumerate(parents)}
    for relative, of_manifest in rows.items():
        for row in of_manifest:
            source = Path(row.audio_filepath)
            _place(source, folder / there[str(source.parent)] / source.name)
        moved = rebase(of_manifest, lambda path: str(root / there[str(path.parent)] / path.name))
        write_manifest(folder / relative, moved)
    package = Path(flywheel.__file__ or "").parent
    shutil.copytree(
        package, folder / _SOURCE / package.name, ignore=shutil.ignore_patterns("__pycache__", "*.nemo")
    )
    files = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_relative_to(folder / _SOURCE)
    }
    write_json(
        folder / FOLDER / "job.json",
        {
            "argv": job.argv,
            "timeout": job.timeout,
            "grace": grace,
            "outputs": job.outputs,
            "files": files,
        },
    )


def runner_environment(root: PurePosixPath) -> dict[str, str]:
    """What `python -m flywheel.compute.programs.runner` needs where the workspace lies at `root`."""
    return {"PYTHONPATH": str(root / _SOURCE), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def read_rows(manifest: Path) -> tuple[ManifestRow, ...]:
    """The rows of a manifest, which may be empty, with absolute audio paths: relative ones start at the manifest."""
    start = manifest.absolute().parent
    return rebase(read_manifest(manifest, allow_empty=True), _below(start))


def _below(folder: Path) -> Callable[[PurePath], str]:
    return lambda audio: os.path.normpath(folder / audio)


def _place(source: Path, target: Path) -> None:
    """A hard link to `source`, or a copy where it lies on another file system or is a link itself."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return  # a row of a second manifest
    real = source.resolve()
    try:
        os.link(real, target)
    except OSError:
        shutil.copy(real, target)  # with its mode: it may be a program


@dataclass(frozen=True, slots=True)
class Ending:
    """What the runner noted of a job that has ended: see `flywheel.compute.programs.runner`."""

    exit_code: int | None
    seconds: Seconds
    stopped: str | None
    error: str | None = None
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, file: Path) -> "Ending | None":
        """The ending in `file`; None where there is none, because the runner was killed or never began."""
        return cls.from_dict(read_json(file)) if file.exists() else None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Ending":
        """Of what the runner wrote."""
        return cls(**{**value, "problems": tuple(value["problems"])})

    @classmethod
    def from_json(cls, text: str | bytes) -> "Ending":
        """Of the text of `ending.json`."""
        return cls.from_dict(json.loads(text))

    def failure(
        self, job: ComputeJob, lines: tuple[str, ...], *, kept: Path | None = None
    ) -> JobError | None:
        """The error this ending is; None where the command ended well. Outputs are not looked at."""
        if self.problems:
            return StageInFailed(job, "; ".join(self.problems))
        if self.error is not None:
            return JobNotStarted(job, self.error)
        if self.stopped == "time-out":
            return JobTimedOut(job, lines, kept=kept)
        if self.exit_code != 0 or self.stopped:
            # Stopped, and not by its backend: somebody sent a signal. A 0 then means nothing.
            return JobFailed(job, self.exit_code or None, lines, kept=kept)
        return None


def missing_outputs(
    job: ComputeJob, folder: Path, lines: tuple[str, ...], *, kept: Path | None = None
) -> OutputMissing | None:
    """The error for outputs that are not in `folder`; None where all are."""
    missing = [relative for relative in job.outputs if not (folder / relative).is_file()]
    return OutputMissing(job, missing, lines, kept=kept) if missing else None


def bring(source: Path, target: Path) -> Path:
    """Move one output to its place, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_symlink():
        try:
            source.replace(target)
            return target
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
    # On another file system, or a link to a file that is not ours to move.
    with atomic_path(target) as path:
        shutil.copyfile(source, path)
    return target
