"""SIGKILL in the middle: no half file is left, no process lives on, and running again completes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flywheel.corpus.audio_headers import check_audio
from flywheel.corpus.manifest import read_manifest
from flywheel.files.atomic import read_jsonl
from loopback.processes import processes_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes through /proc"),
]

PATIENCE = 20.0
"""Seconds in which everything that a killed run started has to end: the grace between TERM and KILL and some."""


def kill_when(place: Any, select: str, ripe: Callable[[], bool]) -> None:
    """Start, wait until the work is in its middle, kill the process that was started, and nothing else."""
    run: subprocess.Popen[str] = place.start(select)
    deadline = time.monotonic() + 240
    while not ripe():
        assert run.poll() is None, f"ended before it could be killed:\n{place.log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, place.log.read_text()[-3000:]
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    deadline = time.monotonic() + PATIENCE
    while left := processes_of(place.root):
        assert time.monotonic() < deadline, f"still there after {PATIENCE:g} s: {left}"
        time.sleep(0.2)


def logged(place: Any, text: str) -> Callable[[], bool]:
    return lambda: text in place.log.read_text(errors="replace")


def finished(place: Any) -> dict[str, bytes]:
    """Files by path, without the hidden temporary ones that a kill may leave beside their targets."""
    return {
        name: content for name, content in place.contents().items() if not Path(name).name.startswith(".")
    }


def test_in_the_middle_of_speech(turned: Any, new_place: Any) -> None:
    cache = new_place.data / "speech"
    select = "+key:manifest"

    def some_files() -> bool:
        return cache.exists() and sum(not path.name.startswith(".") for path in cache.glob("*.wav")) >= 50

    kill_when(new_place, select, some_files)
    whole = {name: content for name, content in turned.contents.items() if name.startswith("speech/")}
    left = {
        name: content
        for name, content in finished(new_place).items()
        if name.startswith("speech/") and name.endswith(".wav")
    }
    assert 50 <= len(left) < len(whole)
    assert [name for name, content in left.items() if whole[name] != content] == []
    assert not (new_place.cycle / "manifest.jsonl").exists()

    again = new_place.run(select)
    assert again.exit_code == 0, again.lines[-3000:]
    spoken = {name: content for name, content in finished(new_place).items() if name.startswith("speech/")}
    assert spoken == whole
    latest = new_place.materialisations("speech")[0]
    assert latest["cache_hits"] > 0
    rows = read_manifest(new_place.cycle / "manifest.jsonl")
    check_audio(rows)
    assert {f"speech/{Path(row.audio_filepath).name}" for row in rows} <= set(whole)
    assert latest["files"] == len(rows)


def test_in_the_middle_of_transcription(turned: Any, copy_of_turned: Any) -> None:
    place = copy_of_turned
    for path in (place.cycle / "baseline").iterdir():
        if path.name != "rows.jsonl":
            path.unlink()
    before = finished(place)
    kill_when(place, "baseline_eval", logged(place, "transcribed 128 of"))
    assert without_work(finished(place)) == without_work(before)

    again = place.run("baseline_eval")
    assert again.exit_code == 0, again.lines[-3000:]
    rows = read_jsonl(place.cycle / "baseline" / "rows.jsonl")
    heard = read_jsonl(place.cycle / "baseline" / "offline_hyps.jsonl")
    assert [row["id"] for row in heard] == [row["id"] for row in rows]
    for name in ("offline_hyps.jsonl", "results.csv", "scores.json", "scores_published.json"):
        relative = f"cycles/cycle1/baseline/{name}"
        assert place.contents()[relative] == turned.contents[relative], name
    assert [path.name for path in (place.data / "work").iterdir()] == ["lock"]


def test_in_the_middle_of_training(copy_of_turned: Any) -> None:
    place = copy_of_turned
    for name in ("adapted_model.nemo", "training_run_info.json"):
        (place.cycle / name).unlink()
    before = finished(place)
    kill_when(place, "adapted_model", logged(place, "epoch 1 step "))
    assert without_work(finished(place)) == without_work(before)

    again = place.run("adapted_model")
    assert again.exit_code == 0, again.lines[-3000:]
    info = place.materialisations("adapted_model")[0]
    assert info["cache_hits"] == 0
    assert (place.cycle / "adapted_model.nemo").stat().st_size > 1_000_000
    assert [path.name for path in (place.data / "work").iterdir()] == ["lock"]


def without_work(contents: dict[str, bytes]) -> dict[str, bytes]:
    """Without the workspaces of jobs, which the next job sweeps, and the name of the run that held the cycle."""
    return {name: content for name, content in contents.items() if not name.startswith(("work/", "locks/"))}
