"""Whose runs they are, where they lie, and whether the server takes them; W&B's own client is in tests/real."""

from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from resources.data_folder import DataFolder
from resources.tracking import readiness
from resources.tracking.account import chosen_account
from resources.tracking.resource import Tracking
from resources.tracking.runs import run_of
from tests.cycle_on_disk import LINES, baseline_cycle
from tests.real.wandb_server import KEY, wandb_server

VARIABLES = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL")


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("configured", "variables", "mode", "reason"),
    [
        ("", {}, "off", "no WANDB_API_KEY"),
        ("", {"WANDB_API_KEY": KEY}, "online", "WANDB_API_KEY"),
        ("", {"WANDB_API_KEY": ""}, "off", "no WANDB_API_KEY"),
        ("", {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "offline", "WANDB_MODE"),
        ("", {"WANDB_MODE": "disabled", "WANDB_API_KEY": KEY}, "off", "WANDB_MODE"),
        ("offline", {"WANDB_MODE": "online", "WANDB_API_KEY": KEY}, "offline", "mode"),
        ("off", {"WANDB_API_KEY": KEY}, "off", "mode"),
        ("online", {}, "online", "mode"),
    ],
)
def test_the_mode_comes_from_the_configuration_then_from_the_environment(
    configured: str, variables: dict[str, str], mode: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    account = chosen_account(configured)
    assert (account.mode, account.reason) == (mode, reason)


def test_a_wrong_mode_names_the_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        FlywheelError, match=r"tracking, mode: found 'on'; allowed: online, offline, off, disabled"
    ):
        chosen_account("on")
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    with pytest.raises(FlywheelError, match="WANDB_MODE: found 'dryrun'"):
        chosen_account()


def test_a_run_is_the_same_whenever_its_cycle_runs_and_nobody_elses(tmp_path: Path) -> None:
    account, other = chosen_account("offline"), chosen_account("offline", project="other")
    run = run_of("cycle1", tmp_path / "ours", account)
    assert run_of("cycle1", tmp_path / "ours", account) == run
    others = [
        run_of("cycle2", tmp_path / "ours", account),
        run_of("cycle1", tmp_path / "theirs", account),
        run_of("cycle1", tmp_path / "ours", other),
    ]
    assert len({run.id, *(each.id for each in others)}) == 4
    (tmp_path / "ours").rename(tmp_path / "moved")
    assert run_of("cycle1", tmp_path / "moved", account).id == run.id


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "off: no WANDB_API_KEY"),
        ({"WANDB_MODE": "offline"}, "offline (WANDB_MODE): runs are kept to be synced"),
    ],
)
def test_without_a_server_there_is_nothing_to_ask(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (finding,) = readiness()
    assert finding.ok and finding.detail == said


@pytest.mark.parametrize(
    ("ailment", "ok", "said"),
    [
        ("none", True, "accepts the key"),
        ("unknown key", False, "does not know the key in WANDB_API_KEY"),
        ("401", False, "refuses the key in WANDB_API_KEY"),
        ("500", False, "answers with status 500"),
    ],
)
def test_a_free_call_says_whether_the_key_is_accepted(
    ailment: str, ok: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wandb_server(ailment) as server:  # type: ignore[arg-type]
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        (finding,) = readiness()
    assert finding.ok is ok and said in finding.detail and server.url in finding.detail
    assert not finding.stops, "a cycle can do without"
    assert KEY not in repr(finding)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9 does not answer (ConnectError)"),
        ("http://name:secret@127.0.0.1:9", "http://127.0.0.1:9 does not answer (ConnectError)"),
    ],
)
def test_a_server_that_is_not_there_is_named_without_what_its_address_carries(
    url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    (finding,) = readiness()
    assert not finding.ok and finding.detail == f"{said}; runs are kept to be synced"


def test_off_leaves_a_training_as_it_is(tmp_path: Path) -> None:
    said: list[str] = []
    with Tracking(data=DataFolder(root=str(tmp_path))).losses("cycle1", {}, said.append) as follow:
        for line in LINES:
            follow(line)
    assert said == list(LINES) and list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_is_a_problem_and_no_failure(tmp_path: Path) -> None:
    baseline_cycle(tmp_path)
    (tmp_path / "tracking").write_text("in the way")
    tracker = Tracking(data=DataFolder(root=str(tmp_path)), mode="offline")
    said: list[str] = []
    with tracker.losses("cycle1", {}, said.append) as follow:
        for line in LINES:
            follow(line)
    (complaint,) = (line for line in said if line not in LINES)
    assert complaint.startswith("W&B: the losses cannot be kept for it: ") and "File exists" in complaint
    tracked = tracker.record("cycle1", said.append)
    assert "File exists" in tracked.problem and (tracked.run_id, tracked.command) == ("", "")


def test_a_training_that_fails_fails_as_it_did(tmp_path: Path) -> None:
    tracker = Tracking(data=DataFolder(root=str(tmp_path)), mode="offline")
    with pytest.raises(FlywheelError, match="job finetune failed"), tracker.losses("cycle1", {}, print):
        raise FlywheelError("job finetune failed")
    assert list(tmp_path.iterdir()) == [], "without losses there is no part"
