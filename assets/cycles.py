"""A cycle is a partition: `cycle1`, `cycle2`, and so on."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias

import dagster as dg

from flywheel.cycle.earlier import unchanged_under_later_cycles
from flywheel.errors import FlywheelError
from flywheel.files.cycles import CycleFolder, CycleNameError, cycle_number
from flywheel.files.steps import STEPS, CycleSteps
from resources.data_folder import DataFolder
from resources.run_process import PROCESS_TAG, this_process

OWNERS = ["team:clinical-asr"]
GPU_POOL = "gpu"
"""The pool of fine-tunings; `dagster.yaml` lets one of them run at a time."""
EVAL_POOL = "evals"
"""The pool of evaluations, of which one may run beside a fine-tuning."""
FIGURE_DOTS_PER_INCH = 80
"""Of figures that are kept with a materialisation, in Dagster's database: some tens of kilobytes each."""
CYCLE_TAG = "flywheel/cycle"
"""On every run of a cycle, however it was started: the runs page finds them by it."""
OUTCOME_TAG = "flywheel/outcome"
"""On a run: what was decided last in it, e.g. `gate closed` or `keep`."""

Context: TypeAlias = dg.AssetExecutionContext | dg.OpExecutionContext


class CyclePartitions(dg.DynamicPartitionsDefinition):
    """Dynamic partitions that accept any cycle's name, so that `--partition cycle1` works on a fresh machine.

    Dagster asks `has_partition_key` before a run and refuses a key that nobody has added. An asset adds its
    own key when it runs, which is what the UI lists.
    """

    def has_partition_key(
        self,
        partition_key: str,
        current_time: datetime | None = None,
        dynamic_partitions_store: Any = None,
    ) -> bool:
        """Whether the key is `cycle<n>`, added or not."""
        try:
            return cycle_number(partition_key) > 0
        except CycleNameError:
            return False


CYCLES = CyclePartitions(name="cycle")


@contextmanager
def cycle_step(context: Context) -> Iterator[str]:
    """The name of the cycle whose asset runs, known to the UI from now on, and the run known by its name.

    A mistake of the user's ends the step with its message alone, as a Dagster failure that no retry mends.
    """
    context.instance.add_dynamic_partitions(str(CYCLES.name), [context.partition_key])
    _tag(context, CYCLE_TAG, context.partition_key)
    _tag(context, PROCESS_TAG, this_process())
    try:
        yield context.partition_key
    except FlywheelError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None


@contextmanager
def making(context: Context, data: DataFolder, step: str) -> Iterator[CycleFolder]:
    """The folder of the cycle whose `step` is made in the block, as for `cycle_step`.

    The run holds the cycle from its first step on. What the step reads must be current, and is stamped with what the
    step left when the block ends well. A step that later cycles start from may not change under them unasked: its
    files are put back, and the run stops.
    """
    with cycle_step(context) as cycle:
        data.hold(cycle, context.run.run_id)
        folder = data.cycle(cycle)
        steps = CycleSteps(folder)
        for each in STEPS[step].reads:
            steps.require(each)
        if steps.was_made(step) and (reason := steps.why_not(step)) is not None:
            context.log.info(f"{reason}: it is made again")
        with unchanged_under_later_cycles(folder, step, may_change=data.may_change_earlier_cycles):
            yield folder
        steps.stamp(step)


def is_selected(context: dg.AssetExecutionContext, asset: str) -> bool:
    """Whether the run asked for this asset of those that a step makes: `+key:manifest` asks for the ticket alone."""
    return dg.AssetKey(asset) in context.selected_asset_keys


def tell_outcome(context: Context, outcome: str) -> None:
    """Show on the runs page what the run has come to; what is decided later in the run replaces it."""
    _tag(context, OUTCOME_TAG, outcome)


def _tag(context: Context, name: str, value: str) -> None:
    # The context's own run is of the time before its first step. To read a run costs less than to write it.
    run = context.instance.get_run_by_id(context.run.run_id)
    if run is not None and run.tags.get(name) != value:
        context.instance.add_run_tags(run.run_id, {name: value})
