"""A finished cycle that is changed and run again: what depends on the change is made anew, and nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from flywheel.corpus.manifest import read_manifest
from flywheel.files.atomic import read_json
from flywheel.files.cycle_lock import cycle_lock
from flywheel.files.steps import STEPS, CycleSteps
from tests import flite_command
from tests.assets.whole_cycle import SEED, Workplace
from tests.drop_folder import HUMAN, Drop

pytestmark = pytest.mark.real

ALL_JOBS = ["transcribe", "boost", "finetune", "transcribe"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with dg.DagsterInstance.ephemeral() as instance, pytest.MonkeyPatch.context() as patch:
        place = Workplace(tmp_path_factory.mktemp("finished") / "place", instance, patch)
        ran = place.turn()
        assert ran.success, ran.said
        assert ran.jobs == ALL_JOBS
        yield place


@pytest.fixture
def place(finished: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield finished.copy(tmp_path / "place", instance, monkeypatch)


def whole(place: Workplace, cycle: str = "cycle1") -> bool:
    steps = CycleSteps(place.cycle(cycle))
    return all(steps.is_current(step) for step in STEPS)


def test_unchanged_nothing_is_made_again(place: Workplace) -> None:
    # The copied folder lies elsewhere, and manifests name where audio lies.
    assert place.turn().jobs == []
    before = place.contents()
    ran = place.turn()
    assert ran.success, ran.said
    assert ran.jobs == []
    assert ran.told["speech"]["synthesised"] == 0
    assert {name for name, content in place.contents().items() if before.get(name) != content} == set()
    assert "is made again" not in ran.said


def test_a_term_that_is_added_is_spoken_and_all_models_hear_it(place: Workplace) -> None:
    known = {row.id for row in read_manifest(place.cycle().manifest)}
    place.seed.write_text(f"{SEED}lisinopril,drug\n")
    ran = place.turn()
    assert ran.success, ran.said
    assert ran.jobs == ALL_JOBS
    new = [row for row in read_manifest(place.cycle().manifest) if row.id not in known]
    assert {row.term for row in new} == {"lisinopril"}
    assert ran.told["speech"]["files"] - ran.told["speech"]["cache_hits"] == len(new)
    assert "decision is of another baseline_eval than the cycle has now: it is made again" in ran.said
    assert whole(place)


def test_a_term_that_is_removed_is_heard_no_more_and_nothing_is_spoken(place: Workplace) -> None:
    place.seed.write_text(SEED.replace("metoprolol,drug\n", ""))
    ran = place.turn()
    assert ran.success, ran.said
    assert ran.jobs == ALL_JOBS
    assert ran.told["speech"]["synthesised"] == 0
    assert "metoprolol" not in {row.term for row in read_manifest(place.cycle().baseline.rows)}
    assert whole(place)


def test_another_list_takes_the_place_of_the_first(place: Workplace) -> None:
    place.seed.write_text("term,entity_category\nwarfarin,drug\nheparin,drug\ndigoxin,drug\n")
    ran = place.turn()
    assert ran.success, ran.said
    assert {row.term for row in read_manifest(place.cycle().next.rows)} - {None} == {
        "warfarin",
        "heparin",
        "digoxin",
    }
    assert whole(place)


def test_an_override_has_the_rows_of_its_term_spoken_anew_and_no_others(place: Workplace) -> None:
    known = {row.id for row in read_manifest(place.cycle().manifest)}
    (place.data / "pronunciation_overrides.csv").write_text(
        "term,ipa,verified_by,verified_at,notes\nmetoprolol,ˈmɛtəprɒl,me,2026-01-01,\n"
    )
    ran = place.turn()
    assert ran.success, ran.said
    new = [row for row in read_manifest(place.cycle().manifest) if row.id not in known]
    assert {row.term for row in new} == {"metoprolol"}
    assert ran.told["speech"]["files"] - ran.told["speech"]["cache_hits"] == len(new)
    assert ran.jobs == ALL_JOBS
    assert whole(place)


def test_a_second_engine_adds_rows_that_are_only_heard(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.root / "bin").mkdir()
    flite_command.install(place.root / "bin")
    monkeypatch.setenv("PATH", f"{place.root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FLYWHEEL_SECOND_ENGINE", "auto")
    ran = place.turn()
    assert ran.success, ran.said
    assert ran.jobs == ["transcribe", "boost", "transcribe"], (
        "the training rows are the same: none is trained"
    )
    assert ran.told["speech"]["rows of an unseen engine"] > 0
    assert whole(place)


def test_another_seed_of_the_split_speaks_nothing(place: Workplace) -> None:
    ran = place.turn(config={"split": {"seed": 7}})
    assert ran.success, ran.said
    assert ran.told["speech"]["synthesised"] == 0
    assert ran.jobs == ALL_JOBS
    assert whole(place)


def test_a_recording_joins_and_a_withdrawn_one_goes(place: Workplace) -> None:
    drop = Drop(place.root)
    drop.root = place.data / "recordings"
    drop.root.mkdir(exist_ok=True)
    drop.manifest(drop.recording("a.wav", 1, HUMAN))
    drop.settle()
    ran = place.turn()
    assert ran.success, ran.said
    assert ran.jobs == ["transcribe", "boost", "transcribe"], "people are only measured on"
    assert ran.told["manifest"]["human rows"] == 1
    assert whole(place)
    (drop.root / "withdrawn.txt").write_text("nurse-1\n")
    drop.settle()
    ran = place.turn()
    assert ran.success, ran.said
    assert ran.told["manifest"]["human rows"] == 0
    assert ran.jobs == ["transcribe", "boost", "transcribe"]
    assert whole(place)


def test_another_base_is_heard_and_trained_and_nothing_is_spoken(place: Workplace) -> None:
    base = place.root / "mine.nemo"
    base.write_bytes(b"another base")
    before = place.cycle().split.read_bytes()
    ran = place.turn(config={"base_model": {"name": str(base)}})
    assert ran.success, ran.said
    assert ran.jobs == ALL_JOBS[:3], "the made-up training leaves the same model: what it hears is known"
    assert ran.told["speech"]["synthesised"] == 0
    assert place.cycle().split.read_bytes() == before
    assert whole(place)


def test_a_cycle_that_others_build_on_is_not_changed_unasked(place: Workplace) -> None:
    assert place.turn("cycle2").success
    before = place.contents()
    place.seed.write_text(f"{SEED}lisinopril,drug\n")
    ran = place.turn()
    assert not ran.success
    assert "term_seed of cycle1 would change, and cycle2 started from it" in ran.said
    assert {name for name, content in place.contents().items() if before.get(name) != content} == set()
    assert place.turn(resources={"data": {"change_earlier_cycles": True}}).success
    assert whole(place)


def test_a_cycle_that_a_run_holds_is_refused_to_another_with_its_name(place: Workplace) -> None:
    lock = cycle_lock(place.cycle(), "a-run-elsewhere")
    try:
        ran = place.turn()
        assert not ran.success
        assert f"cycle1 is being run by run a-run-el (process {os.getpid()} on " in ran.said
        assert place.turn("cycle2").success, "another cycle may run beside it"
    finally:
        lock.release()


def test_what_the_model_was_trained_on_goes_with_it(place: Workplace) -> None:
    trained = read_json(place.cycle().split)["assignments"]["sentences"]
    place.cycle().split.unlink()
    ran = place.turn("cycle2")
    assert ran.success, ran.said
    now = read_json(place.cycle("cycle2").split)["assignments"]["sentences"]
    assert {each: side for each, side in now.items() if each in trained} == trained


def test_where_nothing_tells_what_the_model_was_trained_on_the_next_cycle_stops(place: Workplace) -> None:
    place.cycle().split.unlink()
    for path in (place.data / "models").glob("*.trained_on.json"):
        path.unlink()
    ran = place.turn("cycle2")
    assert not ran.success
    assert f"cycle1: {place.cycle().split} is missing; materialise split again" in ran.said
    assert "TRACE" not in ran.said


def test_where_the_registry_is_gone_the_next_cycle_stops(place: Workplace) -> None:
    (place.data / "models" / "registry.json").unlink()
    ran = place.turn("cycle2")
    assert not ran.success
    assert (
        "cycle1 decided to keep its model, and it is not registered; materialise promoted_model of cycle1"
        in ran.said
    )
    assert place.jobs == []
