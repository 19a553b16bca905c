"""How old the newest leaderboard may be before the UI says so."""

import math
import os
from datetime import timedelta

import dagster as dg

from flywheel.errors import FlywheelError

__all__ = ["FRESH_DAYS", "kept_fresh"]

FRESH_DAYS = "FLYWHEEL_FRESH_DAYS"
"""The variable with the days after which the newest page is too old, or `off`."""
_OFF = "off"
_DEFAULT_DAYS = 35.0
"""A team that turns a cycle a month is late after five weeks."""
_WARNED_AT = 0.8
"""The share of these days after which the UI warns."""


def kept_fresh(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """`asset` with a freshness policy, unless `FLYWHEEL_FRESH_DAYS` is `off`.

    Dagster's daemon looks at the newest materialisation, of whichever partition: a cycle that is turned again counts.

    Raises:
        FlywheelError: the variable is neither a number of days nor `off`.
    """
    days = _days()
    if days is None:
        return asset
    policy = dg.FreshnessPolicy.time_window(
        fail_window=timedelta(days=days), warn_window=timedelta(days=_WARNED_AT * days)
    )
    return asset.map_asset_specs(lambda spec: dg.apply_freshness_policy(spec, policy))


def _days() -> float | None:
    given = os.environ.get(FRESH_DAYS, "").strip() or str(_DEFAULT_DAYS)
    if given.lower() == _OFF:
        return None
    try:
        days = float(given)
    except ValueError:
        days = math.nan
    if not 1 <= days <= 3650:
        raise FlywheelError(f"{FRESH_DAYS}: found {given!r}; allowed: days from 1 to 3650, or {_OFF}")
    return days
