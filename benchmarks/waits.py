"""What people wait for, each beside the longest that is accepted: commands, the graph, a growing drop folder, logs.

    python -m benchmarks.waits

Each is measured three times and the shortest counts, since other work on the machine only adds to it. Imports are
measured in processor seconds of a fresh interpreter, and beside a package that they cannot do without. Fails where
one takes longer than is accepted.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Callable
from pathlib import Path

from flywheel.compute.job import ComputeJob, LineSplitter
from flywheel.corpus.audio_headers import check_audio
from flywheel.corpus.manifest import ManifestRow
from flywheel.cycle.growth import Sources, look, write_offered
from flywheel.files.atomic import write_text
from flywheel.files.cycles import CycleFolder
from flywheel.speech.engines.espeak import reader
from flywheel.speech.synthesizer import Voice
from resources.compute.local import LocalBackend

REPOSITORY = Path(__file__).parents[1]
LOADED = "{workspaceOrError {... on Workspace {locationEntries {loadStatus}}}}"


def import_seconds(module: str) -> float:
    """Processor seconds of importing a module in a fresh interpreter."""
    program = f"import time; start = time.process_time(); import {module}; print(time.process_time() - start)"
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def timed(act: Callable[[], object]) -> float:
    """Seconds by the clock."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def interface_seconds(root: Path) -> float:
    """From the webserver's start until it answers that the graph is loaded."""
    (root / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    here = ("--host", "127.0.0.1", "--port", str(port), "--workspace", str(REPOSITORY / "workspace.yaml"))
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DAGSTER_HOME": str(root)}
    query = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": LOADED}).encode(),
        {"Content-Type": "application/json"},
    )

    def is_loaded() -> bool:
        try:
            with urllib.request.urlopen(query, timeout=10) as answer:
                entries = json.load(answer)["data"]["workspaceOrError"]["locationEntries"]
        except (urllib.error.URLError, ConnectionError):
            return False
        return bool(entries) and entries[0]["loadStatus"] == "LOADED"

    start = time.perf_counter()
    server = subprocess.Popen(
        [str(Path(sys.executable).parent / "dagster-webserver"), *here],
        cwd=REPOSITORY,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not is_loaded():
            if server.poll() is not None:
                raise SystemExit("error: the webserver ended before it answered")
            time.sleep(0.05)
        return time.perf_counter() - start
    finally:
        server.terminate()
        server.wait()


def look_seconds(root: Path, recordings: int) -> float:
    """The longest look at so many recordings: all new, all offered before, 150 more."""
    seed, drop = root / "seed.csv", root / "recordings"
    drop.mkdir(parents=True)
    write_text(seed, "term,entity_category\ncefazolin,drug\n")
    line = '{{"audio_filepath": "ward/{:07d}.wav", "text": "' + "x" * 120 + '"}}\n'
    write_text(drop / "a.jsonl", "".join(line.format(number) for number in range(recordings)))
    newest = CycleFolder(root / "data", "cycle1")
    write_text(newest.term_seed, seed.read_text())
    later = time.time() + 3600
    sources = Sources(seed, drop, newest)
    write_text(newest.offered, "")
    took = [timed(lambda: look(sources, now=later))]
    write_offered(newest.offered, drop, now=later)
    took.append(timed(lambda: look(sources, now=later)))
    write_text(drop / "b.jsonl", "".join(f"{number}\n" for number in range(150)))
    return max(*took, timed(lambda: look(sources, now=later)))


def audio_seconds(root: Path, files: int) -> float:
    """Checking the headers of so many files of a fifth of a second."""
    root.mkdir()
    rows = []
    for number in range(files):
        path = root / f"r{number}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(bytes(6_400))
        rows.append(
            ManifestRow(
                id=path.stem,
                audio_filepath=str(path),
                text="give cefazolin now",
                duration=0.2,
                sampling_rate=16_000,
                term="cefazolin",
                entity_category="drug",
                ipa_source="espeak_g2p",
                voice_id="espeak:en-us",
                noise_level="clean",
                context_type="dictation",
                synthesis_group=path.stem,
            )
        )
    return timed(lambda: check_audio(rows))


def reading_seconds(texts: int) -> float:
    """What the engine would say of so many texts."""
    start = time.process_time()
    with reader(Voice("espeak:en-us")) as read:
        for number in range(texts):
            read(f"cefazolin {number}")
    return time.process_time() - start


def log_seconds(root: Path, lines: int) -> float:
    """A local job that prints so many lines."""
    job = ComputeJob(name="lines", argv=("seq", str(lines)), timeout=60.0)
    return timed(lambda: LocalBackend(work_root=root / "work").run(job, root / "out", lambda line: None))


def splitter_seconds(megabytes: int) -> float:
    """Output without a single line end."""
    splitter = LineSplitter(longest=100)
    return timed(lambda: [splitter.feed(b"x" * 65536) for _ in range(16 * megabytes)])


def main() -> int:
    """Measure, print, and give the exit status."""
    parser = argparse.ArgumentParser(description="What people wait for, beside the longest that is accepted.")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    too_long = 0
    with tempfile.TemporaryDirectory() as folder:
        roots = (Path(folder) / str(number) for number in range(10**6))

        def root() -> Path:
            made = next(roots)
            made.mkdir()
            return made

        numpy, dagster = (min(import_seconds(name) for _ in range(rounds)) for name in ("numpy", "dagster"))
        waits: list[tuple[str, Callable[[], float], float]] = [
            (
                "the command line is imported (numpy four times)",
                lambda: import_seconds("flywheel.cli.score"),
                4 * numpy,
            ),
            (
                "the graph is imported (dagster three times)",
                lambda: import_seconds("assets.definitions"),
                3 * dagster,
            ),
            ("the interface has loaded the graph", lambda: interface_seconds(root()), 10.0),
            ("a look at 1 000 000 recordings", lambda: look_seconds(root(), 1_000_000), 2.0),
            ("2 000 audio files are checked", lambda: audio_seconds(root() / "audio", 2_000), 4.0),
            ("2 000 texts are read as the engine says them", lambda: reading_seconds(2_000), 2.0),
            ("a local job prints 100 000 lines", lambda: log_seconds(root(), 100_000), 5.0),
            ("31 MB without a line end are split", lambda: splitter_seconds(31), 5.0),
        ]
        for what, measure, accepted in waits:
            seconds = min(measure() for _ in range(rounds))
            print(f"{what:50} {seconds:6.2f} s (at most {accepted:.2f} s)")
            too_long += seconds > accepted
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
