"""Boosting measured in a cycle: the rows a strength is chosen on, the job, and its comparison with the baseline."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from flywheel.compute.job import ComputeBackend, ComputeJob, Seconds
from flywheel.corpus.manifest import ManifestRow, read_manifest, write_manifest
from flywheel.corpus.terms import PRIORITY_CATEGORIES
from flywheel.errors import FlywheelError
from flywheel.files.atomic import sha256_of_file
from flywheel.files.cycles import CycleFolder, earlier_cycles
from flywheel.files.records import read_record, record_text, write_record
from flywheel.recognisers.bases import Base
from flywheel.recognisers.boosting.record import Boosting
from flywheel.recognisers.boosting.settings import BoostingPlan, BoostingSettings
from flywheel.recognisers.boosting.strengths import BoostingChoice
from flywheel.recognisers.evaluation import (
    STARTING,
    Transcription,
    TranscriptionRecord,
    model_label,
    read_scored_rows,
    read_scores,
    score,
    seeded_terms,
    transcribed_once,
    what_is_heard,
)
from flywheel.scoring import CLINICAL, Comparison, Scores, compare
from flywheel.scoring.numbers_as_text import counted

__all__ = ["against_finetune", "boost", "read_boosting", "trial_rows"]

_JOB = "boost"
_HYPOTHESES = "offline_hyps.jsonl"
_CHOICE = "choice.json"
_HEARD_A_SECOND = 100.0
"""For estimates of cost alone: seconds of audio that a rented GPU transcribes in a second, several hypotheses kept."""


def trial_rows(
    rows: Sequence[ManifestRow], settings: BoostingSettings, trained_on: Collection[str] = ()
) -> tuple[ManifestRow, ...]:
    """The rows that the strength is chosen on: development rows first, then training rows; and general speech.

    Args:
        rows: of the subsets development, train and replay, each once.
        settings: how many rows of each kind there may be, and the seed.
        trained_on: ids of rows that an earlier cycle trained on. They come last: a model that an earlier cycle
            promoted knows them, and would need no boosting there.
    """
    order = random.Random(settings.seed)
    drawn = sorted(rows, key=lambda row: row.id)
    order.shuffle(drawn)
    # Stable: within what the key says alike, the rows stay in the order drawn.
    drawn.sort(key=lambda row: (row.id in trained_on, row.subset != "development"))
    clinical = [row for row in drawn if row.is_clinical]
    general = [row for row in drawn if not row.is_clinical]
    return (*clinical[: settings.clinical_rows], *general[: settings.general_rows])


def _described(rows: Sequence[ManifestRow], trained_on: Collection[str]) -> str:
    """`50 development and 100 training rows with a term, 90 rows of general speech: none of them held out`."""
    development = sum(row.is_clinical and row.subset == "development" for row in rows)
    clinical = sum(row.is_clinical for row in rows)
    general = len(rows) - clinical
    kinds = f"{development} development and {counted(clinical - development, 'training row')} with a term"
    said = f"{kinds}, {counted(general, 'row')} of general speech: none of them held out"
    known = sum(row.id in trained_on for row in rows)
    return f"{said}; an earlier cycle trained on {known} of them" if known else said


def boost(
    base: Base,
    folder: CycleFolder,
    backend: ComputeBackend,
    on_line: Callable[[str], None],
    settings: BoostingSettings | None = None,
    *,
    batch_size: int = 64,
    timeout: Seconds = 4 * 3600.0,
) -> tuple[Boosting, Transcription]:
    """Choose a strength and let `base` hear the baseline's rows with it, in one job; leaves `folder.boosted` and
    `folder.boosting`.

    What was heard of the very same rows, terms and model with the same settings is not heard again, unless the
    baseline was: its hypotheses are those of strength 0.

    Raises:
        FlywheelError: the baseline is missing or of another model, or the model's decoder cannot be boosted.
    """
    settings = settings or BoostingSettings()
    boosted = folder.boosted
    rows = read_manifest(folder.baseline.rows)
    _check_baseline(base, folder, rows)
    trained_on = _trained_on(folder)
    trials = trial_rows(_not_held_out(folder), settings, trained_on)
    plan = BoostingPlan(
        terms=seeded_terms(rows),
        alphas=settings.alphas,
        general_wer_cap=settings.general_wer_cap,
        search=settings.search,
        beam_size=settings.beam_size,
    )
    write_manifest(boosted.rows, rows)
    write_manifest(folder.boosting_trials, trials)
    write_record(folder.boosting_plan, plan)
    asked = {
        **what_is_heard(base, rows),
        "trials": what_is_heard(base, trials)["rows"],
        "plan": sha256(record_text(plan).encode()).hexdigest(),
        "normalizer": CLINICAL.label,
        "baseline": sha256_of_file(folder.baseline.hyps),
    }
    job = _job(base, folder, _audio_seconds(rows, trials, plan), batch_size=batch_size, timeout=timeout)
    done = transcribed_once(boosted, asked, job, backend, on_line, also=(_CHOICE,))
    choice = read_record(boosted.root / _CHOICE, BoostingChoice)
    label = f"{model_label(base)}, terms boosted at {choice.alpha:g}"
    score(boosted, label if choice.alpha else f"{model_label(base)}, nothing boosted")
    boosting = Boosting(
        alpha=choice.alpha,
        phrases=len(plan.terms) - len(choice.unwritable),
        chosen_on=_described(trials, trained_on),
        trials=choice.trials,
        comparison=_compared(folder, PRIORITY_CATEGORIES),
        search=plan.decoding,
        unwritable=choice.unwritable,
    )
    write_record(folder.boosting, boosting)
    return boosting, done


def read_boosting(
    folder: CycleFolder, priority_categories: Sequence[str] = PRIORITY_CATEGORIES
) -> Boosting | None:
    """What `boost` left; None where it was not measured, or beside another baseline than the one that is there now.

    Its comparison is over `priority_categories`: those of the gate, which may have been set after the boosting.
    """
    if not (folder.boosting.exists() and folder.baseline.scores.exists()):
        return None
    boosting = read_record(folder.boosting, Boosting)
    if not _is_of_baseline(boosting.comparison, read_scores(folder.baseline)):
        return None
    if boosting.comparison.priority_categories == tuple(priority_categories):
        return boosting
    return replace(boosting, comparison=_compared(folder, priority_categories))


def _is_of_baseline(comparison: Comparison, scores: Scores) -> bool:
    """Whether the rates before are, to the last digit, those of the baseline."""
    slices = scores.slices
    return slices.keys() == comparison.slices.keys() and all(
        (of_slice := slices[name]).rows == then.rows
        and of_slice.wer.value == then.wer.before.value
        and of_slice.cer.value == then.cer.before.value
        and (of_slice.ker and of_slice.ker.value) == (then.ker and then.ker.before.value)
        for name, then in comparison.slices.items()
    )


def _compared(folder: CycleFolder, priority_categories: Sequence[str]) -> Comparison:
    """From the base to the base with boosting."""
    before, after = read_scored_rows(folder.baseline), read_scored_rows(folder.boosted)
    return compare(before, after, priority_categories=priority_categories)


def against_finetune(folder: CycleFolder, priority_categories: Sequence[str]) -> Comparison:
    """From the base with boosting to the fine-tuned model, over the same rows.

    Raises:
        FlywheelError: boosting was not measured (see `read_boosting`), or nothing was trained.
    """
    before, after = read_scored_rows(folder.boosted), read_scored_rows(folder.next)
    return compare(before, after, priority_categories=priority_categories)


def _check_baseline(base: Base, folder: CycleFolder, rows: Sequence[ManifestRow]) -> None:
    if not folder.baseline.transcription.exists():
        raise FlywheelError(
            f"{folder.baseline.root}: nothing was heard there; materialise baseline_eval first"
        )
    if read_record(folder.baseline.transcription, TranscriptionRecord).asked != what_is_heard(base, rows):
        raise FlywheelError(
            f"{folder.baseline.root}: the baseline is of another model or of other rows than the cycle has now; "
            "materialise baseline_eval first"
        )


def _not_held_out(folder: CycleFolder) -> tuple[ManifestRow, ...]:
    return (*read_manifest(folder.development, allow_empty=True), *read_manifest(folder.train))


def _trained_on(folder: CycleFolder) -> frozenset[str]:
    """The ids of the rows that earlier cycles trained on."""
    earlier = [each.train for each in earlier_cycles(folder.data, folder.cycle) if each.train.exists()]
    return frozenset(row.id for path in earlier for row in read_manifest(path))


def _audio_seconds(rows: Sequence[ManifestRow], trials: Sequence[ManifestRow], plan: BoostingPlan) -> Seconds:
    once = sum(row.duration for row in trials)
    return sum(row.duration for row in rows) + once * (1 + len(plan.alphas))


def _job(
    base: Base, folder: CycleFolder, audio_seconds: Seconds, *, batch_size: int, timeout: Seconds
) -> ComputeJob:
    inputs: dict[str, Path] = {"plan.json": folder.boosting_plan, "baseline.jsonl": folder.baseline.hyps}
    if base.file is not None:
        inputs["model.nemo"] = base.file
    return ComputeJob(
        name=_JOB,
        argv=(
            *(
                "python",
                "-m",
                "flywheel.compute.programs.boost",
                "--manifest",
                "rows.jsonl",
                "--trials",
                "trials.jsonl",
            ),
            *("--plan", "plan.json", "--baseline", "baseline.jsonl"),
            *("--model", base.name if base.file is None else "model.nemo"),
            *("--output", _HYPOTHESES, "--choice", _CHOICE, "--batch-size", str(batch_size)),
        ),
        inputs=inputs,
        manifests={"rows.jsonl": folder.boosted.rows, "trials.jsonl": folder.boosting_trials},
        outputs=(_HYPOTHESES, _CHOICE),
        timeout=timeout,
        accelerator=True,
        network=base.file is None,
        expected=STARTING + audio_seconds / _HEARD_A_SECOND,
    )
