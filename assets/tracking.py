"""The cycle in Weights & Biases, where that is wanted."""

from collections.abc import Iterator

import dagster as dg

from assets.cycles import CYCLES, OWNERS, cycle_step
from assets.fan_in import nothing_from
from resources.tracking.resource import Tracked, Tracking


@dg.op(
    out=dg.Out(dg.Nothing, is_required=False),
    ins={"ready": dg.In(dg.Nothing)},
    description="Writes the cycle's files into its run and sends what is still here only.",
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


@dg.graph_asset(
    group_name="decision",
    partitions_def=CYCLES,
    kinds={"wandb"},
    owners=OWNERS,
    code_version="1",
    ins=nothing_from("leaderboard", "promoted_model"),
    description=(
        "The cycle's run in Weights & Biases: figures, the leaderboard, manifest and model. Not made where W&B is "
        "off; what cannot be sent is kept."
    ),
)
def tracked_run(leaderboard: None, promoted_model: None) -> None:
    """Both fan in to one input, for the model is there only where it was promoted; see the leaderboard."""
    return track_cycle(ready=[leaderboard, promoted_model])  # type: ignore[no-any-return]
