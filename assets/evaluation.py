"""What the cycle's base hears, and what the fine-tuned model hears, scored alike."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from assets.cycles import CYCLES, EVAL_POOL, OWNERS, cycle_step
from assets.rented import left_running_spec, rented_step
from assets.splits import split
from flywheel.cycle.page import write_page
from flywheel.files.atomic import sha256_of_file, write_json
from flywheel.files.cycles import EvalFolder
from flywheel.recognisers.bases import Base, base_of_cycle, read_base
from flywheel.recognisers.evaluation import Transcription, model_label, score, transcribe
from flywheel.scoring.numbers_as_text import rate
from flywheel.scoring.score_reading import ScoreReader
from resources.compute.resource import Compute
from resources.data_folder import DataFolder


class BaseModelConfig(dg.Config):
    """`name`: a published model, `bundled`, or the path of a `.nemo` file. Empty: `FLYWHEEL_BASE`, else the
    newest promoted model, else the default for this machine."""

    name: str = ""


class EvaluationConfig(dg.Config):
    """`compute`: the backend, by default the run's. `batch_size`: rows decoded together. `timeout_seconds`: after
    which the job is ended."""

    compute: str = ""
    batch_size: int = 16
    timeout_seconds: float = 4 * 3600


@dg.asset(
    group_name="evaluation",
    kinds={"nemo"},
    owners=OWNERS,
    partitions_def=CYCLES,
    code_version="1",
    description=(
        "The model the cycle starts from: the newest one that an earlier cycle promoted, else the configured "
        "or default base."
    ),
)
def base_model(
    context: dg.AssetExecutionContext, config: BaseModelConfig, data: DataFolder, compute: Compute
) -> dg.MaterializeResult:
    """Choose the base and note it with the cycle."""
    with cycle_step(context) as cycle:
        folder = data.cycle(cycle)
        name = config.name or os.environ.get("FLYWHEEL_BASE", "")
        base = base_of_cycle(
            folder.number, data.registry, name, accelerator=compute.connect().has_accelerator
        )
        write_json(folder.base_model, base.to_dict())
        return dg.MaterializeResult(
            data_version=dg.DataVersion(base.sha256 or base.name),
            metadata={
                "model": model_label(base),
                "origin": base.origin,
                "file": str(base.file or "fetched by name"),
            },
        )


@dg.asset(
    group_name="evaluation",
    kinds={"nemo"},
    owners=OWNERS,
    deps=[base_model, split],
    partitions_def=CYCLES,
    pool=EVAL_POOL,
    code_version="1",
    check_specs=[left_running_spec("baseline_eval")],
    description=(
        "The base's hypotheses, one row per utterance, and their scores. It writes the first page of the "
        "leaderboard, so that there is one whatever comes after."
    ),
)
def baseline_eval(
    context: dg.AssetExecutionContext, config: EvaluationConfig, data: DataFolder, compute: Compute
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Transcribe and score with the base."""
    with cycle_step(context) as cycle:
        folder = data.cycle(cycle)
        base = read_base(folder.base_model)

        def evaluate() -> dg.MaterializeResult:
            done = _heard(context, config, compute, base, folder.baseline)
            scores = score(folder.baseline, model_label(base))
            page, _inputs = write_page(folder)
            return evaluated(folder.baseline.scores, scores, done, {"page": dg.MetadataValue.path(page)})

        yield from rented_step("baseline_eval", evaluate)


@dg.asset(
    group_name="evaluation",
    kinds={"nemo"},
    owners=OWNERS,
    deps=[base_model, split, dg.AssetKey("adapted_model")],
    partitions_def=CYCLES,
    pool=EVAL_POOL,
    code_version="1",
    check_specs=[left_running_spec("next_eval")],
    description="The fine-tuned model's hypotheses for the very rows of the baseline, and their scores.",
)
def next_eval(
    context: dg.AssetExecutionContext, config: EvaluationConfig, data: DataFolder, compute: Compute
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Transcribe and score with the fine-tuned model."""
    with cycle_step(context) as cycle:
        folder = data.cycle(cycle)
        base = read_base(folder.base_model)
        adapted = Base(f"fine-tuned in {cycle}", folder.adapted_model, base.origin)

        def evaluate() -> dg.MaterializeResult:
            done = _heard(context, config, compute, adapted, folder.next)
            return evaluated(folder.next.scores, score(folder.next, model_label(adapted)), done, {})

        yield from rented_step("next_eval", evaluate)


def _heard(
    context: dg.AssetExecutionContext,
    config: EvaluationConfig,
    compute: Compute,
    model: Base,
    folder: EvalFolder,
) -> Transcription:
    return transcribe(
        model,
        folder,
        compute.connect(config.compute),
        context.log.info,
        batch_size=config.batch_size,
        timeout=config.timeout_seconds,
    )


def evaluated(
    file: Path, scores: dict[str, Any], done: Transcription, more: dict[str, Any], *, said: str = ""
) -> dg.MaterializeResult:
    """Held-out rates under the same keys in all evaluations, so that the UI plots them over cycles.

    What is `said` of the evaluation stands before the answer that all of them have.
    """
    held_out = scores["slices"].get("held_out", {})
    rates = {name: held_out[name]["value"] for name in ("ker", "wer", "cer", "ser") if name in held_out}
    sizes = {f"n of {name}": held_out[name]["n"] for name in rates}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of_file(file)),
        metadata={
            "answer": said + _answer(ScoreReader(scores)),
            **rates,
            **sizes,
            "model": scores["model"],
            "normalizer": f"{scores['normalizer']['name']} {scores['normalizer']['version']}",
            "transcription seconds": done.seconds,
            "billed seconds": done.billed_seconds,
            "cost in US dollars": done.cost_usd,
            "cache_hits": int(done.cached),
            "scores": dg.MetadataValue.path(file),
            **more,
        },
    )


def _answer(scores: ScoreReader) -> str:
    """How often the model is wrong, in a line: of terms, of words, of the words of general speech."""
    asked = {"KER": ("held_out", "ker"), "WER": ("held_out", "wer"), "general WER": ("general", "wer")}
    found = {name: scores.metric(*of) for name, of in asked.items()}
    rates = [f"{name} {rate(value)}" for name, value in found.items() if value is not None]
    return "; ".join(rates) or "nothing was measured"
