"""What counts of a cycle's files: those that fit together now."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel.files.cycles import CycleFolder
from flywheel.files.steps import STEPS, CycleSteps, StepNotCurrent

LATER_THAN_SPLIT = ("baseline_eval", "boosted_eval", "gate", "adapted_model", "next_eval", "decision")


@pytest.fixture
def steps(tmp_path: Path) -> CycleSteps:
    """A cycle in which every step left all its files."""
    folder = CycleFolder(tmp_path, "cycle1")
    steps = CycleSteps(folder)
    for name, step in STEPS.items():
        for file in (*step.writes, *step.notes):
            path = folder.root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"file": file, "of": name}))
        steps.stamp(name)
    return steps


def write(steps: CycleSteps, file: str, text: str) -> None:
    path = steps.folder.root / file
    path.write_text(text)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000))


def current(steps: CycleSteps) -> set[str]:
    return {step for step in STEPS if steps.is_current(step)}


def test_each_step_reads_steps_that_are_made_before_it() -> None:
    order = list(STEPS)
    for name, step in STEPS.items():
        assert all(order.index(each) < order.index(name) for each in (*step.reads, *step.may_read)), name


def test_no_file_is_of_two_steps() -> None:
    files = [file for step in STEPS.values() for file in (*step.writes, *step.notes)]
    assert len(files) == len(set(files))


def test_all_count_where_nothing_was_touched(steps: CycleSteps) -> None:
    assert current(steps) == set(STEPS)
    assert steps.left_aside() == ()


def test_what_was_made_of_something_else_does_not_count_until_it_is_made_again(steps: CycleSteps) -> None:
    write(steps, "term_seed.csv", "another list")
    steps.stamp("term_seed")
    assert current(steps) == {"term_seed", "recordings", "base_model"}
    assert steps.why_not("sentences") == "sentences is of another term_seed than the cycle has now"
    steps.stamp("sentences")
    assert "sentences" in current(steps)
    assert "speech" not in current(steps), "its pronunciations are still of the list before"


@pytest.mark.parametrize("file", [file for step in STEPS.values() for file in (*step.writes, *step.notes)])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(Path.unlink, id="removed"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:9]), id="halved"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
    ],
)
def test_a_damaged_file_takes_its_step_and_what_follows_with_it(
    steps: CycleSteps, file: str, damage: Callable[[Path], object]
) -> None:
    (owner,) = (name for name, step in STEPS.items() if file in (*step.writes, *step.notes))
    damage(steps.folder.root / file)
    assert not steps.is_current(owner)
    with pytest.raises(
        StepNotCurrent, match=rf"^cycle1: .*; materialise {STEPS[owner].asset} again$"
    ) as raised:
        steps.require(owner)
    assert file in str(raised.value)
    for name, step in STEPS.items():
        if owner in step.reads:
            assert not steps.is_current(name), name


def test_a_note_that_differs_changes_nothing_for_others(steps: CycleSteps) -> None:
    write(steps, "baseline/transcription.json", '{"seconds": 3}')
    steps.stamp("baseline_eval")
    assert current(steps) == set(STEPS)


def test_where_audio_and_models_lie_says_nothing(steps: CycleSteps) -> None:
    write(steps, "manifest.jsonl", '{"audio_filepath": "/here/speech/a.wav", "text": "a"}')
    steps.stamp("manifest")
    content = steps.content("manifest")
    write(steps, "manifest.jsonl", '{"audio_filepath": "/there/data/speech/a.wav", "text": "a"}')
    assert steps.content("manifest") == content
    write(steps, "manifest.jsonl", '{"audio_filepath": "/there/data/speech/b.wav", "text": "a"}')
    assert steps.content("manifest") != content


def test_a_step_that_may_be_left_out_counts_where_it_is(steps: CycleSteps) -> None:
    steps.forget("boosted_eval")
    assert steps.why_not("decision") == "decision is of another boosted_eval than the cycle has now"
    steps.stamp("decision")
    assert steps.is_current("decision")


@pytest.mark.parametrize("stamp", ["", "{", "{}", '{"made_from": {}}'])
def test_a_damaged_stamp_is_a_step_to_make_again(steps: CycleSteps, stamp: str) -> None:
    write(steps, "made/gate.json", stamp)
    problem = steps.problem("gate")
    assert problem is not None
    assert problem.endswith("made/gate.json is damaged; materialise gate_decision again")


def test_files_of_an_earlier_version_say_so(steps: CycleSteps) -> None:
    for step in LATER_THAN_SPLIT:
        steps.forget(step)
    assert steps.problem("decision") == (
        "decision is of an earlier version of the flywheel; materialise decision again"
    )
    assert steps.was_made("decision")


def test_a_folder_without_anything_asks_for_the_step(tmp_path: Path) -> None:
    steps = CycleSteps(CycleFolder(tmp_path, "cycle3"))
    assert not steps.was_made("split")
    with pytest.raises(StepNotCurrent, match=r"^cycle3: split is not made yet; materialise split again$"):
        steps.require("split")
