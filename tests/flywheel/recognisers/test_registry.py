"""Promotion, rollback, damage, and writers that meet or die."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.cycles import CycleNameError
from flywheel.recognisers.registry import Entry, Registry, RegistryError, read_entries

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


@pytest.fixture
def promote(registry: Registry, tmp_path: Path) -> Callable[[str, str], Entry]:
    def promoted(cycle: str, content: str) -> Entry:
        model = tmp_path / cycle / "adapted_model.nemo"
        model.parent.mkdir(exist_ok=True)
        model.write_text(content)
        return registry.promote(model, cycle=cycle, base_model="base", decision="KER down 80 %")

    return promoted


def cycle_of(entry: Entry | None) -> str | None:
    return None if entry is None else entry.cycle


def test_an_empty_registry_has_no_model(registry: Registry) -> None:
    assert registry.entries() == ()
    assert registry.newest() is None
    assert registry.newest(before_cycle=5) is None


def test_a_promotion_keeps_a_copy_and_says_where_it_came_from(
    registry: Registry, promote: Callable[[str, str], Entry], tmp_path: Path
) -> None:
    entry = promote("cycle1", "weights")
    assert entry.event == "promoted"
    assert entry.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert (entry.cycle, entry.base_model, entry.decision) == ("cycle1", "base", "KER down 80 %")
    assert entry.time.endswith("+00:00")
    (tmp_path / "cycle1" / "adapted_model.nemo").write_text("trained again")
    assert registry.path_of(entry).read_text() == "weights"
    assert registry.path_of(entry).name == f"{entry.sha256}.nemo"
    assert registry.newest() == entry
    assert sorted(path.name for path in registry.folder.iterdir()) == sorted(
        ["lock", "registry.json", entry.model]
    )


def test_a_cycle_starts_from_the_newest_model_of_an_earlier_cycle(
    registry: Registry, promote: Callable[[str, str], Entry]
) -> None:
    promote("cycle1", "a")
    promote("cycle2", "b")
    promote("cycle10", "c")
    starts = {number: cycle_of(registry.newest(before_cycle=number)) for number in (1, 2, 3, 10, 11)}
    assert starts == {1: None, 2: "cycle1", 3: "cycle2", 10: "cycle2", 11: "cycle10"}
    assert cycle_of(registry.newest()) == "cycle10"


def test_promoting_the_same_again_changes_nothing(
    registry: Registry, promote: Callable[[str, str], Entry]
) -> None:
    first = promote("cycle1", "a")
    promote("cycle2", "b")
    before = registry.log.read_bytes()
    assert promote("cycle1", "a") == first
    assert registry.log.read_bytes() == before
    assert cycle_of(registry.newest()) == "cycle2"


def test_a_retrained_cycle_takes_over_and_may_return_to_its_former_model(
    registry: Registry, promote: Callable[[str, str], Entry]
) -> None:
    for number, content in enumerate(["a", "other", "a"], start=1):
        entry = promote("cycle1", content)
        assert registry.newest() == entry
        assert len(registry.entries()) == number
    assert len(list(registry.folder.glob("*.nemo"))) == 2


def test_entries_are_only_added(registry: Registry, promote: Callable[[str, str], Entry]) -> None:
    logs: list[list[object]] = []
    for act in (
        lambda: promote("cycle1", "a"),
        lambda: promote("cycle2", "b"),
        lambda: registry.rollback(),
        lambda: registry.rollback(),
        lambda: registry.rollback(to="cycle2", reason="it was good after all"),
    ):
        act()
        logs.append(json.loads(registry.log.read_text()))
    for number, log in enumerate(logs):
        assert len(log) == number + 1
        assert log == logs[-1][: number + 1]


@pytest.mark.parametrize(
    ("rollbacks", "current", "start_of_cycle_3", "start_of_cycle_4"),
    [
        pytest.param([], "cycle3", "cycle2", "cycle3", id="none"),
        pytest.param([None], "cycle2", "cycle2", "cycle2", id="one step"),
        pytest.param([None, None], "cycle1", "cycle1", "cycle1", id="two steps"),
        pytest.param([None, None, None], None, None, None, id="back to the base"),
        pytest.param(["cycle1"], "cycle1", "cycle1", "cycle1", id="by cycle"),
        pytest.param(["cycle1", "cycle3"], "cycle3", "cycle1", "cycle3", id="back and forth"),
        pytest.param([None, "cycle3", None], "cycle2", "cycle2", "cycle2", id="forth, then a step back"),
        pytest.param([None, None, None, "cycle2"], "cycle2", "cycle2", "cycle2", id="from the base"),
    ],
)
def test_a_rollback_withdraws_what_came_after_its_target(
    registry: Registry,
    promote: Callable[[str, str], Entry],
    rollbacks: list[str | None],
    current: str | None,
    start_of_cycle_3: str | None,
    start_of_cycle_4: str | None,
) -> None:
    for cycle in ("cycle1", "cycle2", "cycle3"):
        promote(cycle, f"model of {cycle}")
    for to in rollbacks:
        registry.rollback(to)
    assert cycle_of(registry.newest()) == current
    assert cycle_of(registry.newest(before_cycle=3)) == start_of_cycle_3
    assert cycle_of(registry.newest(before_cycle=4)) == start_of_cycle_4
    assert (registry.entries()[-1].cycle or None) == current, "the newest entry is the pointer"


def test_a_withdrawn_model_comes_back_only_by_name(
    registry: Registry, promote: Callable[[str, str], Entry]
) -> None:
    bad = promote("cycle1", "a")
    registry.rollback(reason="nurses complained")
    assert promote("cycle1", "a") == bad
    assert registry.newest() is None, "running the cycle again must not undo a person's rollback"
    entry = registry.rollback(to=bad.sha256[:8])
    assert (entry.event, entry.model) == ("rolled_back", bad.model)
    assert registry.newest() == bad


def test_a_retrained_model_of_a_withdrawn_cycle_is_promoted(
    registry: Registry, promote: Callable[[str, str], Entry]
) -> None:
    promote("cycle1", "a")
    registry.rollback()
    better = promote("cycle1", "better")
    assert registry.newest() == better


@pytest.mark.parametrize(
    ("to", "said"),
    [
        pytest.param(
            "cycle7", "no promoted model is called 'cycle7'; promoted: cycle1 (", id="unknown cycle"
        ),
        pytest.param("ca97", "no promoted model is called 'ca97'", id="hash too short"),
        pytest.param("cycle2", "current one already", id="the current one"),
    ],
)
def test_a_rollback_to_nothing_is_refused_and_leaves_no_entry(
    registry: Registry, promote: Callable[[str, str], Entry], to: str, said: str
) -> None:
    promote("cycle1", "a")
    promote("cycle2", "b")
    with pytest.raises(RegistryError) as caught:
        registry.rollback(to)
    assert said in str(caught.value)
    assert len(registry.entries()) == 2


def test_an_empty_registry_cannot_be_rolled_back(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="nothing to roll back"):
        registry.rollback()


@pytest.mark.parametrize("damage", ["missing", "changed", "cut off"])
def test_a_damaged_model_is_an_error_and_never_skipped(
    registry: Registry, promote: Callable[[str, str], Entry], damage: str
) -> None:
    promote("cycle1", "the older model")
    entry = promote("cycle2", "the newer model")
    path = registry.folder / entry.model
    if damage == "missing":
        path.unlink()
    else:
        path.write_text("the newer m0del" if damage == "changed" else "the newer")
    for ask in (lambda: registry.newest(), lambda: registry.newest(before_cycle=3)):
        with pytest.raises(RegistryError) as caught:
            ask()
        assert str(path) in str(caught.value)
        assert "cycle2" in str(caught.value)
    assert cycle_of(registry.newest(before_cycle=2)) == "cycle1"
    assert cycle_of(registry.rollback()) == "cycle1"
    assert cycle_of(registry.newest()) == "cycle1"
    with pytest.raises(RegistryError):
        registry.rollback(to="cycle2")


def test_promoting_the_true_content_again_mends_a_damaged_model(
    registry: Registry, promote: Callable[[str, str], Entry]
) -> None:
    entry = promote("cycle1", "a")
    (registry.folder / entry.model).write_text("b")
    assert promote("cycle1", "a") == entry
    assert registry.newest() == entry


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        pytest.param("absent.nemo", None, "must exist", id="missing"),
        pytest.param("empty.nemo", "", "not be empty", id="empty"),
        pytest.param("model.ckpt", "weights", "end in .nemo", id="other format"),
    ],
)
def test_what_is_no_model_is_not_promoted(
    registry: Registry, tmp_path: Path, file: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(RegistryError, match=said):
        registry.promote(tmp_path / file, cycle="cycle1", base_model="base", decision="keep")
    assert registry.entries() == ()


def test_a_wrong_cycle_is_not_promoted(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "m.nemo").write_text("x")
    with pytest.raises(CycleNameError):
        registry.promote(tmp_path / "m.nemo", cycle="first", base_model="base", decision="keep")


GOOD = {
    "event": "promoted",
    "model": "ab.nemo",
    "sha256": "ab",
    "cycle": "cycle1",
    "base_model": "base",
    "decision": "keep",
    "time": "2025-01-01T00:00:00+00:00",
}


@pytest.mark.parametrize(
    ("log", "said"),
    [
        pytest.param("{", "not JSON", id="cut off"),
        pytest.param("{}", "a JSON list of entries is expected, found dict", id="no list"),
        pytest.param("[3]", "entry 1, a JSON object is expected, found int", id="no object"),
        pytest.param([{**GOOD, "sha256": 3}], "entry 1, sha256: text is needed, found 3", id="number"),
        pytest.param([{**GOOD, "colour": "x"}], "entry 1, colour: unknown", id="unknown field"),
        pytest.param([{"event": "promoted"}], "entry 1, model: missing", id="missing field"),
        pytest.param(
            [GOOD, {**GOOD, "event": "lost"}], "entry 2, event: 'lost'; allowed: promoted", id="event"
        ),
        pytest.param([{**GOOD, "cycle": "first"}], "entry 1, cycle: 'first'", id="cycle"),
        pytest.param([{**GOOD, "model": "../x.nemo"}], "entry 1, model: '../x.nemo'", id="path as model"),
        pytest.param([{**GOOD, "event": "rolled_back"}], "was not promoted before", id="rollback to nothing"),
    ],
)
def test_a_broken_log_is_reported_and_left_alone(
    registry: Registry, tmp_path: Path, log: str | list[object], said: str
) -> None:
    registry.folder.mkdir()
    registry.log.write_text(log if isinstance(log, str) else json.dumps(log))
    before = registry.log.read_bytes()
    model = tmp_path / "m.nemo"
    model.write_text("x")
    for ask in (
        lambda: registry.newest(),
        lambda: registry.rollback(),
        lambda: registry.promote(model, cycle="cycle1", base_model="base", decision="keep"),
    ):
        with pytest.raises(FlywheelError) as caught:
            ask()
        assert str(registry.log) in str(caught.value)
        assert said in str(caught.value)
    assert registry.log.read_bytes() == before


PROMOTER = """
import sys
from pathlib import Path
from flywheel.recognisers.registry import Registry

