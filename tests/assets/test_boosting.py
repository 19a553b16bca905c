"""The step that boosts the terms: off it is said and leaves nothing, and what it asks for is the domain's own."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.boosting import BoostingConfig, boosted_eval
from assets.cycles import EVAL_POOL
from flywheel.files.cycles import CycleFolder
from flywheel.recognisers.boosting import BoostingSettings, read_boosting
from resources.compute.resource import Compute
from resources.data_folder import DataFolder
from tests.cycle_on_disk import baseline_cycle


def run(data: Path, **config: Any) -> tuple[dg.ExecuteInProcessResult, dict[str, Any]]:
    """What came of the step alone, and its metadata."""
    folder = DataFolder(root=str(data))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [boosted_eval],
            instance=instance,
            partition_key="cycle1",
            resources={"data": folder, "compute": Compute(data=folder, backend="local")},
            run_config={"ops": {"boosted_eval": {"config": config}}},
            raise_on_error=False,
        )
    made = result.asset_materializations_for_node("boosted_eval")
    return result, {name: value.value for each in made for name, value in each.metadata.items()}


def message_of(result: dg.ExecuteInProcessResult) -> str:
    (event,) = (event for event in result.all_events if event.is_step_failure)
    failure = event.step_failure_data.user_failure_data
    assert failure is not None, "a failure that no retry mends, without a trace"
    return failure.description or ""


def test_switched_off_it_says_so_and_what_an_earlier_run_measured_is_gone(tmp_path: Path) -> None:
    folder = baseline_cycle(tmp_path, boosted=True, page=False)
    assert read_boosting(folder) is not None
    result, told = run(tmp_path, enabled=False)
    assert result.success
    assert told["answer"] == "not measured: `enabled` is false"
    assert not folder.boosting.exists()
    assert read_boosting(folder) is None
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks == {"nothing_left_running": True, "agrees_with_jiwer": True}


def test_switched_off_it_needs_neither_a_model_nor_a_baseline(tmp_path: Path) -> None:
    result, told = run(tmp_path, enabled=False)
    assert result.success
    assert "not measured" in told["answer"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        pytest.param({"alphas": [1.0, 0.5]}, "alphas: found [1.0, 0.5]", id="falling strengths"),
        pytest.param({"beam_size": 1, "general_wer_cap": 2.0}, "beam_size: found 1", id="two settings"),
    ],
)
def test_settings_out_of_range_fail_the_step_before_it_starts_anything(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    folder = baseline_cycle(tmp_path, page=False)
    result, _told = run(tmp_path, **config)
    assert not result.success
    assert said in message_of(result)
    assert not (tmp_path / "work").exists()
    assert not folder.boosting.exists()


def test_a_baseline_that_nobody_heard_fails_the_step(tmp_path: Path) -> None:
    """The cycle's hypotheses are there, but no record of what they are of."""
    baseline_cycle(tmp_path, page=False)
    result, _told = run(tmp_path)
    assert not result.success
    assert "materialise baseline_eval first" in message_of(result)


def test_a_search_that_nemo_does_not_have_is_refused_by_the_form() -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="search"):
        run(Path("unused"), search="mbr")


def test_its_defaults_are_those_of_the_domain() -> None:
    assert BoostingConfig().settings == BoostingSettings()
    assert BoostingConfig().enabled


def test_it_waits_for_its_turn_with_the_other_evaluations() -> None:
    assert boosted_eval.op.pool == EVAL_POOL


def test_it_needs_no_training_and_no_open_gate() -> None:
    (spec,) = boosted_eval.specs
    parents = {dep.asset_key.to_user_string() for dep in spec.deps}
    assert parents == {"base_model", "split", "baseline_eval"}


def test_its_files_lie_in_the_cycle_s_folder(tmp_path: Path) -> None:
    folder = CycleFolder(tmp_path, "cycle1")
    files = (folder.boosting, folder.boosting_plan, folder.boosting_trials, folder.boosted.hyps)
    assert [str(file.relative_to(folder.root)) for file in files] == [
        "boosting.json",
        "boosted/plan.json",
        "boosted/trials.jsonl",
        "boosted/offline_hyps.jsonl",
    ]
