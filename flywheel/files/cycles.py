"""Names of cycles, and every file of a cycle's folder, in one place.

    data/cycles/cycle1/  term_seed.csv sentences.jsonl pronunciations.jsonl audition/ spoken.jsonl dropped.jsonl
                         recordings.jsonl quarantine.jsonl offered.txt
                         manifest.jsonl split.json train.jsonl development.jsonl validation.jsonl
                         base_model.json baseline/ boosted/ boosting.json gate.json finetune/ next/
                         comparison.json decision.json misses.json
                         adapted_model.nemo training_run_info.json leaderboard_cycle1.md leaderboard_cycle1.html ...

Nothing here writes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from flywheel.errors import FlywheelError

__all__ = [
    "CycleFolder",
    "CycleNameError",
    "EvalFolder",
    "all_cycles",
    "cycle_name",
    "cycle_number",
    "earlier_cycles",
    "made_by",
]

_CYCLES = "cycles"
_MADE_BY = MappingProxyType(
    {
        "base_model.json": "base_model",
        "boosting.json": "boosted_eval",
        "comparison.json": "decision",
        "decision.json": "decision",
        "gate.json": "gate_decision",
        "misses.json": "leaderboard",
        "split.json": "split",
        "state.json": "audition_page",
        "training_run_info.json": "adapted_model",
    }
)
"""The asset that writes each of a cycle's records."""
_EVALUATIONS = MappingProxyType({"baseline": "baseline_eval", "boosted": "boosted_eval", "next": "next_eval"})
"""The asset that fills the folder of each evaluation."""
_NAME = re.compile(r"cycle([1-9][0-9]*)")


class CycleNameError(FlywheelError):
    """A name or number that is not a cycle's."""


def cycle_number(cycle: str) -> int:
    """3 for ``"cycle3"``; raises `CycleNameError` for anything but `cycle` and a whole number from 1."""
    found = _NAME.fullmatch(cycle)
    if found is None:
        raise CycleNameError(f"{cycle!r} is not a cycle; allowed: cycle1, cycle2, ... without leading zeros")
    return int(found.group(1))


def cycle_name(number: int) -> str:
    """``"cycle3"`` for 3; raises `CycleNameError` below 1."""
    if number < 1:
        raise CycleNameError(f"{number} is not the number of a cycle; allowed: 1, 2, ...")
    return f"cycle{number}"


@dataclass(frozen=True, slots=True)
class EvalFolder:
    """The files of one evaluation of one model."""

    root: Path

    @property
    def rows(self) -> Path:
        """The manifest of the rows that were evaluated."""
        return self.root / "rows.jsonl"

    @property
    def hyps(self) -> Path:
        """Hypotheses: a row's id, `text`, `pred_text` and clinical fields; one JSON object a row."""
        return self.root / "offline_hyps.jsonl"

    @property
    def transcription(self) -> Path:
        """What the hypotheses are of: model, rows, seconds."""
        return self.root / "transcription.json"

    @property
    def scored_rows(self) -> Path:
        """The rows with their errors, counted once; see `flywheel.scoring.row_table`."""
        return self.root / "rows.parquet"

    @property
    def results(self) -> Path:
        """The same table as CSV."""
        return self.root / "results.csv"

    @property
    def scores(self) -> Path:
        """Scores over slices, with the flywheel's own normaliser."""
        return self.root / "scores.json"

    @property
    def published_scores(self) -> Path:
        """The same with the published clinical normaliser."""
        return self.root / "scores_published.json"