folder, work, first, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
for number in range(first, last):
    model = work / f"{number}.nemo"
    model.write_text(f"model {number}")
    Registry(folder).promote(model, cycle=f"cycle{number}", base_model="base", decision="keep")
"""


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def started(registry: Registry, work: Path, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROMOTER, registry.folder, work, *arguments]
    return subprocess.Popen([str(word) for word in command], env=ENVIRONMENT)


def test_promoters_that_meet_lose_no_entry(registry: Registry, tmp_path: Path) -> None:
    promoters = [started(registry, tmp_path, 1 + 25 * n, 26 + 25 * n) for n in range(4)]
    assert [promoter.wait(60) for promoter in promoters] == [0, 0, 0, 0]
    assert sorted(int(entry.cycle[5:]) for entry in registry.entries()) == list(range(1, 101))
    for entry in registry.entries():
        registry.path_of(entry)


@pytest.mark.parametrize(
    ("here", "there", "new"),
    [
        ([], [], 0),
        ([], ["cycle1"], 1),
        (["cycle1"], ["cycle1", "cycle2"], 1),
        (["cycle1", "cycle2"], ["cycle1"], 0),
        (["cycle1"], [], 0),
    ],
)
def test_a_registry_goes_on_with_what_was_promoted_elsewhere(
    registry: Registry,
    promote: Callable[[str, str], Entry],
    tmp_path: Path,
    here: list[str],
    there: list[str],
    new: int,
) -> None:
    both = [promote(cycle, cycle) for cycle in max(here, there, key=len)]
    other = Registry(tmp_path / "other")
    other.adopt(both[: len(here)])
    assert other.adopt(both[: len(there)]) == new
    assert list(other.entries()) == both
    assert read_entries(other.log) == tuple(both) if both else not other.log.exists()


def test_a_registry_that_went_on_otherwise_is_not_adopted(
    registry: Registry, promote: Callable[[str, str], Entry], tmp_path: Path
) -> None:
    first, ours = promote("cycle1", "one"), promote("cycle2", "two")
    theirs = replace(ours, sha256="f" * 64, model=f"{'f' * 64}.nemo")
    before = registry.log.read_bytes()
    for other in ([first, theirs], [first, theirs, ours], [theirs]):
        with pytest.raises(RegistryError, match="models were promoted on both sides") as caught:
            registry.adopt(other)
        assert str(registry.log) in str(caught.value)
    assert registry.log.read_bytes() == before


ONE_PROMOTION = """
import sys
from pathlib import Path
from flywheel.recognisers.registry import Registry

