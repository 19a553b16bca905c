"""Transcripts: what a model heard, beside what was said, one utterance each."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywheel.errors import Problems
from flywheel.files.atomic import iterate_jsonl
from flywheel.scoring.garbage_collection import no_cycle_collection

__all__ = ["ScoringError", "Transcript", "TranscriptError", "check_complete", "read_transcripts", "shown"]

_REQUIRED = ("id", "text", "pred_text", "ipa_source", "voice_id", "noise_level", "synthesis_group")
_OPTIONAL = ("subset", "term", "entity_category", "context_type")
# NeMo's own transcription scripts carry these over from the manifest; they say nothing about errors.
_IGNORED = frozenset(("audio_filepath", "duration", "sampling_rate"))
_FIELDS = (*_REQUIRED, *_OPTIONAL)  # in the order of `Transcript`
_KNOWN = _IGNORED.union(_FIELDS)
_SHOWN_IDS = 5


class ScoringError(Problems):
    """Rows that cannot be scored or compared, each named."""


class TranscriptError(Problems):
    """Transcripts that cannot be scored: every problem, in file order."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """One utterance: the reference `text`, the hypothesis `pred_text`, and what else is known of the row.

    `pred_text` may be empty: the model heard nothing. A row of general speech has no term, no
    entity_category and no context_type. `subset` is the split's, None in a manifest without split.
    A line of a cycle's `offline_hyps.jsonl` has ipa_source, voice_id, noise_level and synthesis_group:
    `read_transcripts` holds that. A manifest from elsewhere may say nothing of them; they are None then.
    """

    id: str
    text: str
    pred_text: str
    ipa_source: str | None = None
    voice_id: str | None = None
    noise_level: str | None = None
    synthesis_group: str | None = None
    subset: str | None = None
    term: str | None = None
    entity_category: str | None = None
    context_type: str | None = None


def read_transcripts(path: Path) -> tuple[Transcript, ...]:
    """The transcripts of a cycle's `offline_hyps.jsonl`, in file order.

    Raises:
        TranscriptError: all problems of the file: fields that are missing, unknown or no text, a term
            without its category, ids that occur twice, a file without rows.
        FlywheelError: there is no such file, or a line of it is not a JSON object.
    """
    problems: list[str] = []
    ids: list[Any] = []
    transcripts: list[Transcript] = []
    # Voices and noise levels share their sentences, terms and labels: each text is kept once.
    kept: dict[str, str] = {}
    with no_cycle_collection():
        for number, row in enumerate(iterate_jsonl(path), 1):
            ids.append(row.get("id"))
            if found := _row_problems(number, row):
                problems += found
            else:
                transcripts.append(_transcript(row, kept))
    problems += _repeated_ids(ids)
    if not ids:
        problems.append("found no rows, at least one is needed: transcribe the manifest again")
    if problems:
        raise TranscriptError(str(path), problems)
    return tuple(transcripts)


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


def _transcript(row: Mapping[str, Any], kept: dict[str, str]) -> Transcript:
    """The row as a value; a text that is in `kept` is taken from there, another added, but for ids and hypotheses."""
    values: Iterator[Any] = map(row.get, _FIELDS)
    row_id, text, pred_text, *labels = values
    return Transcript(
        row_id, kept.setdefault(text, text), pred_text, *[kept.setdefault(label, label) for label in labels]
    )


def _row_problems(number: int, row: Mapping[str, Any]) -> list[str]:
    # A row without problems costs next to nothing: a million of them come from one file.
    problems: list[str] = []
    if not row.keys() <= _KNOWN:
        problems += (
            f"{_row_name(number, row)}: unknown field {field!r}; allowed: {', '.join(_FIELDS)}"
            for field in row
            if field not in _KNOWN
        )
    for field in _FIELDS:
        value = row.get(field)
        if isinstance(value, str):
            if not value.strip() and field != "pred_text":
                problems.append(f"{_row_name(number, row)}: {field} is empty; {_advice(field)}")
        elif field not in row:
            if field not in _OPTIONAL:
                problems.append(f"{_row_name(number, row)}: {field} is missing; {_advice(field)}")
        elif value is not None or field not in _OPTIONAL:
            problems.append(f"{_row_name(number, row)}: {field} is {value!r}; a text is needed")
    if (row.get("term") is None) != (row.get("entity_category") is None):
        problems.append(
            f"{_row_name(number, row)}: term is {row.get('term')!r} "
            f"but entity_category is {row.get('entity_category')!r}; "
            "a clinical row has both, a row of general speech has neither"
        )
    return problems


def _row_name(number: int, row: Mapping[str, Any]) -> str:
    return f"row {number}" + (f" ({row['id']!r})" if isinstance(row.get("id"), str) else "")


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
