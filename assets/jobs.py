"""The cycle as a job: what a person starts by name, and what a sensor requests."""

import warnings

import dagster as dg

from assets.cycles import OWNERS

# A job's owners are what an asset's are, but Dagster still calls them beta.
warnings.filterwarnings("ignore", message="Parameter `owners` of", category=dg.BetaWarning)

flywheel_cycle = dg.define_asset_job(
    "flywheel_cycle",
    selection=dg.AssetSelection.all(),
    description=(
        "One whole cycle: terms become speech, the base is measured, and where the gate is open it is fine-tuned, "
        "measured again and kept or not. Choose the partition `cycle1`, then `cycle2` and so on. What is unchanged "
        "is not computed again."
    ),
    owners=OWNERS,
)
