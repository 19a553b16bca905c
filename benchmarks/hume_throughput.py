"""Rows a second through Hume's client, beside what concurrency and latency allow.

    python -m benchmarks.hume_throughput
    python -m benchmarks.hume_throughput --concurrency 4 --latency 0.15 --rounds 3

The server speaks Hume's routes in a process of its own, answers each request after a fixed latency, and has made its
speech before. The limit of requests a minute is lifted. Concurrency / latency is what calls that cost nothing else
would reach; buying also decodes, resamples, checks, writes and records every row.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from flywheel.speech.audio_cache import render
from loopback.hume_server import KEY, TAKES
from resources.speech.hume import HumeSynthesizer


@dataclass(frozen=True)
class Throughput:
    """Rows a second, reached and allowed."""

    reached: float
    allowed: float

    @property
    def ratio(self) -> float:
        return self.reached / self.allowed


def main() -> int:
    """Measure, print, and give the exit status."""
    parser = argparse.ArgumentParser(description="Rows a second through Hume's client.")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--latency", type=float, default=0.15, help="seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-least", type=float, default=0.9, help="the ratio below which the run fails")
    options = parser.parse_args()
    rounds = [measure(options.concurrency, options.latency) for _ in range(options.rounds)]
    for each in rounds:
        print(
            f"{len(TAKES)} rows, {options.concurrency} at a time, {1000 * options.latency:.0f} ms each: "
            f"{each.reached:.1f} a second of {each.allowed:.1f}, ratio {each.ratio:.3f}"
        )
    best = max(each.ratio for each in rounds)
    print(f"best ratio {best:.3f} (at least {options.at_least:g} is required)")
    return 0 if best >= options.at_least else 1


def measure(concurrency: int, latency: float) -> Throughput:
    """Buy 200 rows into an empty cache; the time is that from the first call to the last file."""
    hume = HumeSynthesizer(concurrency=concurrency, requests_per_minute=0, consent="YES")
    with _server(latency) as url, tempfile.TemporaryDirectory() as folder:
        variables = {"HUME_API_KEY": KEY, "FLYWHEEL_HUME_URL": url}
        with mock.patch.dict(os.environ, variables):
            render(TAKES[:1], Path(folder) / "warm", hume)  # imports Hume's client
            purchases = render(TAKES, Path(folder) / "measured", hume).purchases
    return Throughput(purchases.kept / purchases.seconds, concurrency / latency)


@contextmanager
def _server(latency: float) -> Iterator[str]:
    command = [sys.executable, "-m", "loopback.hume_server", "--latency", str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()  # which ends it


if __name__ == "__main__":
    sys.exit(main())
