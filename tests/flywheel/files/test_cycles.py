"""Names of cycles and where a cycle's files lie."""

from pathlib import Path

import pytest

from flywheel.files.cycles import (
    CycleFolder,
    CycleNameError,
    cycle_name,
    cycle_number,
    earlier_cycles,
)


@pytest.mark.parametrize(
    ("cycle", "number"), [("cycle1", 1), ("cycle9", 9), ("cycle10", 10), ("cycle123", 123)]
)
def test_a_cycles_name_and_number_say_the_same(cycle: str, number: int) -> None:
    assert cycle_number(cycle) == number
    assert cycle_name(number) == cycle


@pytest.mark.parametrize(
    "cycle",
    [
        "",
        "cycle",
        "cycle0",
        "cycle01",
        "cycle-1",
        "cycle 1",
        "Cycle1",
        "1",
        "cycle1.0",
        "cycle1\n",
        "cycle1/x",
        "cycle²",
    ],
)
def test_what_is_no_cycle_is_refused_with_what_is_allowed(cycle: str, tmp_path: Path) -> None:
    for refused in (lambda: cycle_number(cycle), lambda: CycleFolder(tmp_path, cycle)):
        with pytest.raises(CycleNameError) as caught:
            refused()
        assert repr(cycle) in str(caught.value)
        assert "cycle1, cycle2" in str(caught.value)


@pytest.mark.parametrize("number", [0, -1])
def test_cycles_count_from_one(number: int) -> None:
    with pytest.raises(CycleNameError, match=r"allowed: 1, 2"):
        cycle_name(number)


def test_every_file_has_its_documented_name() -> None:
    folder = CycleFolder(Path("data"), "cycle2")
    assert {
        "sentences": folder.sentences,
        "manifest": folder.manifest,
        "split": folder.split,
        "train": folder.train,
        "development": folder.development,
        "validation": folder.validation,
        "finetune": folder.finetune,
        "model": folder.adapted_model,
        "info": folder.training_run_info,
        "gate": folder.gate,
        "decision": folder.decision,
        "page": folder.leaderboard(3),
        "baseline": folder.baseline.root,
        "next rows": folder.next.rows,
        "next hyps": folder.next.hyps,
        "next results": folder.next.results,
        "next scores": folder.next.scores,
        "next published": folder.next.published_scores,
    } == {
        name: Path("data/cycles/cycle2") / file
        for name, file in {
            "sentences": "sentences.jsonl",
            "manifest": "manifest.jsonl",
            "split": "split.json",
            "train": "train.jsonl",
            "development": "development.jsonl",
            "validation": "validation.jsonl",
            "finetune": "finetune",
            "model": "adapted_model.nemo",
            "info": "training_run_info.json",
            "gate": "gate.json",
            "decision": "decision.json",
            "page": "leaderboard_cycle3.md",
            "baseline": "baseline",
            "next rows": "next/rows.jsonl",
            "next hyps": "next/offline_hyps.jsonl",
            "next results": "next/results.csv",
            "next scores": "next/scores.json",
            "next published": "next/scores_published.json",
        }.items()
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Cycles 1, 2, 9 and 10, and things that are none."""
    for name in ("cycle10", "cycle2", "cycle1", "cycle9", "cycle03", "notes"):
        (tmp_path / "cycles" / name).mkdir(parents=True)
    (tmp_path / "cycles" / "cycle4").write_text("a file, not a folder")
    return tmp_path


@pytest.mark.parametrize(
    ("cycle", "earlier"),
    [
        ("cycle1", []),
        ("cycle2", ["cycle1"]),
        ("cycle5", ["cycle1", "cycle2"]),
        ("cycle10", ["cycle1", "cycle2", "cycle9"]),
        ("cycle11", ["cycle1", "cycle2", "cycle9", "cycle10"]),
    ],
)
def test_earlier_cycles_come_in_numeric_order(data: Path, cycle: str, earlier: list[str]) -> None:
    assert [folder.cycle for folder in earlier_cycles(data, cycle)] == earlier


def test_a_fresh_machine_has_no_earlier_cycles(tmp_path: Path) -> None:
    assert earlier_cycles(tmp_path / "data", "cycle3") == ()
