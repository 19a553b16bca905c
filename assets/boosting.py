"""What boosting the terms at decoding would do for nothing, measured beside the fine-tuning."""

from collections.abc import Iterator

import dagster as dg

from assets.cycles import CYCLES, EVAL_POOL, OWNERS, cycle_step, making
from assets.evaluation import (
    SECOND_COUNT,
    EvaluationConfig,
    base_model,
    baseline_eval,
    evaluated,
    second_count_spec,
)
from assets.rented import left_running_spec, rented_step
from assets.splits import split
from flywheel.files.cycles import CycleFolder
from flywheel.files.steps import CycleSteps
from flywheel.recognisers.bases import read_base
from flywheel.recognisers.boosting import BoostingSettings, Search, boost
from flywheel.report.leaderboard import how_strength_was_chosen
from flywheel.verdict.boosting_alone import boosting_alone
from resources.compute.resource import Compute
from resources.data_folder import DataFolder

_DEFAULTS = BoostingSettings()


class BoostingConfig(EvaluationConfig):
    """`enabled`: whether it is measured at all; not every model's decoder can boost. `search`: `beam` or `greedy`. The
    others are those of the evaluations and of `BoostingSettings`."""

    enabled: bool = True
    batch_size: int = 64
    alphas: list[float] = list(_DEFAULTS.alphas)
    general_wer_cap: float = _DEFAULTS.general_wer_cap
    search: Search = _DEFAULTS.search
    beam_size: int = _DEFAULTS.beam_size
    clinical_rows: int = _DEFAULTS.clinical_rows
    general_rows: int = _DEFAULTS.general_rows
    seed: int = _DEFAULTS.seed

    @property
    def settings(self) -> BoostingSettings:
        """How boosting is tried."""
        return BoostingSettings(
            alphas=tuple(self.alphas),
            general_wer_cap=self.general_wer_cap,
            search=self.search,
            beam_size=self.beam_size,
            clinical_rows=self.clinical_rows,
            general_rows=self.general_rows,
            seed=self.seed,
        )


@dg.asset(
    group_name="evaluation",
    kinds={"nemo"},
    owners=OWNERS,
    deps=[base_model, split, baseline_eval],
    partitions_def=CYCLES,
    pool=EVAL_POOL,
    code_version="1",
    check_specs=[left_running_spec("boosted_eval"), second_count_spec("boosted_eval")],
    description=(
        "The base again, with the cycle's terms boosted while it decodes: what costs nothing and needs no gate. Its "
        "strength is chosen on rows that are not held out."
    ),
)
def boosted_eval(
    context: dg.AssetExecutionContext, config: BoostingConfig, data: DataFolder, compute: Compute
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Choose a strength, transcribe the baseline's rows with it, and score them."""
    if not config.enabled:
        yield from rented_step("boosted_eval", lambda: _not_measured(context, data))
        return
    with making(context, data, "boosted_eval") as folder:
        yield from rented_step("boosted_eval", lambda: _boosted(context, config, compute, folder))


def _not_measured(context: dg.AssetExecutionContext, data: DataFolder) -> dg.MaterializeResult:
    """What an earlier run measured would stand on the page as if this run had."""
    with cycle_step(context) as cycle:
        folder = data.cycle(cycle)
        folder.boosting.unlink(missing_ok=True)
        CycleSteps(folder).forget("boosted_eval")
    return dg.MaterializeResult(
        metadata={"answer": "not measured: `enabled` is false"},
        check_results=[
            dg.AssetCheckResult(check_name=SECOND_COUNT, passed=True, description="Nothing was measured."),
        ],
    )


def _boosted(
    context: dg.AssetExecutionContext, config: BoostingConfig, compute: Compute, folder: CycleFolder
) -> dg.MaterializeResult:
    boosting, done = boost(
        read_base(folder.base_model),
        folder,
        compute.connect(config.compute),
        context.log.info,
        config.settings,
        batch_size=config.batch_size,
        timeout=config.timeout_seconds,
    )
    return evaluated(
        folder.boosted,
        done,
        {
            "alpha": boosting.alpha,
            "phrases": boosting.phrases,
            "how the strength was chosen": dg.MetadataValue.md(how_strength_was_chosen(boosting)),
        },
        said=f"{boosting_alone(boosting)} ",
    )
