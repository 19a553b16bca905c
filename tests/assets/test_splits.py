"""What the split leaves on disk: nothing of a measured-only slice is in what the trainer reads, by its bytes."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.audition import audition
from assets.corpus import manifest, speech
from assets.pronunciation import pronunciations
from assets.recordings import recordings
from assets.splits import split
from flywheel.corpus.manifest import ManifestRow, read_manifest
from flywheel.corpus.sentences import cycle_sentences, write_sentences
from flywheel.corpus.terms import Term, write_term_seed
from flywheel.files.atomic import read_json
from flywheel.files.cycles import CycleFolder
from flywheel.files.steps import CycleSteps
from flywheel.scoring import CLINICAL
from resources.data_folder import DataFolder
from resources.dictionary import Dictionary
from resources.speech.resource import Speech
from tests import flite_command
from tests.drop_folder import HUMAN, Drop

TERMS = (
    *(Term(text, "drug") for text in ("cefazolin", "metoprolol", "apixaban")),
    *(Term(text, "lab") for text in ("ferritin", "troponin", "procalcitonin")),
)
GENERAL = 10
TRAINED_ON = ("train", "development", "replay")
MEASURED_ONLY = ("validation", "unseen_term", "unseen_voice", "unseen_engine", "general", "human")
NEW_SENTENCES = ("validation", "unseen_term", "general")
"""Slices whose sentences are new, too. Another voice or another engine says sentences that may be known, and so does
whoever is recorded: these slices ask how a speaker is heard."""


class Place:
    """A cycle with a second engine and a recorded person, and a Dagster instance."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.data = DataFolder(root=str(root / "data"))
        self.instance = instance
        self.folder: CycleFolder = self.data.cycle("cycle1")

    def run(self, assets: Sequence[Any], **options: Any) -> dict[str, dict[str, Any]]:
        """Materialise assets; returns the metadata of each."""
        ran = dg.materialize(
            list(assets),
            partition_key="cycle1",
            instance=self.instance,
            resources={
                "data": self.data,
                "voices": Speech(engine="espeak", **options),
                "dictionary": Dictionary(data=self.data),
            },
        )
        assert ran.success
        return {
            event.asset_key.to_user_string(): {
                name: value.value
                for name, value in event.step_materialization_data.materialization.metadata.items()
            }
            for event in ran.all_events
            if event.is_step_materialization and event.asset_key is not None
        }


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `flite` in it."""
    return flite_command.install(tmp_path_factory.mktemp("commands")).parent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, commands: Path) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("split")
    drop = Drop(root)
    drop.manifest(*(drop.recording(f"nurse-{seed}.wav", seed, HUMAN) for seed in range(3)))
    drop.settle()
    with dg.DagsterInstance.ephemeral() as instance, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{commands}:/usr/bin:/bin")
        patch.setenv("FLYWHEEL_RECORDINGS", str(drop.root))
        patch.setenv("FLYWHEEL_AUDITION", "off")
        made = Place(root, instance)
        composed = cycle_sentences(TERMS).sentences
        write_term_seed(made.folder.term_seed, TERMS)
        CycleSteps(made.folder).stamp("term_seed")
        write_sentences(made.folder.sentences, composed[: 4 * len(TERMS) + GENERAL])
        CycleSteps(made.folder).stamp("sentences")
        told = made.run(
            [pronunciations, audition, speech, recordings, manifest, split], second_engine="flite"
        )
        assert told["speech"]["rows of an unseen engine"] == 2 * len(TERMS)
        assert told["speech"]["engine"].endswith(", flite 2.2-current/1")
        yield made


def of_audio(row: ManifestRow) -> str:
    return sha256(Path(row.audio_filepath).read_bytes()).hexdigest()


def of_sentence(row: ManifestRow) -> str:
    return sha256(CLINICAL(row.text).encode()).hexdigest()


def hashes(rows: Iterable[ManifestRow], of: Callable[[ManifestRow], str]) -> set[str]:
    return {of(row) for row in rows}


def test_no_audio_of_a_measured_slice_is_in_what_the_trainer_reads(place: Place) -> None:
    read = read_manifest(place.folder.train) + read_manifest(place.folder.development)
    heard = read_manifest(place.folder.baseline.rows)
    assert {row.subset for row in read} == set(TRAINED_ON)
    learned = hashes(read, of_audio)
    for name in MEASURED_ONLY:
        measured = [row for row in heard if row.subset == name]
        assert measured, name
        assert len(hashes(measured, of_audio)) == len(measured), name
        assert not hashes(measured, of_audio) & learned, name


@pytest.mark.parametrize("name", NEW_SENTENCES)
def test_no_sentence_of_these_slices_is_in_what_the_trainer_reads(place: Place, name: str) -> None:
    read = read_manifest(place.folder.train) + read_manifest(place.folder.development)
    measured = [row for row in read_manifest(place.folder.baseline.rows) if row.subset == name]
    assert measured
    assert not hashes(measured, of_sentence) & hashes(read, of_sentence)


def test_the_checkpoint_is_chosen_on_sentences_that_are_not_learned(place: Place) -> None:
    learned = hashes(read_manifest(place.folder.train), of_sentence)
    assert not hashes(read_manifest(place.folder.development), of_sentence) & learned


def test_held_out_rows_are_of_seen_terms_in_known_voices(place: Place) -> None:
    read = read_manifest(place.folder.train)
    held_out = read_manifest(place.folder.validation)
    assert {row.term for row in held_out} <= {row.term for row in read}
    assert {row.voice_id for row in held_out} <= {row.voice_id for row in read}


def test_the_second_engine_speaks_nothing_that_is_learned(place: Place) -> None:
    read = read_manifest(place.folder.train) + read_manifest(place.folder.development)
    second = [row for row in read_manifest(place.folder.baseline.rows) if row.subset == "unseen_engine"]
    assert {row.engine for row in read} == {"espeak"}
    assert {row.engine for row in second} == {"flite"}
    assert {row.ipa_source for row in second} == {"flite_g2p"}
    assert {row.term for row in second} == {term.text for term in TERMS}, "seen and unseen terms alike"
    counts = read_json(place.folder.split)["counts"]["unseen_engine"]
    assert (counts["drug"], counts["lab"], counts["total"]) == (6, 6, 12)


def test_what_was_spoken_stays_in_the_manifest_where_flite_is_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The manifest says what was spoken, not who could speak now; and no engine is asked for it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("flite") is None
    before = place.folder.manifest.read_bytes(), place.folder.baseline.rows.read_bytes()
    told = place.run([manifest, split], second_engine="auto")
    assert (place.folder.manifest.read_bytes(), place.folder.baseline.rows.read_bytes()) == before
    assert told["manifest"]["rows of an unseen engine"] == told["split"]["rows of an unseen engine"] == 12
