"""What several workers of pytest-xdist need, made by the first that asks and read by the others."""

import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Made = TypeVar("Made")


def folder_of_all_workers(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of this run of pytest, which its workers share."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Made]) -> Made:
    """What `make` returns, given a new folder called `name`.

    Whoever comes while another worker makes it waits until it is there. What is returned is pickled for them, and has
    to be read only, as has what lies in the folder.
    """
    folder = folder_of_all_workers(factory) / name
    pickled = folder.with_name(f"{name}.pickle")
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if pickled.exists():
            made: Made = pickle.loads(pickled.read_bytes())
            return made
        folder.mkdir()
        made = make(folder)
        pickled.write_bytes(pickle.dumps(made))
        return made
