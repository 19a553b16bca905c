"""The cycle in Weights & Biases, where that is wanted."""

from collections.abc import Iterator

import dagster as dg

from assets.cycles import cycle_step
from assets.fan_in import asset_after_any, step_after_any
from resources.tracking.resource import Tracked, Tracking


@step_after_any(
    "Writes the cycle's files into its run and sends what is still here only.", may_leave_nothing=True
)
def track_cycle(context: dg.OpExecutionContext, tracking: Tracking) -> Iterator[dg.Output[None]]:
    """Say which mode it is; write, and send. Nothing that is wrong with W&B fails the cycle."""
    with cycle_step(context) as cycle:
        account = tracking.account
        context.log.info(f"W&B is {account.mode} ({account.reason})")
        if account.mode == "off":
            return
        tracked = tracking.record(cycle, context.log.info)
        if tracked.problem:
            context.log.warning(_warning(tracked))
        yield dg.Output(
            None,
            metadata={
                "mode": account.mode,
                "project": "/".join(filter(None, (account.entity, account.project))),
                "run": tracked.run_id,
                "figures": tracked.figures,
                "cache_hits": int(tracked.cached),
                "kept in": dg.MetadataValue.path(tracked.kept),
                **({"page": dg.MetadataValue.url(tracked.url)} if tracked.url else {}),
                **({"to send it": tracked.command} if tracked.command else {}),
                **({"problem": tracked.problem} if tracked.problem else {}),
            },
        )


def _warning(tracked: Tracked) -> str:
    after = f"send it by: {tracked.command}" if tracked.command else "run tracked_run again"
    return f"W&B: {tracked.problem}. What was measured is kept in {tracked.kept}; {after}"


tracked_run = asset_after_any(
    "tracked_run",
    track_cycle,
    after=("leaderboard", "promoted_model"),
    kind="wandb",
    description=(
        "The cycle's run in Weights & Biases: figures, the leaderboard, manifest and model. Not made where W&B is "
        "off; what cannot be sent is kept."
    ),
)
