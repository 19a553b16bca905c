"""What earlier cycles left for later ones: there and whole, or the later cycle stops; and not changed unasked."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel.corpus.split.subsets import SplitRecord
from flywheel.cycle.earlier import (
    EarlierCycleChanged,
    check_promotions,
    newest_with,
    unchanged_under_later_cycles,
    what_was_decided,
)
from flywheel.errors import FlywheelError
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import read_record
from flywheel.files.steps import CycleSteps, StepNotCurrent
from flywheel.recognisers.registry import Registry, RegistryError
from tests.cycle_on_disk import baseline_cycle, trained_cycle
from tests.stamps import stamped


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cycle1, whose model was promoted with what it was trained on."""
    data = tmp_path_factory.mktemp("data")
    folder = trained_cycle(data)
    split = read_record(folder.split, SplitRecord)
    Registry(data / "models").promote(
        folder.adapted_model, cycle="cycle1", base_model="bundled", decision="", trained_on=split.assignments
    )
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def first(data: Path) -> CycleFolder:
    return CycleFolder(data, "cycle1")


@pytest.fixture
def second(data: Path) -> CycleFolder:
    return CycleFolder(data, "cycle2")


def test_a_first_cycle_has_nothing_before_it(data: Path, first: CycleFolder) -> None:
    assert newest_with(first, "split") is None
    assert what_was_decided(first, Registry(data / "models")) is None
    check_promotions(first, Registry(data / "models"))


def test_the_next_one_keeps_what_was_decided(data: Path, first: CycleFolder, second: CycleFolder) -> None:
    assert newest_with(second, "split") == first
    decided = what_was_decided(second, Registry(data / "models"))
    assert decided == read_record(first.split, SplitRecord).assignments


Damage = Callable[[Path], object]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:200])])
def test_a_split_that_is_missing_or_damaged_stops_the_next_cycle(
    data: Path, first: CycleFolder, second: CycleFolder, damage: Damage
) -> None:
    registry = Registry(data / "models")
    decided = what_was_decided(second, registry)
    damage(first.split)
    assert what_was_decided(second, registry) == decided, "the model of that cycle says it, too"
    registry.trained_on_file(registry.entries()[0]).unlink()
    with pytest.raises(StepNotCurrent, match=r"^cycle1: .*split\.json .*; materialise split again$"):
        what_was_decided(second, registry)


def test_what_a_model_was_trained_on_travels_with_it(
    data: Path, first: CycleFolder, second: CycleFolder
) -> None:
    decided = read_record(first.split, SplitRecord).assignments
    shutil.rmtree(first.root)
    assert what_was_decided(second, Registry(data / "models")) == decided
    registry = Registry(data / "models")
    (entry,) = registry.entries()
    registry.trained_on_file(entry).unlink()
    with pytest.raises(
        RegistryError, match="nothing says what this model was trained on, and cycle1 is gone"
    ):
        what_was_decided(second, registry)


def test_a_damaged_note_of_what_it_was_trained_on_stops_the_next_cycle(
    data: Path, second: CycleFolder
) -> None:
    registry = Registry(data / "models")
    (entry,) = registry.entries()
    registry.trained_on_file(entry).write_text("{")
    with pytest.raises(
        FlywheelError, match=r"trained_on\.json: .*materialise promoted_model of cycle1 again"
    ):
        what_was_decided(second, registry)


def test_a_registry_that_is_gone_stops_the_next_cycle(data: Path, second: CycleFolder) -> None:
    registry = Registry(data / "models")
    check_promotions(second, registry)
    registry.log.unlink()
    with pytest.raises(RegistryError, match="cycle1 decided to keep its model, and it is not registered"):
        check_promotions(second, registry)


class TestChanges:
    """cycle2 has begun."""

    @pytest.fixture
    def begun(self, second: CycleFolder) -> CycleFolder:
        second.root.mkdir(parents=True)
        return second

    @pytest.mark.usefixtures("begun")
    def test_what_a_later_cycle_started_from_is_put_back(self, first: CycleFolder) -> None:
        before = first.split.read_bytes()
        with (
            pytest.raises(
                EarlierCycleChanged, match=r"^split of cycle1 would change, and cycle2 started from it"
            ),
            unchanged_under_later_cycles(first, "split", may_change=False),
        ):
            first.split.write_text("another")
            (first.root / "train.jsonl").unlink()
        assert first.split.read_bytes() == before
        assert CycleSteps(first).is_current("split")

    @pytest.mark.usefixtures("begun")
    def test_it_changes_where_the_run_says_so(self, first: CycleFolder) -> None:
        with unchanged_under_later_cycles(first, "split", may_change=True):
            first.split.write_text("another")
        assert first.split.read_text() == "another"

    @pytest.mark.usefixtures("begun")
    def test_what_is_the_same_is_no_change(self, first: CycleFolder) -> None:
        with unchanged_under_later_cycles(first, "split", may_change=False):
            first.split.write_bytes(first.split.read_bytes())

    @pytest.mark.usefixtures("begun")
    def test_what_no_later_cycle_reads_may_change(self, first: CycleFolder) -> None:
        with unchanged_under_later_cycles(first, "gate", may_change=False):
            first.gate.write_text("{}")

    def test_the_newest_cycle_may_change(self, first: CycleFolder) -> None:
        with unchanged_under_later_cycles(first, "split", may_change=False):
            first.split.write_text("another")


def test_an_unfinished_cycle_between_does_not_count(data: Path, first: CycleFolder) -> None:
    CycleFolder(data, "cycle2").root.mkdir(parents=True)
    assert newest_with(CycleFolder(data, "cycle3"), "split") == first


def test_a_baseline_of_another_split_is_left_aside(tmp_path: Path) -> None:
    folder = baseline_cycle(tmp_path, boosted=True)
    folder.split.write_text(folder.split.read_text() + " ")
    CycleSteps(folder).stamp("split")
    left = CycleSteps(folder).left_aside()
    assert left[0] == "baseline_eval is of another split than the cycle has now"
    stamped(folder)
    assert CycleSteps(folder).left_aside() == ()
