"""`score`: rates with intervals, over rows and over mentions of terms, in a report and as a cycle writes them."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from flywheel.files.atomic import read_json
from flywheel.files.records import plain
from flywheel.recognisers.evaluation import read_scored_rows
from flywheel.scoring import CLINICAL, read_rows, summarise
from tests.cycle_on_disk import trained_cycle
from tests.flywheel.cli.conftest import Command, Write


def lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def rows(count: int = 24) -> list[dict[str, Any]]:
    """Half of them about cefazolin, which is missed in every third of these; the others say no term."""
    made = []
    for number in range(count):
        term = "cefazolin" if number % 2 else None
        text = f"give {term or 'water'} to patient {'abcdefghijklmnopqrstuvwxyz'[number]}"
        made.append(
            {
                "id": f"r{number}",
                "text": text,
                "pred_text": text.replace("cefazolin", "cefa zolin") if number % 3 == 0 else text,
                "speaker": number % 6,
                "noise_level": "clean" if number < count // 2 else "snr_5db",
                **({"term": term, "entity_category": "drug"} if term else {}),
            }
        )
    return made


def test_a_manifest_with_terms(command: Command, write: Write) -> None:
    done = command("score", write("b.jsonl", lines(rows())), "--json").document
    every_row = done["every_row"]
    assert (every_row["missed"], every_row["ker"]["n"]) == (4, 12)
    assert every_row["ker"]["low"] < 4 / 12 < every_row["ker"]["high"]
    assert every_row["wer"]["substitutions"] + every_row["wer"]["insertions"] == 8
    assert every_row["ser"]["value"] == pytest.approx(4 / 24)
    # Of a test set no more is known than which rows have a term.
    assert set(done["scores"]["slices"]) == {"held_out", "all", "general"}
    assert done["scores"]["slices"]["general"]["wer"]["value"] == 0


def test_the_text_says_what_the_document_says(command: Command, write: Write) -> None:
    both = write("b.jsonl", lines(rows()))
    text = command("score", both).out
    for expected in (
        "24 rows, normaliser flywheel_clinical",
        "4 of 12 mentions missed",
        "4 of 24 rows",
        "Rows with a term",
        "By noise_level, every row, worst first",
    ):
        assert expected in text
    assert "By entity_category" not in text, "of one level there is nothing to compare"


def test_the_worst_rows_are_shown_word_above_word(command: Command, write: Write) -> None:
    said = "id,text,hyp\n1,give cefazolin now,give cefa zolin\n2,bring it,bring it\n3,give it now,give it\n"
    both = write("b.csv", said)
    text = command("score", both, "--show", "5").out
    _, shown = text.split("Rows with most word errors, normalised\n")
    assert shown.splitlines()[:10] == [
        "",
        "1: 2 word errors",
        "REF: give cefazolin   now",
        "HYP: give      cefa zolin",
        "                  S     S",
        "",
        "3: 1 word error",
        "REF: give it now",
        "HYP: give it ***",
        "               D",
    ]
    (worst,) = command("score", both, "--show", "1", "--json").document["worst"]
    assert (worst["id"], worst["word_errors"]) == ("1", 2)
    assert worst["text"].splitlines() == shown.splitlines()[2:5]
    assert command("score", both, "--json").document["worst"] == []


@pytest.mark.parametrize("number", ["0", "-1", "few"])
def test_how_many_are_shown_is_a_number_from_1(command: Command, write: Write, number: str) -> None:
    outcome = command("score", write("b.jsonl", lines(rows())), "--show", number)
    assert outcome.status == 2 and "allowed: a whole number from 1" in outcome.err


def test_breakdowns_by_any_field_of_the_file(command: Command, write: Write) -> None:
    done = command(
        "score", write("b.jsonl", lines(rows())), "--by", "speaker", "--by", "term", "--json"
    ).document
    assert list(done["by"]) == ["speaker", "term"]
    assert set(done["by"]["speaker"]) == {"0", "1", "2", "3", "4", "5"}
    assert done["by"]["speaker"]["3"]["ker"] | {"low": 0, "high": 0} == {
        **{"value": 1.0, "low": 0, "high": 0, "n": 4}
    }
    assert done["by"]["speaker"]["3"]["missed"] == 4
    assert sum(level["rows"] for level in done["by"]["speaker"].values()) == 24
    assert done["by"]["term"]["cefazolin"]["rows"] == 12


def test_rates_are_those_of_a_cycles_scores(command: Command, write: Write) -> None:
    """Of rows that all have a term every row is a slice that scoring knows; and so is each level of a field."""
    drugs = ("heparin", "warfarin", "apixaban", "digoxin", "sotalol", "ramipril", "bisoprolol", "cefazolin")
    about_terms = [
        {
            **row,
            **{
                "text": f"give {drug} to {drug[0]}",
                "pred_text": f"give {drug[row['speaker'] :]} to {drug[0]}",
            },
            **{"term": drug, "entity_category": "drug", "context_type": "handoff"},
        }
        for drug in drugs
        for row in rows(24)
    ]
    about_terms = [row | {"id": str(number)} for number, row in enumerate(about_terms)]
    done = command("score", write("b.jsonl", lines(about_terms)), "--json").document
    slice_scores = done["scores"]["slices"]["all"]
    by = slice_scores["by"]
    assert by.keys() == done["by"].keys() and len(by) > 3
    levels = [(of[level], done["by"][name][level]) for name, of in by.items() for level in of]
    compared = 0
    for expected, found in [(slice_scores, done["every_row"]), *levels]:
        for name in {"wer", "cer", "ser", "ker"} & expected.keys():
            of = ("value", "low", "high", "n")
            assert [found[name][field] for field in of] == [expected[name][field] for field in of]
            compared += 1
    assert compared > 4 * 3


def test_a_speaker_is_a_voice(command: Command, write: Write) -> None:
    done = command("score", write("b.jsonl", lines(rows())), "--json").document
    assert len(done["by"]["voice_id"]) == 6


def test_a_field_that_no_row_has_is_refused(command: Command, write: Write) -> None:
    outcome = command("score", write("b.jsonl", lines(rows())), "--by", "ward")
    assert outcome.status == 2
    assert "no field 'ward'; there are: id, text, pred_text, speaker" in outcome.err


TERMS = "term,entity_category\nheparin,drug\nwarfarin,drug\nchest x-ray,procedure\nsepsis,condition\n"
TEXTS = {
    "1": ("switch heparin to warfarin", "switch heparin to war far in"),
    "2": ("Chest X-ray after Heparin", "chest x ray after he parin"),
    "3": ("nothing of that kind", "nothing of that sepsis"),
    "4": ("heparin and again heparin", "heparin and again parin"),
}


@pytest.fixture
def texts(write: Write) -> tuple[Path, Path]:
    return (
        write("ref.csv", "id,text\n" + "".join(f"{key},{said}\n" for key, (said, _) in TEXTS.items())),
        write("hyp.csv", "id,hyp\n" + "".join(f"{key},{heard}\n" for key, (_, heard) in TEXTS.items())),
    )


def test_a_list_of_terms_gives_mentions(command: Command, write: Write, texts: tuple[Path, Path]) -> None:
    """Each listed term that a reference holds is one mention, however often it is said."""
    done = command("score", *texts, "--terms", write("terms.csv", TERMS), "--json").document
    assert done["mentions"] == {"count": 5, "rows": 3, "rows_with_several": 2}
    every_row = done["every_row"]
    assert (every_row["missed"], every_row["ker"]["n"]) == (2, 5), (
        "warfarin in 1, heparin in 2; in 4 one of two is enough"
    )
    assert done["every_row"]["wer"]["n"] == 4, "WER stays over rows"
    assert done["every_row"]["false_insertions"]["count"] == 1
    assert {level: rates["ker"]["n"] for level, rates in done["by"]["term"].items()} == {
        **{"chest x-ray": 1, "heparin": 3, "warfarin": 1}
    }
    assert done["by"]["entity_category"]["drug"]["rows"] == 3, "a row with two drugs is one row"
    held_out = done["scores"]["slices"]["held_out"]
    assert (held_out["ker"]["n"], held_out["rows"]) == (5, 3)
    assert held_out["by"]["entity_category"]["drug"]["ker"]["n"] == 4
    assert held_out["substitutions"]["warfarin"] == [{"heard": "war far in", "count": 1}]
    assert done["scores"]["slices"]["general"]["rows"] == 1


def test_the_text_states_what_the_ker_is_over(
    command: Command, write: Write, texts: tuple[Path, Path]
) -> None:
    text = command("score", *texts, "--terms", write("terms.csv", TERMS)).out
    assert "KER: 5 mentions in 3 rows, 2 of which hold several terms." in text
    assert "1 term heard and not said, in 1 of 4 rows" in text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("terms.txt", "heparin\nwarfarin\nchest x-ray\nsepsis\n"),
        (
            "terms.jsonl",
            '{"term": "heparin"}\n{"term": "WARFARIN"}\n{"term": "Chest  X-ray"}\n{"term": "sepsis"}\n',
        ),
        ("terms.csv", "term\nheparin\nwarfarin\nchest x-ray\nsepsis\nheparin\n"),
    ],
)
def test_a_list_of_terms_may_be_any_table(
    name: str, content: str, command: Command, write: Write, texts: tuple[Path, Path]
) -> None:
    done = command("score", *texts, "--terms", write(name, content), "--json").document
    assert (done["every_row"]["missed"], done["every_row"]["ker"]["n"]) == (2, 5)
    assert list(done["by"]["entity_category"]) == ["uncategorised"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,kind\nheparin,drug\n", "found name, kind; allowed: a field `term`"),
        (
            "term,entity_category\nheparin,drug\nheparin,lab\n",
            "line 3: found 'heparin' as lab; allowed: drug",
        ),
        ("term,entity_category\n ,drug\n", "line 2: found ' '"),
        ("term,entity_category\n", "no terms"),
        ("term,entity_category\n!!,drug\n", "term '!!': nothing is left of it"),
    ],
)
def test_a_list_that_is_none_is_refused(
    content: str, said: str, command: Command, write: Write, texts: tuple[Path, Path]
) -> None:
    outcome = command("score", *texts, "--terms", write("terms.csv", content))
    assert (outcome.status, said in outcome.err) == (2, True), outcome.err


def test_spellings_that_the_normaliser_does_not_tell_apart_are_one_term(
    command: Command, write: Write
) -> None:
    both = write(
        "b.csv", "id,text,hyp\n1,a chest x-ray with heparin,nothing\n2,nothing,a chest x-ray with heparin\n"
    )
    several = (
        "term,entity_category\nheparin,drug\nHeparin,drug\nchest x-ray,procedure\nchest x ray,procedure\n"
    )
    done = command("score", both, "--terms", write("terms.csv", several), "--json").document["every_row"]
    assert (done["ker"]["n"], done["false_insertions"]["count"]) == (2, 2)
    outcome = command(
        "score", both, "--terms", write("terms.csv", several.replace("ray,procedure\n", "ray,lab\n", 1))
    )
    assert (outcome.status, "'chest x ray' as procedure and 'chest x-ray'" in outcome.err) == (2, True)


def test_the_rows_own_terms_go_before_the_list(command: Command, write: Write) -> None:
    both = write(
        "b.jsonl",
        lines([{"id": "1", "text": "heparin and warfarin", "hyp": "heparin and sepsis", "term": "heparin"}]),
    )
    done = command("score", both, "--terms", write("terms.csv", TERMS), "--json").document
    assert (done["every_row"]["ker"]["n"], done["every_row"]["missed"]) == (1, 0)
    assert done["every_row"]["false_insertions"]["count"] == 1, (
        "the list is looked for in hypotheses all the same"
    )


def test_doses(command: Command, write: Write) -> None:
    both = write("b.csv", "id,text,hyp\n1,give 5 mg now,give 50 mg now\n2,take 2 tablets,take 2 tablets\n")
    doses = command("score", both, "--json").document["every_row"]["doses"]
    assert (doses["quantities"], doses["wrong_value"], doses["tenfold"]) == (2, 1, 1)
    assert (
        "Doses: of 2 quantities 1 with a wrong value (1 off by a power of ten)" in command("score", both).out
    )


def test_a_cycles_own_files_score_as_the_cycle_scored_them(command: Command, tmp_path: Path) -> None:
    folder = trained_cycle(tmp_path / "data")
    output = tmp_path / "scores"
    label = read_json(folder.next.scores)["model"]
    done = command("score", folder.next.hyps, "--output", output, "--model", label, "--json").document
    expected = plain(summarise(read_scored_rows(folder.next), model=label, normalizer=CLINICAL))
    assert read_json(output / "scores.json") == done["scores"] == expected
    assert (output / "results.csv").read_text() == folder.next.results.read_text()
    assert read_rows(output / "rows.parquet") == read_scored_rows(folder.next)
    assert done["split"] and done["by_rows"] == "held_out"
    assert (
        sum(level["rows"] for level in done["by"]["voice_id"].values())
        == expected["slices"]["held_out"]["rows"]
    )

    # The same from the manifest and hypotheses that hold nothing but ids.
    bare = tmp_path / "bare.jsonl"
    heard = [json.loads(line) for line in folder.next.hyps.read_text().splitlines()]
    bare.write_text(lines({"id": row["id"], "pred_text": row["pred_text"]} for row in reversed(heard)))
    again = command("score", folder.next.rows, bare, "--model", label, "--json").document
    assert again["scores"] == done["scores"]


def test_mentions_have_lines_of_their_own(
    command: Command, write: Write, texts: tuple[Path, Path], tmp_path: Path
) -> None:
    command("score", *texts, "--terms", write("terms.csv", TERMS), "--output", tmp_path / "out")
    with (tmp_path / "out/mentions.csv").open(newline="") as file:
        mentions = list(csv.DictReader(file))
    assert sum(int(mention["ker"]) for mention in mentions) == 2
    assert len(mentions) == 5
    with (tmp_path / "out/results.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


def test_subsets_of_another_kind_are_not_used_and_that_is_said(command: Command, write: Write) -> None:
    both = write("b.jsonl", lines({**row, "subset": "test-clean"} for row in rows()))
    done = command("score", both, "--by", "subset", "--json")
    assert not done.document["split"]
    assert "subset is 'test-clean'" in done.err and "are not used" in done.err
    assert done.document["by"]["subset"]["test-clean"]["rows"] == 24


def test_too_few_rows_show_counts_and_no_rate(command: Command, write: Write) -> None:
    text = command("score", write("b.jsonl", lines(rows(6)))).out
    assert "Too few: fewer than 12 rows carry no rate" in text


def test_a_narrow_terminal_cuts_nothing_off(
    command: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = write("b.jsonl", lines(rows()))
    monkeypatch.setenv("COLUMNS", "40")
    text = command("score", both).out
    assert "  errors                4 of 24 rows" in text
    assert "…" not in text
