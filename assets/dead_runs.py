"""Runs whose process is gone: found, ended truthfully, and a cycle that a sensor began is begun again, once.

A run process that is killed (for memory, with the interface, by a power cut) reports nothing, so Dagster shows its run
as started for ever, and runs that wait for its pool wait with it. Every run of a cycle says in a tag which process
works on it; what this machine can tell to be gone is reported.
"""

import dagster as dg

from assets.growth import REASON_TAG
from assets.jobs import flywheel_cycle
from flywheel.scoring.numbers_as_text import counted
from resources.run_process import PROCESS_TAG, is_gone

__all__ = ["AGAIN_TAG", "dead_runs"]

AGAIN_TAG = "flywheel/again"
"""On a run that is requested again: the run that it repeats."""

_PARTITION_TAG, _SENSOR_TAG = "dagster/partition", "dagster/sensor_name"
_UNDER_WAY = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@dg.sensor(
    name="dead_runs",
    job=flywheel_cycle,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Ends runs whose process is gone, which Dagster would show as started for ever, and requests a cycle that a "
        "sensor began once more."
    ),
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """One look at the runs that are under way."""
    ended, again = 0, []
    for run in context.instance.get_runs(filters=dg.RunsFilter(statuses=_UNDER_WAY)):
        if PROCESS_TAG not in run.tags or not is_gone(run.tags[PROCESS_TAG]):
            continue
        ended += 1
        said = (
            f"the process of this run is gone ({run.tags[PROCESS_TAG]}): it was killed, or the machine stopped. What "
            "it finished is kept; run the cycle again to go on"
        )
        if run.status == dg.DagsterRunStatus.CANCELING:
            context.instance.report_run_canceled(run, message=said)
            continue
        context.instance.report_run_failed(run, message=said)
        if run.job_name == flywheel_cycle.name and _SENSOR_TAG in run.tags and AGAIN_TAG not in run.tags:
            again.append(
                dg.RunRequest(
                    run_key=f"again-{run.run_id}",
                    partition_key=run.tags[_PARTITION_TAG],
                    run_config=dict(run.run_config),
                    tags={AGAIN_TAG: run.run_id, REASON_TAG: f"the process of run {run.run_id[:8]} was gone"},
                )
            )
    if again:
        return dg.SensorResult(run_requests=again)
    return dg.SensorResult(
        skip_reason=f"{counted(ended, 'run')} ended"
        if ended
        else "every run that is under way has its process"
    )
