"""Which process works on a run, as a tag of the run says it, and whether that process is gone."""

import os
import socket
from typing import Final

import psutil

__all__ = ["PROCESS_TAG", "is_gone", "this_process"]

PROCESS_TAG: Final = "flywheel/process"
"""On every run of a cycle: the host, the process's id, and when it began, in seconds since 1970."""
_SAME_MOMENT: Final = 2.0
"""Seconds by which two looks at when a process began may differ."""


def this_process() -> str:
    """The value of `PROCESS_TAG` for this process."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.0f}"


def is_gone(process: str) -> bool:
    """Whether this machine knows that a process is over; of another machine's it knows nothing."""
    host, pid, began = process.split(" ")
    if host != socket.gethostname():
        return False
    try:
        found = psutil.Process(int(pid))
        return (
            found.status() == psutil.STATUS_ZOMBIE or abs(found.create_time() - float(began)) > _SAME_MOMENT
        )
    except psutil.NoSuchProcess:
        return True
