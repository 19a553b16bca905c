"""Accidents to a finished cycle: files halved, removed or emptied are made again by the next run, or stop it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from flywheel.corpus.manifest import read_manifest
from flywheel.files.steps import CycleSteps
from tests.assets.whole_cycle import Workplace

pytestmark = pytest.mark.real

Damage = Callable[[Path], object]
DAMAGES: dict[str, Damage] = {
    "halved": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "removed": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with dg.DagsterInstance.ephemeral() as instance, pytest.MonkeyPatch.context() as patch:
        place = Workplace(tmp_path_factory.mktemp("finished") / "place", instance, patch)
        ran = place.turn()
        assert ran.success, ran.said
        yield place


@pytest.fixture
def place(finished: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield finished.copy(tmp_path / "place", instance, monkeypatch)


@pytest.mark.parametrize("damage", DAMAGES)
def test_all_of_them_at_once_are_made_again_as_they_were(place: Workplace, damage: str) -> None:
    """With the pages, the clips of the audition and the stamps themselves."""
    assert place.turn().success
    before = place.contents()
    for path in sorted(place.cycle().root.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and "recordings" not in path.name:
            DAMAGES[damage](path)
    ran = place.turn()
    assert ran.success, ran.said
    assert CycleSteps(place.cycle()).left_aside() == ()
    after = place.contents()
    assert before.keys() <= after.keys()
    assert [name for name, content in before.items() if not content and after[name]] == []
    for name in (
        "leaderboard_cycle2.md",
        "decision.json",
        "gate.json",
        "next/scores.json",
        "split.json",
        "manifest.jsonl",
    ):
        assert after[f"cycles/cycle1/{name}"] == before[f"cycles/cycle1/{name}"], name
    clips = [name for name in before if "/audition/clips/" in name]
    assert clips and all(after[name] == before[name] for name in clips)


def test_damaged_speech_is_spoken_again(place: Workplace) -> None:
    """Empty, halved, and of the right length but all zeros, as a power cut leaves what was not synced."""
    before = place.contents()
    wavs = [place.data / "speech" / f"{row.id}.wav" for row in read_manifest(place.cycle().manifest)][:30]
    for number, path in enumerate(wavs):
        size = path.stat().st_size
        content = [b"", path.read_bytes()[: size // 2], path.read_bytes()[:44] + bytes(size - 44)][number % 3]
        path.write_bytes(content)
    ran = place.turn()
    assert ran.success, ran.said
    assert "30 files damaged" in ran.said and ": they are made again" in ran.said
    assert ran.jobs == [], "it sounds as before, and nothing is heard again"
    assert all(place.contents()[f"speech/{path.name}"] == before[f"speech/{path.name}"] for path in wavs)


def test_a_damaged_file_that_the_next_cycle_goes_on_with_stops_it(place: Workplace) -> None:
    sentences = place.cycle().sentences
    DAMAGES["halved"](sentences)
    ran = place.turn("cycle2")
    assert not ran.success
    assert f"cycle1: {sentences} is not what sentences left there; materialise sentences again" in ran.said
    assert "TRACE" not in ran.said
