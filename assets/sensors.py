"""What watches over runs: nothing that a run rented may outlive it."""

from collections.abc import Callable

import dagster as dg

from resources.compute.leases import Swept
from resources.compute.resource import Compute
from resources.compute.sweep import report, swept


class StillRunning(Exception):
    """A sweep that could not end something: the tick fails, so that the UI shows it and it is tried again."""


def run_has_ended(instance: dg.DagsterInstance) -> Callable[[str], bool]:
    """Whether a run is over.

    One that this instance does not know may be another's that shares the data folder, and go on: its leases end
    with the process that holds them, or with their deadline.
    """

    def ended(run_id: str) -> bool:
        run = instance.get_run_by_id(run_id)
        return run is not None and run.is_finished

    return ended


def _swept(instance: dg.DagsterInstance, compute: Compute) -> Swept:
    done = swept(compute, run_ended=run_has_ended(instance))
    if done.failed:
        raise StillRunning(report(done))
    return done


@dg.sensor(
    name="lease_sweep",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends what a crashed run left running: whatever is past its deadline, or whose run has ended.",
)
def lease_sweep(context: dg.SensorEvaluationContext, compute: Compute) -> dg.SkipReason:
    """One sweep a tick."""
    return dg.SkipReason(report(_swept(context.instance, compute)))


@dg.run_failure_sensor(
    name="after_a_failed_run",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sweeps as soon as a run has failed.",
)
def after_a_failed_run(context: dg.RunFailureSensorContext, compute: Compute) -> None:
    """Sweep and say what was found."""
    context.log.info(report(_swept(context.instance, compute)))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    name="after_a_cancelled_run",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sweeps as soon as a run was cancelled.",
)
def after_a_cancelled_run(context: dg.RunStatusSensorContext, compute: Compute) -> None:
    """Sweep and say what was found."""
    context.log.info(report(_swept(context.instance, compute)))
