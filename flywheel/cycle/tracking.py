"""What a tracker is told of a cycle: settings, losses, figures, tables and the page, read from the cycle's files.

The names of figures are paths, `baseline/held_out/ker`, with `_low`, `_high` and `_n` for interval and rows.
What was not measured is left out, never 0.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from flywheel.corpus.manifest import ManifestRow, read_manifest, rebase
from flywheel.corpus.split.subsets import SplitRecord
from flywheel.cycle.page import page_inputs
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import Json, plain, read_record
from flywheel.recognisers.bases import read_base
from flywheel.recognisers.nemo_asr import TrainingRecord
from flywheel.report.leaderboard import LeaderboardInputs, headline, render
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.scores import Place, Scores

__all__ = ["AXES", "CycleRecord", "Table", "cycle_record", "eval_figures", "losses_in", "portable_manifests"]

AXES = MappingProxyType({"training/*": "training/step", "epochs/*": "epochs/epoch"})
"""Over which figure the others of its family are drawn."""

_NUMBER = r"[-+]?(?:nan|inf|[0-9.]+(?:e[-+]?[0-9]+)?)"
_STEP = re.compile(rf"(?:epoch (?P<epoch>\d+) )?step (?P<step>\d+)(?: of \d+)? loss (?P<loss>{_NUMBER})\b.*")
_EPOCH = re.compile(r"epoch (?P<epoch>\d+) done: (?P<figures>.+)")
_FIGURE = re.compile(rf"(?P<name>train_loss|val_loss|val_wer) (?P<value>{_NUMBER})")

_HEADLINE = ("ker", "wer", "cer", "ser", "keyword_precision", "false_insertions")
_BOUNDS = ("low", "high", "n")
_TABLE_HEADER = ("slice", "breakdown", "level", "metric")
_EPOCH_COLUMNS = ("epoch", "steps", "train_loss", "val_loss", "val_wer")


def losses_in(line: str) -> dict[str, float] | None:
    """The figures in a line of a fine-tuning job, by name; None where the line holds none.

    Both `epoch 1 step 20 of 400 loss 1.25 (...)` of the driver and `step 20 loss 1.25` beside NeMo's own script
    are known; `epoch 1 done: ...` gives the epoch's figures. A loss that is not a number stays one: it is news.
    """
    if step := _STEP.fullmatch(line.strip()):
        figures = {"training/step": float(step["step"]), "training/loss": float(step["loss"])}
        return figures | ({"training/epoch": float(step["epoch"])} if step["epoch"] else {})
    if epoch := _EPOCH.fullmatch(line.strip()):
        found = {
            f"epochs/{each['name']}": float(each["value"]) for each in _FIGURE.finditer(epoch["figures"])
        }
        return {"epochs/epoch": float(epoch["epoch"]), **found} if found else None
    return None


def eval_figures(name: str, scores: Scores) -> dict[str, float]:
    """The figures of one evaluation: each slice's headline metrics, and its KER by entity category.

    Args:
        name: of the evaluation, with which every figure's name begins.
        scores: of it.
    """
    figures: dict[str, float] = {}
    for place, estimate in scores.estimates():
        if not place.breakdown and place.metric in _HEADLINE:
            figures |= _figure(f"{name}/{place.slice}/{place.metric}", estimate)
        elif place.breakdown == "entity_category" and place.metric == "ker":
            figures |= _figure(f"{name}/{place.slice}/entity_category/{place.level}/ker", estimate)
    return figures


def _figure(name: str, estimate: Estimate) -> dict[str, float]:
    bounds = {bound: getattr(estimate, bound) for bound in _BOUNDS}
    known = {f"{name}_{bound}": value for bound, value in bounds.items() if value is not None}
    return {name: estimate.value, **known}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns; what was not measured is None."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class CycleRecord:
    """A cycle as its files tell it.

    Args:
        config: what the cycle was run with: base, manifest's hash, split and gate settings, seeds, normaliser,
            versions, and the hyperparameters where something was trained.
        figures: numbers by name, of both evaluations and of what followed from them.
        tables: by name: `leaderboard`, and `epochs` where something was trained.
        headline: the two or three lines that answer for the cycle.
        page: the leaderboard as markdown.
    """

    config: Mapping[str, Json]
    figures: Mapping[str, float]
    tables: Mapping[str, Table]
    headline: str
    page: str


def cycle_record(folder: CycleFolder) -> CycleRecord:
    """The record of a cycle that has come as far as a leaderboard."""
    inputs = page_inputs(folder)
    trained = inputs.stage == "trained"
    info = read_record(folder.training_run_info, TrainingRecord) if trained else None
    figures = eval_figures("baseline", inputs.before)
    if inputs.after is not None:
        figures |= eval_figures("next", inputs.after)
    tables = {"leaderboard": _leaderboard_table(inputs)}
    if info is not None:
        tables["epochs"] = Table(
            _EPOCH_COLUMNS,
            tuple(tuple(getattr(epoch, name) for name in _EPOCH_COLUMNS) for epoch in info.epochs),
        )
    return CycleRecord(
        config=_config(folder, inputs, info),
        figures=figures | _outcome(inputs, info),
        tables=tables,
        headline=headline(inputs),
        page=render(inputs),
    )


def _config(folder: CycleFolder, inputs: LeaderboardInputs, info: TrainingRecord | None) -> dict[str, Json]:
    base = read_base(folder.base_model)
    config: dict[str, Json] = {
        "cycle": folder.cycle,
        "stage": inputs.stage,
        "base": {
            # A file's folder is nobody's business.
            "name": base.name if base.file is None else Path(base.name).name,
            "origin": base.origin,
            "sha256": base.sha256,
        },
        "manifest": inputs.provenance["manifest hash"],
        "split": plain(read_record(folder.split, SplitRecord).settings),
        "normalizer": str(inputs.before.normalizer),
        "versions": inputs.provenance["versions"],
    }
    if inputs.gate is not None:
        config["gate"] = {
            "priority_categories": list(inputs.gate.priority_categories),
            **{criterion.name: criterion.required for criterion in inputs.gate.criteria},
        }
    if info is not None:
        config |= {
            "hyperparameters": plain(info.hyperparameters),
            "backend": info.backend,
            "seed": info.seed,
        }
    return config


def _outcome(inputs: LeaderboardInputs, info: TrainingRecord | None) -> dict[str, float]:
    outcome: dict[str, float] = {}
    if inputs.gate is not None:
        outcome["gate/open"] = int(inputs.gate.open)
    if inputs.decision is not None:
        outcome["decision/promote"] = int(inputs.decision.promote)
        if inputs.decision.relative_drop is not None:
            outcome["decision/relative_drop"] = inputs.decision.relative_drop
    if info is not None:
        outcome |= {
            "finetune/seconds": info.seconds,
            "finetune/billed_seconds": info.billed_seconds,
            "finetune/steps": info.steps,
            "finetune/cost_usd": info.cost_usd,
        }
        if info.best.val_wer is not None:
            outcome["finetune/best_val_wer"] = info.best.val_wer
    return outcome


def _leaderboard_table(inputs: LeaderboardInputs) -> Table:
    """Every estimate of both evaluations, the same row of each side by side."""
    sides: dict[str, dict[Place, Estimate]] = {"before": dict(inputs.before.estimates())}
    if inputs.after is not None:
        sides["after"] = dict(inputs.after.estimates())
    places = dict.fromkeys(place for side in sides.values() for place in side)
    columns = [*_TABLE_HEADER]
    for name in sides:
        columns += [name, *(f"{name} {bound}" for bound in _BOUNDS)]
    return Table(
        tuple(columns),
        tuple(
            (*place, *(cell for side in sides.values() for cell in _cells(side.get(place))))
            for place in places
        ),
    )


def _cells(estimate: Estimate | None) -> Sequence[float | None]:
    if estimate is None:
        return [None] * (1 + len(_BOUNDS))
    return [estimate.value, *(getattr(estimate, bound) for bound in _BOUNDS)]


def portable_manifests(folder: CycleFolder) -> dict[str, tuple[ManifestRow, ...]]:
    """The cycle's manifests by file name, their audio in a folder `audio` beside them, wherever it lies here."""
    files = (folder.manifest, folder.train, folder.development, folder.validation)
    return {
        file.name: rebase(read_manifest(file, allow_empty=True), lambda path: f"audio/{path.name}")
        for file in files
        if file.exists()
    }
