"""The leaderboard of a cycle's folder: a pure re-rendering of the files that are there.

python -m flywheel.cycle.page cycle1      # prints the path of the page and its headline
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from flywheel.corpus.manifest import content_hash, read_manifest
from flywheel.corpus.split.leaks import sentence_key
from flywheel.corpus.split.subsets import SplitRecord
from flywheel.corpus.terms import PRIORITY_CATEGORIES
from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_bytes, write_text
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import Json, plain, read_record
from flywheel.files.steps import CycleSteps
from flywheel.recognisers.bases import BaseRecord
from flywheel.recognisers.boosting import Boosting, read_boosting
from flywheel.recognisers.evaluation import TranscriptionRecord, read_scores
from flywheel.recognisers.nemo_asr import TrainingRecord
from flywheel.report.leaderboard import FIGURES, LeaderboardInputs, Stage, headline, render, render_figure
from flywheel.report.leaderboard.html import render_html
from flywheel.report.leaderboard.players import players_of
from flywheel.scoring.comparison import Comparison
from flywheel.scoring.scores import Scores
from flywheel.speech.audition.policy import read_state
from flywheel.verdict.decision import Decision
from flywheel.verdict.gate import GateDecision
from flywheel.verdict.misses import Misses, read_misses, write_misses

_PACKAGES = ("nemo_toolkit", "torch", "dagster", "lhotse", "espeakng-loader", "rapidfuzz")


@dataclass(frozen=True, slots=True)
class _Later:
    """What has come after the baseline: the gate, boosting, and whether a fine-tuned model was decided on."""

    gate: GateDecision | None = None
    boosting: Boosting | None = None
    trained: bool = False


def write_page(folder: CycleFolder) -> tuple[Path, LeaderboardInputs]:
    """Write what a person reads of the cycle, and return the markdown page and what is on it.

    Beside the markdown page lie its figures and the HTML page. Before there is a fine-tuned model they are those of
    this cycle, afterwards those of the next one. What went wrong is looked for on the way, and left in
    `folder.misses`. What is not current counts as absent; a page about a model that is not there any more goes.

    Raises:
        StepNotCurrent: the baseline is not there, or of other rows than the cycle has now.
    """
    CycleSteps(folder).require("baseline_eval")
    later = _later(folder)
    if not later.trained:
        _remove_pages(folder, folder.number + 1)
    return _write(folder, later)


def write_baseline_page(
    folder: CycleFolder, gate: GateDecision | None = None
) -> tuple[Path, LeaderboardInputs]:
    """The page as it is before anything is trained, whatever an earlier run left in the folder: of the baseline, and of
    the gate once that has decided. Raises as `write_page`, and returns what it does."""
    return _write(folder, _Later(gate))


def _later(folder: CycleFolder) -> _Later:
    steps = CycleSteps(folder)
    gate = read_record(folder.gate, GateDecision) if steps.is_current("gate") else None
    categories = PRIORITY_CATEGORIES if gate is None else gate.priority_categories
    return _Later(
        gate,
        read_boosting(folder, categories) if steps.is_current("boosted_eval") else None,
        steps.is_current("decision") and (gate is None or gate.open),
    )


def _write(folder: CycleFolder, later: _Later) -> tuple[Path, LeaderboardInputs]:
    # Pronunciations are there in every cycle but those that an earlier version made.
    misses = write_misses(folder, trained=later.trained) if folder.pronunciations.exists() else None
    inputs = _page_inputs(folder, later)
    page = folder.leaderboard(_number(folder, inputs.stage))
    for name, figure in inputs.figures.items():
        write_bytes(page.parent / figure, render_figure(inputs, name))
    write_text(page, render(inputs))
    write_text(page_as_html(page), render_html(inputs, () if misses is None else players_of(misses)))
    return page, inputs


def _remove_pages(folder: CycleFolder, number: int) -> None:
    page = folder.leaderboard(number)
    for path in (page, page_as_html(page), *(page.with_suffix(f".{name}.png") for name in FIGURES)):
        path.unlink(missing_ok=True)


def page_as_html(page: Path) -> Path:
    """The HTML page beside a markdown page."""
    return page.with_suffix(".html")


def newest_page(folder: CycleFolder) -> Path | None:
    """The page that answers for the cycle: after training if there is one, else the baseline's, else None."""
    pages = [folder.leaderboard(number) for number in (folder.number + 1, folder.number)]
    return next((page for page in pages if page.exists()), None)


def page_inputs(folder: CycleFolder) -> LeaderboardInputs:
    """What the files of the cycle say, those that are current. Raises as `write_page`."""
    CycleSteps(folder).require("baseline_eval")
    return _page_inputs(folder, _later(folder))


