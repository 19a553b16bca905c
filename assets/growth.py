"""What opens the next cycle: enough terms or recordings that the newest cycle has not had."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from assets.corpus import TermSeedConfig
from assets.cycles import CYCLE_TAG, CYCLES
from flywheel.cycle.growth import GrowthSettings, Remembered, Sources, look, offered_before, unfinished
from flywheel.errors import FlywheelError
from flywheel.files.cycles import CycleFolder, all_cycles, cycle_name
from flywheel.scoring.numbers_as_text import counted
from resources.data_folder import DataFolder
from resources.recordings import bring_recordings
from resources.run_config import RUN_CONFIG, run_config

JOB = "flywheel_cycle"
REASON_TAG = "flywheel/reason"
"""On runs that a sensor starts: why, for people."""

_PARTITION_TAG, _RUN_KEY_TAG, _SENSOR_TAG = "dagster/partition", "dagster/run_key", "dagster/sensor_name"
_IN_FLIGHT = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_BROKEN_OFF = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_SHOWN_LINES = 6


def _seconds_between_looks() -> int:
    try:
        return GrowthSettings.from_environment(os.environ).seconds
    except FlywheelError:
        # Every look says what is wrong with the settings; here it would keep the whole graph from loading.
        return GrowthSettings().seconds


@dg.sensor(
    name="manifest_growth",
    job_name=JOB,
    minimum_interval_seconds=_seconds_between_looks(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Opens the next cycle once 10 terms or 100 recordings have come from outside since the newest one "
        "(FLYWHEEL_GROWTH_TERMS, FLYWHEEL_GROWTH_ROWS). One cycle at a time, no content twice; what is there at the "
        "first look is only recorded. FLYWHEEL_GROWTH=off opens none."
    ),
)
def manifest_growth(context: dg.SensorEvaluationContext, data: DataFolder) -> dg.SensorResult:
    """One look; what a person has to mend is the reason why nothing is started."""
    try:
        return _looked(context, data)
    except FlywheelError as error:
        return dg.SensorResult(skip_reason=_brief(error), cursor=context.cursor)


def _looked(context: dg.SensorEvaluationContext, data: DataFolder) -> dg.SensorResult:
    settings = GrowthSettings.from_environment(os.environ)
    if not settings.on:
        return dg.SensorResult(skip_reason="off: FLYWHEEL_GROWTH=off", cursor=context.cursor)
    config = run_config()
    newest = next(reversed(all_cycles(data.path)), None)
    before = Remembered.from_json(context.cursor)
    sources = Sources(_seed(config), bring_recordings(data, context.log.debug), newest)
    found = look(sources, before.last if before else None)
    growth = found.growth
    recorded = before.first if before else ""
    # What is still coming would be new at the next look, and would not have been recorded.
    cursor = Remembered(recorded or ("" if growth.unsettled else growth.content), found).to_json()
    reasons = growth.reasons(settings)
    if not reasons:
        obstacle = settings.said
    elif not recorded or growth.content == recorded:
        obstacle = f"this was there at the first look. {_by_hand(newest)}"
    else:
        obstacle = _obstacle(context.instance, data, newest, growth.content)
    if obstacle or newest is None:
        first = "" if recorded else "the first look only records: "
        return dg.SensorResult(skip_reason=f"{first}{growth.said}; {obstacle}", cursor=cursor)
    request = _request(context, cycle_name(newest.number + 1), reasons, growth.content, config)
    return dg.SensorResult(
        run_requests=[request],
        dynamic_partitions_requests=[CYCLES.build_add_request([str(request.partition_key)])],
        cursor=cursor,
    )


def _obstacle(
    instance: dg.DagsterInstance, data: DataFolder, newest: CycleFolder | None, content: str
) -> str:
    """What keeps the next cycle from being started without a person; empty where nothing does."""
    if newest is None:
        return f"there is no cycle yet. {_by_hand(None)}"
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_IN_FLIGHT)):
        # One that this sensor created and the daemon did not live to launch is launched by being requested again.
        unlaunched = run.status == dg.DagsterRunStatus.NOT_STARTED and _SENSOR_TAG in run.tags
        if _is_of_a_cycle(run) and not unlaunched:
            return (
                f"{run.tags[_PARTITION_TAG]} is in flight: {_named(run)}. One cycle at a time; if no process works on "
                "that run any more, terminate it in the UI"
            )
    if missing := unfinished(newest, data.registry):
        return f"{newest.cycle} is not finished: {missing}. It is left to a person: make run CYCLE={newest.cycle}"
    cycle, by_hand = cycle_name(newest.number + 1), _by_hand(newest)
    for run in instance.get_runs(filters=dg.RunsFilter(tags={_PARTITION_TAG: cycle}), limit=1):
        if run.status in _BROKEN_OFF:
            return f"{cycle} was begun before: {_named(run)}. {by_hand}"
    for run in instance.get_runs(filters=dg.RunsFilter(tags={_RUN_KEY_TAG: content})):
        if run.status != dg.DagsterRunStatus.NOT_STARTED:
            return f"exactly this was started before: {_named(run)}. {by_hand}"
    if earlier := offered_before(data.path, content):
        return f"exactly this is what {earlier} had. {by_hand}"
    return ""


def _request(
    context: dg.SensorEvaluationContext,
    cycle: str,
    reasons: Sequence[str],
    content: str,
    config: Mapping[str, Any],
) -> dg.RunRequest:
    """The run of a cycle; its key is the content, which Dagster never runs twice."""
    if context.repository_def is not None:
        try:
            dg.validate_run_config(context.repository_def.get_job(JOB), dict(config))
        except dg.DagsterInvalidConfigError as error:
            raise FlywheelError(f"{RUN_CONFIG}: no configuration of {JOB}: {error}") from None
    return dg.RunRequest(
        run_key=content,
        partition_key=cycle,
        run_config=dict(config),
        tags={REASON_TAG: " and ".join(reasons), CYCLE_TAG: cycle},
    )


def _seed(config: Mapping[str, Any]) -> Path:
    """The seed that a run with this configuration reads."""
    found: Any = config
    for name in ("ops", "term_seed", "config"):
        found = found.get(name) if isinstance(found, dict) else None
    given = found.get("seed_file", "") if isinstance(found, dict) else ""
    if not isinstance(given, str):
        raise FlywheelError(
            f"{RUN_CONFIG}: ops: term_seed: config: seed_file: found {given!r}; allowed: a path"
        )
    return TermSeedConfig(seed_file=given).path


def _is_of_a_cycle(run: dg.DagsterRun) -> bool:
    return CYCLES.has_partition_key(run.tags.get(_PARTITION_TAG, ""))


def _named(run: dg.DagsterRun) -> str:
    return f"run {run.run_id} ({run.status.value.lower().replace('_', ' ')})"


def _by_hand(newest: CycleFolder | None) -> str:
    cycle = cycle_name(newest.number + 1 if newest else 1)
    return f"It is left to a person: make run CYCLE={cycle}, or {JOB} in the UI"


def _brief(error: FlywheelError) -> str:
    """A seed may have thousands of problems; a tick is kept for days."""
    lines = str(error).splitlines()
    more = len(lines) - _SHOWN_LINES
    return "\n".join([*lines[:_SHOWN_LINES], *([f"  and {counted(more, 'line')} more"] if more > 0 else [])])
