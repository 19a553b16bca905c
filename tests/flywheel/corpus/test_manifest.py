"""The manifest: what is read, what is refused and how, and what is written."""

import json
import random
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flywheel.corpus.manifest import (
    ManifestError,
    ManifestRow,
    as_cutset,
    clinical_rows_by_category,
    content_hash,
    find_conflicts,
    moved_root,
    read_manifest,
    rebase,
    write_manifest,
)

CLINICAL: dict[str, Any] = {
    "id": "a1",
    "audio_filepath": "/speech/a1.wav",
    "text": "Please start cefazolin, two grams, before the incision.",
    "duration": 3.25,
    "sampling_rate": 16000,
    "term": "cefazolin",
    "entity_category": "drug",
    "ipa_source": "espeak_g2p",
    "voice_id": "espeak:en-us+m3",
    "noise_level": "clean",
    "context_type": "dictation",
    "synthesis_group": "g1",
}
GENERAL: dict[str, Any] = {
    "id": "b1",
    "audio_filepath": "/speech/b1.wav",
    "text": "The ferry leaves the harbour at noon.",
    "duration": 2.0,
    "sampling_rate": 16000,
    "ipa_source": "espeak_g2p",
    "voice_id": "espeak:en-gb+f2",
    "noise_level": "snr_15db",
    "synthesis_group": "g2",
}
MISSING = object()


def changed(base: dict[str, Any], **changes: object) -> dict[str, Any]:
    merged = {**base, **changes}
    return {name: value for name, value in merged.items() if value is not MISSING}


def numbered(number: int, **changes: object) -> ManifestRow:
    own = {
        "id": f"r{number}",
        "audio_filepath": f"/speech/r{number}.wav",
        "synthesis_group": f"s{number}",
        "duration": 1 + number / 7,
    }
    return ManifestRow.model_validate(changed(CLINICAL, **{**own, **changes}))


def write_lines(path: Path, *rows: dict[str, Any] | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    "row",
    [
        CLINICAL,
        GENERAL,
        changed(CLINICAL, duration=3),
        changed(CLINICAL, ipa_source="override"),
        changed(CLINICAL, ipa_source="recording", subset="human"),
        changed(CLINICAL, ipa_source="merriam-webster", noise_level="snr_0db"),
        changed(CLINICAL, noise_level="snr_-5db", subset="unseen_term"),
        changed(GENERAL, subset="replay", term=None),
        changed(CLINICAL, text="CEFAZOLIN is given", audio_filepath="a1.wav"),
        changed(CLINICAL, audio_filepath="/Ana\u2019s disk/Sprache f\u00fcr alle/a1.wav"),
        changed(CLINICAL, text="lactate dehydrogenase.", term="lactate dehydrogenase", entity_category="lab"),
        changed(CLINICAL, text="A café's crohn's disease", term="crohn's disease"),
    ],
)
def test_a_good_row_is_read(tmp_path: Path, row: dict[str, Any]) -> None:
    (read,) = read_manifest(write_lines(tmp_path / "m.jsonl", row))
    assert read.model_dump(exclude_none=True) == {
        name: value for name, value in row.items() if value is not None
    }
    assert read.is_clinical == ("term" in row and row["term"] is not None)


