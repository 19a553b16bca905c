"""Whether fine-tuning is worth its cost. A closed gate is a result: what follows is skipped."""

from collections.abc import Iterator

import dagster as dg

from assets.cycles import CYCLES, OWNERS, is_selected, making, tell_outcome
from assets.evaluation import baseline_eval
from flywheel.corpus.manifest import clinical_rows_by_category, read_manifest
from flywheel.cycle.page import write_baseline_page
from flywheel.files.atomic import sha256_of_file
from flywheel.files.records import write_record
from flywheel.recognisers.evaluation import read_scores
from flywheel.verdict.gate import GATE_CRITERIA, GateSettings, evaluate_gate
from resources.data_folder import DataFolder


class GateConfig(dg.Config):
    """`priority_categories` are those that gate and decision look at; see `GateSettings` for the others."""

    priority_categories: list[str] = ["drug"]
    minimum_ker: float = 0.3
    minimum_rows: int = 100
    minimum_rows_per_category: int = 5


@dg.multi_asset(
    name="gate",
    group_name="training",
    partitions_def=CYCLES,
    can_subset=True,
    specs=[
        dg.AssetSpec(
            "gate_decision",
            deps=[baseline_eval],
            owners=OWNERS,
            kinds={"json"},
            code_version="1",
            description="Whether the baseline's errors are worth a fine-tuning, with the reason of each criterion.",
        ),
        dg.AssetSpec(
            "training_ticket",
            deps=[baseline_eval],
            owners=OWNERS,
            kinds={"json"},
            skippable=True,
            code_version="1",
            description="There only where the gate is open; without it training and what follows are skipped.",
        ),
    ],
    check_specs=[dg.AssetCheckSpec(name, asset="gate_decision") for name in GATE_CRITERIA],
)
def gate(
    context: dg.AssetExecutionContext, config: GateConfig, data: DataFolder
) -> Iterator[dg.MaterializeResult]:
    """Hold the baseline against the criteria; issue a ticket or say what to do instead."""
    with making(context, data, "gate") as folder:
        settings = GateSettings(
            **{**config.model_dump(), "priority_categories": tuple(config.priority_categories)}
        )
        rows = clinical_rows_by_category(read_manifest(folder.manifest))
        decision = evaluate_gate(read_scores(folder.baseline), rows, cycle=folder.number, settings=settings)
        write_record(folder.gate, decision)
        write_baseline_page(folder, gate=decision)
        outcome = f"gate {'open' if decision.open else 'closed'}"
        context.log.info(f"{outcome}: {decision.advice}")
        tell_outcome(context, outcome)
        version = dg.DataVersion(sha256_of_file(folder.gate))
        decided: dg.MaterializeResult = dg.MaterializeResult(
            asset_key="gate_decision",
            data_version=version,
            metadata={
                "open": decision.open,
                "advice": dg.MetadataValue.md(decision.advice),
                "reasons": dg.MetadataValue.md(
                    "\n".join(f"- {criterion.reason}" for criterion in decision.criteria)
                ),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=criterion.name,
                    passed=criterion.passed,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=criterion.reason,
                    metadata={"found": criterion.found, "required": criterion.required},
                )
                for criterion in decision.criteria
            ],
        )
        if is_selected(context, "gate_decision"):
            yield decided
        if decision.open and is_selected(context, "training_ticket"):
            yield dg.MaterializeResult(
                asset_key="training_ticket", data_version=version, metadata={"because": decision.advice}
            )
