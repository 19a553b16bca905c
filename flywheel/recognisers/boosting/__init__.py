"""What the base hears with the cycle's terms boosted at decoding: the free alternative to a fine-tuning.

While it decodes, NeMo adds a score to the tokens that continue one of the terms. How much, its `alpha`, decides over
the result: too little changes nothing, too much puts terms where nobody said them. So the strength is chosen, and on
rows that no held-out score sees: those of the development and training subsets, for this base has learned from none of
them. All terms are boosted, those that training leaves out as well: that is what boosting can do and training cannot.
"""

from flywheel.recognisers.boosting.measuring import against_finetune, boost, read_boosting, trial_rows
from flywheel.recognisers.boosting.record import Boosting
from flywheel.recognisers.boosting.settings import (
    ALPHAS,
    BoostingPlan,
    BoostingSettings,
    BoostingSettingsError,
    Search,
)
from flywheel.recognisers.boosting.strengths import BoostingChoice, BoostingTrial, chosen_alpha, try_strengths

__all__ = [
    "ALPHAS",
    "Boosting",
    "BoostingChoice",
    "BoostingPlan",
    "BoostingSettings",
    "BoostingSettingsError",
    "BoostingTrial",
    "Search",
    "against_finetune",
    "boost",
    "chosen_alpha",
    "read_boosting",
    "trial_rows",
    "try_strengths",
]
