"""Debian's packages that the places on loopback need and the project does not."""

import os
import subprocess


def install(*packages: str) -> None:
    """Install them by apt, as root; fails with what apt says."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Another worker may be installing something.
    command = [
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=300",
        "install",
        "-y",
        "-q",
        "--no-install-recommends",
        *packages,
    ]
    done = _run(command, quiet)
    if done.returncode != 0:  # the lists may be old
        _run(["apt-get", "update", "-q"], quiet)
        done = _run(command, quiet)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
    )
