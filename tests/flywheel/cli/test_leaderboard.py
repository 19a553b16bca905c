"""`leaderboard`: the page from hypotheses alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flywheel.cli.conftest import Command, Write


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def files(write: Write) -> dict[str, Path]:
    """Forty rows about eight drugs, and forty without a term; after it, all that was missed is heard."""
    drugs = ("cefazolin", "heparin", "warfarin", "apixaban", "digoxin", "sotalol", "ramipril", "bisoprolol")
    rows = [{"utt_id": f"c{n}", "text": f"give {drugs[n % 8]} to bed {n}"} for n in range(40)]
    rows += [{"utt_id": f"g{n}", "text": f"the lift to floor {n} is out of order"} for n in range(40)]
    before = [row | {"hyp": "give him to bed" if row["utt_id"][0] == "c" else row["text"]} for row in rows]
    return {
        "references": write("ref.jsonl", lines(rows)),
        "before": write(
            "before.jsonl", lines([{"utt_id": row["utt_id"], "hyp": row["hyp"]} for row in before])
        ),
        "after": write("after.jsonl", lines([{"utt_id": row["utt_id"], "hyp": row["text"]} for row in rows])),
        "terms": write("terms.csv", "term,entity_category\n" + "".join(f"{drug},drug\n" for drug in drugs)),
    }


def test_before_and_after(command: Command, files: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "page"
    arguments = [part for name, path in files.items() for part in (f"--{name}", path)]
    outcome = command("leaderboard", *arguments, "--output", output, "--model-after", "tuned", "--json")
    assert outcome.status == 0, outcome.err
    done = outcome.document
    assert done["decision"]["action"] == "keep"
    assert done["headline"][0].startswith("Keep the new model. It misses 0 of 40 drug mentions")
    assert done["comparison"]["slices"]["held_out"]["ker"]["mended"] == 40
    page = (output / "leaderboard.md").read_text()
    assert "40 of 40 -> 0 of 40" in page
    assert "tuned" in page and "before.jsonl" in page
    assert str(tmp_path) not in page, "whoever reads it need not know where it was made"
    assert (output / "leaderboard.html").read_text().lower().startswith("<!doctype html>")
    for figure in ("category", "noise", "source", "terms"):
        assert (output / f"leaderboard.{figure}.png").read_bytes().startswith(b"\x89PNG")


def test_one_recogniser_alone(command: Command, write: Write, tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "text": f"give heparin {n}", "hyp": f"give him {n}", "term": "heparin"}
        for n in range(20)
    ]
    outcome = command("leaderboard", "--before", write("b.jsonl", lines(rows)), "--output", tmp_path / "page")
    assert outcome.status == 0, outcome.err
    assert "misses 20 of 20" in outcome.out
    assert str(tmp_path / "page/leaderboard.md") in outcome.out


@pytest.mark.parametrize(
    ("dropped", "extra", "said"),
    [
        ("terms", (), "no held-out row has a term"),
        ("references", (), "no field for references"),
        (
            None,
            ("--priority", "procedure"),
            "--priority: found procedure, of which no row is held out; there are: drug",
        ),
    ],
)
def test_what_has_no_page_is_refused(
    dropped: str | None,
    extra: tuple[str, ...],
    said: str,
    command: Command,
    files: dict[str, Path],
    tmp_path: Path,
) -> None:
    arguments = [part for name, path in files.items() if name != dropped for part in (f"--{name}", path)]
    outcome = command("leaderboard", *arguments, *extra, "--output", tmp_path / "page")
    assert (outcome.status, said in outcome.err) == (2, True), outcome.err
    assert not (tmp_path / "page").exists()
