"""Which real tests run in one worker, one after the other: those of a file, of a backend, of a Docker Engine."""

import re
from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

LONG = ("test_loop", "docker", "test_kill", "test_services_loop", "test_interface", "test_growth")
"""Groups that take minutes, the longest first."""
_BACKEND = re.compile(r"\[(local|docker|brev|modal)\b")


def group_of(nodeid: str) -> str:
    """`docker` of `test_endings.py::test_it[docker-killed]`, `test_loop` of any test of that file."""
    stem = PurePosixPath(nodeid.partition("::")[0]).stem
    found = _BACKEND.search(nodeid)
    backend = found.group(1) if found and stem == "test_endings" else ""
    if backend == "docker" or stem.startswith("test_docker"):
        return "docker"
    return f"{stem} {backend}".strip()


def rank_of(nodeid: str) -> int:
    """Where the group of a test comes: the long ones first, the others in the order in which they were found."""
    group = group_of(nodeid)
    return LONG.index(group) if group in LONG else len(LONG)


class OneWorkerAGroup(LoadScopeScheduling):
    """What `--dist loadgroup` means here: pytest-xdist's own reads groups from names that pytest does not keep."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
