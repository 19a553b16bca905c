"""What the base hears with the cycle's terms boosted at decoding: the free alternative to a fine-tuning.

While it decodes, NeMo adds a score to the tokens that continue one of the terms. How much, its `alpha`, decides over
the result: too little changes nothing, too much puts terms where nobody said them. So the strength is chosen, and on
rows that no held-out score sees: those of the development and training subsets, for this base has learned from none of
them. All terms are boosted, those that training leaves out as well: that is what boosting can do and training cannot.
"""

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, get_args

from flywheel.compute import ComputeBackend, ComputeJob, Seconds
from flywheel.cycles import CycleFolder, earlier_cycles
from flywheel.errors import FlywheelError, Problems
from flywheel.evaluation import (
    STARTING,
    Transcription,
    model_label,
    row_scores,
    score,
    seeded_terms,
    transcribed_once,
    what_is_heard,
)
from flywheel.files import read_json, sha256_of_file, write_json
from flywheel.gate import GateSettings
from flywheel.manifest import ManifestRow, read_manifest, write_manifest
from flywheel.recipes.bases import Base
from flywheel.scoring import (
    CLINICAL,
    Comparison,
    ErrorCounts,
    Estimate,
    RowScore,
    Transcript,
    cluster_bootstrap,
    compare,
    keyword_error_rate,
    score_rows,
    wilson,
)
from flywheel.wording import counted, listed

