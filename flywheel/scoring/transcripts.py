"""Transcripts: what a model heard, beside what was said, one utterance each."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywheel.errors import Problems
from flywheel.files import read_jsonl

__all__ = ["Transcript", "TranscriptError", "check_complete", "read_transcripts"]

_REQUIRED = ("id", "text", "pred_text", "ipa_source", "voice_id", "noise_level", "synthesis_group")
_OPTIONAL = ("subset", "term", "entity_category", "context_type")
# NeMo's own transcription scripts carry these over from the manifest; they say nothing about errors.
_IGNORED = frozenset(("audio_filepath", "duration", "sampling_rate"))
_SHOWN_IDS = 5


class TranscriptError(Problems):
    """Transcripts that cannot be scored: every problem, in file order."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """One line of `offline_hyps.jsonl`: the reference `text`, the hypothesis `pred_text`, the row's fields.

    `pred_text` may be empty: the model heard nothing. A row of general speech has no term, no
    entity_category and no context_type. `subset` is the split's, None in a manifest without split.
    """

    id: str
    text: str
    pred_text: str
    ipa_source: str
    voice_id: str
    noise_level: str
    synthesis_group: str
    subset: str | None = None
    term: str | None = None
    entity_category: str | None = None
    context_type: str | None = None


def read_transcripts(path: Path) -> tuple[Transcript, ...]:
    """The transcripts of a JSON Lines file, in file order.

    Raises:
        TranscriptError: all problems of the file: fields that are missing, unknown or no text, a term
            without its category, ids that occur twice, a file without rows.
        FlywheelError: there is no such file, or a line of it is not a JSON object.
    """
    rows = read_jsonl(path)
    problems = [problem for number, row in enumerate(rows, 1) for problem in _row_problems(number, row)]
    problems += _repeated_ids(row.get("id") for row in rows)
    if not rows:
        problems.append("found no rows, at least one is needed: transcribe the manifest again")
    if problems:
        raise TranscriptError(str(path), problems)
    return tuple(_transcript(row) for row in rows)


def check_complete(transcripts: Sequence[Transcript], expected_ids: Collection[str]) -> None:
    """Hold that there is one transcript for each expected id, and none besides.

    A toolkit may drop rows (missing or over-long audio) without failing; a score over what is left would
    look like a score over all.

    Raises:
        TranscriptError: names the ids that are missing, unexpected or repeated, at most five of each.
    """
    found = {transcript.id for transcript in transcripts}
    expected = set(expected_ids)
    problems = list(_repeated_ids(transcript.id for transcript in transcripts))
    if missing := [row_id for row_id in expected_ids if row_id not in found]:
        problems.append(
            f"{len(missing)} of {len(expected)} rows have no transcript: {shown(missing)}; "
            "check their audio files and durations, then transcribe again"
        )
    if unexpected := [transcript.id for transcript in transcripts if transcript.id not in expected]:
        problems.append(
            f"{len(unexpected)} transcripts are of rows that are not in the manifest: {shown(unexpected)}; "
            "transcribe this manifest again"
        )
    if problems:
        raise TranscriptError("transcripts", problems)


def shown(ids: Sequence[str]) -> str:
    """Some ids for a message: at most five, and how many more there are."""
    more = len(ids) - _SHOWN_IDS
    return ", ".join(map(repr, ids[:_SHOWN_IDS])) + (f" and {more} more" if more > 0 else "")


def _transcript(row: Mapping[str, Any]) -> Transcript:
    return Transcript(**{field: row.get(field) for field in (*_REQUIRED, *_OPTIONAL)})  # type: ignore[arg-type]


def _row_problems(number: int, row: Mapping[str, Any]) -> list[str]:
    name = f"row {number}" + (f" ({row['id']!r})" if isinstance(row.get("id"), str) else "")
    problems = [
        f"{name}: unknown field {field!r}; allowed: {', '.join((*_REQUIRED, *_OPTIONAL))}"
        for field in row
        if field not in (*_REQUIRED, *_OPTIONAL) and field not in _IGNORED
    ]
    for field in (*_REQUIRED, *_OPTIONAL):
        value = row.get(field)
        if value is None and field in _OPTIONAL:
            continue
        if field not in row:
            problems.append(f"{name}: {field} is missing; {_advice(field)}")
        elif not isinstance(value, str):
            problems.append(f"{name}: {field} is {value!r}; a text is needed")
        elif not value.strip() and field != "pred_text":
            problems.append(f"{name}: {field} is empty; {_advice(field)}")
    if (row.get("term") is None) != (row.get("entity_category") is None):
        problems.append(
            f"{name}: term is {row.get('term')!r} but entity_category is {row.get('entity_category')!r}; "
            "a clinical row has both, a row of general speech has neither"
        )
    return problems


def _advice(field: str) -> str:
    if field == "pred_text":
        return "it is what the model heard, empty if nothing: transcribe the manifest again"
    return "it is copied from the manifest row: keep the row's fields beside its transcript"


def _repeated_ids(ids: Iterable[Any]) -> list[str]:
    counts = Counter(row_id for row_id in ids if isinstance(row_id, str))
    return [
        f"id {row_id!r} occurs {count} times; each row has an id of its own"
        for row_id, count in counts.items()
        if count > 1
    ]
