"""`split`: any manifest divided by sentence and voice, without leaks, its rows as they were."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.flywheel.cli.conftest import Command

TERMS = {"drug": ("cefazolin", "heparin", "warfarin", "apixaban"), "lab": ("troponin", "ferritin", "lactate")}
SENTENCES = ("give {} now", "was {} ordered", "please review the {}", "no {} today", "{} is late again")
SPEAKERS = ("nurse-01", "nurse-02", "nurse-03")
GENERAL = (
    "the bus was late",
    "we walked home",
    "it rained all day",
    "the lift is out of order",
    "lunch at noon",
)


def corpus() -> list[dict[str, Any]]:
    said = [
        {"text": sentence.format(term), "term": term, "entity_category": category}
        for category, terms in TERMS.items()
        for term in terms
        for sentence in SENTENCES
    ]
    said += [{"text": text} for text in GENERAL]
    return [
        {
            "audio_filepath": f"audio/{speaker}/{number}.wav",
            "duration": 2.0,
            **row,
            "speaker": speaker,
            "ward": {"name": "é", "floor": 3},
        }
        for number, row in enumerate(said)
        for speaker in (SPEAKERS if "term" in row else SPEAKERS[:2])
    ]


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[Sequence[dict[str, Any]]], Path]:
    def write(rows: Sequence[dict[str, Any]], name: str = "manifest.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def subsets(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in folder.glob("*.jsonl")
    }


def test_each_row_goes_to_one_side_and_keeps_its_fields(
    command: Command, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    rows = corpus()
    output = tmp_path / "splits"
    outcome = command("split", manifest(rows), "--output", output, "--unseen-voice", "nurse-03")
    assert outcome.status == 0, outcome.out
    assert "no leaks" in outcome.out
    written = subsets(output)
    assert set(written) == {"train", "development", "validation", "unseen_term", "unseen_voice", "general"}
    assert sum(map(len, written.values())) == len(rows)
    for name, members in written.items():
        assert {row["subset"] for row in members} == ({"train", "replay"} if name == "train" else {name})
    # Fields nobody asked for stay, and a relative path leads to the same file from where the row is now.
    original = {(row["text"], row["speaker"]): row for row in rows}
    for row in (row for members in written.values() for row in members):
        before = original[row["text"], row["speaker"]]
        assert row | {"audio_filepath": 0} == before | {"subset": row["subset"], "audio_filepath": 0}
        assert (output / row["audio_filepath"]).resolve() == (tmp_path / before["audio_filepath"]).resolve()


def test_no_leaks(command: Command, manifest: Callable[..., Path], tmp_path: Path) -> None:
    output = tmp_path / "splits"
    done = command(
        "split", manifest(corpus()), "--output", output, "--unseen-voice", "nurse-03", "--json"
    ).document
    written = subsets(output)
    learned = {row["text"] for row in written["train"]}
    assert learned.isdisjoint(row["text"] for row in written["validation"] + written["general"])
    assert {row["speaker"] for row in written["train"]} == {"nurse-01", "nurse-02"}
    unseen = {row["term"] for row in written["unseen_term"]}
    assert unseen and unseen.isdisjoint(row.get("term") for row in written["train"])
    assert done["leak_free"] and all(leak["passed"] for leak in done["leaks"])
    assert done["files"]["train.jsonl"] == len(written["train"])
    record = json.loads((output / "split.json").read_text())
    assert record["counts"] == done["counts"]
    assert record["counts"]["validation"]["total"] == len(written["validation"])
    assert record["settings"]["unseen_voices"] == ["nurse-03"]


def test_the_order_of_the_rows_changes_nothing(
    command: Command, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    rows = corpus()
    for name, ordered in (("one", rows), ("two", rows[::-1])):
        command("split", manifest(ordered), "--output", tmp_path / name)
    one, two = subsets(tmp_path / "one"), subsets(tmp_path / "two")
    assert {name: sorted(map(json.dumps, members)) for name, members in one.items()} == {
        name: sorted(map(json.dumps, members)) for name, members in two.items()
    }


def test_a_larger_manifest_leaves_old_rows_where_they_are(
    command: Command, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    rows = corpus()
    smaller = [row for row in rows if row.get("term") not in ("apixaban", "lactate")]
    first, second = tmp_path / "first", tmp_path / "second"
    command("split", manifest(smaller), "--output", first)
    outcome = command("split", manifest(rows), "--output", second, "--earlier", first / "split.json")
    assert outcome.status == 0, outcome.out

    def sides(folder: Path) -> dict[tuple[str, str], str]:
        return {
            (row["text"], row["speaker"]): row["subset"]
            for members in subsets(folder).values()
            for row in members
        }

    before, after = sides(first), sides(second)
    assert {key: after[key] for key in before} == before


def test_without_terms_sentences_are_replayed_or_control(
    command: Command, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    plain = [{key: row[key] for key in ("audio_filepath", "text", "duration")} for row in corpus()]
    output = tmp_path / "splits"
    outcome = command("split", manifest(plain), "--output", output, "--replay", "0.8")
    assert outcome.status == 0
    written = subsets(output)
    assert len(written["train"]) == round(0.8 * len(plain))
    assert {row["text"] for row in written["train"]}.isdisjoint(row["text"] for row in written["general"])
    assert "note: no row has a term, so that all are general speech" in outcome.err


def test_a_list_gives_the_rows_of_a_bare_manifest_their_terms(
    command: Command, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    rows = corpus()
    bare = [{key: row[key] for key in ("audio_filepath", "text", "duration")} for row in rows]
    bare[0] |= {"text": "a cefazolin-induced rash"}
    terms = tmp_path / "terms.csv"
    listed = [f"{term.title()},{category}\n" for category, of in TERMS.items() for term in of]
    terms.write_text("".join(["term,entity_category\n", *listed]))
    output = tmp_path / "splits"
    outcome = command("split", manifest(bare), "--output", output, "--terms", terms)
    assert outcome.status == 0, outcome.err
    written = subsets(output)
    assert {"train", "development", "validation", "unseen_term", "general"} == set(written)
    assert all(written.values())
    found = {row["text"]: row.get("term") for members in written.values() for row in members}
    assert found == {row["text"]: row.get("term") for row in rows[1:]} | {bare[0]["text"]: None}

    terms.write_text("term\ncefazolin\n")
    outcome = command("split", manifest(bare), "--output", output, "--terms", terms)
    assert (outcome.status, "entity_category uncategorised; allowed: drug" in outcome.err) == (2, True)


def test_parts_of_one_file_are_said_to_share_it(
    command: Command, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [
        {"audio_filepath": "a.wav", "offset": float(at), "duration": 1.0, "text": f"part {at}"}
        for at in range(9)
    ]
    outcome = command("split", manifest(rows), "--output", tmp_path / "splits")
    assert outcome.status == 0
    assert "1 file with several rows (`offset`), which may stand on both sides" in outcome.err


def test_a_subset_that_is_empty_now_has_no_file(
    command: Command, manifest: Callable[..., Path], tmp_path: Path
) -> None:
    output = tmp_path / "splits"
    command("split", manifest(corpus()), "--output", output, "--unseen-voice", "nurse-03")
    command("split", manifest(corpus()), "--output", output)
    assert "unseen_voice" not in subsets(output)


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        ({"duration": 0}, (), "line 1, duration: found 0"),
        (
            {"term": "cefazolin", "entity_category": None},
            (),
            "line 1, entity_category: found nothing beside the term 'cefazolin'",
        ),
        ({"entity_category": "medication"}, (), "line 1, entity_category: found 'medication'; allowed: drug"),
        ({"term": "aspirin"}, (), "line 1, term: found 'aspirin', which does not stand in the text"),
        ({"audio_filepath": "audio/nurse-02/0.wav"}, (), "again, first in line 1"),
        ({}, ("--unseen-voice", "nobody"), "found nobody, which no row is spoken in"),
        ({}, ("--validation", "0.9"), "validation_fraction: found 0.9; allowed: 0 to 0.5"),
        ({}, ("--validation", "20"), "allowed: a fraction from 0 to 1"),
        ({}, ("--earlier", "gone.json"), "gone.json: no such file"),
    ],
)
def test_what_cannot_be_split_is_refused(
    change: dict[str, Any],
    arguments: tuple[str, ...],
    said: str,
    command: Command,
    manifest: Callable[..., Path],
    tmp_path: Path,
) -> None:
    rows = corpus()
    rows[0] |= change
    outcome = command("split", manifest(rows), "--output", tmp_path / "splits", *arguments)
    assert (outcome.status, said in outcome.err) == (2, True), outcome.err
    assert not (tmp_path / "splits").exists(), "nothing is written"
