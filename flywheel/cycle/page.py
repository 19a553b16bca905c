"""The leaderboard of a cycle's folder: a pure re-rendering of the files that are there.

python -m flywheel.cycle.page cycle1      # prints the path of the page and its headline
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flywheel.corpus.manifest import content_hash, read_manifest
from flywheel.corpus.split.leaks import sentence_key
from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_json, write_bytes, write_text
from flywheel.files.cycles import CycleFolder
from flywheel.recognisers.boosting import read_boosting
from flywheel.report.leaderboard import FIGURES, LeaderboardInputs, Stage, headline, render, render_figure
from flywheel.report.leaderboard.html import render_html
from flywheel.report.leaderboard.players import players_of
from flywheel.scoring.comparison import Comparison
from flywheel.scoring.score_reading import ScoreReader
from flywheel.speech.audition.policy import read_state
from flywheel.verdict.decision import Decision
from flywheel.verdict.gate import GateDecision
from flywheel.verdict.misses import Misses, read_misses, write_misses

_PACKAGES = ("nemo_toolkit", "torch", "dagster", "lhotse", "espeakng-loader", "rapidfuzz")


def write_page(folder: CycleFolder) -> tuple[Path, LeaderboardInputs]:
    """Write what a person reads of the cycle, and return the markdown page and what is on it.

    Beside the markdown page lie its figures and the HTML page. Before there is a fine-tuned model they are those of
    this cycle, afterwards those of the next one. What went wrong is looked for on the way, and left in
    `folder.misses`.
    """
    misses = _look_for_misses(folder)
    inputs = page_inputs(folder)
    page = folder.leaderboard(_number(folder, inputs.stage))
    for name, figure in inputs.figures.items():
        write_bytes(page.parent / figure, render_figure(inputs, name))
    write_text(page, render(inputs))
    write_text(page_as_html(page), render_html(inputs, () if misses is None else players_of(misses)))
    return page, inputs


def page_as_html(page: Path) -> Path:
    """The HTML page beside a markdown page."""
    return page.with_suffix(".html")


def newest_page(folder: CycleFolder) -> Path | None:
    """The page that answers for the cycle: after training if there is one, else the baseline's, else None."""
    pages = [folder.leaderboard(number) for number in (folder.number + 1, folder.number)]
    return next((page for page in pages if page.exists()), None)


def page_inputs(folder: CycleFolder) -> LeaderboardInputs:
    """What the files of the cycle say. Evaluations of another model than the gate let through do not count."""
    gate = _gate(folder)
    trained = _is_trained(folder, gate)
    split = read_json(folder.split)
    page = folder.leaderboard(_number(folder, "trained" if trained else "baseline"))
    baseline_scores = read_json(folder.baseline.scores)
    next_scores = read_json(folder.next.scores) if trained else None
    boosting = read_boosting(folder)
    return LeaderboardInputs(
        cycle=folder.number,
        baseline_scores=baseline_scores,
        baseline_published_scores=read_json(folder.baseline.published_scores),
        next_scores=next_scores,
        next_published_scores=read_json(folder.next.published_scores) if trained else None,
        comparison=Comparison.from_dict(read_json(folder.comparison)) if trained else None,
        gate=gate,
        decision=Decision.from_dict(read_json(folder.decision)) if trained else None,
        split_counts=split["counts"],
        known_sentences=_known_sentences(folder),
        provenance=_provenance(folder, split, trained),
        boosting=boosting,
        boosted_scores=read_json(folder.boosted.scores) if boosting is not None and boosting.alpha else None,
        misses=_misses(folder, (next_scores or baseline_scores)["model"]),
        page=page_as_html(page).name,
        figures=_figures(page, ScoreReader(baseline_scores)),
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


def _gate(folder: CycleFolder) -> GateDecision | None:
    return GateDecision.from_dict(read_json(folder.gate)) if folder.gate.exists() else None


def _is_trained(folder: CycleFolder, gate: GateDecision | None) -> bool:
    return folder.comparison.exists() and (gate is None or gate.open)


def _number(folder: CycleFolder, stage: Stage) -> int:
    """The number of the cycle whose model the page is about."""
    return folder.number + 1 if stage == "trained" else folder.number


def _look_for_misses(folder: CycleFolder) -> Misses | None:
    """What the newest model of the cycle missed, as `write_misses` leaves it; None where the cycle has no
    pronunciations to hold it against: those of earlier versions have none."""
    if not folder.pronunciations.exists():
        return None
    return write_misses(folder, trained=_is_trained(folder, _gate(folder)))


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


def _figures(page: Path, baseline: ScoreReader) -> dict[str, str]:
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


def _provenance(folder: CycleFolder, split: dict[str, Any], trained: bool) -> dict[str, Any]:
    base = read_json(folder.base_model)
    provenance: dict[str, Any] = {
        "base": base["name"],
        "base SHA-256": base["sha256"],
        "manifest hash": content_hash(read_manifest(folder.manifest)),
        "split seed": split["settings"]["seed"],
        "baseline transcription seconds": read_json(folder.baseline.transcription)["seconds"],
    }
    if trained:
        info = read_json(folder.training_run_info)
        provenance |= {
            "model SHA-256": info["model_sha256"],
            "backend": info["backend"],
            "hyperparameters": info["hyperparameters"],
            "rows the trainer saw": info["rows_seen"],
            "best epoch": f"{info['best']['epoch']} of {len(info['epochs'])}",
            "training seconds": info["seconds"],
            "cost in US dollars": info["cost_usd"],
        }
    return provenance | {"versions": {package: version(package) for package in _PACKAGES}}


if __name__ == "__main__":
    main()
