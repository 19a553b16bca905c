"""What a cycle needs and whether it is there, a line each."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from flywheel.cli import main
from resources.compute import BACKENDS
from resources.doctor import SERVICES, lines
from resources.readiness import Finding
from tests.resources.dictionary_server import dictionary_server

UNREADY = {
    "docker": ("FLYWHEEL_DOCKER_GPUS", "several"),
    "brev": ("FLYWHEEL_BREV_POLL", "often"),
    "modal": ("FLYWHEEL_MODAL_CPU", "many"),
}
"""Options that keep a backend from being made, so that no service is asked."""
READY = "ready: a cycle has what it needs"


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_DATA", str(tmp_path / "data"))
    for name, value in UNREADY.values():
        monkeypatch.setenv(name, value)


def of(name: str, found: Sequence[str]) -> list[list[str]]:
    """State and subject of each line of a section."""
    return [line.split(":")[0].split(maxsplit=2)[1:] for line in found if line.split()[0] == name]


def test_this_machine_is_ready_without_any_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", "machine"]) == 0
    *found, last = capsys.readouterr().out.splitlines()
    assert of("machine", found) == [["ok", "packages"], ["ok", "memory"], ["ok", "data folder"]]
    assert of("local", found) == [["ok", "python"], ["ok", "driver"], ["ok", "disk"]]
    off = [line for line in found if ": off: no " in line]
    assert [line.split()[0] for line in off] == ["dictionary", "tracking", "bucket"]
    assert last == READY
    assert not (tmp_path / "data").exists(), "to look changes nothing"


def test_all_is_looked_at_in_one_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0, "what another than the chosen backend lacks does not count"
    *found, last = capsys.readouterr().out.splitlines()
    assert list(dict.fromkeys(line.split()[0] for line in found)) == [*SERVICES, *BACKENDS]
    for name, (variable, _) in UNREADY.items():
        (line,) = (line for line in found if line.startswith(name))
        assert line.split()[1:3] == ["MISSING", "options:"]
        assert variable.removeprefix(f"FLYWHEEL_{name.upper()}_").lower() in line
    assert last == READY


@pytest.mark.parametrize("asked", [["modal"], [], ["machine"]], ids=["it", "all", "another"])
def test_what_the_chosen_backend_lacks_is_the_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    """It is looked at even where only another is asked for, or "ready" would be a guess."""
    monkeypatch.setenv("FLYWHEEL_COMPUTE", "modal")
    assert main(["doctor", *asked]) == 1
    *found, last = capsys.readouterr().out.splitlines()
    assert of("modal", found) == [["MISSING", "options"]]
    assert last == "missing: modal options"


def test_a_backend_that_does_not_exist_is_not_ready(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYWHEEL_COMPUTE", "dcoker")
    assert main(["doctor", "machine"]) == 1
    out = capsys.readouterr().out
    assert "unknown compute backend 'dcoker'; FLYWHEEL_COMPUTE may be: brev, docker, local, modal" in out
    assert out.splitlines()[-1] == "missing: dcoker options"


@pytest.mark.parametrize(
    ("variable", "value", "missing"),
    [
        pytest.param("FLYWHEEL_SPEECH", "hume", "speech key", id="an engine without its key"),
        pytest.param("FLYWHEEL_SPEECH", "festival", "speech options", id="no such engine"),
        pytest.param("WANDB_MODE", "sometimes", "tracking options", id="no such mode"),
        pytest.param("FLYWHEEL_BUCKET", "my-bucket", "bucket bucket", id="not the address of a bucket"),
    ],
)
def test_a_service_that_is_chosen_but_cannot_be_used_is_missing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    missing: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["doctor", "machine"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"missing: {missing}"


@pytest.mark.parametrize(
    ("given", "status"), [("the-right-key", 0), ("a-wrong-key", 1)], ids=["accepted", "refused"]
)
def test_a_key_is_tried_and_never_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, given: str, status: int
) -> None:
    with dictionary_server("the-right-key") as server:
        monkeypatch.setenv("FLYWHEEL_DICTIONARY_URL", server.url)
        monkeypatch.setenv("DICTIONARY_API_KEY", given)
        assert main(["doctor", "dictionary"]) == status
    said = capsys.readouterr()
    assert of("dictionary", said.out.splitlines()) == [["MISSING" if status else "ok", "dictionary"]]
    assert given not in said.out + said.err


def test_asking_for_what_does_not_exist_lists_what_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "local", "dcoker"]) == 2
    allowed = "machine, speech, dictionary, tracking, bucket, local, docker, brev, modal"
    assert f"error: doctor: found dcoker; allowed: {allowed}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        pytest.param(Finding("disk", True, "9 GB free"), "docker     ok      disk: 9 GB free", id="there"),
        pytest.param(
            Finding("login", False, "no token:\n  run `modal setup`"),
            "docker     MISSING login: no token: run `modal setup`",
            id="missing, in two lines",
        ),
        pytest.param(
            Finding("image", False, "pulled by the first job", needed=False),
            "docker     warning image: pulled by the first job",
            id="mended on the way",
        ),
    ],
)
def test_a_finding_is_a_line(finding: Finding, line: str) -> None:
    assert list(lines("docker", [finding])) == [line]
