"""This machine: whether a cycle fits on it."""

import os
import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

import psutil
from packaging.requirements import Requirement

from resources.data_folder import DataFolder
from resources.readiness import Finding

__all__ = ["memory", "not_as_required", "readiness"]

_PACKAGE: Final = "clinical-asr-flywheel"
_MEMORY_NEEDED_GB: Final = 3.0
"""A whole cycle on the CPU, measured at 1.7 GB, beside what else the machine does."""
_DISK_NEEDED_GB: Final = 2.0
"""Audio, models and pages of a few cycles of the starter seed take less than one."""


def readiness(data: DataFolder) -> tuple[Finding, ...]:
    """Versions, memory, and the data folder: whether it can be written to and what is free there."""
    return (_packages(), memory(psutil.virtual_memory().available / 1e9), _data_folder(data.path))


def _packages() -> Finding:
    wrong = [line for requirement in _requirements() if (line := not_as_required(requirement))]
    if wrong:
        return Finding(
            "packages", False, f"{'; '.join(wrong)}. To do: make the environment again, `make run`"
        )
    said = ", ".join(f"{name} {version(name)}" for name in ("dagster", "torch", "nemo_toolkit"))
    return Finding("packages", True, f"Python {platform.python_version()}, {said}; all as pinned")


def _requirements() -> list[Requirement]:
    """What the package needs without any of its extras."""
    declared = [Requirement(line) for line in requires(_PACKAGE) or ()]
    return [each for each in declared if each.marker is None or each.marker.evaluate({"extra": ""})]


def not_as_required(requirement: Requirement) -> str:
    """What is not as required; empty where it is."""
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    # A build for the CPU calls itself 2.13.0+cpu, which 2.13.0 admits.
    return "" if requirement.specifier.contains(found, prereleases=True) else f"{requirement.name} {found}"


def memory(free_gb: float) -> Finding:
    """Whether so many GB are enough for a cycle."""
    return Finding(
        "memory",
        free_gb >= _MEMORY_NEEDED_GB,
        f"{free_gb:.1f} GB free, {_MEMORY_NEEDED_GB:.0f} GB are needed",
    )


def _data_folder(folder: Path) -> Finding:
    """Looks without leaving anything behind, not even the folder."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free / 1e9
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Finding("data folder", False, f"{folder} cannot be written to: {error.strerror or error}")
    return Finding(
        "data folder",
        free >= _DISK_NEEDED_GB,
        f"{folder}, {free:.0f} GB free, {_DISK_NEEDED_GB:.0f} GB are needed",
    )