WRONG_VALUES: list[tuple[dict[str, Any], str, str, str]] = [
    # changes to a good row, the field that is named, what it says was found, what it says is allowed
    ({"text": MISSING}, "text", "nothing", "what is said"),
    ({"id": MISSING, "audio_filepath": "/x/b.wav"}, "id", "nothing", "stem of audio_filepath"),
    ({"id": "a2"}, "audio_filepath", "'/speech/a1.wav', whose stem is not the id 'a2'", "path of a WAV file"),
    ({"id": ""}, "id", "'', which is empty", "stem"),
    ({"id": 7}, "id", "7", "stem"),
    ({"text": ""}, "text", "'', which is empty", "not empty"),
    ({"text": " \t"}, "text", "which is empty", "not empty"),
    (
        {"text": "...", "term": None, "entity_category": None, "context_type": None},
        "text",
        "no word",
        "what is said",
    ),
    ({"text": None}, "text", "None", "what is said"),
    ({"text": "cefazolin isn\u2019t given"}, "text", "smart quote U+2019", "smart quotes"),
    (
        {"text": "\u201ccefazolin\u201d"},
        "text",
        "smart quote U+201C left double quotation mark",
        "smart quotes",
    ),
    ({"text": "cefazolin\tis given"}, "text", "invisible U+0009 at character 10", "control characters"),
    ({"text": "cefazolin\u200bis given"}, "text", "invisible U+200B zero width space", "control characters"),
    ({"text": "\ufeffcefazolin is given"}, "text", "U+FEFF", "byte-order marks"),
    ({"text": "cefazolin \ud800"}, "text", "invisible U+D800", "control characters"),
    ({"voice_id": "a\nb"}, "voice_id", "invisible U+000A", "name of a voice"),
    ({"duration": MISSING}, "duration", "nothing", "seconds above 0"),
    ({"duration": 0}, "duration", "0", "seconds above 0"),
    ({"duration": -1.5}, "duration", "-1.5", "seconds above 0"),
    ({"duration": float("nan")}, "duration", "nan", "finite"),
    ({"duration": float("inf")}, "duration", "inf", "finite"),
    ({"duration": "3.2"}, "duration", "'3.2'", "seconds above 0"),
    ({"duration": True}, "duration", "True", "seconds above 0"),
    ({"sampling_rate": 8000}, "sampling_rate", "8000", "16000 (Hz)"),
    ({"sampling_rate": "16000"}, "sampling_rate", "'16000'", "16000 (Hz)"),
    ({"term": "Cefazolin"}, "term", "'Cefazolin', not lower case", "lower case words"),
    ({"term": ""}, "term", "''", "lower case words"),
    ({"term": "cefazolin "}, "term", "'cefazolin '", "lower case words"),
    ({"term": "vancomycin"}, "term", "'vancomycin', which does not stand in the text 'Please", "adjacent"),
    ({"term": "start grams"}, "term", "does not stand in the text", "in order and adjacent"),
    ({"term": "cefazolin start"}, "term", "does not stand in the text", "in order and adjacent"),
    ({"text": "the cefazolin-induced rash"}, "term", "does not stand in the text", "adjacent"),
    ({"term": 5}, "term", "5", "lower case words"),
    (
        {"entity_category": "Drug"},
        "entity_category",
        "'Drug'",
        "drug, procedure, anatomy, condition, lab, role",
    ),
    ({"context_type": "email"}, "context_type", "'email'", "dictation, handoff, chart_note, history"),
    ({"term": MISSING}, "context_type", "context_type and entity_category without term", "dictation"),
    ({"entity_category": None}, "context_type", "context_type and term without entity_category", "dictation"),
    ({"context_type": MISSING}, "context_type", "entity_category and term without context_type", "dictation"),
    ({"ipa_source": "g2p"}, "ipa_source", "'g2p'", "override, merriam-webster, recording or <engine>_g2p"),
    ({"ipa_source": "merriam_webster"}, "ipa_source", "'merriam_webster'", "merriam-webster"),
    ({"noise_level": "snr_15"}, "noise_level", "'snr_15'", "clean or snr_<n>db"),
    ({"noise_level": "snr_05db"}, "noise_level", "'snr_05db'", "snr_<n>db"),
    ({"noise_level": "noisy"}, "noise_level", "'noisy'", "clean or"),
    ({"synthesis_group": ""}, "synthesis_group", "empty", "one synthesis"),
    ({"subset": "held_out"}, "subset", "'held_out'", "train, development, validation, unseen_term"),
    ({"speaker": "joe"}, "speaker", "'joe'", "only the fields id, audio_filepath, text"),
]