Registry(Path(sys.argv[1])).promote(Path(sys.argv[2]), cycle="cycle7", base_model="base", decision="keep")
"""


def kill_amid_copy(registry: Registry, model: Path) -> bool:
    """Start a promotion and kill it as soon as its copy begins; whether it was caught half-way."""
    promoter = subprocess.Popen(
        [sys.executable, "-c", ONE_PROMOTION, registry.folder, model], env=ENVIRONMENT
    )
    while promoter.poll() is None and not any(registry.folder.glob(".*.nemo")):
        time.sleep(0.0005)
    promoter.send_signal(signal.SIGKILL)
    promoter.wait()
    return any(registry.folder.glob(".*.nemo"))


def test_a_killed_promotion_leaves_no_half_file(registry: Registry, tmp_path: Path) -> None:
    model = tmp_path / "large.nemo"
    model.write_bytes(os.urandom(1 << 20) * 128)
    for _ in range(20):
        if kill_amid_copy(registry, model):
            break
        # Too late: it had finished. Start over.
        shutil.rmtree(registry.folder)
    else:
        pytest.fail("no kill hit the copy")
    assert registry.entries() == ()
    assert registry.newest() is None
    assert not list(registry.folder.glob("[!.]*.nemo")), "nothing has the name of a whole model"

    entry = registry.promote(model, cycle="cycle7", base_model="base", decision="keep")
    assert registry.newest() == entry
    assert sorted(path.name for path in registry.folder.iterdir()) == sorted(
        ["lock", "registry.json", entry.model]
    ), "what the killed promotion left is gone"
