"""What a graph asset needs to follow others even where some of these are skipped.

A plain asset is skipped with any asset that it depends on. An op whose one input several assets fan in to is skipped
only if all of them are.
"""

import warnings

import dagster as dg

# An op, unlike an asset, states its data version in an `Output`, where Dagster still calls it beta.
warnings.filterwarnings("ignore", message="Parameter `data_version` of initializer", category=dg.BetaWarning)


def nothing_from(*assets: str) -> dict[str, dg.AssetIn]:
    """The `ins` of a graph asset that follows `assets` and takes no values from them."""
    return {name: dg.AssetIn(dagster_type=dg.Nothing) for name in assets}
