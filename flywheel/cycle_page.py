"""The leaderboard of a cycle's folder: a pure re-rendering of the files that are there.

python -m flywheel.cycle_page cycle1      # prints the path of the page and its headline
"""

import argparse
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flywheel.audition.policy import read_state
from flywheel.cycles import CycleFolder
from flywheel.decision import Decision
from flywheel.errors import FlywheelError
from flywheel.files import read_json, write_bytes, write_text
from flywheel.gate import GateDecision
from flywheel.leaderboard import LeaderboardInputs, headline, render, render_figure
from flywheel.manifest import content_hash, read_manifest
from flywheel.scoring.comparison import Comparison

_PACKAGES = ("nemo_toolkit", "torch", "dagster", "lhotse", "espeakng-loader", "rapidfuzz")


def write_page(folder: CycleFolder) -> tuple[Path, LeaderboardInputs]:
    """Write the page of the cycle, and its figure beside it; returns the page and what is on it.

    Before there is a fine-tuned model that is the page of this cycle, afterwards that of the next one.
    """
    inputs = page_inputs(folder)
    page = folder.leaderboard(folder.number + 1 if inputs.stage == "trained" else folder.number)
    write_bytes(page.with_suffix(".png"), render_figure(inputs))
    write_text(page, render(inputs))
    return page, inputs


def newest_page(folder: CycleFolder) -> Path | None:
    """The page that answers for the cycle: after training if there is one, else the baseline's, else None."""
    pages = [folder.leaderboard(number) for number in (folder.number + 1, folder.number)]
    return next((page for page in pages if page.exists()), None)


def page_inputs(folder: CycleFolder) -> LeaderboardInputs:
    """What the files of the cycle say. Evaluations of another model than the gate let through do not count."""
    gate = GateDecision.from_dict(read_json(folder.gate)) if folder.gate.exists() else None
    trained = folder.comparison.exists() and (gate is None or gate.open)
    split = read_json(folder.split)
    number = folder.number + 1 if trained else folder.number
    return LeaderboardInputs(
        cycle=folder.number,
        baseline_scores=read_json(folder.baseline.scores),
        baseline_published_scores=read_json(folder.baseline.published_scores),
        next_scores=read_json(folder.next.scores) if trained else None,
        next_published_scores=read_json(folder.next.published_scores) if trained else None,
        comparison=Comparison.from_dict(read_json(folder.comparison)) if trained else None,
        gate=gate,
        decision=Decision.from_dict(read_json(folder.decision)) if trained else None,
        split_counts=split["counts"],
        provenance=_provenance(folder, split, trained),
        figure=folder.leaderboard(number).with_suffix(".png").name,
    )


def cycle_headline(folder: CycleFolder) -> str:
    """The two or three lines that answer for the cycle."""
    return headline(page_inputs(folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print where the page of a cycle is and its headline, or that the cycle waits for verdicts; status 1 where it has
    no page and waits for nothing."""
    parser = argparse.ArgumentParser(prog="flywheel.cycle_page", description="The answer of a cycle.")
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
        print(f"\n{cycle_headline(folder)}\n\n{page}")
    except FlywheelError as error:
        raise SystemExit(f"error: {error}") from None


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
