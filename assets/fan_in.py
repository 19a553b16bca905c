"""Assets that follow others even where some of these are skipped.

A plain asset is skipped with any asset that it depends on. An op whose one input several assets fan in to is skipped
only if all of them are: a closed gate skips the training, and the page is written all the same.
"""

import warnings
from collections.abc import Callable, Collection
from inspect import Parameter, Signature
from typing import cast

import dagster as dg
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction

from assets.cycles import CYCLES, OWNERS

__all__ = ["asset_after_any", "step_after_any"]

# An op, unlike an asset, states its data version in an `Output`, where Dagster still calls it beta.
warnings.filterwarnings("ignore", message="Parameter `data_version` of initializer", category=dg.BetaWarning)

_READY = "ready"


def step_after_any(description: str, *, may_leave_nothing: bool = False) -> Callable[..., dg.OpDefinition]:
    """Makes a function the op of an `asset_after_any`; it takes its context and resources and yields one `Output`, or
    none where it `may_leave_nothing`."""
    return dg.op(
        out=dg.Out(dg.Nothing, is_required=not may_leave_nothing),
        ins={_READY: dg.In(dg.Nothing)},
        description=description,
    )


def asset_after_any(
    name: str,
    op: dg.OpDefinition,
    *,
    after: Collection[str],
    kind: str,
    description: str,
    code_version: str = "1",
) -> dg.AssetsDefinition:
    """An asset of a cycle that `op` makes once all assets `after` are made or skipped, unless all were skipped."""

    def fan_in(**ready: None) -> object:
        return op(**{_READY: list(ready.values())})

    # Dagster reads the assets to wait for from the names of the parameters.
    fan_in.__signature__ = Signature(  # type: ignore[attr-defined]
        [Parameter(each, Parameter.POSITIONAL_OR_KEYWORD) for each in after]
    )
    # The asset's link to its code leads to what makes it, not to this helper.
    made_by = cast(DecoratedOpFunction, op.compute_fn).decorated_fn.__code__
    fan_in.__code__ = fan_in.__code__.replace(
        co_filename=made_by.co_filename, co_firstlineno=made_by.co_firstlineno
    )
    asset: dg.AssetsDefinition = dg.graph_asset(
        name=name,
        group_name="decision",
        partitions_def=CYCLES,
        kinds={kind},
        owners=OWNERS,
        code_version=code_version,
        ins={each: dg.AssetIn(dagster_type=dg.Nothing) for each in after},
        description=description,
    )(fan_in)
    return asset
