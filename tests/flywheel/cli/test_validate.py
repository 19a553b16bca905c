"""`validate`: every problem of a manifest, each at its line."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from flywheel.corpus.manifest import ManifestRow
from tests.flywheel.cli.conftest import Command

ROW: dict[str, Any] = {"audio_filepath": "a.wav", "text": "the ferry leaves at noon", "duration": 1.0}
CLINICAL = ManifestRow(
    id="a",
    audio_filepath="a.wav",
    text="give cefazolin now",
    duration=1.0,
    sampling_rate=16000,
    term="cefazolin",
    entity_category="drug",
    ipa_source="espeak_g2p",
    voice_id="espeak:en-us+m3",
    noise_level="clean",
    context_type="dictation",
    synthesis_group="a",
).model_dump(exclude_none=True)


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    def write(
        lines: Sequence[bytes | dict[str, Any]], seconds: dict[str, float] | None = None, rate: int = 16000
    ) -> Path:
        for name, length in (seconds or {"a.wav": 1.0, "b.wav": 1.0}).items():
            soundfile.write(
                tmp_path / name, np.zeros(round(length * rate), dtype=np.int16), rate, subtype="PCM_16"
            )
        path = tmp_path / "manifest.jsonl"
        path.write_bytes(
            b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
        )
        return path

    return write


def test_a_plain_manifest_without_problems(command: Command, manifest: Callable[..., Path]) -> None:
    outcome = command("validate", manifest([ROW | {"speaker": 7}, ROW | {"audio_filepath": "b.wav"}]))
    assert (outcome.status, outcome.err) == (0, "")
    assert "2 rows and their audio, no problems" in outcome.out


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        (
            [ROW, {**ROW, "audio_filepath": "b.wav", "text": "a “quote”"}],
            2,
            "text: found the smart quote U+201C",
        ),
        ([{**ROW, "text": ""}], 1, "text: found '', which is empty"),
        ([{**ROW, "text": None}], 1, "text: found nothing"),
        ([{**ROW, "duration": -1}], 1, "duration: found -1; allowed: a finite number of seconds above 0"),
        ([{**ROW, "duration": "1.0"}], 1, "duration: found '1.0'"),
        ([b'{"audio_filepath": "a.wav", "text": "x", "duration": NaN}\n'], 1, "duration: found nan"),
        ([{"text": "x", "duration": 1.0}], 1, "audio_filepath: found nothing"),
        ([ROW, ROW], 2, "audio_filepath: found 'a.wav' again, first in line 1"),
        ([ROW, {**ROW, "audio_filepath": "./a.wav"}], 2, "found './a.wav' again, first in line 1"),
        ([ROW, {**ROW, "audio_filepath": "c.wav"}], 2, "audio c.wav: found no such file"),
        ([{**ROW, "duration": 1.5}], 1, "audio a.wav: found 1.000 s; allowed: the manifest's 1.500 s"),
        (
            [ROW, b"\n", {**ROW, "audio_filepath": "b.wav"}],
            2,
            "found a blank line, at which NeMo's reader stops",
        ),
        ([ROW, b"[1]\n"], 2, "found a JSON list; allowed: one JSON object"),
        ([ROW, {**ROW, "audio_filepath": "b\0.wav"}], 2, "audio_filepath: found the invisible U+0000"),
        ([ROW, {**ROW, "audio_filepath": "b\ud800.wav"}], 2, "audio_filepath: found the invisible U+D800"),
        ([ROW, b"{\n"], 2, "not JSON"),
        ([b"\xef\xbb\xbf" + json.dumps(ROW).encode() + b"\n"], 1, "found a byte-order mark"),
        ([ROW, b'{"text": "caf\xe9"}\n'], 2, "found the byte 0xe9 at byte 14; allowed: UTF-8"),
        ([b""], None, "found no rows"),
    ],
)
def test_a_problem_stands_at_its_line(
    lines: list[Any], line: int | None, said: str, command: Command, manifest: Callable[..., Path]
) -> None:
    path = manifest(lines)
    outcome = command("validate", path, "--json")
    assert outcome.status == 1
    problems = outcome.document["problems"]
    assert [problem["line"] for problem in problems if said in problem["problem"]] == [line], problems
    assert said in command("validate", path).out


def test_all_problems_come_together_in_file_order(command: Command, manifest: Callable[..., Path]) -> None:
    path = manifest([{"text": 3}, b"\n", ROW, {**ROW, "duration": 0}], seconds={"a.wav": 30.0})
    done = command("validate", path, "--json").document
    assert not done["valid"]
    numbers = [problem["line"] for problem in done["problems"]]
    assert numbers == sorted(numbers)
    assert set(numbers) == {1, 2, 3, 4}
    assert any("30.000 s; allowed: 0.1 to 20 s" in problem["problem"] for problem in done["problems"])


def test_audio_can_be_left_alone(command: Command, manifest: Callable[..., Path]) -> None:
    path = manifest([{**ROW, "audio_filepath": "gone.wav"}])
    assert command("validate", path).status == 1
    outcome = command("validate", path, "--no-audio")
    assert (outcome.status, "1 row, no problems" in outcome.out) == (0, True)


def test_audio_of_another_rate(command: Command, manifest: Callable[..., Path]) -> None:
    assert (
        "found 8000 Hz; allowed: 16000 Hz" in command("validate", manifest([ROW], {"a.wav": 1.0}, 8000)).out
    )


def test_parts_of_one_file(command: Command, manifest: Callable[..., Path]) -> None:
    parts = [{**ROW, "offset": 0.0}, {**ROW, "offset": 1.0}]
    assert command("validate", manifest(parts, {"a.wav": 30.0})).status == 0
    outcome = command("validate", manifest([*parts, {**ROW, "offset": 29.5}], {"a.wav": 30.0}))
    assert "line 3, audio a.wav: found 30.000 s; allowed: at least the 30.500 s at which" in outcome.out


def test_the_clinical_extension(command: Command, manifest: Callable[..., Path]) -> None:
    assert command("validate", manifest([CLINICAL]), "--clinical").status == 0
    done = command(
        "validate", manifest([CLINICAL, {**ROW, "audio_filepath": "b.wav"}]), "--clinical", "--json"
    ).document
    fields = {problem["problem"].split(":")[0] for problem in done["problems"]}
    assert fields == {
        f"line 2, {name}"
        for name in ("id", "sampling_rate", "ipa_source", "voice_id", "noise_level", "synthesis_group")
    }
    assert {problem["line"] for problem in done["problems"]} == {2}
    wrong = command("validate", manifest([{**CLINICAL, "entity_category": "medication"}]), "--clinical")
    assert "entity_category: found 'medication'; allowed: drug, procedure" in wrong.out


def test_a_manifest_that_is_not_there(command: Command, tmp_path: Path) -> None:
    outcome = command("validate", tmp_path / "gone.jsonl")
    assert (outcome.status, outcome.out) == (2, "")
    assert "gone.jsonl: no such file" in outcome.err