@pytest.mark.parametrize(("changes", "field", "found", "allowed"), WRONG_VALUES)
def test_a_wrong_value_is_refused_with_line_field_found_and_allowed(
    tmp_path: Path, changes: dict[str, Any], field: str, found: str, allowed: str
) -> None:
    row = json.dumps(changed(CLINICAL, **changes))
    (problem,) = problems_of(write_lines(tmp_path / "m.jsonl", GENERAL, row))
    assert problem.startswith(f"line 2, {field}: found ")
    before, _, after = problem.partition("; allowed: ")
    assert found in before
    assert allowed in after


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ["file: found no rows"]),
        (b"\xef\xbb\xbf", ["line 1, encoding: found a byte-order mark", "line 1: found a blank line"]),
        (b"{oops}\n", ["line 1: found '{oops}', which is not JSON"]),
        (b"[1]\n17\n", ["line 1: found [1]; allowed: one JSON object", "line 2: found 17"]),
        (b"\n", ["line 1: found a blank line"]),
        (b'{"id": "a\xff"}\n', ["line 1, encoding: found the byte 0xff at byte 10; allowed: UTF-8"]),
        (b"[" * 100_000, ["line 1: found '[[["]),
        (b"1" * 5000, ["line 1: found '111"]),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, data: bytes, expected: list[str]) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(data)
    problems = problems_of(path)
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(start)
        assert len(problem) < 400


def test_a_byte_order_mark_does_not_hide_the_row_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(changed(CLINICAL, duration=0)).encode() + b"\n")
    mark, duration = problems_of(path)
    assert mark.startswith("line 1, encoding: found a byte-order mark")
    assert duration.startswith("line 1, duration: found 0")


