"""Dropped recordings over cycles: they join, nothing is learned from people, and the page says how they are heard."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.audition import audition
from assets.corpus import audio, manifest, schema, speech
from assets.pronunciation import pronunciations
from assets.recordings import recordings
from assets.splits import split
from flywheel.corpus.manifest import ManifestRow, read_manifest
from flywheel.corpus.sentences import cycle_sentences, write_sentences
from flywheel.corpus.terms import Term, write_term_seed
from flywheel.cycle.page import write_page
from flywheel.files.atomic import read_json, read_jsonl
from flywheel.files.cycles import CycleFolder
from flywheel.files.steps import CycleSteps
from flywheel.recognisers.bases import BUNDLED, Base, write_base
from resources.data_folder import DataFolder
from resources.dictionary import Dictionary
from resources.speech.resource import Speech
from tests.cycle_on_disk import evaluation
from tests.drop_folder import HUMAN, Drop
from tests.stamps import stamped

TERMS = (Term("cefazolin", "drug"), Term("metoprolol", "drug"))
CORPUS = [
    *(pronunciations, audition, speech, recordings, manifest, split),
    *(schema, audio),
]


@dataclass(frozen=True)
class Ran:
    """A run: `log` is (level, message) of what it said, `metadata` that of each asset."""

    success: bool
    log: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Mapping[str, Any]]
    checks: Mapping[str, bool]
    errors: tuple[str, ...]

    def said(self, text: str) -> list[str]:
        """The levels at which `text` was said."""
        return [level for level, message in self.log if text in message]


class Place:
    """A data folder with a seed and a drop folder, and a Dagster instance."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.data = DataFolder(root=str(root / "data"))
        self.drop = Drop(root)

    def cycle(self, name: str) -> CycleFolder:
        return self.data.cycle(name)

    def write_sentences(self, cycle: str) -> None:
        """The sentences of two terms, and a few general ones."""
        folder = self.cycle(cycle)
        write_term_seed(folder.term_seed, TERMS)
        composed = cycle_sentences(TERMS).sentences
        clinical = [each for each in composed if each.term is not None]
        write_sentences(
            folder.sentences,
            [*clinical, *(each for each in composed if each.term is None)][: len(clinical) + 6],
        )
        for step in ("term_seed", "sentences"):
            CycleSteps(folder).stamp(step)

    def run(self, cycle: str, assets: Sequence[Any] = (recordings,)) -> Ran:
        """Materialise assets of a cycle."""
        ran = dg.materialize(
            list(assets),
            partition_key=cycle,
            instance=self.instance,
            raise_on_error=False,
            resources={
                "data": self.data,
                "voices": Speech(engine="espeak"),
                "dictionary": Dictionary(data=self.data),
            },
        )
        kept = self.instance.all_logs(ran.run_id)
        events = [each for each in ran.all_events if each.is_step_materialization]
        return Ran(
            success=ran.success,
            log=tuple((logging.getLevelName(int(each.level)), each.user_message) for each in kept),
            metadata={
                event.asset_key.to_user_string(): {
                    name: value.value
                    for name, value in event.step_materialization_data.materialization.metadata.items()
                }
                for event in events
                if event.asset_key is not None
            },
            errors=tuple(
                str(
                    each.step_failure_data.user_failure_data
                    and each.step_failure_data.user_failure_data.description
                )
                for each in ran.all_events
                if each.is_step_failure
            ),
            checks={each.check_name: each.passed for each in ran.get_asset_check_evaluations()},
        )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path, dg.DagsterInstance.ephemeral())
    monkeypatch.setenv("FLYWHEEL_RECORDINGS", str(place.drop.root))
    monkeypatch.setenv("FLYWHEEL_AUDITION", "off")
    return place