@dataclass(frozen=True, slots=True)
class CycleFolder:
    """The folder of one cycle below `data`; it need not exist.

    Raises:
        CycleNameError: `cycle` is no cycle's name.
    """

    data: Path
    cycle: str

    def __post_init__(self) -> None:
        cycle_number(self.cycle)

    @property
    def number(self) -> int:
        """3 for ``"cycle3"``."""
        return cycle_number(self.cycle)

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self.data / _CYCLES / self.cycle

    @property
    def term_seed(self) -> Path:
        """The terms of the cycle, as they were when it ran."""
        return self.root / "term_seed.csv"

    @property
    def base_model(self) -> Path:
        """Which model the cycle starts from."""
        return self.root / "base_model.json"

    @property
    def comparison(self) -> Path:
        """Both evaluations side by side, paired by row."""
        return self.root / "comparison.json"

    @property
    def sentences(self) -> Path:
        """What is spoken: one sentence a line, clinical and general."""
        return self.root / "sentences.jsonl"

    @property
    def pronunciations(self) -> Path:
        """How each term is spoken, where that comes from, and what else is proposed."""
        return self.root / "pronunciations.jsonl"

    @property
    def audition(self) -> Path:
        """The folder of the page on which pronunciations are heard and judged: `index.html` and its clips."""
        return self.root / "audition"

    @property
    def dropped(self) -> Path:
        """Rows that could not be spoken, each with its reason; as many as the user allowed."""
        return self.root / "dropped.jsonl"

    @property
    def spoken(self) -> Path:
        """The rows that were spoken here, in the order planned; the manifest adds the recordings to them."""
        return self.root / "spoken.jsonl"

    @property
    def recordings(self) -> Path:
        """The dropped recordings that joined the cycle, as rows of its manifest."""
        return self.root / "recordings.jsonl"

    @property
    def quarantine(self) -> Path:
        """The dropped recordings that did not join, each with its reasons."""
        return self.root / "quarantine.jsonl"

    @property
    def offered(self) -> Path:
        """The dropped recordings that the cycle was offered: growth is counted against them."""
        return self.root / "offered.txt"

    @property
    def manifest(self) -> Path:
        """All rows of the cycle, before the split."""
        return self.root / "manifest.jsonl"

    @property
    def split(self) -> Path:
        """What the split set aside, and why: counts, held-out terms and voices, seed, warnings."""
        return self.root / "split.json"

    @property
    def train(self) -> Path:
        """The manifest the trainer learns from."""
        return self.root / "train.jsonl"

    @property
    def development(self) -> Path:
        """The manifest the trainer picks its best checkpoint on."""
        return self.root / "development.jsonl"

    @property
    def validation(self) -> Path:
        """The manifest of the held-out rows, which no training has seen in any way."""
        return self.root / "validation.jsonl"

    @property
    def baseline(self) -> EvalFolder:
        """The evaluation of the cycle's base model."""
        return EvalFolder(self.root / "baseline")

    @property
    def boosted(self) -> EvalFolder:
        """The evaluation of the cycle's base model with its terms boosted at decoding."""
        return EvalFolder(self.root / "boosted")

    @property
    def boosting_trials(self) -> Path:
        """The manifest of the rows on which the strength of boosting is chosen."""
        return self.boosted.root / "trials.jsonl"

    @property
    def boosting_plan(self) -> Path:
        """The terms to boost and the strengths to try."""
        return self.boosted.root / "plan.json"

    @property
    def boosting(self) -> Path:
        """How strongly the terms were boosted, how that was chosen, and what came of it beside the baseline."""
        return self.root / "boosting.json"

    @property
    def next(self) -> EvalFolder:
        """The evaluation of the adapted model, called cycle N+1's."""
        return EvalFolder(self.root / "next")

    @property
    def finetune(self) -> Path:
        """The folder of what a fine-tuning leaves beside its model: logs and metrics."""
        return self.root / "finetune"

    @property
    def adapted_model(self) -> Path:
        """The fine-tuned model."""
        return self.root / "adapted_model.nemo"

    @property
    def training_run_info(self) -> Path:
        """Hyperparameters, rows seen, final metrics, versions, seed, seconds, cost."""
        return self.root / "training_run_info.json"

    @property
    def gate(self) -> Path:
        """Whether fine-tuning was allowed, with reasons."""
        return self.root / "gate.json"

    @property
    def decision(self) -> Path:
        """Whether the adapted model was kept, with reasons."""
        return self.root / "decision.json"

    @property
    def misses(self) -> Path:
        """The terms that are missed, what was heard instead and why, and the rows worth listening to."""
        return self.root / "misses.json"

    @property
    def history(self) -> Path:
        """The page over this cycle and those before it; its figure lies beside it."""
        return self.root / "history.md"

    def leaderboard(self, number: int) -> Path:
        """The page about the model of cycle `number`: the cycle's own, or the next one's."""
        return self.root / f"leaderboard_{cycle_name(number)}.md"

    def leaderboard_html(self, number: int) -> Path:
        """The same page as one HTML file that can be passed on: figures and sound are in it."""
        return self.root / f"leaderboard_{cycle_name(number)}.html"


def made_by(path: Path) -> str:
    """The name of the asset that writes a file of a cycle's folder; empty where it is none of those known here."""
    return _MADE_BY.get(path.name) or _EVALUATIONS.get(path.parent.name, "")


def all_cycles(data: Path) -> tuple[CycleFolder, ...]:
    """Cycles that have a folder, in numeric order. Folders with other names do not count."""
    root = data / _CYCLES
    names = [entry.name for entry in root.iterdir() if entry.is_dir()] if root.is_dir() else []
    found = sorted(cycle_number(name) for name in names if _NAME.fullmatch(name))
    return tuple(CycleFolder(data, cycle_name(number)) for number in found)


def earlier_cycles(data: Path, cycle: str) -> tuple[CycleFolder, ...]:
    """Those of `all_cycles` that come before `cycle`."""
    number = cycle_number(cycle)
    return tuple(folder for folder in all_cycles(data) if folder.number < number)
