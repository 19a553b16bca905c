"""Which processes still work for a place."""

import os
from pathlib import Path


def processes_of(root: Path) -> list[str]:
    """Command lines of living processes that stand below `root` or have it in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            known = (process / "environ").read_bytes() + os.fsencode((process / "cwd").readlink())
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked, or is somebody else's
        if state != "Z" and os.fsencode(root) in known and int(process.name) != os.getpid():
            found.append(f"{process.name} {command}")
    return found
