"""Room for new cycles: once a week, where that is switched on, the audio of old ones goes."""

import dagster as dg

from flywheel.cycle.retention import RetentionRefused, cycles_to_keep, plan, report, retain
from flywheel.errors import FlywheelError
from resources.data_folder import DataFolder

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_UNDER_WAY = [status for status in dg.DagsterRunStatus if status not in _ENDED]


class RetentionConfig(dg.Config):
    """`keep`: how many of the newest cycles keep their audio, 0 for `FLYWHEEL_KEEP_AUDIO_OF`, by default 3.
    `dry_run`: only say what would be removed. `paid`: remove bought speech as well, which has to be bought again."""

    keep: int = 0
    dry_run: bool = False
    paid: bool = False


@dg.op(description="Removes speech that only old cycles name; says what, and what stays for which reason.")
def remove_old_audio(context: dg.OpExecutionContext, config: RetentionConfig, data: DataFolder) -> None:
    """Nothing is removed while another run is under way: it may need what only an old cycle has named so far."""
    if others := _under_way(context.instance, but=context.run_id):
        context.log.warning(f"nothing is removed: {others}")
        return
    act = plan if config.dry_run else retain
    try:
        done = act(data.path, keep=config.keep or cycles_to_keep(), paid=config.paid)
    except RetentionRefused as error:
        context.log.warning(str(error))
        return
    except FlywheelError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    for line in report(done, only_planned=config.dry_run).splitlines():
        context.log.info(line)


@dg.job(
    name="audio_retention",
    description=(
        "Removes audio that only cycles older than the newest three name; never manifests, scores, leaderboards or "
        "models. `dry_run` in its configuration only says what would be removed."
    ),
)
def audio_retention() -> None:
    """One op."""
    remove_old_audio()


@dg.schedule(
    name="audio_retention",
    job=audio_retention,
    cron_schedule="0 3 * * 0",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Sundays at 3:00 UTC, unless a run is under way. Off until it is switched on here.",
)
def audio_retention_weekly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request the retention, or say which run it would disturb."""
    others = _under_way(context.instance)
    return dg.SkipReason(others) if others else dg.RunRequest()


def _under_way(instance: dg.DagsterInstance, but: str = "") -> str:
    """The runs that have not ended, in words; empty where there are none."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY), limit=2)
    others = [run for run in runs if run.run_id != but]
    return f"run {others[0].run_id} of {others[0].job_name} is under way" if others else ""
