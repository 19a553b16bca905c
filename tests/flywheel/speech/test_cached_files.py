"""Files of the audio cache that a power cut, a full disk or a hand has damaged are known, and made again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.speech.audio_cache import render
from flywheel.speech.cached_files import CONTENTS, note_files, whole_files
from flywheel.speech.engines.espeak import EspeakSynthesizer
from flywheel.speech.synthesizer import Utterance, Voice
from flywheel.speech.take import with_noise

VOICE = Voice("espeak:en-us+m3")
TAKES = with_noise(Utterance("please give cefazolin now", VOICE), ("clean", "snr_15db"))

Damage = Callable[[Path], None]


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeroed(path: Path) -> None:
    """As long as it was, its header whole: what is left of a file that was renamed before it was on the disk."""
    content = path.read_bytes()
    path.write_bytes(content[:44] + bytes(len(content) - 44))


@pytest.mark.parametrize(
    ("damage", "noted"),
    [
        (emptied, True),
        (halved, True),
        (zeroed, True),
        (Path.unlink, True),
        # Of before files were noted. A shorter recording is one like others then, and the manifest's check names it.
        (emptied, False),
        (zeroed, False),
    ],
)
def test_a_damaged_file_is_spoken_again(tmp_path: Path, damage: Damage, noted: bool) -> None:
    engine = EspeakSynthesizer()
    render(TAKES, tmp_path, engine, workers=1)
    files = [take.path(tmp_path, engine) for take in TAKES]
    before = [path.read_bytes() for path in files]
    if not noted:
        (tmp_path / CONTENTS).unlink()
    damage(files[0])
    said: list[str] = []
    again = render(TAKES, tmp_path, engine, workers=1, log=said.append)
    assert [path.read_bytes() for path in files] == before
    assert again.synthesised == 1
    assert ("1 file damaged" in " ".join(said)) == (damage is not Path.unlink)


def test_a_rerun_notes_nothing_new(tmp_path: Path) -> None:
    engine = EspeakSynthesizer()
    render(TAKES, tmp_path, engine, workers=1)
    noted = (tmp_path / CONTENTS).read_bytes()
    assert render(TAKES, tmp_path, engine).cache_hits == 2
    assert (tmp_path / CONTENTS).read_bytes() == noted


def test_a_line_that_was_cut_off_is_left_out_and_another_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"sound")
    note_files(tmp_path, [file])
    with (tmp_path / CONTENTS).open("a") as log:
        log.write('{"file": "b.w')
    assert whole_files(tmp_path, [file]) == {file}
    (tmp_path / CONTENTS).write_text('not JSON\n{"file": "a.wav", "sha256": "0"}\n')
    with pytest.raises(FlywheelError, match=r"contents\.jsonl:1: not JSON"):
        whole_files(tmp_path, [file])
