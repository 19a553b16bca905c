"""Folders that jobs work in, and how those of killed runs are found and removed."""

import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flywheel.files.locks import held, try_lock

__all__ = ["Workspace", "workspace"]

_TEMPORARY_PREFIX: Final = "flywheel-"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Workspace:
    """A job's folders.

    Args:
        folder: where the job starts.
        temporary: its temporary folder.
        lock: a descriptor that marks both as in use, in this process and in all that inherit it.
        kept: set it to leave `folder` where it is at the end.
    """

    folder: Path
    temporary: Path
    lock: int
    kept: bool = False


@contextmanager
def workspace(root: Path, job_name: str) -> Iterator[Workspace]:
    """A fresh workspace below `root`, removed with its temporary folder at the end.

    The temporary folder lies in the system's own, not in the workspace: sockets are made there, and
    their paths must be short. Its name is written into the lock file before it is made, so that the next
    run finds it whatever happens to this one.
    """
    with held(root / "lock"):
        _sweep(root)
        folder = root / f"{job_name}-{secrets.token_hex(4)}"
        temporary = Path(tempfile.gettempdir()).absolute() / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        lock_file = _lock_file(folder)
        lock = try_lock(lock_file)
        if lock is None:
            raise RuntimeError(f"{lock_file}: a fresh lock is already taken")
    space = Workspace(folder, temporary, lock)
    try:
        lock_file.write_text(str(temporary), encoding="utf-8")
        folder.mkdir()
        temporary.mkdir(mode=0o700)
        yield space
    finally:
        try:
            _remove([temporary] if space.kept else [folder, temporary], lock_file)
        finally:
            # Even if a second interrupt cut the removal short: the next job's sweep does the rest.
            os.close(lock)


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _sweep(root: Path) -> None:
    """Remove the workspaces whose processes are gone. The caller holds the lock of `root`."""
    for lock_file in sorted(root.glob("*.lock")):
        lock = try_lock(lock_file)
        if lock is None:
            continue
        try:
            folders = [lock_file.with_suffix("")]
            temporary = Path(lock_file.read_text(encoding="utf-8"))
            # Never trust a file's content with a deletion unless it looks like what we write.
            if temporary.is_absolute() and temporary.name.startswith(_TEMPORARY_PREFIX):
                folders.append(temporary)
            _remove(folders, lock_file)
        finally:
            os.close(lock)


def _remove(folders: list[Path], lock_file: Path) -> None:
    """Remove `folders`, and their lock file once they are gone; what resists is left to the next sweep."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    if left := [folder for folder in folders if folder.exists()]:
        _log.warning("could not remove %s; the next job will try again", ", ".join(map(str, left)))
    else:
        lock_file.unlink(missing_ok=True)
