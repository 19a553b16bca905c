"""One whole cycle, turned for real and once for all tests here, whichever worker they run in."""

from pathlib import Path

import pytest

from tests.groups import rank_of
from tests.made_once import made_once
from tests.real.loop_place import Place, Turned

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The groups that take minutes come first, so that the workers end at about the same time."""
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    others = [item for item in items if not item.path.is_relative_to(HERE)]
    items[:] = [*others, *sorted(ours, key=lambda item: rank_of(item.nodeid))]


@pytest.fixture(scope="session")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Turned:
    """The reduced cycle, gate open, tracked offline."""

    def turn(root: Path) -> Turned:
        place = Place(root, variables={"WANDB_MODE": "offline"})
        ran = place.run()
        return Turned(place, ran, place.contents())

    made = made_once(tmp_path_factory, "loop", turn)
    assert made.ran.exit_code == 0, made.ran.lines[-6000:]
    return made


@pytest.fixture
def new_place(tmp_path: Path) -> Place:
    """A place where nothing has run yet."""
    return Place(tmp_path / "place")


@pytest.fixture
def copy_of_turned(turned: Turned, tmp_path: Path) -> Place:
    """A place of its own with the cycle's files; the audio is read where the first place has it."""
    place = Place(tmp_path / "copy")
    for relative, content in turned.contents.items():
        if not relative.startswith("speech/"):
            target = place.data / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return place
