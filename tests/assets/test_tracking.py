"""The step that tracks a cycle: after the leaderboard, whether a model was kept or not, and never in its way."""

import logging
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.cycles import CYCLES
from assets.tracking import tracked_run
from resources.data_folder import DataFolder
from resources.tracking.resource import Tracking
from tests.cycle_on_disk import baseline_cycle

KEY = "5ec7e7" * 7


@dg.asset(partitions_def=CYCLES)
def leaderboard() -> None:
    """Written in every cycle."""


@dg.multi_asset(specs=[dg.AssetSpec("promoted_model", skippable=True, partitions_def=CYCLES)])
def promotion() -> Iterator[dg.MaterializeResult]:
    """Of a cycle whose model is not kept."""
    yield from ()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def turned(data: Path) -> tuple[list[dg.AssetMaterialization], list[tuple[int, str]]]:
    """What the step made, and what it said with the levels; the run succeeds."""
    folder = DataFolder(root=str(data))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [leaderboard, promotion, tracked_run],
            instance=instance,
            partition_key="cycle1",
            resources={"data": folder, "tracking": Tracking(data=folder)},
        )
        assert result.success
        logged = instance.all_logs(result.run_id)
    made = [event.materialization for event in result.get_asset_materialization_events()]
    said = [(entry.level, entry.user_message) for entry in logged if not entry.is_dagster_event]
    return [each for each in made if each.asset_key == dg.AssetKey("tracked_run")], said


def test_off_is_said_once_and_makes_nothing(tmp_path: Path) -> None:
    made, said = turned(tmp_path)
    assert (made, said) == ([], [(logging.INFO, "W&B is off (no WANDB_API_KEY)")])
    assert list(tmp_path.iterdir()) == []


def test_an_outage_is_one_warning_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a cycle whose gate is closed: the run is there without a model."""
    baseline_cycle(tmp_path, minimum_rows=1000)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    (made,), said = turned(tmp_path)
    ((_, first), (level, warning)) = said
    assert (first, level) == ("W&B is online (WANDB_API_KEY)", logging.WARNING)
    (file,) = tmp_path.glob("tracking/cycle1/*/wandb/offline-run-*/*.wandb")
    command = f"WANDB_BASE_URL=http://127.0.0.1:9 wandb sync {file.parent}"
    assert warning == (
        "W&B: http://127.0.0.1:9 does not answer (ConnectError). What was measured is kept in "
        f"{tmp_path / 'tracking' / 'cycle1'}; send it by: {command}"
    )
    assert made.metadata["to send it"].value == command
    assert made.metadata["mode"].value == "online"
    assert KEY not in f"{made}{said}"
