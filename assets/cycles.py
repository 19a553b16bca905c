"""A cycle is a partition: `cycle1`, `cycle2`, and so on."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import dagster as dg

from flywheel.cycles import CycleNameError, cycle_number
from flywheel.errors import FlywheelError

OWNERS = ["team:clinical-asr"]
GPU_POOL = "gpu"
"""The pool of the steps that use an accelerator; `dagster.yaml` lets one of them run at a time."""


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
def cycle_step(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Iterator[str]:
    """The name of the cycle whose asset runs, known to the UI from now on.

    A mistake of the user's ends the step with its message alone, as a Dagster failure that no retry mends.
    """
    context.instance.add_dynamic_partitions(str(CYCLES.name), [context.partition_key])
    try:
        yield context.partition_key
    except FlywheelError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
