"""What the cycle's base hears, and what the fine-tuned model hears, scored alike."""

import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import dagster as dg

from assets.cycles import CYCLES, EVAL_POOL, OWNERS, making
from assets.rented import left_running_spec, rented_step
from assets.splits import split
from flywheel.cycle.earlier import check_promotions
from flywheel.cycle.page import write_baseline_page
from flywheel.files.atomic import sha256_of_file
from flywheel.files.cycles import EvalFolder
from flywheel.recognisers.bases import Base, base_of_cycle, read_base, write_base
from flywheel.recognisers.evaluation import (
    Transcription,
    model_label,
    read_scored_rows,
    read_scores,
    score,
    transcribe,
)
from flywheel.scoring.audit import audited
from flywheel.scoring.numbers_as_text import rate
from flywheel.scoring.scores import Scores
from resources.compute.resource import Compute
from resources.data_folder import DataFolder

SECOND_COUNT = "agrees_with_jiwer"
_NOTHING: Mapping[str, float] = MappingProxyType({})


def second_count_spec(asset: str) -> dg.AssetCheckSpec:
    """The check of an evaluation, see `evaluated`."""
    return dg.AssetCheckSpec(
        SECOND_COUNT,
        asset=asset,
        description="jiwer counts the same word and character errors in every slice, to the last digit.",
    )


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
    with making(context, data, "base_model") as folder:
        name = config.name or os.environ.get("FLYWHEEL_BASE", "")
        check_promotions(folder, data.registry)
        base = base_of_cycle(
            folder.number, data.registry, name, accelerator=compute.connect().has_accelerator
        )
        write_base(folder.base_model, base)
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
    check_specs=[left_running_spec("baseline_eval"), second_count_spec("baseline_eval")],
    description=(
        "The base's hypotheses, one row per utterance, and their scores. It writes the first page of the "
        "leaderboard, so that there is one whatever comes after."
    ),
)
def baseline_eval(
    context: dg.AssetExecutionContext, config: EvaluationConfig, data: DataFolder, compute: Compute
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Transcribe and score with the base."""
    with making(context, data, "baseline_eval") as folder:
        base = read_base(folder.base_model)

        def evaluate() -> dg.MaterializeResult:
            done = _heard(context, config, compute, base, folder.baseline)
            score(folder.baseline, model_label(base))
            page, _inputs = write_baseline_page(folder)
            return evaluated(folder.baseline, done, {"page": dg.MetadataValue.path(page)})

        yield from rented_step("baseline_eval", evaluate)


@dg.asset(
    group_name="evaluation",
    kinds={"nemo"},
    owners=OWNERS,
    deps=[base_model, split, dg.AssetKey("adapted_model")],
    partitions_def=CYCLES,
    pool=EVAL_POOL,
    code_version="1",
    check_specs=[left_running_spec("next_eval"), second_count_spec("next_eval")],
    description="The fine-tuned model's hypotheses for the very rows of the baseline, and their scores.",
)
def next_eval(
    context: dg.AssetExecutionContext, config: EvaluationConfig, data: DataFolder, compute: Compute
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Transcribe and score with the fine-tuned model."""
    with making(context, data, "next_eval") as folder:
        base = read_base(folder.base_model)
        adapted = Base(f"fine-tuned in {folder.cycle}", folder.adapted_model, base.origin)

        def evaluate() -> dg.MaterializeResult:
            done = _heard(context, config, compute, adapted, folder.next)
            score(folder.next, model_label(adapted))
            return evaluated(folder.next, done)

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
    folder: EvalFolder,
    done: Transcription,
    more: Mapping[str, dg.MetadataValue | float] = _NOTHING,
    *,
    said: str = "",
) -> dg.MaterializeResult:
    """What was measured in `folder`: held-out rates under the same keys in all evaluations, so that the UI plots them
    over cycles, and jiwer's second count.

    What is `said` of the evaluation stands before the answer that all of them have.
    """
    scores = read_scores(folder)
    held_out = {name: scores.metric("held_out", name) for name in ("ker", "wer", "cer", "ser")}
    known = {name: rate for name, rate in held_out.items() if rate is not None}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256_of_file(folder.scores)),
        metadata={
            "answer": said + _answer(scores),
            **{name: rate.value for name, rate in known.items()},
            **{f"n of {name}": rate.n for name, rate in known.items()},
            "model": scores.model,
            "normalizer": str(scores.normalizer),
            "transcription seconds": done.seconds,
            "billed seconds": done.billed_seconds,
            "cost in US dollars": done.cost_usd,
            "cache_hits": int(done.cached),
            "scores": dg.MetadataValue.path(folder.scores),
            "rows": dg.MetadataValue.path(folder.scored_rows),
            **more,
        },
        check_results=[_second_count(scores, folder)],
    )


def _second_count(scores: Scores, folder: EvalFolder) -> dg.AssetCheckResult:
    audit = audited(scores, read_scored_rows(folder))
    return dg.AssetCheckResult(
        check_name=SECOND_COUNT,
        passed=not audit.differences,
        description="; ".join(audit.differences) or "jiwer counts the same errors in every slice.",
        metadata={"slices": audit.slices, "rows of all slices": audit.rows},
    )


def _answer(scores: Scores) -> str:
    """How often the model is wrong, in a line: of terms, of words, of the words of general speech."""
    asked = {"KER": ("held_out", "ker"), "WER": ("held_out", "wer"), "general WER": ("general", "wer")}
    found = {name: scores.metric(*of) for name, of in asked.items()}
    rates = [f"{name} {rate(value)}" for name, value in found.items() if value is not None]
    return "; ".join(rates) or "nothing was measured"
