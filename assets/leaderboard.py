"""The decision, the promotion and the page that a person reads."""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg

from assets.boosting import boosted_eval
from assets.cycles import CYCLES, FIGURE_DOTS_PER_INCH, OWNERS, cycle_step, making, tell_outcome
from assets.evaluation import base_model, baseline_eval, next_eval
from assets.fan_in import asset_after_any, step_after_any
from assets.freshness import kept_fresh
from flywheel.corpus.split.subsets import SplitRecord
from flywheel.cycle.page import page_as_html, write_page
from flywheel.files.atomic import sha256_of_file
from flywheel.files.cycles import CycleFolder
from flywheel.files.markdown import data_url
from flywheel.files.records import read_record, write_record
from flywheel.files.steps import CycleSteps
from flywheel.recognisers.bases import read_base
from flywheel.recognisers.boosting import against_finetune, read_boosting
from flywheel.recognisers.evaluation import read_scored_rows
from flywheel.report.leaderboard import LeaderboardInputs, headline, render, render_figure
from flywheel.scoring.comparison import compare
from flywheel.verdict.boosting_alone import boosting_alone
from flywheel.verdict.decision import Decision, DecisionSettings, decide, earlier_drops
from flywheel.verdict.gate import GateDecision
from resources.data_folder import DataFolder

_FIGURES_IN_THE_UI = ("category", "noise")


class DecisionConfig(dg.Config):
    """What a model has to show to be kept; see `DecisionSettings`."""

    minimum_relative_drop: float = 0.2
    significance: float = 0.05
    general_wer_cap: float = 0.01


@dg.asset(
    group_name="decision",
    kinds={"json"},
    owners=OWNERS,
    deps=[baseline_eval, boosted_eval, next_eval, dg.AssetKey("gate_decision")],
    partitions_def=CYCLES,
    code_version="2",
    check_specs=[dg.AssetCheckSpec("forgetting", asset="decision")],
    description="Both evaluations paired row by row, and what follows: keep, grow, overfit, no change, forgetting.",
)
def decision(
    context: dg.AssetExecutionContext, config: DecisionConfig, data: DataFolder
) -> dg.MaterializeResult:
    """Compare the fine-tuned model with its base and decide."""
    with making(context, data, "decision") as folder:
        gate = read_record(folder.gate, GateDecision)
        comparison = compare(
            read_scored_rows(folder.baseline),
            read_scored_rows(folder.next),
            priority_categories=gate.priority_categories,
        )
        settings = DecisionSettings(**config.model_dump())
        decided = replace(
            decide(comparison, settings=settings, previous_drops=earlier_drops(folder)),
            alternative=_boosting_alone(folder, gate, settings),
        )
        write_record(folder.decision, decided)
        write_record(folder.comparison, comparison)
        tell_outcome(context, decided.action)
        general = comparison.general_wer
        return dg.MaterializeResult(
            data_version=dg.DataVersion(sha256_of_file(folder.decision)),
            metadata={
                "action": decided.action,
                "promote": decided.promote,
                "advice": decided.advice,
                "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in decided.reasons)),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="forgetting",
                    passed=general is not None and decided.action != "forgetting",
                    severity=dg.AssetCheckSeverity.WARN,
                    description="General speech is heard no worse than its cap allows.",
                )
            ],
        )


def _boosting_alone(folder: CycleFolder, gate: GateDecision, settings: DecisionSettings) -> str:
    """What boosting the terms would have done by itself; empty where it was not measured."""
    current = CycleSteps(folder).is_current("boosted_eval")
    boosting = read_boosting(folder, gate.priority_categories) if current else None
    if boosting is None:
        return ""
    against = against_finetune(folder, gate.priority_categories) if boosting.alpha else None
    return boosting_alone(boosting, settings=settings, against=against)


@dg.multi_asset(
    name="promotion",
    group_name="decision",
    partitions_def=CYCLES,
    specs=[
        dg.AssetSpec(
            "promoted_model",
            deps=[base_model, dg.AssetKey("adapted_model"), decision],
            owners=OWNERS,
            kinds={"nemo"},
            skippable=True,
            code_version="1",
            description="The model the next cycle starts from; there only where the decision was to keep it.",
        )
    ],
)
def promotion(context: dg.AssetExecutionContext, data: DataFolder) -> Iterator[dg.MaterializeResult]:
    """Register the fine-tuned model if it is kept."""
    with cycle_step(context) as cycle:
        folder = data.cycle(cycle)
        data.hold(cycle, context.run.run_id)
        CycleSteps(folder).require("decision")
        decided = read_record(folder.decision, Decision)
        if not decided.promote:
            context.log.info(f"not promoted ({decided.action}): {decided.advice}")
            return
        entry = data.registry.promote(
            folder.adapted_model,
            cycle=cycle,
            base_model=read_base(folder.base_model).origin,
            decision=" ".join(decided.reasons),
            trained_on=read_record(folder.split, SplitRecord).assignments,
        )
        current = data.registry.newest() == entry
        if not current:
            context.log.warning(
                f"{entry.model} is registered but not current: it was rolled back or superseded"
            )
        yield dg.MaterializeResult(
            asset_key="promoted_model",
            data_version=dg.DataVersion(entry.sha256),
            metadata={
                "current": current,
                "why it was promoted": entry.decision,
                "model": dg.MetadataValue.path(data.registry.path_of(entry)),
            },
        )


@step_after_any("Renders the page from the files of the cycle.")
def render_leaderboard(context: dg.OpExecutionContext, data: DataFolder) -> Iterator[dg.Output[None]]:
    """Write the page, log its headline, show it in the UI."""
    with cycle_step(context) as cycle:
        data.hold(cycle, context.run.run_id)
        for reason in CycleSteps(data.cycle(cycle)).left_aside():
            context.log.warning(f"left aside: {reason}")
        page, inputs = write_page(data.cycle(cycle))
        for line in headline(inputs).splitlines():
            context.log.info(line)
        yield dg.Output(
            None,
            data_version=dg.DataVersion(sha256_of_file(page)),
            metadata={
                "headline": dg.MetadataValue.md(headline(inputs).replace("\n", "\n\n")),
                "leaderboard": dg.MetadataValue.md(render(_by_itself(inputs))),
                "page": dg.MetadataValue.path(page),
                "page with figures and sound": dg.MetadataValue.path(page_as_html(page)),
            },
        )


def _by_itself(inputs: LeaderboardInputs) -> LeaderboardInputs:
    """For the UI, where no file lies beside the page, and where a page is kept with every event of every run: with the
    two figures that a decision looks at, and no link to the HTML page."""
    figures = {
        name: data_url(render_figure(inputs, name, dots_per_inch=FIGURE_DOTS_PER_INCH))
        for name in _FIGURES_IN_THE_UI
        if name in inputs.figures
    }
    return replace(inputs, figures=figures, page=None)


leaderboard = kept_fresh(
    asset_after_any(
        "leaderboard",
        render_leaderboard,
        after=("gate_decision", "boosted_eval", "decision"),
        kind="markdown",
        code_version="2",
        description=(
            "The page on which a person decides: written after the decision, or after a closed gate, which it "
            "explains."
        ),
    )
)
