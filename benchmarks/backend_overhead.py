"""What a backend adds to a command: seconds beyond the bare command, for a job that does nothing.

    python -m benchmarks.backend_overhead                   # local, docker, brev and modal
    python -m benchmarks.backend_overhead --backends local docker

The places are on this machine, in `loopback/`, and the tests use them, too: a real Docker Engine; for brev a real sshd
and rsync behind a stand-in of the vendor's command; for modal a servicer of its protocol. So the figures are what the
backend itself costs. A rented machine's start comes on top: see `flywheel/files/bundled/gpu_prices.csv`.
Needs root. The bare command and the backends take turns.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from unittest import mock

from flywheel.compute.job import ComputeBackend, ComputeJob
from resources.compute import BACKENDS
from resources.compute.resource import Compute
from resources.data_folder import DataFolder


def main() -> int:
    """Measure, print, and give the exit status."""
    parser = argparse.ArgumentParser(description="Seconds that a compute backend adds to a command.")
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), choices=list(BACKENDS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fw")))
        backends = {name: _backend(name, root / name[:2], stack) for name in options.backends}
        seconds: dict[str, list[float]] = {name: [] for name in ("bare command", *backends)}
        for _ in range(options.rounds):
            begun = time.monotonic()
            subprocess.run(["sh", "-c", ":"], check=True)
            seconds["bare command"].append(time.monotonic() - begun)
            for name, (backend, variables) in backends.items():
                with mock.patch.dict(os.environ, variables):
                    seconds[name].append(_timed(backend, root / "out"))
    bare = median(seconds["bare command"])
    print(f"median of {options.rounds} rounds; the bare command takes {bare:.3f} s")
    for name in backends:
        print(f"{name:8} {median(seconds[name]) - bare:7.2f} s beyond it")
    return 0


def _backend(name: str, root: Path, stack: ExitStack) -> tuple[ComputeBackend, dict[str, str]]:
    """The backend of a name in its place on loopback, and the variables it lives with."""
    place = stack.enter_context(importlib.import_module(f"loopback.{name}_place").Place(root))
    variables: dict[str, str] = place.variables()
    with mock.patch.dict(os.environ, variables):
        return Compute(data=DataFolder()).connect(), variables


def _timed(backend: ComputeBackend, out: Path) -> float:
    job = ComputeJob(name="nothing", argv=("sh", "-c", ":"), timeout=60.0)
    begun = time.monotonic()
    backend.run(job, out, lambda line: None)
    return time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())
