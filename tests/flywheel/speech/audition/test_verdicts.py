"""Verdicts are read as the page and people write them, and refused with line and field where they are wrong."""

from pathlib import Path

import pytest

from flywheel.speech.audition.verdicts import COLUMNS, Verdict, VerdictsError, read_verdicts

HEADER = ",".join(COLUMNS)
GOOD = "cefazolin,approve,sɛˈfæzəlɪn,,A. Person,2026-01-31,override,espeak 1.52.0/1,espeak:en-us+m3"


QUOTED = '"the ""z"", not ""s"""'


def changed(column: str, value: str) -> str:
    cells = GOOD.split(",")
    cells[COLUMNS.index(column)] = value
    return ",".join(cells)


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n{GOOD}\n",
        f"{HEADER}\r\n{GOOD}\r\n",
        f"{HEADER}\n\n{GOOD}",
        f"{HEADER}\n{HEADER}\n{GOOD}\n",
    ],
    ids=["line feeds", "Windows", "blank line and no end", "one file behind another"],
)
def test_a_file_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "verdicts.csv"
    path.write_bytes(text.encode())
    assert read_verdicts(path) == (
        Verdict(
            "cefazolin",
            "approve",
            "sɛˈfæzəlɪn",
            "",
            "A. Person",
            "2026-01-31",
            "override",
            "espeak 1.52.0/1",
            "espeak:en-us+m3",
        ),
    )


def test_a_note_keeps_its_quotes_and_commas(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.csv"
    path.write_text(f"{HEADER}\n{changed('note', QUOTED)}\n")
    assert read_verdicts(path)[0].note == 'the "z", not "s"'


def test_no_file_is_no_verdict(tmp_path: Path) -> None:
    assert read_verdicts(tmp_path / "verdicts.csv") == ()


def test_moments_with_and_without_a_zone_compare() -> None:
    cells = dict(zip(COLUMNS, GOOD.split(","), strict=True))
    day, noon, later = (
        Verdict(**{**cells, "judged_at": at}).moment
        for at in ("2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31T12:30:00-01:00")
    )
    assert day < noon < later


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (changed("verdict", "approved"), ["line 2, verdict", "'approved'", "approve, reject"]),
        (changed("verdict", "Approve"), ["line 2, verdict", "'Approve'"]),
        (changed("verdict", ""), ["line 2, verdict", "fill it in"]),
        (changed("term", "Cefazolin"), ["line 2, term", "write 'cefazolin'"]),
        (changed("term", " "), ["line 2, term", "fill it in"]),
        (changed("judged_by", ""), ["line 2, judged_by"]),
        (changed("judged_at", "yesterday"), ["line 2, judged_at", "'yesterday'", "2026-01-31"]),
        (changed("engine", ""), ["line 2, engine"]),
        ("cefazolin,approve", ["line 2, row", "2 values", "9 values"]),
        (f"{changed('verdict', 'x')}\n{changed('voice', '')}", ["2 problems", "line 2", "line 3, voice"]),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, expected: list[str]) -> None:
    path = tmp_path / "verdicts.csv"
    path.write_text(f"{HEADER}\n{row}\n")
    with pytest.raises(VerdictsError) as refused:
        read_verdicts(path)
    assert [part for part in (str(path), *expected) if part not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [("term,verdict\n", "line 1, header"), ("", "an empty file"), (f"\ufeff{HEADER}\n", "byte-order mark")],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "verdicts.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(VerdictsError, match=expected):
        read_verdicts(path)


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(VerdictsError, match="is a directory"):
        read_verdicts(tmp_path)
