"""`compare`: the same rows before and after, paired by id."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from flywheel.files.records import read_record, record_in
from flywheel.scoring import Comparison
from tests.cycle_on_disk import trained_cycle
from tests.flywheel.cli.conftest import Command, Write

TERMS = {"drug": ("cefazolin", "heparin"), "lab": ("troponin", "ferritin")}


def read(values: dict[str, Any]) -> Comparison:
    return record_in(json.dumps(values), Comparison, "comparison", "compare again")


def corpus(count: int = 80) -> list[dict[str, Any]]:
    """Every second row has a term."""
    made = []
    for number in range(count):
        category = ("drug", "lab")[number // 2 % 2]
        term = TERMS[category][number // 4 % 2] if number % 2 else None
        word = "abcdefghijklmnopqrstuvwxyz"[number % 26]
        row: dict[str, Any] = {"id": f"r{number}", "text": f"{term or 'water'} for {word} in bed {number}"}
        made.append(row | ({"term": term, "entity_category": category} if term else {}))
    return made


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def heard(rows: list[dict[str, Any]], *, missed: float, wrong: float, seed: int) -> str:
    """Hypotheses in random order that miss that share of the terms, and of the other rows get a word wrong."""
    random_ = random.Random(seed)

    def hypothesis(row: dict[str, Any]) -> str:
        text: str = row["text"]
        term = row.get("term")
        if term:
            return text.replace(term, "something") if random_.random() < missed else text
        return text.replace("water", "later") if random_.random() < wrong else text

    made = [{"id": row["id"], "pred_text": hypothesis(row)} for row in rows]
    random_.shuffle(made)
    return lines(made)


@pytest.fixture
def files(write: Write) -> tuple[Path, Path, Path]:
    rows = corpus()
    return (
        write("ref.jsonl", lines(rows)),
        write("before.jsonl", heard(rows, missed=0.9, wrong=0.1, seed=1)),
        write("after.jsonl", heard(rows, missed=0.2, wrong=0.1, seed=2)),
    )


def test_what_changed(command: Command, files: tuple[Path, Path, Path]) -> None:
    done = command("compare", *files, "--json").document
    comparison = read(done["comparison"])
    held_out, general = comparison.slices["held_out"], comparison.slices["general"]
    assert (held_out.rows, general.rows) == (40, 40)
    assert held_out.ker is not None
    assert held_out.ker.mended > 20
    assert held_out.ker.p < 0.001
    assert list(held_out.by_category) == ["drug", "lab"]
    assert all(ker.p_holm is not None and ker.p_holm >= ker.p for ker in held_out.by_category.values())
    assert general.ker is None
    every_row = done["every_row"]["wer"]
    assert every_row["difference"]["n"] == 80
    assert every_row["difference"]["value"] == pytest.approx(
        every_row["after"]["value"] - every_row["before"]["value"]
    )
    assert every_row["improvement"] > 0.99
    assert (done["checks"], done["holds"]) == ([], True)


def test_the_text_says_it(command: Command, files: tuple[Path, Path, Path]) -> None:
    text = command("compare", *files).out
    for expected in (
        "Every row, n = 80",
        "Rows with a term, n = 40",
        "Rows without a term, n = 40",
        "exact McNemar test: p < 0.001",
        "p, Holm",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("swapped", "arguments", "status", "said"),
    [
        (False, ("--require", "improvement"), 0, "yes: KER"),
        (True, ("--require", "improvement"), 1, "no: KER"),
        (False, ("--cap", "0.5"), 0, "yes: WER without terms"),
        (False, ("--cap", "0"), 1, "no: WER without terms"),
        (True, ("--require", "improvement", "--cap", "0.5"), 1, "yes: WER without terms"),
        (True, (), 0, "KER"),
    ],
)
def test_what_was_asked_for_decides_the_exit_code(
    swapped: bool,
    arguments: tuple[str, ...],
    status: int,
    said: str,
    command: Command,
    files: tuple[Path, ...],
) -> None:
    references, *sides = files
    ordered = [references, *(reversed(sides) if swapped else sides)]
    outcome = command("compare", *ordered, *arguments)
    assert outcome.status == status
    assert said in outcome.out
    assert command("compare", *ordered, *arguments, "--json").document["holds"] is (status == 0)


def test_without_terms_it_is_about_wer(command: Command, write: Write) -> None:
    rows = [{"id": str(number), "text": f"word {number} of many"} for number in range(40)]
    references = write("ref.jsonl", lines(rows))
    worse = write("a.jsonl", lines([{"id": row["id"], "hyp": "word of"} for row in rows]))
    better = write("b.jsonl", lines([{"id": row["id"], "hyp": row["text"]} for row in rows]))
    assert command("compare", references, worse, better, "--require", "improvement", "--cap", "0").status == 0
    assert command("compare", references, better, worse, "--require", "improvement").status == 1
    assert command("compare", references, better, worse, "--cap", "0.01").status == 1
    text = command("compare", references, worse, better).out
    assert "KER" not in text
    assert text.count("WER") == 1, "what all rows are is said once"


def test_a_cap_without_rows_to_hold_it_to_does_not_hold(command: Command, write: Write) -> None:
    rows = [row for row in corpus() if "term" in row]
    references = write("ref.jsonl", lines(rows))
    same = write("h.jsonl", heard(rows, missed=0, wrong=0, seed=1))
    outcome = command("compare", references, same, same, "--cap", "0.01")
    assert (outcome.status, "not measured, for every row has a term" in outcome.out) == (1, True)


def test_several_terms_in_a_row_are_several_mentions(command: Command, write: Write) -> None:
    references = write("ref.csv", "id,text\n" + "".join(f"{n},heparin and ferritin {n}\n" for n in range(20)))
    before = write("a.csv", "id,hyp\n" + "".join(f"{n},parin and ferrying {n}\n" for n in range(20)))
    after = write("b.csv", "id,hyp\n" + "".join(f"{n},heparin and ferrying {n}\n" for n in range(20)))
    terms = write("terms.csv", "term,entity_category\nheparin,drug\nferritin,lab\n")
    done = command("compare", references, before, after, "--terms", terms, "--json").document
    slices = read(done["comparison"]).slices
    ker = slices["held_out"].ker
    assert ker is not None
    assert (ker.before.n, ker.mended, ker.broken) == (40, 20, 0)
    assert slices["held_out"].rows == 20
    assert slices["held_out"].by_category["drug"].mended == 20
    assert slices["held_out"].by_category["lab"].mended == 0
    text = command("compare", references, before, after, "--terms", terms).out
    assert "KER of 40 mentions in 20 rows: 40 of 40 missed before, 20 of 40 after;" in text


def test_rows_missing_on_one_side_are_misses_there(command: Command, files: tuple[Path, ...]) -> None:
    references, before, after = files
    after.write_text("".join(after.read_text().splitlines(keepends=True)[10:]))
    done = command("compare", references, before, after, "--json")
    assert len(done.document["missing_hypotheses"]["after"]) == 10
    assert "10 of 80 rows without a hypothesis" in done.err
    assert done.document["pairing"] == {
        "before": "80 of 80 rows with a hypothesis, paired by `id`",
        "after": "70 of 80 rows with a hypothesis, paired by `id`",
    }
    assert (
        f"after:  {after}: 70 of 80 rows with a hypothesis"
        in command("compare", references, before, after).out
    )


def test_an_improvement_of_one_term_alone_is_none_over_terms(command: Command, write: Write) -> None:
    names = ("cefazolin", "heparin", "apixaban", "digoxin", "ramipril", "sotalol", "warfarin")
    rows = [
        {"id": f"{name}{n}", "text": f"{name} for bed {n}", "term": name} for name in names for n in range(8)
    ]
    references = write("ref.jsonl", lines(rows))
    missed = [row | {"hyp": "no" if row["term"] == names[0] else row["text"]} for row in rows]
    before = write("a.jsonl", lines([{"id": row["id"], "hyp": row["hyp"]} for row in missed]))
    after = write("b.jsonl", lines([{"id": row["id"], "hyp": row["text"]} for row in rows]))
    done = command("compare", references, before, after, "--require", "improvement")
    assert done.status == 1
    assert "8 mended, 0 broken, p = 0.008, -14.3 [" in done.out and "asked for: fewer" in done.out


def test_what_too_few_rows_do_not_carry_is_said_in_place_of_a_number(command: Command, write: Write) -> None:
    """Thirteen rows about a drug, of which three are mended, and five about a lab value."""
    rows = corpus(26)[1::2] + [{"id": f"l{n}", "text": f"ferritin {n}", "term": "ferritin"} for n in range(5)]
    rows = [row | {"entity_category": "lab" if row["id"].startswith("l") else "drug"} for row in rows]
    changed = {row["id"] for row in rows[:3]}
    references = write("ref.jsonl", lines(rows))
    sides = [
        write(
            name,
            lines([{"id": row["id"], "hyp": "x" if row["id"] in missed else row["text"]} for row in rows]),
        )
        for name, missed in (("a.jsonl", changed), ("b.jsonl", set()))
    ]
    text = command("compare", references, *sides).out
    drug, lab = (line for line in text.splitlines() if line.startswith(("drug", "lab")))
    assert "3 of 13" in drug and "too few changed rows to tell (n = 3; 6 needed)" in drug
    assert "[no interval]" in drug and "No interval: the rows are of fewer than 6 terms" in text
    assert "0 of 5" in lab and "too few rows (n = 5; 12 needed)" in lab
    assert "exact McNemar test: too few changed rows to tell (n = 3; 6 needed)" in text


def test_two_files_that_hold_both_texts(command: Command, tmp_path: Path) -> None:
    folder = trained_cycle(tmp_path / "data")
    done = command("compare", folder.baseline.hyps, folder.next.hyps, "--json").document
    assert done["split"]
    ours = read(done["comparison"]).slices
    cycles = read_record(folder.comparison, Comparison).slices
    assert ours.keys() == cycles.keys()
    # The cycle looks at drugs first, the command at every category.
    assert all(ours[name].ker == cycles[name].ker and ours[name].wer == cycles[name].wer for name in cycles)


def test_two_files_with_other_references_are_refused(command: Command, write: Write) -> None:
    one = write("a.csv", "id,text,hyp\n1,one  two,one\n2,three,three\n")
    other = write("b.csv", "id,text,hyp\n1,one two,one\n2,four,three\n")
    outcome = command("compare", one, other)
    assert outcome.status == 2
    assert "the references of 1 row are not those of" in outcome.err and "'2'" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a",), "found 1 file; allowed: REFERENCES BEFORE AFTER"),
        (("a", "b", "c", "d"), "found 4 files"),
        (("a", "b", "--cap", "1 %"), "allowed: a fraction from 0 to 1"),
        (("a", "b", "--require", "miracles"), "invalid choice: 'miracles'"),
        (("a", "b"), "a: no such file"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...], said: str, command: Command) -> None:
    outcome = command("compare", *arguments)
    assert (outcome.status, said in outcome.err) == (2, True), outcome.err
