"""Rows whose audio lies in the cache: written relative, read absolute, wherever the data folder lies."""

import json
import shutil
from pathlib import Path

import pytest

from flywheel.corpus.cached_rows import read_cached_rows, write_cached_rows
from flywheel.corpus.manifest import ManifestError, ManifestRow

ROW = ManifestRow(
    id="3f",
    audio_filepath="/old/place/data/speech/3f.wav",
    text="the patient was given cefazolin",
    duration=2.5,
    sampling_rate=16_000,
    ipa_source="espeak_g2p",
    voice_id="espeak:en-us+m3",
    noise_level="clean",
    synthesis_group="3f",
    term="cefazolin",
    entity_category="drug",
    context_type="dictation",
)


def test_a_data_folder_may_move_as_a_whole(tmp_path: Path) -> None:
    data = tmp_path / "data"
    file = data / "cycles" / "cycle1" / "spoken.jsonl"
    write_cached_rows(file, [ROW], data / "speech")
    assert json.loads(file.read_text())["audio_filepath"] == "../../speech/3f.wav"
    shutil.move(data, tmp_path / "moved")
    speech = tmp_path / "moved" / "speech"
    moved = read_cached_rows(tmp_path / "moved" / "cycles" / "cycle1" / "spoken.jsonl", speech)
    assert moved == (ROW.with_audio_filepath(str(speech / "3f.wav")),)


def test_a_cycle_may_have_spoken_nothing_but_the_file_must_be_there(tmp_path: Path) -> None:
    write_cached_rows(tmp_path / "spoken.jsonl", [], tmp_path / "speech")
    assert read_cached_rows(tmp_path / "spoken.jsonl", tmp_path / "speech") == ()
    with pytest.raises(ManifestError, match=r"gone\.jsonl"):
        read_cached_rows(tmp_path / "gone.jsonl", tmp_path / "speech")