def recorded(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    return [row for row in rows if row.ipa_source == "recording"]


def audio_of(path: Path) -> set[str]:
    """The SHA-256 of the audio of all rows of a manifest."""
    rows = read_manifest(path, allow_empty=True)
    return {sha256(Path(row.audio_filepath).read_bytes()).hexdigest() for row in rows}


def test_recordings_join_the_cycle_and_people_are_only_measured_on(place: Place) -> None:
    drop = place.drop
    general = {
        "text": "We walked along the river.",
        "term": None,
        "entity_category": None,
        "context_type": None,
    }
    drop.manifest(
        *(drop.recording(f"voice-{seed}.wav", seed) for seed in range(8)),
        *(
            drop.recording(f"nurse-{seed}.wav", seed, HUMAN, speaker=f"nurse-{seed % 2}")
            for seed in range(10, 16)
        ),
        drop.recording("nurse.wav", 20, HUMAN, **general),
        drop.recording("secret.wav", 21, HUMAN, consent=None),
    )
    drop.settle()
    place.write_sentences("cycle1")
    ran = place.run("cycle1", CORPUS)
    assert ran.success, ran.log
    assert {name: passed for name, passed in ran.checks.items() if not passed} == {"quarantine_empty": False}
    told = ran.metadata["recordings"]
    assert {
        name: told[name] for name in ("offered", "joined", "quarantined", "human", "synthetic", "speakers")
    } == {
        **{"offered": 16, "joined": 15, "quarantined": 1},
        **{"human": 7, "synthetic": 8, "speakers": 3},
    }
    assert "| manifest.jsonl:16 | secret.wav | consent: found nothing, no consent stated" in told["reasons"]
    assert ran.said("quarantined: manifest.jsonl:16") == ["WARNING"]

    folder = place.cycle("cycle1")
    rows = read_manifest(folder.baseline.rows)
    assert {row.voice_id: row.subset for row in rows if row.is_human} == {
        **{"recording:nurse-0": "human", "recording:nurse-1": "human"},
    }
    assert "human" not in {row.subset for row in recorded(rows) if row.voice_id == "recording:voice-1"}
    people = {sha256(Path(row.audio_filepath).read_bytes()).hexdigest() for row in rows if row.is_human}
    assert len(people) == 7
    learned = audio_of(folder.train) | audio_of(folder.development)
    assert learned and not people & learned, "no person's recording is learned from"
    assert not people & audio_of(folder.validation), "nor counted among the held-out rows"
    assert any(row.voice_id == "recording:voice-1" for row in read_manifest(folder.train))
    assert read_json(folder.split)["counts"]["human"]["total"] == 7
    assert read_jsonl(folder.quarantine)[0]["audio"] == "secret.wav"
    assert len(folder.offered.read_text().splitlines()) == 16

    evaluation(folder.baseline, "bundled", misses_every=2)
    slices = read_json(folder.baseline.scores)["slices"]
    assert (slices["human"]["rows"], slices["human"]["ker"]["n"]) == (7, 6)
    assert slices["all"]["rows"] == sum(row.is_clinical and not row.is_human for row in rows)
    base = place.data.path / "base.nemo"
    base.write_bytes(b"the base")
    write_base(folder.base_model, Base("bundled", base, BUNDLED))
    page = write_page(stamped(folder))[0].read_text()
    assert "Human speech: recordings of people (2 speakers). They are never trained on" in page
    assert "| your own recordings | the speaker | KER | 6 | 2 | too few rows (n = 6; 12 needed) |" in page
    assert "| your own recordings | the speaker | WER | 7 | - | too few rows (n = 7; 12 needed) |" in page


def test_what_joined_stays_in_later_cycles_and_a_rerun_changes_nothing(place: Place) -> None:
    drop = place.drop
    drop.manifest(drop.recording("one.wav", 1), drop.recording("two.wav", 2, HUMAN))
    drop.settle()
    assert place.run("cycle1").metadata["recordings"]["joined"] == 2
    first = place.cycle("cycle1").recordings.read_bytes()
    for file in drop.root.iterdir():
        file.unlink()
    drop.manifest(drop.recording("three.wav", 3))
    drop.settle()
    told = place.run("cycle2").metadata["recordings"]
    assert (told["rows"], told["joined"], told["joined before"]) == (3, 1, 0)
    assert place.cycle("cycle2").recordings.read_bytes().startswith(first)
    (drop.root / "three.wav").unlink()
    drop.manifest()
    drop.settle()
    again = place.run("cycle2")
    assert (again.metadata["recordings"]["rows"], again.checks["quarantine_empty"]) == (3, True)

    (drop.root / "withdrawn.txt").write_text("nurse-1\nnurse-x\n")
    third = place.run("cycle3")
    assert (third.metadata["recordings"]["rows"], third.metadata["recordings"]["withdrawn"]) == (2, 1)
    assert third.said("withdrawn: recording:nurse-1; earlier cycles still name") == ["WARNING"]
    assert third.said("nurse-x is withdrawn, and is no speaker's code") == ["WARNING"]
    assert len(read_manifest(place.cycle("cycle1").recordings)) == 2, "an earlier cycle is what it was"


def test_what_is_being_written_is_said_and_waits(place: Place) -> None:
    drop = place.drop
    drop.manifest(drop.recording("one.wav", 1, microphone="boom"), name="first.jsonl")
    drop.settle()
    line = drop.recording("late/two.wav", 2) | {"audio_filepath": "two.wav"}
    drop.manifest(line, name="late/second.jsonl")
    ran = place.run("cycle1")
    assert (ran.metadata["recordings"]["rows"], ran.metadata["recordings"]["left alone"]) == (0, 2)
    assert ran.said("left alone: late/second.jsonl: is being written, or files beside it are") == ["INFO"]
    drop.settle()
    ran = place.run("cycle1")
    assert (ran.metadata["recordings"]["joined"], ran.metadata["recordings"]["left alone"]) == (2, 0)
    assert ran.said("nobody reads the fields microphone") == ["INFO"]


def test_without_a_drop_folder_the_cycle_has_no_recordings(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLYWHEEL_RECORDINGS")
    ran = place.run("cycle1")
    assert (ran.success, ran.metadata["recordings"]["offered"]) == (True, 0)
    assert place.cycle("cycle1").offered.read_text() == ""
    assert read_manifest(place.cycle("cycle1").recordings, allow_empty=True) == ()


def test_a_drop_folder_that_is_named_and_is_not_there_is_an_error(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLYWHEEL_RECORDINGS", str(tmp_path / "drpo"))
    ran = place.run("cycle1")
    assert not ran.success
    assert ran.errors[0].startswith("FLYWHEEL_RECORDINGS: there is no folder")
