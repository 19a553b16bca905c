"""What each choice of the recipe does: the bundled base fine-tuned again with one thing changed at a time.

    make ablation                                   # the corpus, then every arm; about half an hour on two cores
    python -m benchmarks.ablation data/ablation     # the arms alone, on a cycle that has its baseline

Replay of general rows, learning rate, epochs and frozen layers, each below and above what the recipe has. The rows
are split with a seed of their own (7, see the Makefile), so that the rows on which these choices were made are not
the rows on which a cycle is judged; terms and sentences are the same. An arm that is done is not done again.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flywheel.corpus.manifest import ManifestRow, read_manifest, write_manifest
from flywheel.corpus.split.subsets import SplitRecord
from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_text
from flywheel.files.cycles import CycleFolder
from flywheel.files.markdown import table
from flywheel.files.records import read_record
from flywheel.recognisers.bases import Base, read_base
from flywheel.recognisers.evaluation import model_label, read_scored_rows, score, transcribe
from flywheel.recognisers.nemo_asr import TINY, TrainingRecord, chosen_hyperparameters, finetune
from flywheel.scoring import Comparison, compare
from flywheel.scoring.numbers_as_text import change_in_points, missed_of, misses
from flywheel.verdict.decision import DecisionSettings
from flywheel.verdict.gate import GateSettings
from resources.compute.local import LocalBackend

CYCLE = "cycle1"


@dataclass(frozen=True, slots=True)
class Arm:
    """One training: the recipe with `changes` to its hyperparameters, and a share of the replayed rows."""

    name: str
    replayed: float = 1.0
    changes: Mapping[str, Any] = field(default_factory=dict)


ARMS = (
    Arm("the recipe"),
    Arm("no replay", replayed=0.0),
    Arm("half of the replay", replayed=0.5),
    Arm("lr 3e-4", changes={"lr": 3e-4}),
    Arm("lr 2.4e-3", changes={"lr": 2.4e-3}),
    Arm("3 epochs", changes={"max_epochs": 3}),
    Arm("15 epochs", changes={"max_epochs": 15}),
    Arm("3 of 6 layers frozen", changes={"frozen_encoder_layers": 3}),
    Arm("6 of 6 layers frozen", changes={"frozen_encoder_layers": 6}),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and measure every arm, print and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="a data folder whose cycle1 has its baseline")
    parser.add_argument("--output", type=Path, default=Path("docs/ablation.md"))
    parser.add_argument("--arms", nargs="+", default=[arm.name for arm in ARMS], metavar="ARM")
    options = parser.parse_args(arguments)
    cycle = CycleFolder(options.data.absolute(), CYCLE)
    lines = []
    for arm in (arm for arm in ARMS if arm.name in options.arms):
        lines.append(_line(arm, cycle))
        print(" | ".join(lines[-1]), flush=True)
    write_text(options.output, _page(lines, cycle))
    print(options.output)
    return 0


def _trained(arm: Arm, base: Base, cycle: CycleFolder, folder: CycleFolder) -> TrainingRecord:
    """Train and evaluate an arm in a folder of its own; what the training says of itself."""
    write_manifest(folder.train, _training_rows(read_manifest(cycle.train), arm.replayed))
    write_manifest(folder.development, read_manifest(cycle.development))
    write_manifest(folder.next.rows, read_manifest(cycle.baseline.rows))
    backend = LocalBackend(work_root=folder.data / "work")
    hyperparameters = chosen_hyperparameters(base, arm.changes, accelerator=False)

    def say(line: str) -> None:
        print(f"{arm.name}: {line}", flush=True)

    run = finetune(base, folder, hyperparameters, backend, say, accelerator=False, timeout=3600.0)
    adapted = Base(arm.name, folder.adapted_model, base.origin)
    transcribe(adapted, folder.next, backend, say)
    score(folder.next, model_label(adapted))
    return run.info


def _training_rows(rows: Sequence[ManifestRow], replayed: float) -> list[ManifestRow]:
    """All clinical rows, and the first share of the replayed ones by their id, which is a hash."""
    replay = sorted((row for row in rows if row.subset == "replay"), key=lambda row: row.id)
    kept = {row.id for row in replay[: round(replayed * len(replay))]}
    return [row for row in rows if row.subset != "replay" or row.id in kept]


_HEADER = (
    *("arm", "training rows", "replayed", "drug terms missed", "in unseen voices", "unseen terms missed"),
    *("general WER, change in points", "within the cap", "best epoch"),
)


def _line(arm: Arm, cycle: CycleFolder) -> list[str]:
    """An arm's line of the table; trains it if that is not done yet."""
    folder = CycleFolder(cycle.data / "arms" / arm.name.replace(" ", "-"), CYCLE)
    info = _trained(arm, read_base(cycle.base_model), cycle, folder)
    comparison = compare(
        read_scored_rows(cycle.baseline),
        read_scored_rows(folder.next),
        priority_categories=GateSettings().priority_categories,
    )
    general = comparison.general_wer
    if general is None or general.difference.high is None:
        raise FlywheelError(f"{cycle.root}: no general rows to measure forgetting on")
    rows = read_manifest(folder.train)
    return [
        arm.name,
        str(len(rows)),
        str(sum(row.subset == "replay" for row in rows)),
        *(_missed(comparison, name) for name in ("held_out", "unseen_voice", "unseen_term")),
        f"{change_in_points(general.difference)}, n = {general.after.n}",
        "yes" if general.difference.high <= DecisionSettings().general_wer_cap else "no",
        f"{info.best.epoch} of {len(info.epochs)}",
    ]


def _missed(comparison: Comparison, name: str) -> str:
    """`48 -> 6 of 48`: terms missed before and after; of held-out rows those of the priority categories."""
    compared = comparison.slices[name]
    ker = compared.priority_ker if name == "held_out" else compared.ker
    return "not measured" if ker is None else f"{misses(ker.before)} -> {missed_of(ker.after)}"


def _page(lines: Sequence[Sequence[str]], cycle: CycleFolder) -> str:
    """The table with what is needed to read it and to make it again."""
    seed = read_record(cycle.split, SplitRecord).settings.seed
    recipe = ", ".join(f"{name} {value}" for name, value in asdict(TINY).items())
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "nemo_toolkit"))
    cap = DecisionSettings().general_wer_cap * 100
    return f"""# What each choice of the recipe does

`make ablation` writes this table. The bundled base is fine-tuned on the starter seed again and again, each time with
one thing changed. The rows are split with seed {seed}, not with that of a cycle. Each line is one training with one
random seed, so that small differences between lines are chance. Terms missed are before -> after. "Within the cap"
asks that the upper end of the interval of the change in general WER be at most {cap:+.1f} point.

{table(_HEADER, lines)}

The recipe: {recipe}. {versions}.
"""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FlywheelError as error:
        sys.exit(f"error: {error}")
