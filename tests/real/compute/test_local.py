"""The local backend where a real file system is full."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flywheel.compute.job import ComputeJob
from flywheel.corpus.manifest import ManifestRow, write_manifest
from flywheel.speech.audio_cache import render
from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer
from flywheel.speech.synthesizer import Utterance
from flywheel.speech.take import Take
from resources.compute.local import LocalBackend
from resources.compute.shipment import StageInFailed

pytestmark = [pytest.mark.real, pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")]


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for a workspace's own files, but not for a manifest."""
    folder = tmp_path / "full"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_manifest_that_finds_no_room_is_a_clear_error_and_leaves_nothing(
    full: Path, tmp_path: Path
) -> None:
    take = Take(Utterance("the nurse called " * 12, SEEN_VOICES[0]))
    synthesizer = EspeakSynthesizer()
    seconds = render([take], tmp_path, synthesizer).seconds[take]
    first = take.path(tmp_path, synthesizer)
    rows = []
    for number in range(60):
        audio = tmp_path / f"row{number}.wav"
        audio.hardlink_to(first)
        rows.append(
            ManifestRow(
                id=audio.stem,
                audio_filepath=str(audio),
                text=take.utterance.text.strip(),
                duration=seconds,
                sampling_rate=16_000,
                ipa_source="espeak_g2p",
                voice_id=SEEN_VOICES[0].voice_id,
                noise_level="clean",
                synthesis_group=audio.stem,
            )
        )
    write_manifest(tmp_path / "rows.jsonl", rows)
    job = ComputeJob(
        name="full", argv=("true",), timeout=10.0, manifests={"rows.jsonl": tmp_path / "rows.jsonl"}
    )
    with pytest.raises(StageInFailed, match="No space left on device"):
        LocalBackend(work_root=full / "work").run(job, tmp_path / "out", lambda line: None)
    assert [path.name for path in (full / "work").iterdir()] == ["lock"]
