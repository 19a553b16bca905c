"""Files that nobody here wrote: the same rows in every shape give the same score; what is doubtful is refused."""

import codecs
import json
import random
import unicodedata
from collections.abc import Callable

import jiwer
import pytest

from flywheel.scoring import PUBLISHED
from tests.flywheel.cli.conftest import Command, Write

REFERENCES = {"a1": "give cefazolin now", "a2": "the café is closed", "007": "stop"}
HEARD = {"a1": "give cefa zolin now", "a2": "the cafe is closed", "007": "stop it"}
ERRORS = 2 + 1  # a substitution and an insertion in a1, an insertion in 007
WORDS = 3 + 4 + 1


def jsonl(rows: dict[str, str], field: str, *, id_field: str = "id") -> str:
    return "".join(
        json.dumps({id_field: key, field: text, "extra": [1]}) + "\n" for key, text in rows.items()
    )


def delimited(rows: dict[str, str], field: str, delimiter: str) -> str:
    lines = [
        f"id{delimiter}{field}{delimiter}note",
        *(f'{k}{delimiter}"{t}"{delimiter}' for k, t in rows.items()),
    ]
    return "\n".join(lines) + "\n"


SHAPES: dict[str, tuple[str, Callable[[dict[str, str]], bytes]]] = {
    "JSON Lines": ("h.jsonl", lambda rows: jsonl(rows, "pred_text").encode()),
    "CRLF": ("h.jsonl", lambda rows: jsonl(rows, "pred_text").replace("\n", "\r\n").encode()),
    "byte-order mark": ("h.jsonl", lambda rows: codecs.BOM_UTF8 + jsonl(rows, "hyp").encode()),
    "no final line feed": ("h.json", lambda rows: jsonl(rows, "prediction").rstrip("\n").encode()),
    "blank lines": ("h.ndjson", lambda rows: jsonl(rows, "hypothesis").replace("\n", "\n\n").encode()),
    "no suffix": ("hypotheses", lambda rows: jsonl(rows, "transcription").encode()),
    "out of order": ("h.jsonl", lambda rows: jsonl(dict(reversed(rows.items())), "pred_text").encode()),
    "under the name of a reference": ("h.jsonl", lambda rows: jsonl(rows, "text").encode()),
    "decomposed": ("h.jsonl", lambda rows: unicodedata.normalize("NFD", jsonl(rows, "pred_text")).encode()),
    "CSV": ("h.csv", lambda rows: delimited(rows, "hypothesis", ",").encode()),
    "semicolons": ("h.csv", lambda rows: delimited(rows, "hypothesis", ";").encode()),
    "tabs": ("h.tsv", lambda rows: delimited(rows, "pred_text", "\t").encode()),
    "CSV, Excel's way": (
        "h.csv",
        lambda rows: codecs.BOM_UTF8 + delimited(rows, "hyp", ";").replace("\n", "\r\n").encode(),
    ),
    "Kaldi": ("text", lambda rows: "".join(f"{key}  {text}\n" for key, text in rows.items()).encode()),
    "Kaldi with tabs": (
        "text",
        lambda rows: "".join(f"{key}\t{text}\n" for key, text in rows.items()).encode(),
    ),
    "CSV with delimiters to spare": (
        "h.csv",
        lambda rows: (delimited(rows, "hyp", ",").replace("\n", ",,\n") + ",,,,\n").encode(),
    ),
    "CSV without its suffix": ("h.txt", lambda rows: delimited(rows, "hyp", ",").encode()),
    "sclite": ("h.trn", lambda rows: "".join(f"{text} ({key})\n" for key, text in rows.items()).encode()),
    "another id": ("h.jsonl", lambda rows: jsonl(rows, "pred_text", id_field="utt_id").encode()),
    "paths": (
        "h.jsonl",
        lambda rows: jsonl(
            {f"/elsewhere/{key}.wav": t for key, t in rows.items()}, "pred_text", id_field="audio_filepath"
        ).encode(),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_hypotheses_in_every_shape_score_alike(shape: str, command: Command, write: Write) -> None:
    name, content = SHAPES[shape]
    references = write("ref.jsonl", jsonl(REFERENCES, "text"))
    done = command("score", references, write(name, content(HEARD)), "--json").document
    wer = done["every_row"]["wer"]
    assert (wer["substitutions"] + wer["deletions"] + wer["insertions"], wer["reference_length"]) == (
        ERRORS,
        WORDS,
    )
    assert (done["missing_hypotheses"], done["notes"]) == ([], [])


@pytest.mark.parametrize("shape", ["Kaldi", "semicolons", "sclite", "CSV, Excel's way"])
def test_references_may_have_these_shapes_too(shape: str, command: Command, write: Write) -> None:
    name, content = SHAPES[shape]
    references = write(f"references/{name}", content(REFERENCES))
    hypotheses = write("h.jsonl", jsonl(HEARD, "pred_text"))
    arguments = ("--reference-field", "hypothesis") if shape == "semicolons" else ()
    arguments = ("--reference-field", "hyp") if shape.startswith("CSV") else arguments
    wer = command("score", references, hypotheses, *arguments, "--json").document["every_row"]["wer"]
    assert wer["reference_length"] == WORDS
    assert wer["value"] == pytest.approx(ERRORS / WORDS)


def test_commas_in_a_sentence_make_no_header(command: Command, write: Write) -> None:
    references = write("ref.txt", "a1 give it now, then wait; please\na2 stop\n")
    hypotheses = write("hyp.txt", "a2 stop\na1 give it now then wait please\n")
    assert command("score", references, hypotheses, "--json").document["every_row"]["wer"]["value"] == 0


def test_one_file_may_hold_both_texts(command: Command, write: Write) -> None:
    rows = [{"audio_filepath": f"{k}.wav", "text": t, "pred_text": HEARD[k]} for k, t in REFERENCES.items()]
    both = write("transcribed.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert command("score", both, "--json").document["every_row"]["wer"]["value"] == pytest.approx(
        ERRORS / WORDS
    )


def test_ids_that_are_numbers_stay_text(command: Command, write: Write) -> None:
    references = write("ref.csv", "id,text\n007,one\n7,two\n")
    same = write("hyp.csv", "id,hyp\n7,two\n007,one\n")
    assert command("score", references, same, "--json").document["every_row"]["wer"]["value"] == 0
    numbers = write("hyp.jsonl", '{"id": 7, "hyp": "two"}\n')
    assert command("score", references, numbers, "--json").document["missing_hypotheses"] == ["007"]


def test_two_spellings_of_one_id_are_one(command: Command, write: Write) -> None:
    references = write("ref.csv", unicodedata.normalize("NFC", "id,text\nmüller,hello\n"))
    hypotheses = write("hyp.csv", unicodedata.normalize("NFD", "id,hyp\nmüller,hello\n"))
    assert command("score", references, hypotheses, "--json").document["every_row"]["wer"]["value"] == 0


def test_rows_are_called_by_their_stem_where_that_is_unique_and_by_their_path_where_not(
    command: Command, write: Write
) -> None:
    def manifest(*paths: str) -> str:
        return "".join(
            json.dumps({"audio_filepath": path, "text": f"text of {path[0]}"}) + "\n" for path in paths
        )

    by_stem = write("ref.jsonl", manifest("a/1.wav", "b/2.wav"))
    hypotheses = write(
        "hyp.jsonl", '{"id": "2", "pred_text": "text of b"}\n{"id": "1", "pred_text": "text of a"}\n'
    )
    assert command("score", by_stem, hypotheses, "--json").document["every_row"]["ser"]["value"] == 0

    by_path = write("both.jsonl", manifest("a/1.wav", "b/1.wav"))
    paths = write("paths.csv", "audio_filepath,hyp\nb/1.wav,text of b\na/1.wav,text of a\n")
    assert command("score", by_path, paths, "--json").document["every_row"]["ser"]["value"] == 0
    refused = command("score", by_path, hypotheses)
    assert refused.status == 2
    assert "'2', '1'" in refused.err and "named like 'a/1.wav', 'b/1.wav'" in refused.err


def test_a_row_without_hypothesis_counts_as_heard_empty_and_is_named(command: Command, write: Write) -> None:
    references = write("ref.jsonl", jsonl(REFERENCES, "text"))
    hypotheses = write(
        "hyp.jsonl", '{"id": "a1", "pred_text": "give cefazolin now"}\n{"id": "007", "pred_text": null}\n'
    )
    done = command("score", references, hypotheses, "--json")
    assert done.document["missing_hypotheses"] == ["a2", "007"]
    assert done.document["every_row"]["wer"]["deletions"] == 5
    assert "2 of 3 rows without a hypothesis, counted as heard empty: 'a2', '007'" in done.err


def test_a_term_in_a_row_without_hypothesis_is_missed(command: Command, write: Write) -> None:
    references = write("ref.csv", "id,text,term\n1,give heparin,heparin\n2,stop heparin,heparin\n")
    hypotheses = write("hyp.csv", "id,hyp\n2,stop heparin\n")
    done = command("score", references, hypotheses, "--json").document
    assert (done["every_row"]["missed"], done["every_row"]["ker"]["n"]) == (1, 2)
    assert done["pairing"] == "1 of 2 rows with a hypothesis, paired by `id`"


def test_ids_that_occur_twice_are_refused_wherever_they_stand(command: Command, write: Write) -> None:
    twice = write("twice.csv", "id,text\n1,one\n2,two\n1,one\n")
    once = write("once.csv", "id,text\n1,one\n2,two\n")
    for files in ((twice, once), (once, twice)):
        outcome = command("score", *files)
        assert (outcome.status, outcome.out) == (2, "")
        assert "twice.csv: 1 problem\n  line 4, id: found '1' again" in outcome.err


def test_files_that_name_their_fields_differently(command: Command, write: Write) -> None:
    references = write("ref.jsonl", '{"audio_filepath": "a/u1.wav", "text": "hello there"}\n')
    hypotheses = write("hyp.csv", "name,heard\nu1,hello there\n")
    fields = ("--hypothesis-field", "heard", "--id-field", "name")
    outcome = command("score", references, hypotheses, *fields)
    assert outcome.status == 2
    assert (
        "ref.jsonl: --id-field: found no field name" in outcome.err
        and "give --id-field for each" in outcome.err
    )
    done = command(
        "score", references, hypotheses, *fields, "--id-field", "audio_filepath", "--json"
    ).document
    assert done["every_row"]["wer"]["value"] == 0
    assert done["pairing"].startswith("1 of 1 row with a hypothesis, `name` paired with `audio_filepath` of ")


def test_a_reference_without_words_is_named_and_its_insertions_count(command: Command, write: Write) -> None:
    both = write("b.csv", "id,text,hyp\na,,you\nb,...,thank you\nc,yes please,yes please\n")
    done = command("score", both, "--json")
    assert done.document["empty_references"] == ["a", "b"]
    assert done.document["every_row"]["wer"]["value"] == pytest.approx(3 / 2)
    assert "2 rows without a word in the reference" in done.err

    nothing = write("n.csv", "id,text,hyp\na,,you there\n")
    wer = command("score", nothing, "--json").document["every_row"]["wer"]
    assert (wer["value"], wer["low"]) == (2.0, None)


REFUSED = {
    "hypotheses of unknown rows": ("h.csv", b"id,hyp\na1,x\nzz,y\n", ("1 hypothesis is of rows", "'zz'")),
    "an id that occurs twice": (
        "h.csv",
        b"id,hyp\na1,x\na2,z\na1,y\n",
        ("line 4, id: found 'a1' again, first in line 2",),
    ),
    "two fields that may hold it": (
        "h.csv",
        b"id,hyp,prediction\na1,x,y\n",
        ("hypotheses may stand in hyp or prediction", "--hypothesis-field"),
    ),
    "no field that may": (
        "h.csv",
        b"id,said\na1,x\n",
        ("no field for hypotheses among id, said", "pred_text"),
    ),
    "no ids": ("h.csv", b"hyp,score\nx,1\n", ("no field for the rows' ids", "--id-field")),
    "UTF-16": ("h.csv", "id,hyp\na1,x\n".encode("utf-16"), ("UTF-16", "iconv -f UTF-16")),
    "UTF-16 without its mark": ("h.csv", "id,hyp\na1,x\n".encode("utf-16-le"), ("UTF-16",)),
    "Latin-1": (
        "h.csv",
        "id,hyp\na1,x\na2,café\n".encode("latin-1"),
        ("h.csv:3: not UTF-8: byte 0xe9", "iconv"),
    ),
    "Latin-1 in JSON": ("h.jsonl", b'{"id": "a1", "hyp": "caf\xe9"}\n', ("h.jsonl:1: not UTF-8",)),
    "broken JSON": ("h.jsonl", b'{"id": "a1", "hyp": "x"}\n{"id": \n', ("h.jsonl:2: not JSON",)),
    "a JSON document": ("h.json", b'[\n{"id": "a1"}\n]', ("h.json:1: not JSON", "one object a line")),
    "a value too many": ("h.csv", b"id,hyp\na1,give, then wait\n", ("line 2: found 3 values", "quotes")),
    "open quotes": ("h.csv", b'id,hyp\na1,"give\n', ("h.csv:2: not CSV",)),
    "a column twice": ("h.csv", b"id,hyp,hyp\na1,x,y\n", ("the column 'hyp' twice",)),
    "as many commas as semicolons": ("h.csv", b"id,hyp;x\na1,x;y\n", ("as many of comma and semicolon",)),
    "a text that is none": (
        "h.jsonl",
        b'{"id": "a1", "hyp": 3}\n',
        ("line 1, hyp: found 3; allowed: a text",),
    ),
    "an id that is none": ("h.jsonl", b'{"id": 1.5, "hyp": "x"}\n', ("line 1, id: found 1.5",)),
    "half a character": (
        "h.jsonl",
        b'{"id": "a1", "hyp": "\\ud83d"}\n',
        ("line 1, hyp: found half of a character",),
    ),
    "no rows": ("h.csv", b"id,hyp\n", ("no rows",)),
    "nothing": ("h.jsonl", b"", ("no rows",)),
    "no id in a trn": ("h.trn", b"give it now\n", ("h.trn:1",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_change_a_score_unseen_is_refused(case: str, command: Command, write: Write) -> None:
    name, content, said = REFUSED[case]
    outcome = command("score", write("ref.jsonl", jsonl(REFERENCES, "text")), write(name, content))
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    for part in said:
        assert part in outcome.err


def test_a_named_field_settles_what_could_be_either(command: Command, write: Write) -> None:
    both = write("b.csv", "utt,text,ref,hyp\n1,a b,c d,c d\n")
    assert (
        "may stand in text or ref; say which with --reference-field"
        in command("score", both, "--id-field", "utt").err
    )
    done = command("score", both, "--id-field", "utt", "--reference-field", "ref", "--json").document
    assert done["every_row"]["wer"]["value"] == 0
    assert "there are: utt, text, ref, hyp" in command("score", both, "--reference-field", "said").err


def test_problems_beyond_twenty_are_counted(command: Command, write: Write) -> None:
    both = write("b.csv", "id,text,hyp\n" + "same,a,a\n" * 50)
    assert "21 problems" in (err := command("score", both).err)
    assert "and 29 more" in err


def test_wer_is_jiwers(command: Command, write: Write) -> None:
    """Of random texts, after the same normalisation."""
    random_ = random.Random(8)
    words = ["dose", "5", "mg", "heparin", "the", "co-trimoxazole", "0.5", "of", "and"]
    rows = [
        {
            "id": str(number),
            "text": " ".join(random_.choices(words, k=random_.randint(1, 12))),
            "pred_text": " ".join(random_.choices(words, k=random_.randint(0, 12))),
        }
        for number in range(300)
    ]
    both = write("b.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    done = command("score", both, "--normalizer", PUBLISHED.name, "--json").document["every_row"]
    references = [PUBLISHED(row["text"]) for row in rows]
    hypotheses = [PUBLISHED(row["pred_text"]) for row in rows]
    assert done["wer"]["value"] == pytest.approx(jiwer.wer(references, hypotheses))
    assert done["cer"]["value"] == pytest.approx(jiwer.cer(references, hypotheses))
