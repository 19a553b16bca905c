"""What each backend needs and whether it is there, a line each."""

from pathlib import Path

import pytest

from resources.compute import BACKENDS
from resources.compute.doctor import lines, main
from resources.readiness import Finding

UNREADY = {
    "docker": ("FLYWHEEL_DOCKER_GPUS", "several"),
    "brev": ("FLYWHEEL_BREV_POLL", "often"),
    "modal": ("FLYWHEEL_MODAL_CPU", "many"),
}
"""Options that keep a backend from being made, so that no service is asked."""


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("FLYWHEEL_COMPUTE", raising=False)
    for name, value in UNREADY.values():
        monkeypatch.setenv(name, value)


def test_the_local_backend_is_ready(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["local"]) == 0
    *found, last = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].split() for line in found] == [
        ["local", "ok", "python"],
        ["local", "ok", "driver"],
        ["local", "ok", "disk"],
    ]
    assert last == "chosen: local, ready"
    assert not (tmp_path / "data").exists(), "to look changes nothing"


def test_all_backends_are_looked_at_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, "what another than the chosen one lacks does not count"
    *found, last = capsys.readouterr().out.splitlines()
    assert list(dict.fromkeys(line.split()[0] for line in found)) == list(BACKENDS)
    for name, (variable, _) in UNREADY.items():
        (line,) = (line for line in found if line.startswith(name))
        assert line.split()[1:3] == ["MISSING", "options:"]
        assert variable.removeprefix(f"FLYWHEEL_{name.upper()}_").lower() in line
    assert last == "chosen: local, ready"


@pytest.mark.parametrize("asked", [["modal"], [], ["local"]], ids=["it", "all", "another"])
def test_what_the_chosen_backend_lacks_is_the_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    """It is looked at even where only another is asked for, or "ready" would be a guess."""
    monkeypatch.setenv("FLYWHEEL_COMPUTE", "modal")
    assert main(asked) == 1
    *found, last = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in found if line.startswith("modal")] == ["MISSING"]
    assert last == "chosen: modal, which lacks options"


def test_a_choice_that_does_not_exist_is_not_ready(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYWHEEL_COMPUTE", "dcoker")
    assert main(["local"]) == 1
    out = capsys.readouterr().out
    assert "unknown compute backend 'dcoker'; FLYWHEEL_COMPUTE may be: brev, docker, local, modal" in out
    assert out.splitlines()[-1] == "chosen: dcoker, which lacks options"


def test_asking_for_what_does_not_exist_lists_what_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["local", "dcoker"])
    assert caught.value.code == 2
    assert "unknown backend dcoker; allowed are local, docker, brev, modal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        pytest.param(Finding("disk", True, "9 GB free"), "docker  ok      disk: 9 GB free", id="there"),
        pytest.param(
            Finding("login", False, "no token:\n  run `modal setup`"),
            "docker  MISSING login: no token: run `modal setup`",
            id="missing, in two lines",
        ),
    ],
)
def test_a_finding_is_a_line(finding: Finding, line: str) -> None:
    assert list(lines("docker", [finding])) == [line]
