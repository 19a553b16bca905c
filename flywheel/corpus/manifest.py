"""The manifest: NeMo JSON Lines with the clinical extension, one utterance a row."""

import hashlib
import json
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from flywheel.corpus.terms import CONTEXT_TYPES, ENTITY_CATEGORIES, RECORDING
from flywheel.errors import Problems
from flywheel.files.atomic import write_jsonl
from flywheel.scoring.slices import HUMAN, UNSEEN_ENGINE
from flywheel.scoring.term_matching import bare_words, holds

if TYPE_CHECKING:
    from lhotse import CutSet

__all__ = [
    "MEASURED_ONLY",
    "SUBSETS",
    "ManifestError",
    "ManifestRow",
    "Seconds",
    "as_cutset",
    "clinical_rows_by_category",
    "content_hash",
    "described",
    "find_conflicts",
    "moved_root",
    "read_manifest",
    "rebase",
    "write_manifest",
]

Seconds = float

SUBSETS = (
    *("train", "development", "validation", "unseen_term", "unseen_voice", UNSEEN_ENGINE),
    *("general", "replay", HUMAN),
)

MEASURED_ONLY = (HUMAN, UNSEEN_ENGINE)
"""Subsets that a row has from the start: the split leaves it there, and no training ever sees it."""

_IPA_SOURCE = re.compile(rf"override|merriam-webster|{RECORDING}|[a-z0-9]+(_[a-z0-9]+)*_g2p")
_NOISE_LEVEL = re.compile(r"clean|snr_(0|-?[1-9][0-9]*)db")
_SMART_QUOTES = frozenset("‘’‚‛“”„‟ʼ«»‹›")
# Unicode's control, format, surrogate, private, unassigned, line and paragraph separators: nothing that
# can be spoken, and all of it invisible in an editor.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_PLAIN = "without control characters, byte-order marks and smart quotes"
_ALLOWED = {
    "id": "the stem of audio_filepath",
    "audio_filepath": "the path of a WAV file",
    "text": f"what is said, not empty, {_PLAIN}",
    "duration": "a finite number of seconds above 0",
    "sampling_rate": "16000 (Hz)",
    "term": "lower case words that stand in the text in order and adjacent",
    "entity_category": ", ".join(ENTITY_CATEGORIES),
    "ipa_source": f"override, merriam-webster, {RECORDING} or <engine>_g2p",
    "voice_id": "the engine-qualified name of a voice",
    "noise_level": "clean or snr_<n>db, n a whole number",
    "context_type": ", ".join(CONTEXT_TYPES),
    "synthesis_group": "the key that all rows of one synthesis share",
    "subset": ", ".join(SUBSETS),
}
_OF_ONE_SYNTHESIS = ("text", "voice_id", "term", "entity_category", "context_type", "ipa_source")


class ManifestError(Problems):
    """A manifest that cannot be used: every problem of the file, in file order."""