def _page_inputs(folder: CycleFolder, later: _Later) -> LeaderboardInputs:
    trained, boosting = later.trained, later.boosting
    split = read_record(folder.split, SplitRecord)
    page = folder.leaderboard(_number(folder, "trained" if trained else "baseline"))
    baseline_scores = read_scores(folder.baseline)
    next_scores = read_scores(folder.next) if trained else None
    return LeaderboardInputs(
        cycle=folder.number,
        baseline_scores=baseline_scores,
        baseline_published_scores=read_record(folder.baseline.published_scores, Scores),
        next_scores=next_scores,
        next_published_scores=read_record(folder.next.published_scores, Scores) if trained else None,
        comparison=read_record(folder.comparison, Comparison) if trained else None,
        gate=later.gate,
        decision=read_record(folder.decision, Decision) if trained else None,
        split_counts=split.counts,
        known_sentences=_known_sentences(folder),
        provenance=_provenance(folder, split, trained),
        boosting=boosting,
        boosted_scores=read_scores(folder.boosted) if boosting is not None and boosting.alpha else None,
        misses=_misses(folder, (next_scores or baseline_scores).model),
        page=page_as_html(page).name,
        figures=_figures(page, baseline_scores),
    )


def cycle_headline(folder: CycleFolder) -> str:
    """The few lines that answer for the cycle."""
    return headline(page_inputs(folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print where the page of a cycle is and its headline, or that the cycle waits for verdicts; status 1 where it has
    no page and waits for nothing."""
    parser = argparse.ArgumentParser(prog="flywheel.cycle.page", description="The answer of a cycle.")
    parser.add_argument("cycle")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FLYWHEEL_DATA", "data")))
    options = parser.parse_args(arguments)
    try:
        folder = CycleFolder(options.data, options.cycle)
        audition = read_state(folder)
        if audition is not None and not audition.open:
            print(f"\n{options.cycle}: {audition.advice}\n\n{audition.page}\n{audition.verdicts}")
            return
        page = newest_page(folder)
        if page is None:
            raise FlywheelError(f"{folder.root} has no leaderboard; run the cycle first")
        html = page_as_html(page)
        print("\n".join(["", cycle_headline(folder), "", *map(str, filter(Path.exists, (page, html)))]))
    except FlywheelError as error:
        raise SystemExit(f"error: {error}") from None


def _number(folder: CycleFolder, stage: Stage) -> int:
    """The number of the cycle whose model the page is about."""
    return folder.number + 1 if stage == "trained" else folder.number


def _misses(folder: CycleFolder, model: str) -> Misses | None:
    """Those in the file, audio as it lies in the data folder; None where there are none, or those of another model."""
    misses = read_misses(folder)
    if misses is None or misses.model != model:
        return None
    rows = (replace(row, audio_filepath=_in_its_folder(row.audio_filepath)) for row in misses.rows)
    return replace(misses, rows=tuple(rows))


def _in_its_folder(audio: str) -> str:
    """`speech/<name>.wav`, as it lies in the data folder: the same wherever that is, because pages are passed on
    and data folders move, and a machine's folders are nobody's business."""
    path = Path(audio)
    return f"{path.parent.name}/{path.name}"


def _figures(page: Path, baseline: Scores) -> dict[str, str]:
    """The file of each figure, beside the page; a breakdown with one level has nothing to compare, and none."""
    fields = {"noise": "noise_level", "source": "ipa_source"}
    return {
        name: page.with_suffix(f".{name}.png").name
        for name in FIGURES
        if name not in fields or len(baseline.ker_by("held_out", fields[name])) > 1
    }


def _known_sentences(folder: CycleFolder) -> int | None:
    """How many held-out rows say a sentence that a training row says; None where a manifest is missing."""
    files = (folder.train, folder.development, folder.validation)
    if not all(file.exists() for file in files):
        return None
    train, development, held_out = (read_manifest(file, allow_empty=True) for file in files)
    known = {sentence_key(row.text) for row in (*train, *development)}
    return sum(sentence_key(row.text) in known for row in held_out)


def _provenance(folder: CycleFolder, split: SplitRecord, trained: bool) -> dict[str, Json]:
    base = read_record(folder.base_model, BaseRecord)
    provenance: dict[str, Json] = {
        "base": base.name,
        "base SHA-256": base.sha256,
        "manifest hash": content_hash(read_manifest(folder.manifest)),
        "split seed": split.settings.seed,
        "baseline transcription seconds": read_record(
            folder.baseline.transcription, TranscriptionRecord
        ).seconds,
    }
    if trained:
        info = read_record(folder.training_run_info, TrainingRecord)
        provenance |= {
            "model SHA-256": info.model_sha256,
            "backend": info.backend,
            "hyperparameters": plain(info.hyperparameters),
            "rows the trainer saw": info.rows_seen,
            "best epoch": f"{info.best.epoch} of {len(info.epochs)}",
            "training seconds": info.seconds,
            "cost in US dollars": info.cost_usd,
        }
    return provenance | {"versions": {package: version(package) for package in _PACKAGES}}


if __name__ == "__main__":
    main()
