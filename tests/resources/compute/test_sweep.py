"""The command that ends what crashed runs left running."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from flywheel.cli import main
from resources.compute.leases import Lease, Leases

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="whether a holder lives is told by Linux")
CRASHED = {"pid_started": 1}


@pytest.fixture
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leases:
    """Those of the data folder that the command is told of. The backend `local` can end everything: nothing."""
    monkeypatch.setenv("FLYWHEEL_DATA", str(tmp_path))
    monkeypatch.delenv("FLYWHEEL_COMPUTE", raising=False)
    return Leases(tmp_path / "leases")


def opened(leases: Leases, resource: str, *, backend: str = "local", **fields: Any) -> Lease:
    """A lease of this process, or with `fields` of another."""
    lease = leases.open(backend=backend, resource=resource, job="train", lifetime=3600)
    changed = replace(lease, **fields)
    (leases.folder / f"{lease.id}.json").write_text(json.dumps(asdict(changed)))
    return changed


@pytest.mark.parametrize("data_folder", [True, False])
def test_nothing_is_open(leases: Leases, capsys: pytest.CaptureFixture[str], data_folder: bool) -> None:
    if data_folder:
        leases.folder.mkdir()
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out == "0 ended, 0 failed, nothing else is open\n"


def test_what_crashed_is_ended_what_lives_is_left(leases: Leases, capsys: pytest.CaptureFixture[str]) -> None:
    opened(leases, "crashed", **CRASHED)
    living = opened(leases, "living")
    assert main(["sweep"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"ended local crashed: the process {os.getpid()} that held it has ended",
        "1 ended, 0 failed, 1 left to the runs that hold them",
    ]
    assert leases.all_open() == (living,)


def test_all_ends_what_lives_too(leases: Leases, capsys: pytest.CaptureFixture[str]) -> None:
    opened(leases, "living")
    assert main(["sweep", "--all"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "ended local living: asked for"
    assert leases.all_open() == ()


@pytest.mark.parametrize(
    ("backend", "variables", "said"),
    [
        pytest.param("gone", {}, "unknown compute backend 'gone'", id="no such backend"),
        pytest.param(
            "modal", {"FLYWHEEL_MODAL_CPU": "many"}, "cpu (or FLYWHEEL_MODAL_CPU)", id="wrong options"
        ),
    ],
)
def test_what_may_still_be_running_is_the_status_and_comes_last(
    leases: Leases,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    variables: dict[str, str],
    said: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stubborn = opened(leases, "stubborn", backend=backend, **CRASHED)
    opened(leases, "crashed", **CRASHED)
    assert main(["sweep"]) == 1
    out = capsys.readouterr().out
    first, *failure, total = out.splitlines()
    assert first.startswith("ended local crashed")
    assert f"{backend} could not end 'stubborn'" in failure[0]
    assert said in "\n".join(failure)
    assert "IT MAY STILL BE RUNNING AND COSTING MONEY" in out
    assert total == "1 ended, 1 failed, nothing else is open"
    assert leases.all_open() == (stubborn,)


def test_a_lease_that_cannot_be_read_is_a_failure(leases: Leases, capsys: pytest.CaptureFixture[str]) -> None:
    leases.folder.mkdir()
    (leases.folder / "bad.json").write_text("{")
    assert main(["sweep"]) == 1
    assert "bad.json: not a lease" in capsys.readouterr().out


def test_it_is_a_command(leases: Leases, tmp_path: Path) -> None:
    opened(leases, "stubborn", backend="gone", **CRASHED)
    swept = subprocess.run(
        [sys.executable, "-m", "flywheel", "sweep"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert swept.returncode == 1
    assert "could not end 'stubborn'" in swept.stdout
    assert "Traceback" not in swept.stderr
