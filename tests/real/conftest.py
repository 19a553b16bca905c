"""One whole cycle, turned for real and once for all tests here, whichever worker they run in."""

from pathlib import Path

import pytest

from tests.made_once import made_once
from tests.real.loop_place import Place, Turned

HERE = Path(__file__).parent
LONG = ("test_loop", "docker", "test_kill", "test_services_loop", "test_interface", "test_growth")
"""Groups that take minutes. They begin first, so that the workers end at about the same time."""


def group_of(item: pytest.Item) -> str:
    """Tests that belong into one worker: those of a file, of a backend in the table of endings, of a Docker Engine."""
    backend = item.callspec.params.get("place") if hasattr(item, "callspec") else None
    if backend == "docker" or item.path.stem.startswith("test_docker"):
        return "docker"
    return f"{item.path.stem} {backend}" if isinstance(backend, str) else item.path.stem


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup --no-loadscope-reorder` each group has a worker, and the long ones come first."""
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    for item in ours:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))

    def place(item: pytest.Item) -> int:
        group = group_of(item)
        return LONG.index(group) if group in LONG else len(LONG)

    others = [item for item in items if not item.path.is_relative_to(HERE)]
    items[:] = [*others, *sorted(ours, key=place)]


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
