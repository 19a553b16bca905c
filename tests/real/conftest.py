"""One whole cycle, turned for real and once for all tests here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.loop_place import Place, Turned


@pytest.fixture(scope="session")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turned]:
    """The reduced cycle, gate open, tracked offline."""
    place = Place(tmp_path_factory.mktemp("loop"), variables={"WANDB_MODE": "offline"})
    ran = place.run()
    assert ran.exit_code == 0, ran.lines[-6000:]
    yield Turned(place, ran, place.contents())


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
