"""The step that writes the history: after the leaderboard, whether a model was kept or not."""

import base64
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.cycles import CYCLES
from assets.history import history
from resources.data_folder import DataFolder
from tests.cycle_on_disk import baseline_cycle, trained_cycle


@dg.asset(partitions_def=CYCLES)
def leaderboard() -> None:
    """Written in every cycle."""


@dg.multi_asset(specs=[dg.AssetSpec("promoted_model", skippable=True, partitions_def=CYCLES)])
def kept() -> Iterator[dg.MaterializeResult]:
    yield dg.MaterializeResult(asset_key="promoted_model")


@dg.multi_asset(specs=[dg.AssetSpec("promoted_model", skippable=True, partitions_def=CYCLES)])
def not_kept() -> Iterator[dg.MaterializeResult]:
    yield from ()


Turned = tuple[dg.AssetMaterialization, list[tuple[int, str]]]


def turned(data: Path, cycle: str, promotion: dg.AssetsDefinition) -> Turned:
    """What the step made, and what it said with the levels."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [leaderboard, promotion, history],
            instance=instance,
            partition_key=cycle,
            resources={"data": DataFolder(root=str(data))},
        )
        assert result.success
        logged = instance.all_logs(result.run_id)
    made = {event.asset_key.to_user_string(): event for event in result.get_asset_materialization_events()}
    said = [(entry.level, entry.user_message) for entry in logged if not entry.is_dagster_event]
    return made["history"].materialization, said


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kept model, a closed gate, and a cycle that only began."""
    data = tmp_path_factory.mktemp("data")
    trained_cycle(data, "cycle1")
    baseline_cycle(data, "cycle2", minimum_rows=1000)
    (data / "cycles" / "cycle3").mkdir()
    return data


@pytest.fixture(scope="module")
def first(data: Path) -> Turned:
    return turned(data, "cycle1", kept)


def test_a_kept_model_is_in_the_history_with_its_rates(data: Path, first: Turned) -> None:
    made, said = first
    page = data / "cycles" / "cycle1" / "history.md"
    assert made.metadata["page"].value == str(page)
    assert page.with_suffix(".png").is_file()
    plotted = {
        name: made.metadata[name].value for name in ("priority_ker", "general_wer", "n of priority_ker")
    }
    assert plotted == {"priority_ker": 0.0, "general_wer": 0.0, "n of priority_ker": 8}
    assert 0 < float(str(made.metadata["wer"].value)) < 0.05
    assert said[0][1].startswith("Cycle 1: the new model was kept.")
    assert {level for level, _ in said} == {logging.INFO}


def test_it_is_written_where_nothing_was_promoted(data: Path) -> None:
    made, said = turned(data, "cycle2", not_kept)
    assert made.metadata["priority_ker"].value == 1.0
    assert made.metadata["cycles"].value == 2
    assert made.metadata["stop tuning"].value is False
    assert str(made.metadata["headline"].value).startswith("Cycle 2: nothing was trained")
    assert "| 2 | bundled | gate closed | no |" in str(made.metadata["history"].value)
    assert said[-1][1].startswith("In use after these cycles: the model of cycle1 (")


def test_an_unfinished_cycle_is_named_and_has_no_rates(data: Path) -> None:
    made, said = turned(data, "cycle3", not_kept)
    assert "priority_ker" not in made.metadata
    assert made.metadata["cycles left out"].value == 1
    warnings = [message for level, message in said if level == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("cycle3 is not in the history: baseline_eval is not made yet")


def test_the_figure_is_small_enough_to_be_kept_with_each_run(first: Turned) -> None:
    made, _ = first
    found = re.fullmatch(
        r"!\[KER, WER and .*\]\(data:image/png;base64,(.+)\)", str(made.metadata["figure"].value)
    )
    assert found is not None
    png = base64.b64decode(found[1], validate=True)
    assert png.startswith(b"\x89PNG")
    assert len(png) < 60_000


def test_the_same_files_give_the_same_version(data: Path, first: Turned) -> None:
    again, _ = turned(data, "cycle1", kept)
    assert (again.tags or {})["dagster/data_version"] == (first[0].tags or {})["dagster/data_version"]
