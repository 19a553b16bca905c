"""The pronunciations of a cycle, written and read."""

from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.pronunciation.lexicon import Candidate, Lexicon, Pronunciation, read_lexicon, write_lexicon

LEXICON = Lexicon(
    (
        Pronunciation("cefazolin", "sɛˈfæzəlɪn", "override"),
        Pronunciation(
            "apixaban", None, "espeak_g2p", candidates=(Candidate("əˈpɪksəbæn", "-xaban"),), notes="not found"
        ),
        Pronunciation("stat", "stæt", "override", is_term=False),
    )
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pronunciations.jsonl"
    write_lexicon(path, LEXICON)
    assert read_lexicon(path) == LEXICON
    assert "sɛˈfæzəlɪn" in path.read_text(encoding="utf-8")


def test_only_what_is_prescribed_is_said_of_a_text() -> None:
    found = LEXICON.prescribed_in("Stat dose of cefazolin, then apixaban")
    assert [(each.words, each.ipa) for each in found] == [("stat", "stæt"), ("cefazolin", "sɛˈfæzəlɪn")]
    assert LEXICON.source_of("apixaban") == "espeak_g2p"


def test_an_unknown_term_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(FlywheelError, match="'ferritin'; materialise pronunciations again"):
        LEXICON.source_of("ferritin")


@pytest.mark.parametrize(
    "line", ['{"words": "x"}', '{"words": "x", "candidates": [1]}', '{"candidates": []}']
)
def test_a_line_that_is_no_entry_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "l.jsonl").write_text(line + "\n")
    with pytest.raises(FlywheelError, match=r"l\.jsonl:1: not an entry of a lexicon"):
        read_lexicon(tmp_path / "l.jsonl")
