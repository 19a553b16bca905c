"""Reading `offline_hyps.jsonl`: every problem is named, none is repaired."""

import json
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_jsonl
from flywheel.scoring import Transcript, TranscriptError, check_complete, read_transcripts

CLINICAL_ROW: dict[str, Any] = {
    "id": "cefazolin-1",
    "text": "give cefazolin now",
    "pred_text": "give cefa zolin now",
    "term": "cefazolin",
    "entity_category": "drug",
    "ipa_source": "espeak_g2p",
    "voice_id": "espeak:en-us+m3",
    "noise_level": "snr_15db",
    "context_type": "dictation",
    "subset": "validation",
    "synthesis_group": "g1",
}
GENERAL_ROW: dict[str, Any] = {
    "id": "general-1",
    "text": "please bring a warm blanket",
    "pred_text": "",
    "ipa_source": "espeak_g2p",
    "voice_id": "espeak:en-us+m3",
    "noise_level": "clean",
    "subset": "general",
    "synthesis_group": "g2",
}


def test_reads_clinical_and_general_rows(tmp_path: Path) -> None:
    path = tmp_path / "offline_hyps.jsonl"
    write_jsonl(path, [CLINICAL_ROW, GENERAL_ROW])
    clinical, general = read_transcripts(path)
    assert clinical == Transcript(**CLINICAL_ROW)
    assert (general.pred_text, general.term, general.entity_category, general.context_type) == (
        "",
        None,
        None,
        None,
    )


def test_a_toolkits_manifest_fields_and_nulls_are_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "offline_hyps.jsonl"
    extra = {"audio_filepath": "/audio/1.wav", "duration": 2.5, "sampling_rate": 16000, "term": None}
    write_jsonl(path, [GENERAL_ROW | extra])
    assert read_transcripts(path) == (Transcript(**GENERAL_ROW),)


def test_a_row_from_elsewhere_needs_its_texts_alone_and_a_cycles_row_more(tmp_path: Path) -> None:
    bare = {"id": "r1", "text": "good morning", "pred_text": ""}
    row = Transcript(**bare)
    assert {row.ipa_source, row.voice_id, row.noise_level, row.synthesis_group, row.subset, row.term} == {
        None
    }
    path = tmp_path / "offline_hyps.jsonl"
    write_jsonl(path, [bare])
    with pytest.raises(TranscriptError, match=r"ipa_source is missing; .*keep the row's fields"):
        read_transcripts(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"pred_text": ...},
            r"row 2 \('cefazolin-1'\): pred_text is missing; .*transcribe the manifest again",
        ),
        ({"pred_text": None}, "row 2 .*: pred_text is None; a text is needed"),
        ({"text": "  "}, "row 2 .*: text is empty"),
        ({"id": ...}, "row 2: id is missing"),
        ({"voice_id": 7}, "row 2 .*: voice_id is 7; a text is needed"),
        ({"entity_category": ...}, "row 2 .*: term is 'cefazolin' but entity_category is None"),
        ({"prediction": "x"}, "row 2 .*: unknown field 'prediction'; allowed: id, text, pred_text"),
        ({"id": "general-1"}, "id 'general-1' occurs 2 times"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "offline_hyps.jsonl"
    row = {field: value for field, value in (CLINICAL_ROW | change).items() if value is not ...}
    write_jsonl(path, [GENERAL_ROW, row])
    with pytest.raises(TranscriptError, match=message) as caught:
        read_transcripts(path)
    assert str(path) in str(caught.value)


def test_all_problems_of_a_file_come_in_one_report(tmp_path: Path) -> None:
    path = tmp_path / "offline_hyps.jsonl"
    write_jsonl(path, [{"id": "a"}, GENERAL_ROW, {**GENERAL_ROW, "text": ""}])
    with pytest.raises(TranscriptError) as caught:
        read_transcripts(path)
    fields = ("text", "pred_text", "ipa_source", "voice_id", "noise_level", "synthesis_group")
    assert len(caught.value.problems) == len(fields) + 2


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "no rows"), ("\n\n", "no rows"), ("[1]\n", ":1: a JSON object"), ('{"id": \n', ":1: not JSON")],
)
def test_a_file_without_rows(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "offline_hyps.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(FlywheelError, match=message):
        read_transcripts(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlywheelError, match=r"offline_hyps\.jsonl: no such file"):
        read_transcripts(tmp_path / "offline_hyps.jsonl")


def rows(*ids: str) -> list[Transcript]:
    return [Transcript(**json.loads(json.dumps(GENERAL_ROW | {"id": row_id}))) for row_id in ids]


def test_complete_transcripts_pass_in_any_order() -> None:
    check_complete(rows("b", "a"), ["a", "b"])


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        (("a",), ["a", "b", "c"], "2 of 3 rows have no transcript: 'b', 'c'; check their audio"),
        (("a", "x"), ["a"], "1 transcripts are of rows that are not in the manifest: 'x'"),
        (("a", "a"), ["a"], "id 'a' occurs 2 times"),
        ((), [f"r{n}" for n in range(8)], "8 of 8 .*'r4' and 3 more"),
    ],
)
def test_dropped_and_foreign_rows_are_named(
    found: tuple[str, ...], expected: list[str], message: str
) -> None:
    with pytest.raises(TranscriptError, match=message):
        check_complete(rows(*found), expected)