class _WrongValueError(ValueError):
    """A value with more to say than its representation."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found


class ManifestRow(BaseModel):
    """One utterance. Clinical rows have a term, its category and a context; general speech has none of them.

    `duration` is in seconds, `sampling_rate` in Hz. `synthesis_group` is the same for all rows that share
    one synthesis (the clean row and its noisy versions). `subset` is the split's to fill, but for what only
    ever measures, which stands in one of `MEASURED_ONLY` from the start. Raises pydantic's `ValidationError`
    where a value is not allowed; `read_manifest` turns that into a report.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: str
    audio_filepath: str
    text: str
    duration: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
    sampling_rate: Literal[16000]
    term: str | None = None
    entity_category: str | None = None
    ipa_source: str
    voice_id: str
    noise_level: str
    context_type: str | None = Field(default=None, validate_default=True)
    synthesis_group: str
    subset: str | None = None

    @property
    def is_clinical(self) -> bool:
        """Whether the row is about a term; the others are general speech."""
        return self.term is not None

    @property
    def is_human(self) -> bool:
        """Whether a person speaks: such a row is only ever measured on."""
        return self.subset == HUMAN

    @property
    def is_measured_only(self) -> bool:
        """Whether nothing may learn from the row, whatever the split is."""
        return self.subset in MEASURED_ONLY

    @property
    def engine(self) -> str:
        """Who made the voice: what stands before the colon of `voice_id`."""
        return self.voice_id.partition(":")[0]

    def with_subset(self, subset: str) -> Self:
        """A copy that stands in `subset`, one of `SUBSETS`."""
        return self._with(subset=subset)

    def with_audio_filepath(self, audio_filepath: str) -> Self:
        """A copy whose audio lies elsewhere; the file keeps its stem, the row its id."""
        return self._with(audio_filepath=audio_filepath)

    def _with(self, **changes: object) -> Self:
        return type(self).model_validate({**self.model_dump(), **changes})

    @field_validator("id", "audio_filepath", "text", "voice_id", "synthesis_group")
    @classmethod
    def _is_plain(cls, value: str, info: ValidationInfo) -> str:
        if not value.strip():
            raise _WrongValueError(f"{value!r}, which is empty")
        # Almost every value is printable ASCII, in which there is nothing to look for.
        suspects = "" if value.isascii() and value.isprintable() else value
        for position, character in enumerate(suspects, start=1):
            # A folder may be called what it likes; what is said may not hold them.
            quote = character in _SMART_QUOTES and info.field_name == "text"
            if quote or unicodedata.category(character) in _INVISIBLE:
                name = f"U+{ord(character):04X} {unicodedata.name(character, '').lower()}".rstrip()
                kind = "smart quote" if quote else "invisible"
                raise _WrongValueError(f"the {kind} {name} at character {position} of {_shown(value)}")
        if info.field_name == "text" and not bare_words(value):
            raise _WrongValueError(f"{value!r}, in which there is no word")
        return value

    @field_validator("audio_filepath")
    @classmethod
    def _is_named_by_id(cls, value: str, info: ValidationInfo) -> str:
        row_id = info.data.get("id", PurePosixPath(value).stem)
        if PurePosixPath(value).stem != row_id:
            raise _WrongValueError(f"{_shown(value)}, whose stem is not the id {_shown(row_id)}")
        return value

    @field_validator("term")
    @classmethod
    def _is_spoken(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if not value or value != " ".join(value.lower().split()):
            raise _WrongValueError(f"{_shown(value)}, not lower case words with one space between them")
        text = info.data.get("text")
        if text is not None and not holds(text, value, bare_words):
            raise _WrongValueError(f"{_shown(value)}, which does not stand in the text {_shown(text)}")
        return value

    @field_validator("entity_category", "context_type", "subset")
    @classmethod
    def _is_in_vocabulary(cls, value: str | None, info: ValidationInfo) -> str | None:
        words = {"entity_category": ENTITY_CATEGORIES, "context_type": CONTEXT_TYPES, "subset": SUBSETS}
        if value is not None and value not in words[str(info.field_name)]:
            raise _WrongValueError(_shown(value))
        return value

    @field_validator("ipa_source", "noise_level")
    @classmethod
    def _has_shape(cls, value: str, info: ValidationInfo) -> str:
        shape = _IPA_SOURCE if info.field_name == "ipa_source" else _NOISE_LEVEL
        if not shape.fullmatch(value):
            raise _WrongValueError(_shown(value))
        return value

    @field_validator("context_type")
    @classmethod
    def _goes_with_term(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Runs on the last of the three fields; one that is wrong itself has been reported already."""
        present = {"context_type": value is not None}
        present |= {
            name: info.data[name] is not None for name in ("term", "entity_category") if name in info.data
        }
        if any(present.values()) and not all(present.values()):
            there, absent = (
                sorted(name for name in present if present[name] is is_there) for is_there in (True, False)
            )
            raise _WrongValueError(
                f"{' and '.join(there)} without {' and '.join(absent)} (a clinical row has term, "
                "entity_category and context_type, a general one none of them)"
            )
        return value


def read_manifest(path: Path, *, allow_empty: bool = False) -> tuple[ManifestRow, ...]:
    """The rows of a manifest, in file order.

    Args:
        path: JSON Lines in UTF-8, one object a line, no blank lines (NeMo's reader stops at one).
        allow_empty: accept a file without rows, such as a development set too small to have any.

    Raises:
        ManifestError: all problems of the file, each with line, field, value found and values allowed.
    """
    problems: list[tuple[int, str]] = []
    objects: list[tuple[int, dict[str, object]]] = []
    for line, text in _lines(path, problems):
        value = _json_object(line, text, problems)
        if value is not None:
            objects.append((line, value))
    if not objects and not problems and not allow_empty:
        problems.append((0, "file: found no rows; allowed: one JSON object a line, at least one"))
    rows = []
    for line, value in objects:
        try:
            rows.append(ManifestRow.model_validate(value))
        except ValidationError as error:
            problems += [(line, f"line {line}, {problem}") for problem in described(error)]
    problems += _conflicts(objects, "line")
    if problems:
        raise ManifestError(str(path), [problem for _, problem in sorted(problems, key=lambda item: item[0])])
    return tuple(rows)


def write_manifest(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Write `rows` in their order, whole or not at all; equal rows give equal bytes.

    Absent values are left out. Raises `ManifestError`, and leaves `path` as it was, where the rows
    contradict each other (see `find_conflicts`): `read_manifest` would refuse the file.
    """
    conflicts = find_conflicts(rows)
    if conflicts:
        raise ManifestError(f"{path} (not written)", conflicts)
    write_jsonl(path, (row.model_dump(exclude_none=True) for row in rows))


def find_conflicts(rows: Sequence[ManifestRow]) -> tuple[str, ...]:
    """What is wrong between rows, each right by itself; rows are counted from 1.

    Ids and audio files stand once. Rows of one synthesis group say the same words, about the same term,
    in the same voice.
    """
    found = _conflicts([(number, row.model_dump()) for number, row in enumerate(rows, start=1)], "row")
    return tuple(problem for _, problem in sorted(found, key=lambda item: item[0]))


def rebase(rows: Iterable[ManifestRow], new_path: Callable[[PurePath], str]) -> tuple[ManifestRow, ...]:
    """Copies of `rows` for another host: `new_path` says where each audio file lies there.

    A path that has no place there makes `new_path` raise a ValueError saying what is allowed.

    Raises:
        ManifestError: all rows whose path has no place there, or the place of another row.
    """
    moved: list[ManifestRow] = []
    problems: list[str] = []
    for number, row in enumerate(rows, start=1):
        try:
            moved.append(row.with_audio_filepath(new_path(PurePath(row.audio_filepath))))
        except ValidationError as error:
            problems += [f"row {number}, {problem}" for problem in described(error)]
        except ValueError as error:
            problems.append(f"row {number}, audio_filepath: found {row.audio_filepath!r}; {error}")
    problems += find_conflicts(moved) if not problems else ()
    if problems:
        raise ManifestError("rebased manifest", problems)
    return tuple(moved)


def moved_root(old_root: PurePath, new_root: PurePath) -> Callable[[PurePath], str]:
    """For `rebase`: everything below `old_root` lies below `new_root` in the same order of folders."""

    def new_path(path: PurePath) -> str:
        plain = PurePath(posixpath.normpath(path))
        if not plain.is_relative_to(old_root):
            raise ValueError(f"allowed: a path below {old_root}")
        return str(new_root / plain.relative_to(old_root))

    return new_path


def content_hash(rows: Iterable[ManifestRow]) -> str:
    """SHA-256 over what the rows say, in hexadecimal: whatever their order and wherever the audio lies."""
    contents = sorted(
        json.dumps(row.model_dump(exclude={"audio_filepath"}, exclude_none=True), sort_keys=True)
        for row in rows
    )
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()


def clinical_rows_by_category(rows: Iterable[ManifestRow]) -> dict[str, int]:
    """How many clinical rows each entity category has; one without rows is absent.

    Rows of people and of a second synthesiser do not count: a gate that asks whether there is enough to learn
    from would be told of rows that nothing may learn from.
    """
    return dict(
        Counter(
            row.entity_category
            for row in rows
            if row.entity_category is not None and not row.is_measured_only
        )
    )


def as_cutset(rows: Iterable[ManifestRow]) -> "CutSet":
    """The rows as lhotse cuts, as NeMo's own reader makes them: clinical fields under ``cut.custom``.

    Unlike there a cut is named by the row's id, not by the path of its audio. No audio is read.
    """
    from lhotse import AudioSource, CutSet, MonoCut, Recording, SupervisionSegment

    cuts = []
    for row in rows:
        source = AudioSource(type="file", channels=[0], source=row.audio_filepath)
        samples = round(row.duration * row.sampling_rate)
        recording = Recording(row.id, [source], row.sampling_rate, samples, row.duration, channel_ids=[0])
        supervision = SupervisionSegment(row.id, row.id, start=0, duration=row.duration, text=row.text)
        custom = row.model_dump(exclude={"audio_filepath", "duration", "sampling_rate"}, exclude_none=True)
        cuts.append(MonoCut(row.id, 0, row.duration, 0, [supervision], recording=recording, custom=custom))
    return CutSet.from_cuts(cuts)


def _shown(value: object) -> str:
    """`value` as it stands in a message: never so long that it hides the rest."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _lines(path: Path, problems: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """(line number from 1, its text) of each line that can be read; the others become problems."""
    try:
        data = path.read_bytes()
    except OSError as error:
        problems.append(
            (0, f"file: found {(error.strerror or type(error).__name__).lower()}; allowed: a manifest")
        )
        return
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    for number, raw in enumerate(lines, start=1):
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            found = f"the byte 0x{raw[error.start]:02x} at byte {error.start + 1}"
            problems.append((number, f"line {number}, encoding: found {found}; allowed: UTF-8"))
            continue
        if text.startswith("\ufeff"):
            found = "a byte-order mark"
            problems.append((number, f"line {number}, encoding: found {found}; allowed: UTF-8 without one"))
        yield number, text.removeprefix("\ufeff")


def _json_object(line: int, text: str, problems: list[tuple[int, str]]) -> dict[str, object] | None:
    twice: list[str] = []

    def without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
        values = dict(pairs)
        if len(values) < len(pairs):
            twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return values

    allowed = "allowed: one JSON object"
    if not text.strip():
        problems.append((line, f"line {line}: found a blank line; {allowed}"))
        return None
    try:
        value = json.loads(text, object_pairs_hook=without_doubles)
    except (ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        problems.append((line, f"line {line}: found {_shown(text)}, which is not JSON ({reason}); {allowed}"))
        return None
    if not isinstance(value, dict):
        problems.append((line, f"line {line}: found {_shown(value)}; {allowed}"))
        return None
    problems += [(line, f"line {line}, {key}: found twice in the row; allowed: once") for key in twice]
    return value


def described(error: ValidationError) -> Iterator[str]:
    """``field: found ...; allowed: ...`` for each thing that is wrong with one row."""
    for detail in error.errors():
        field = str(detail["loc"][0])
        cause: Any = detail.get("ctx", {}).get("error")
        if detail["type"] == "missing":
            found = "nothing"
        elif isinstance(cause, _WrongValueError):
            found = cause.found
        else:
            found = _shown(detail["input"])
        allowed = _ALLOWED.get(field, f"only the fields {', '.join(_ALLOWED)}")
        yield f"{field}: found {found}; allowed: {allowed}"


def _conflicts(rows: Sequence[tuple[int, Mapping[str, object]]], unit: str) -> list[tuple[int, str]]:
    """What is wrong between numbered rows; values that are no text are the rows' own problem."""
    problems: list[tuple[int, str]] = []
    for field, key in (("id", str), ("audio_filepath", posixpath.normpath)):
        first_seen: dict[str, int] = {}
        for number, row in rows:
            value = row.get(field)
            if not isinstance(value, str):
                continue
            first = first_seen.setdefault(key(value), number)
            if first != number:
                found = f"{_shown(value)} again, first in {unit} {first}"
                problems.append((number, f"{unit} {number}, {field}: found {found}; allowed: each once"))
    return problems + _group_conflicts(rows, unit)


def _group_conflicts(rows: Sequence[tuple[int, Mapping[str, object]]], unit: str) -> list[tuple[int, str]]:
    problems: list[tuple[int, str]] = []
    first_rows: dict[str, tuple[int, Mapping[str, object]]] = {}
    for number, row in rows:
        group = row.get("synthesis_group")
        if not isinstance(group, str):
            continue
        first_number, first = first_rows.setdefault(group, (number, row))
        for field in _OF_ONE_SYNTHESIS:
            if row.get(field) != first.get(field):
                allowed = (
                    f"{_shown(first.get(field))} as in {unit} {first_number} of the same synthesis_group"
                )
                found = _shown(row.get(field))
                problems.append((number, f"{unit} {number}, {field}: found {found}; allowed: {allowed}"))
    return problems