__all__ = [
    "ALPHAS",
    "Boosting",
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

Search: TypeAlias = Literal["beam", "greedy"]

ALPHAS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
"""The strengths that are tried, with NeMo's own weights of a term's tokens. From 1.25 on the bundled base hears general
speech worse (+0.6 points, n = 200); a base that is surer of itself bears more."""

_JOB = "boost"
_HYPOTHESES = "offline_hyps.jsonl"
_CHOICE = "choice.json"
_HEARD_A_SECOND = 100.0
"""For estimates of cost alone: seconds of audio that a rented GPU transcribes in a second, several hypotheses kept."""
_ROUNDING = 1e-9
"""A difference of rates is a floating point number: one that is meant to equal the cap may be off by less than this."""


class BoostingSettingsError(Problems):
    """Settings of boosting that are out of range, all of them."""


@dataclass(frozen=True, slots=True)
class BoostingSettings:
    """How boosting is tried.

    Args:
        alphas: the strengths to try, each above 0 and above the one before.
        general_wer_cap: by how much the WER on general speech may rise on the trial rows, absolute. Half of what a
            fine-tuned model may lose, for it is held against the bare rate of few rows; what is chosen is then measured
            on other rows, with its interval.
        search: `beam` keeps several hypotheses, which is what lets a boosted term win: with the bundled base it mends
            about half as many misses again as `greedy` (468 and 321 of 998), for a tenth to a fifth more time.
        beam_size: how many hypotheses `beam` keeps.
        clinical_rows, general_rows: how many rows of each kind are tried on, at most.
        seed: of the choice of these rows.

    Raises:
        BoostingSettingsError: all settings that are out of range.
    """

    alphas: tuple[float, ...] = ALPHAS
    general_wer_cap: float = 0.005
    search: Search = "beam"
    beam_size: int = 4
    clinical_rows: int = 150
    general_rows: int = 200
    seed: int = 42

    def __post_init__(self) -> None:
        problems = []
        rising = all(
            low < high for low, high in zip((0.0, *self.alphas), (*self.alphas, math.inf), strict=True)
        )
        if not self.alphas or not rising:
            problems.append(
                f"alphas: found {list(self.alphas)}; allowed: one or more above 0, each above the one before"
            )
        if not 0 <= self.general_wer_cap <= 1:
            problems.append(f"general_wer_cap: found {self.general_wer_cap}; allowed: a fraction from 0 to 1")
        if self.search not in get_args(Search):
            problems.append(f"search: found {self.search!r}; allowed: {listed(get_args(Search), 'or')}")
        problems += [
            f"{name}: found {value}; allowed: a whole number from {least}"
            for name, least in (("beam_size", 2), ("clinical_rows", 1), ("general_rows", 1))
            if (value := getattr(self, name)) < least
        ]
        if problems:
            raise BoostingSettingsError("boosting settings", problems)


@dataclass(frozen=True, slots=True)
class BoostingTrial:
    """What one strength of boosting does to the trial rows, which no held-out score sees.

    Args:
        alpha: the strength; 0 is the base as it is.
        ker: over the trial rows with a term; None without such rows.
        general_wer: over the trial rows of general speech; None without such rows.
        false_insertions: the share of trial rows in which a term is heard that nobody said.
        change: of the general WER against alpha 0, on the same rows; where no trial row is general speech, of the WER
            on words that are no term's. None at alpha 0.
    """

    alpha: float
    ker: Estimate | None
    general_wer: Estimate | None
    false_insertions: Estimate | None
    change: Estimate | None = None

    def is_within(self, cap: float) -> bool:
        """Whether `change` is no more than `cap`, absolute."""
        return self.change is not None and self.change.value <= cap + _ROUNDING


@dataclass(frozen=True, slots=True)
class Boosting:
    """How strongly the terms were boosted, how that was chosen, and what came of it.

    Args:
        alpha: the chosen strength; 0.0 where none helped within the cap: then nothing is boosted.
        phrases: how many terms were boosted, unseen ones included.
        chosen_on: the rows of the trials, in words.
        trials: one for each strength that was tried, from 0 upwards; the last may be the first beyond the cap.
        comparison: from the base to the base with boosting, over the evaluation's rows.
        search: how it was decoded, e.g. `beam of 4`.
        unwritable: terms that the model's tokens cannot write, and which therefore were not boosted.
    """

    alpha: float
    phrases: int
    chosen_on: str
    trials: tuple[BoostingTrial, ...]
    comparison: Comparison
    search: str = "greedy"
    unwritable: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As `boosting.json` holds it; `from_dict` is its inverse."""
        others = {
            each.name: getattr(self, each.name) for each in fields(self) if each.name not in _WITH_PARTS
        }
        return {
            **others,
            "unwritable": list(self.unwritable),
            "trials": [asdict(trial) for trial in self.trials],
            "comparison": self.comparison.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The boosting that `to_dict` was called on.

        Raises:
            FlywheelError: a field is missing or unknown: the file is of another version or was edited.
        """
        try:
            parts = {
                "unwritable": tuple(values["unwritable"]),
                "trials": tuple(_trial_from(trial) for trial in values["trials"]),
                "comparison": Comparison.from_dict(values["comparison"]),
            }
            return cls(**{**values, **parts})
        except (KeyError, TypeError) as error:
            problem = f"boosting: cannot be read ({error}); materialise boosted_eval again"
            raise FlywheelError(problem) from error


_WITH_PARTS = ("unwritable", "trials", "comparison")
_ESTIMATES = ("ker", "general_wer", "false_insertions", "change")


def _trial_from(values: Mapping[str, Any]) -> BoostingTrial:
    estimates = {name: None if values[name] is None else Estimate(**values[name]) for name in _ESTIMATES}
    return BoostingTrial(**{**values, **estimates})


@dataclass(frozen=True)
class BoostingPlan:
    """What the job is asked for, beside model and rows.

    Args:
        terms: the terms to boost, as the seed has them.
        alphas, general_wer_cap, search, beam_size: as in `BoostingSettings`.
    """

    terms: tuple[str, ...]
    alphas: tuple[float, ...]
    general_wer_cap: float
    search: Search
    beam_size: int

    def to_dict(self) -> dict[str, Any]:
        """As the job's file holds it; `from_dict` is its inverse."""
        return {**asdict(self), "terms": list(self.terms), "alphas": list(self.alphas)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The plan that `to_dict` was called on."""
        return cls(**{**values, "terms": tuple(values["terms"]), "alphas": tuple(values["alphas"])})

    @property
    def decoding(self) -> str:
        """`beam of 4` or `greedy`."""
        return f"beam of {self.beam_size}" if self.search == "beam" else self.search


def try_strengths(
    plan: BoostingPlan, hear: Callable[[float], Sequence[Transcript]]
) -> tuple[BoostingTrial, ...]:
    """A trial at 0 and at each strength of the plan, up to the first that takes general speech beyond the cap: what is
    stronger still can only do worse there.

    Args:
        plan: what to try.
        hear: the trial rows as the model hears them at a strength, always the same rows in the same order.
    """
    plain = score_rows(hear(0.0), CLINICAL, plan.terms)
    trials = [_trial(0.0, plain, None)]
    for alpha in plan.alphas:
        trials.append(_trial(alpha, score_rows(hear(alpha), CLINICAL, plan.terms), plain))
        if not trials[-1].is_within(plan.general_wer_cap):
            break
    return tuple(trials)


def chosen_alpha(trials: Sequence[BoostingTrial], general_wer_cap: float) -> float:
    """The strength with the lowest KER among those within the cap; the weakest of several; 0.0 where none misses fewer
    terms than the base as it is."""
    best = trials[0]
    for trial in trials[1:]:
        if best.ker is None or trial.ker is None or not trial.is_within(general_wer_cap):
            continue
        if trial.ker.value < best.ker.value:
            best = trial
    return best.alpha


def _trial(alpha: float, rows: Sequence[RowScore], plain: Sequence[RowScore] | None) -> BoostingTrial:
    general = [row.words for row in rows if row.term_missed is None]
    inserted = sum(bool(row.false_insertions) for row in rows)
    return BoostingTrial(
        alpha=alpha,
        ker=keyword_error_rate(rows),
        general_wer=_rate([row for row in rows if row.term_missed is None], general),
        false_insertions=wilson(inserted, len(rows)) if rows else None,
        change=None if plain is None else _change(plain, rows),
    )


def _change(before: Sequence[RowScore], after: Sequence[RowScore]) -> Estimate | None:
    """After minus before, on general speech or, without any, on the words that are no term's."""
    without_term = [place for place, row in enumerate(before) if row.term_missed is None]
    places = without_term or range(len(before))
    pairs = [(_control(before[place]), _control(after[place])) for place in places]
    rows = [before[place] for place in places]
    differences = [second.errors - first.errors for first, second in pairs]
    lengths = [first.reference_length for first, _ in pairs]
    return _ratio(rows, differences, lengths)


def _control(row: RowScore) -> ErrorCounts:
    """The errors that boosting must not add to: those on all words, or on the words beside the term."""
    return row.other_words or row.words


def _rate(rows: Sequence[RowScore], counts: Sequence[ErrorCounts]) -> Estimate | None:
    return _ratio(rows, [each.errors for each in counts], [each.reference_length for each in counts])


def _ratio(rows: Sequence[RowScore], errors: Sequence[int], lengths: Sequence[int]) -> Estimate | None:
    if not any(lengths):
        return None
    return cluster_bootstrap(errors, lengths, [row.cluster for row in rows])


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
    write_json(folder.boosting_plan, plan.to_dict())
    asked = {
        **what_is_heard(base, rows),
        "trials": what_is_heard(base, trials)["rows"],
        "plan": plan.to_dict(),
        "normalizer": CLINICAL.label,
        "baseline": sha256_of_file(folder.baseline.hyps),
    }
    job = _job(base, folder, _audio_seconds(rows, trials, plan), batch_size=batch_size, timeout=timeout)
    done = transcribed_once(boosted, asked, job, backend, on_line, also=(_CHOICE,))
    choice = read_json(boosted.root / _CHOICE)
    label = f"{model_label(base)}, terms boosted at {choice['alpha']:g}"
    score(boosted, label if choice["alpha"] else f"{model_label(base)}, nothing boosted")
    boosting = Boosting(
        alpha=choice["alpha"],
        phrases=len(plan.terms) - len(choice["unwritable"]),
        chosen_on=_described(trials, trained_on),
        trials=tuple(_trial_from(trial) for trial in choice["trials"]),
        comparison=_compared(folder),
        search=plan.decoding,
        unwritable=tuple(choice["unwritable"]),
    )
    write_json(folder.boosting, boosting.to_dict())
    return boosting, done


def read_boosting(folder: CycleFolder) -> Boosting | None:
    """What `boost` left; None where it was not measured, or beside another baseline than the one that is there now.

    Its comparison is over the priority categories of the gate, which may have been set after the boosting.
    """
    if not (folder.boosting.exists() and folder.baseline.scores.exists()):
        return None
    boosting = Boosting.from_dict(read_json(folder.boosting))
    if not _is_of_baseline(boosting.comparison, read_json(folder.baseline.scores)["slices"]):
        return None
    if boosting.comparison.priority_categories == _priority(folder):
        return boosting
    return replace(boosting, comparison=_compared(folder))


def _is_of_baseline(comparison: Comparison, slices: Mapping[str, Any]) -> bool:
    """Whether the rates before are, to the last digit, those that the baseline's `slices` hold."""
    return slices.keys() == comparison.slices.keys() and all(
        slices[name]["rows"] == then.rows
        and slices[name]["wer"]["value"] == then.wer.before.value
        and slices[name]["cer"]["value"] == then.cer.before.value
        and slices[name].get("ker", {}).get("value") == (then.ker and then.ker.before.value)
        for name, then in comparison.slices.items()
    )


def _compared(folder: CycleFolder) -> Comparison:
    """From the base to the base with boosting."""
    before, after = row_scores(folder.baseline), row_scores(folder.boosted)
    return compare(before, after, priority_categories=_priority(folder))


def against_finetune(folder: CycleFolder) -> Comparison:
    """From the base with boosting to the fine-tuned model, over the same rows.

    Raises:
        FlywheelError: boosting was not measured (see `read_boosting`), or nothing was trained.
    """
    return compare(row_scores(folder.boosted), row_scores(folder.next), priority_categories=_priority(folder))


def _priority(folder: CycleFolder) -> tuple[str, ...]:
    """Those that the gate looked at; the default ones before there is a gate."""
    if not folder.gate.exists():
        return GateSettings().priority_categories
    return tuple(read_json(folder.gate)["priority_categories"])


def _check_baseline(base: Base, folder: CycleFolder, rows: Sequence[ManifestRow]) -> None:
    if not folder.baseline.transcription.exists():
        raise FlywheelError(
            f"{folder.baseline.root}: nothing was heard there; materialise baseline_eval first"
        )
    if read_json(folder.baseline.transcription).get("asked") != what_is_heard(base, rows):
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
            *("python", "-m", "flywheel.jobs.boost", "--manifest", "rows.jsonl", "--trials", "trials.jsonl"),
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
