"""A step whose job rented a machine says whether the machine is gone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.cycles import CYCLES, cycle_step
from assets.rented import left_running_spec, rented_step
from flywheel.errors import FlywheelError
from resources.compute.leases import Leases, TeardownFailed

Work = Callable[[], dg.MaterializeResult]


def step(work: Work, **run: object) -> tuple[dg.ExecuteInProcessResult, list[dg.AssetCheckEvaluation]]:
    """What came of a run whose asset does `work` as those of the graph do."""

    @dg.asset(partitions_def=CYCLES, check_specs=[left_running_spec("trained")])
    def trained(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        with cycle_step(context):
            yield from rented_step("trained", work)

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [trained], instance=instance, partition_key="cycle1", raise_on_error=False, **run
        )
        return result, result.get_asset_check_evaluations()


@pytest.fixture
def failed(tmp_path: Path) -> TeardownFailed:
    lease = Leases(tmp_path).open(backend="brev", resource="flywheel-1a2b", job="finetune", lifetime=3600)
    return TeardownFailed(lease, "the service says 500")


def raises(error: Exception) -> Work:
    def work() -> dg.MaterializeResult:
        raise error

    return work


def message_of(result: dg.ExecuteInProcessResult) -> str:
    (event,) = (event for event in result.all_events if event.is_step_failure)
    failure = event.step_failure_data.user_failure_data
    assert failure is not None, "a failure that no retry mends, without a trace"
    return failure.description or ""


def test_a_machine_that_is_gone_passes_the_check() -> None:
    result, checks = step(lambda: dg.MaterializeResult(metadata={"seconds": 3.5}))
    assert result.success
    ((check),) = checks
    assert (check.check_name, check.asset_key.to_user_string(), check.passed) == (
        "nothing_left_running",
        "trained",
        True,
    )
    (materialization,) = result.asset_materializations_for_node("trained")
    assert materialization.metadata["seconds"].value == 3.5


def test_a_machine_that_may_still_run_fails_the_check_and_the_step(failed: TeardownFailed) -> None:
    result, checks = step(raises(failed))
    assert not result.success
    ((check),) = checks
    assert (check.check_name, check.passed, check.severity) == (
        "nothing_left_running",
        False,
        dg.AssetCheckSeverity.ERROR,
    )
    said = message_of(result)
    assert check.description == said == str(failed)
    assert "brev could not end 'flywheel-1a2b': the service says 500" in said
    assert "IT MAY STILL BE RUNNING AND COSTING MONEY" in said
    assert result.asset_materializations_for_node("trained") == []


def test_any_other_failure_leaves_the_check_open() -> None:
    """A job that failed says nothing of its machine but that its teardown did not fail."""
    result, checks = step(raises(FlywheelError("job finetune failed: exit code 3")))
    assert not result.success
    assert checks == []
    assert message_of(result) == "job finetune failed: exit code 3"