@pytest.mark.parametrize("name", ["absent.jsonl", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (problem,) = problems_of(tmp_path / name)
    assert problem.startswith("file: found ")


def test_an_empty_manifest_is_read_where_it_is_allowed(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", ())
    assert read_manifest(tmp_path / "m.jsonl", allow_empty=True) == ()


def test_a_field_twice_in_a_row_is_refused(tmp_path: Path) -> None:
    row = json.dumps(GENERAL)[:-1] + ', "text": "Another."}'
    (problem,) = problems_of(write_lines(tmp_path / "m.jsonl", row))
    assert problem == "line 1, text: found twice in the row; allowed: once"


def test_all_problems_come_in_one_report_in_file_order(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "m.jsonl",
        changed(CLINICAL, duration=-1, term="vancomycin", context_type=None),
        "not json",
        GENERAL,
        GENERAL,
        changed(GENERAL, id="b2", audio_filepath="/speech/./x/../b1.wav", noise_level="loud"),
    )
    starts = [
        "line 1, duration: found -1",
        "line 1, term: found 'vancomycin'",
        "line 1, context_type: found entity_category without context_type",
        "line 2: found 'not json'",
        "line 4, id: found 'b1' again, first in line 3; allowed: each once",
        "line 4, audio_filepath: found '/speech/b1.wav' again, first in line 3",
        "line 5, audio_filepath: found '/speech/./x/../b1.wav', whose stem is not the id 'b2'",
        "line 5, noise_level: found 'loud'",
        "line 5, audio_filepath: found '/speech/./x/../b1.wav' again, first in line 3",
    ]
    problems = problems_of(path)
    assert [problem[: len(start)] for problem, start in zip(problems, starts, strict=True)] == starts


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", "Hold cefazolin today."),
        ("voice_id", "espeak:en-gb+f2"),
        ("term", "cefazolin before"),
        ("entity_category", "lab"),
        ("context_type", "handoff"),
        ("ipa_source", "override"),
    ],
)
def test_rows_of_one_synthesis_say_the_same(tmp_path: Path, field: str, value: str) -> None:
    first = changed(CLINICAL, text="Please start cefazolin before the incision.")
    other = changed(first, id="a2", audio_filepath="/speech/a2.wav", noise_level="snr_5db", **{field: value})
    (problem,) = problems_of(write_lines(tmp_path / "m.jsonl", first, other))
    assert problem.startswith(f"line 2, {field}: found {value!r}; allowed: {first[field]!r} as in line 1")


def test_what_is_written_is_read_back_and_written_again_byte_for_byte(tmp_path: Path) -> None:
    rows = [numbered(number) for number in range(5)] + [ManifestRow.model_validate(GENERAL)]
    first, second = tmp_path / "deep" / "m.jsonl", tmp_path / "n.jsonl"
    write_manifest(first, rows)
    read = read_manifest(first)
    write_manifest(second, read)
    assert read == tuple(rows)
    assert first.read_bytes() == second.read_bytes()
    keys = [list(json.loads(line)) for line in first.read_text().splitlines()]
    assert keys[0] == [name for name in ManifestRow.model_fields if name != "subset"]
    assert keys[-1] == list(GENERAL)


def test_whole_seconds_are_written_as_all_others(tmp_path: Path) -> None:
    whole = ManifestRow.model_validate(changed(GENERAL, duration=2))
    write_manifest(tmp_path / "m.jsonl", [whole])
    assert '"duration": 2.0,' in (tmp_path / "m.jsonl").read_text()


def test_a_manifest_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("as it was")
    with pytest.raises(
        ManifestError, match=r"not written\): 2 problems\n  row 2, id: found 'r1' again, first in row 1"
    ):
        write_manifest(path, [numbered(1), numbered(1)])
    assert path.read_text() == "as it was"
    assert [file.name for file in tmp_path.iterdir()] == ["m.jsonl"]


def test_a_changed_copy_is_checked_and_leaves_the_row_as_it_was() -> None:
    row = numbered(1)
    assert row.with_subset("train").subset == "train"
    assert row.with_audio_filepath("/other/r1.wav").audio_filepath == "/other/r1.wav"
    assert (row.subset, row.audio_filepath) == (None, "/speech/r1.wav")
    with pytest.raises(ValidationError, match="subset"):
        row.with_subset("held_out")
    with pytest.raises(ValidationError, match="frozen"):
        row.duration = 1.0  # type: ignore[misc]


def test_rebased_rows_differ_in_their_paths_only() -> None:
    rows = [numbered(1), numbered(2, audio_filepath="/speech/x/../en/r2.wav")]
    moved = rebase(rows, moved_root(PurePosixPath("/speech"), PurePosixPath("/workspace/audio")))
    assert [row.audio_filepath for row in moved] == ["/workspace/audio/r1.wav", "/workspace/audio/en/r2.wav"]
    assert content_hash(moved) == content_hash(rows)
    assert rows[0].audio_filepath == "/speech/r1.wav"


def test_a_path_that_cannot_move_is_refused_with_all_others() -> None:
    rows = [
        numbered(1),
        numbered(2, audio_filepath="/else/r2.wav"),
        numbered(3, audio_filepath="/speech/../r3.wav"),
    ]
    with pytest.raises(ManifestError) as caught:
        rebase(rows, moved_root(PurePosixPath("/speech"), PurePosixPath("/w")))
    assert caught.value.problems == (
        "row 2, audio_filepath: found '/else/r2.wav'; allowed: a path below /speech",
        "row 3, audio_filepath: found '/speech/../r3.wav'; allowed: a path below /speech",
    )


@pytest.mark.parametrize(
    ("new_path", "problem"),
    [
        (lambda _: "/w/r1.wav", "row 2, audio_filepath: found '/w/r1.wav', whose stem is not the id 'r2'"),
        (lambda path: f"/w/{path.stem}\u200b.wav", "row 1, audio_filepath: found the invisible U+200B"),
    ],
)
def test_a_new_path_is_checked_like_any_other(new_path: Callable[[Any], str], problem: str) -> None:
    with pytest.raises(ManifestError) as caught:
        rebase([numbered(1), numbered(2)], new_path)
    assert any(line.startswith(problem) for line in caught.value.problems)


@given(st.permutations([numbered(number) for number in range(6)]))
@settings(deadline=None)
def test_the_content_hash_does_not_depend_on_the_order(rows: list[ManifestRow]) -> None:
    assert content_hash(rows) == content_hash([numbered(number) for number in range(6)])


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "Please hold cefazolin."},
        {"duration": 3.26},
        {"subset": "train"},
        {"noise_level": "snr_5db"},
        {"id": "a2", "audio_filepath": "/speech/a2.wav"},
    ],
)
def test_the_content_hash_depends_on_what_the_rows_say(changes: dict[str, Any]) -> None:
    row = ManifestRow.model_validate(CLINICAL)
    assert content_hash([row]) != content_hash([ManifestRow.model_validate(changed(CLINICAL, **changes))])
    assert content_hash([row]) != content_hash([])


