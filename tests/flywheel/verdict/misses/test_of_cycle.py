"""The misses of a cycle on disk."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_json
from flywheel.files.cycles import CycleFolder
from flywheel.pronunciation.lexicon import Lexicon, Pronunciation, write_lexicon
from flywheel.verdict.misses import read_misses, write_misses
from tests.cycle_on_disk import TERMS, trained_cycle

WITHOUT_ENGINE = """
import sys
sys.modules["espeakng_loader"] = None
import flywheel.verdict.misses
assert "flywheel.speech.engines.espeak" not in sys.modules
"""


@pytest.fixture(scope="module")
def cycle(tmp_path_factory: pytest.TempPathFactory) -> CycleFolder:
    folder = trained_cycle(tmp_path_factory.mktemp("data"))
    terms = [term for terms in TERMS.values() for term in terms]
    entries = tuple(Pronunciation(term, None, "espeak_g2p") for term in terms)
    write_lexicon(folder.pronunciations, Lexicon(entries))
    return folder


@pytest.fixture
def folder(cycle: CycleFolder, tmp_path: Path) -> CycleFolder:
    shutil.copytree(cycle.root, CycleFolder(tmp_path, cycle.cycle).root)
    return CycleFolder(tmp_path, cycle.cycle)


@pytest.mark.parametrize("trained", [False, True])
def test_they_are_those_that_the_scores_count(folder: CycleFolder, trained: bool) -> None:
    misses = write_misses(folder, trained=trained)
    scores = read_json((folder.next if trained else folder.baseline).scores)
    assert misses.model == scores["model"]
    slices = [scores["slices"][name] for name in ("held_out", "unseen_term", "unseen_voice")]
    counted = sum(round(each["ker"]["value"] * each["ker"]["n"]) for each in slices)
    assert sum(term.missed for term in misses.terms) == counted > 0
    assert all(Path(row.audio_filepath).is_file() for row in misses.rows)


def test_they_are_read_as_they_were_written(folder: CycleFolder) -> None:
    folder.misses.unlink(missing_ok=True)
    assert read_misses(folder) is None
    written = write_misses(folder, trained=True)
    assert read_misses(folder) == written


def test_a_cycle_without_pronunciations_is_refused(folder: CycleFolder) -> None:
    folder.pronunciations.unlink()
    with pytest.raises(FlywheelError, match=r"pronunciations\.jsonl: no such file"):
        write_misses(folder, trained=True)


def test_what_was_found_can_be_read_without_the_engine() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_ENGINE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
