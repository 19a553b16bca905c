"""Records: a dataclass comes back from its file as it was, or the file is refused with what is wrong and what to do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_json
from flywheel.files.records import plain, read_record, record_in, record_text, write_record


@dataclass(frozen=True, slots=True)
class Part:
    value: float
    low: float | None
    n: int = 1

    def __post_init__(self) -> None:
        if self.n < 1:
            raise FlywheelError(f"n: found {self.n}; allowed: a whole number from 1")


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    kind: Literal["wide", "narrow"]
    parts: tuple[Part, ...]
    file: Path | None
    of_level: Mapping[str, Part] = field(default_factory=dict)
    measured: Part | None = None


WHOLE = Record(
    "the first", "wide", (Part(0.25, None), Part(1, 0.5, 3)), Path("/models/a.nemo"), {"drug": Part(0.0, 0.0)}
)
BARE = Record("", "narrow", (), None)


@pytest.mark.parametrize("record", [WHOLE, BARE])
def test_a_record_comes_back_as_it_was(tmp_path: Path, record: Record) -> None:
    write_record(tmp_path / "gate.json", record)
    assert read_record(tmp_path / "gate.json", Record) == record
    text = record_text(record)
    assert "\n" not in text
    assert record_in(text, Record, "a text", "write it again") == record


def test_what_was_not_measured_is_absent_and_a_missing_bound_is_null() -> None:
    assert plain(WHOLE) == {
        "name": "the first",
        "kind": "wide",
        "parts": [{"value": 0.25, "low": None, "n": 1}, {"value": 1, "low": 0.5, "n": 3}],
        "file": "/models/a.nemo",
        "of_level": {"drug": {"value": 0.0, "low": 0.0, "n": 1}},
    }
    assert plain(BARE)["file"] is None


def test_what_is_no_json_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_record(tmp_path / "gate.json", Part(float("nan"), None))
    assert not (tmp_path / "gate.json").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": ...}, "name: missing"),
        ({"name": 3}, "name: found 3; allowed: a valid string"),
        ({"kind": "tall"}, "kind: found 'tall'; allowed: 'wide' or 'narrow'"),
        ({"colour": "red"}, "colour: found 'red', which is unknown"),
        ({"parts": [{"value": "0.5", "low": None}]}, "parts.0.value: found '0.5'; allowed: a valid number"),
        ({"parts": [{"value": 0.5}]}, "parts.0.low: missing"),
        (
            {"parts": [{"value": 0.5, "low": None, "n": 0}]},
            "parts.0: n: found 0; allowed: a whole number from 1",
        ),
        ({"of_level": []}, "of_level: found []; allowed: an object"),
        ({"measured": {"value": True, "low": None}}, "measured.value: found True; allowed: a valid number"),
    ],
)
def test_another_record_is_refused_with_the_field_and_what_writes_it(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    values = {name: value for name, value in {**plain(WHOLE), **change}.items() if value is not ...}
    file = tmp_path / "gate.json"
    write_json(file, values)
    with pytest.raises(FlywheelError) as refused:
        read_record(file, Record)
    assert str(refused.value) == f"{file}: {problem}; materialise gate_decision again"


def test_problems_are_named_up_to_three() -> None:
    with pytest.raises(
        FlywheelError,
        match="name: missing; kind: missing; parts: missing; and 8 more; write it again",
    ):
        record_in(json.dumps(dict.fromkeys("abcdefg", 1)), Record, "a text", "write it again")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"", "not JSON: EOF"),
        (b'{"name": "the f', "not JSON: EOF"),
        (b"[]", "found []; allowed: an object"),
        (b"\xff\xfe", "not UTF-8: byte 0xff"),
    ],
)
@pytest.mark.parametrize(
    ("file", "asset"),
    [
        ("split.json", "split"),
        ("training_run_info.json", "adapted_model"),
        ("audition/state.json", "audition_page"),
        ("baseline/scores.json", "baseline_eval"),
        ("boosted/transcription.json", "boosted_eval"),
        ("next/scores_published.json", "next_eval"),
    ],
)
def test_a_file_that_cannot_be_read_names_the_asset_that_writes_it(
    tmp_path: Path, content: bytes | None, said: str, file: str, asset: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FlywheelError) as refused:
        read_record(path, Record)
    assert str(refused.value).startswith(str(path)) and said in str(refused.value)
    assert str(refused.value).endswith(f"; materialise {asset} again")
    assert "\n" not in str(refused.value)