def test_rows_without_conflicts_have_none() -> None:
    noisy = numbered(2, synthesis_group="s1", noise_level="snr_5db")
    assert find_conflicts([numbered(1), noisy, numbered(3)]) == ()


def spoken_rows(folder: Path) -> list[ManifestRow]:
    """Rows with real audio, one of each kind."""
    rows = []
    generator = np.random.default_rng(0)
    for base in (CLINICAL, GENERAL):
        path = folder / f"{base['id']}.wav"
        samples = generator.uniform(-0.5, 0.5, int(base["duration"] * 16000))
        soundfile.write(path, samples, 16000, subtype="PCM_16")
        rows.append(ManifestRow.model_validate(changed(base, audio_filepath=str(path))))
    return rows


def test_rows_become_lhotse_cuts_that_load(tmp_path: Path) -> None:
    rows = spoken_rows(tmp_path)
    clinical, general = as_cutset(rows)
    assert (clinical.id, clinical.duration, clinical.supervisions[0].text) == ("a1", 3.25, CLINICAL["text"])
    assert clinical.custom["term"] == "cefazolin"
    assert clinical.synthesis_group == "g1"
    assert "term" not in general.custom
    assert clinical.load_audio().shape == (1, 52000)


def test_nemo_reads_a_written_manifest_as_the_same_cuts(tmp_path: Path) -> None:
    """NeMo's trainer builds its data set with this very reader."""
    from lhotse import CutSet
    from nemo.collections.common.data.lhotse.nemo_adapters import LazyNeMoIterator

    rows = spoken_rows(tmp_path)
    write_manifest(tmp_path / "m.jsonl", rows)
    cuts = list(CutSet(LazyNeMoIterator(tmp_path / "m.jsonl")))
    assert len(cuts) == len(rows)
    for cut, ours, row in zip(cuts, as_cutset(rows), rows, strict=True):
        assert (
            cut.custom
            == ours.custom
            == row.model_dump(exclude={"audio_filepath", "duration", "sampling_rate"}, exclude_none=True)
        )
        assert cut.supervisions[0].text == row.text
        assert cut.recording.sources == ours.recording.sources
        np.testing.assert_array_equal(cut.load_audio(), ours.load_audio())


def test_reading_a_large_manifest_keeps_its_order(tmp_path: Path) -> None:
    rows = [numbered(number) for number in range(3000)]
    random.Random(1).shuffle(rows)
    write_manifest(tmp_path / "m.jsonl", rows)
    assert read_manifest(tmp_path / "m.jsonl") == tuple(rows)


def test_people_are_nothing_to_learn_from() -> None:
    rows = [
        ManifestRow.model_validate(changed(CLINICAL, subset=subset)) for subset in ("train", "human", "human")
    ]
    assert clinical_rows_by_category([*rows, ManifestRow.model_validate(GENERAL)]) == {
        CLINICAL["entity_category"]: 1
    }
