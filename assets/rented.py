"""Steps whose job may hold a rented machine: each says whether the machine is gone."""

from collections.abc import Callable, Iterator

import dagster as dg

from resources.compute.leases import TeardownFailed

_CHECK = "nothing_left_running"


def left_running_spec(asset: str) -> dg.AssetCheckSpec:
    """The check of an asset whose step is `rented_step`."""
    return dg.AssetCheckSpec(
        _CHECK,
        asset=asset,
        description="What the step's job ran on is gone; where it is not, it may still cost money.",
    )


def rented_step(
    asset: str, work: Callable[[], dg.MaterializeResult]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """The result of `work` with the check of `asset` passed; or the check failed, and the step with it."""
    try:
        result = work()
    except TeardownFailed as error:
        yield dg.AssetCheckResult(asset_key=asset, check_name=_CHECK, passed=False, description=str(error))
        raise
    yield result
    yield dg.AssetCheckResult(asset_key=asset, check_name=_CHECK, passed=True)
