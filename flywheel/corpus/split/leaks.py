"""Leaks: anything that stands both where the model learns and where it is measured.

Words are compared more freely here than in a score: case, accents, hyphens and punctuation do not
count, since ``cefazolin-induced`` in a training row teaches the model to say ``cefazolin``.
"""

import posixpath
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flywheel.corpus.manifest import ManifestRow
from flywheel.corpus.split.earlier_decisions import NOTHING_ASSIGNED, Assignments
from flywheel.scoring.slices import UNSEEN_ENGINE
from flywheel.scoring.term_matching import TermFinder, letter_words

__all__ = ["LEAK_CHECKS", "TRAINING_SUBSETS", "LeakCheck", "check_leaks", "sentence_key"]

TRAINING_SUBSETS = ("train", "development", "replay")
"""What the trainer sees: it learns from `train` and `replay`, and picks its checkpoint on `development`."""

LEAK_CHECKS = (
    "one_subset_a_row",
    "id_on_one_side",
    "audio_on_one_side",
    "synthesis_group_on_one_side",
    "unseen_terms_not_trained",
    "unseen_terms_not_in_training_text",
    "unseen_voices_not_trained",
    "unseen_engine_not_trained",
    "held_out_sentences_not_trained",
    "development_sentences_not_learned",
    "control_sentences_not_trained",
    "human_voices_not_trained",
    "audio_content_on_one_side",
    "earlier_rows_stayed",
)
"""The names of all checks, in the order of `check_leaks`."""


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """The result of one check.

    Args:
        name: of the check, fit for an asset check's name.
        description: what holds where it passes.
        checked: how many things were looked at; 0 means that the check says nothing.
        leaks: each thing that leaks, with where it was found, sorted.
        inherited: what an earlier cycle let through before there was this check, likewise; it stays, since rows
            never change sides, and fails nothing.
    """

    name: str
    description: str
    checked: int
    leaks: tuple[str, ...]
    inherited: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing leaks."""
        return not self.leaks


def sentence_key(text: str) -> str:
    """What two texts have in common when they are the same sentence: their words."""
    return " ".join(letter_words(text))


def check_leaks(
    rows: Sequence[ManifestRow],
    *,
    unseen_voices: Collection[str] = (),
    audio_sha256: Mapping[str, str] | None = None,
    earlier: Assignments | None = None,
) -> tuple[LeakCheck, ...]:
    """Look for leaks in the rows of all subsets together.

    Args:
        rows: with their subsets filled.
        unseen_voices: the voices that were to be held out, beside those of the rows in `unseen_voice`.
        audio_sha256: row id to the SHA-256 of its audio's bytes; without it audio is compared by path only.
        earlier: what earlier cycles decided; without it nothing is said on these.

    Returns:
        One result a check, always in the same order; the last two only where their argument was given.
    """
    training = [row for row in rows if row.subset in TRAINING_SUBSETS]
    checks = [
        _one_subset(rows),
        _on_one_side("id_on_one_side", "No id stands in two subsets.", rows, lambda row: row.id),
        _on_one_side(
            "audio_on_one_side",
            "No audio file stands in two subsets.",
            rows,
            lambda row: posixpath.normpath(row.audio_filepath),
        ),
        _on_one_side(
            "synthesis_group_on_one_side",
            "No synthesis stands in two subsets, whatever noise was added to it.",
            rows,
            lambda row: row.synthesis_group,
        ),
        *_unseen_terms(rows, training),
        _unseen_voices(rows, training, unseen_voices),
        _unseen_engine(rows, training),
        _new_sentences(
            "held_out_sentences_not_trained",
            "No sentence of a held-out row is in a training row, in whatever voice.",
            [row for row in rows if row.subset == "validation"],
            training,
            earlier or NOTHING_ASSIGNED,
        ),
        _new_sentences(
            "development_sentences_not_learned",
            "No sentence that picks the checkpoint is in a row that is learned from.",
            [row for row in rows if row.subset == "development"],
            [row for row in training if row.subset != "development"],
            earlier or NOTHING_ASSIGNED,
        ),
        _control_sentences(rows, training),
        _human_voices(rows, training),
    ]
    if audio_sha256 is not None:
        checks.append(
            _on_one_side(
                "audio_content_on_one_side",
                "No two subsets hold audio of the same bytes.",
                rows,
                lambda row: audio_sha256.get(row.id),
            )
        )
    if earlier is not None:
        checks.append(_stayed(rows, earlier))
    return tuple(checks)


def _one_subset(rows: Sequence[ManifestRow]) -> LeakCheck:
    leaks = sorted(f"row {row.id}: no subset" for row in rows if row.subset is None)
    return LeakCheck("one_subset_a_row", "Every row stands in a subset.", len(rows), tuple(leaks))


def _on_one_side(
    name: str, description: str, rows: Sequence[ManifestRow], key: Callable[[ManifestRow], str | None]
) -> LeakCheck:
    """No key is shared by rows of two subsets; rows without a key are not looked at."""
    members: dict[str, list[ManifestRow]] = defaultdict(list)
    for row in rows:
        value = key(row)
        if value is not None:
            members[value].append(row)
    leaks = tuple(
        f"{value}: {', '.join(sorted(f'{row.subset} (row {row.id})' for row in group))}"
        for value, group in sorted(members.items())
        if len({row.subset for row in group}) > 1
    )
    return LeakCheck(name, description, sum(map(len, members.values())), leaks)


def _unseen_terms(rows: Sequence[ManifestRow], training: Sequence[ManifestRow]) -> Iterator[LeakCheck]:
    unseen = {row.term for row in rows if row.subset == "unseen_term" and row.term is not None}
    leaks = sorted(f"{row.term}: {row.subset} (row {row.id})" for row in training if row.term in unseen)
    yield LeakCheck(
        "unseen_terms_not_trained", "No training row is about an unseen term.", len(training), tuple(leaks)
    )
    index = TermFinder(unseen, letter_words)
    leaks = sorted(
        f"{term}: {row.subset} (row {row.id}: {row.text!r})"
        for row in training
        for term in index.found_in(row.text)
    )
    yield LeakCheck(
        "unseen_terms_not_in_training_text",
        "No training row says an unseen term, in whatever sentence.",
        len(training),
        tuple(leaks),
    )


def _unseen_voices(
    rows: Sequence[ManifestRow], training: Sequence[ManifestRow], configured: Collection[str]
) -> LeakCheck:
    unseen = {row.voice_id for row in rows if row.subset == "unseen_voice"} | set(configured)
    leaks = sorted(
        f"{row.voice_id}: {row.subset} (row {row.id})" for row in training if row.voice_id in unseen
    )
    return LeakCheck(
        "unseen_voices_not_trained", "No training row is in an unseen voice.", len(training), tuple(leaks)
    )


def _unseen_engine(rows: Sequence[ManifestRow], training: Sequence[ManifestRow]) -> LeakCheck:
    unseen = {row.engine for row in rows if row.subset == UNSEEN_ENGINE}
    leaks = sorted(f"{row.voice_id}: {row.subset} (row {row.id})" for row in training if row.engine in unseen)
    description = "No training row is spoken by the second synthesiser, in whatever voice."
    return LeakCheck("unseen_engine_not_trained", description, len(training), tuple(leaks))


def _new_sentences(
    name: str,
    description: str,
    measured: Sequence[ManifestRow],
    learned: Sequence[ManifestRow],
    earlier: Assignments,
) -> LeakCheck:
    """No sentence of `measured` is in `learned`; clinical sentences only, the control has its own check."""
    learned_in = {sentence_key(row.text): row for row in reversed(learned)}
    before = {key for key, side in earlier.sentences.items() if side in TRAINING_SUBSETS}
    before |= {
        sentence_key(row.text)
        for row in learned
        if earlier.groups.get(row.synthesis_group) in TRAINING_SUBSETS
    }
    leaks: list[str] = []
    inherited: list[str] = []
    for row in measured:
        key = sentence_key(row.text)
        if key not in learned_in:
            continue
        found = (
            f"{row.text!r}: {learned_in[key].subset} (row {learned_in[key].id}), {row.subset} (row {row.id})"
        )
        stays = key in before and earlier.groups.get(row.synthesis_group) == row.subset
        (inherited if stays else leaks).append(found)
    return LeakCheck(name, description, len(measured), tuple(sorted(leaks)), tuple(sorted(inherited)))


def _control_sentences(rows: Sequence[ManifestRow], training: Sequence[ManifestRow]) -> LeakCheck:
    control = {sentence_key(row.text) for row in rows if row.subset == "general"}
    leaks = sorted(
        f"{row.text!r}: {row.subset} (row {row.id})" for row in training if sentence_key(row.text) in control
    )
    description = "No sentence of the general-speech control is in a training row."
    return LeakCheck("control_sentences_not_trained", description, len(training), tuple(leaks))


def _human_voices(rows: Sequence[ManifestRow], training: Sequence[ManifestRow]) -> LeakCheck:
    """A model that has heard a speaker is no measure of how it hears people."""
    people = {row.voice_id for row in rows if row.is_human}
    leaks = sorted(
        f"{row.voice_id}: {row.subset} (row {row.id})" for row in training if row.voice_id in people
    )
    description = "No training row is in the voice of a person whose recordings are held out."
    return LeakCheck("human_voices_not_trained", description, len(training), tuple(leaks))


def _stayed(rows: Sequence[ManifestRow], earlier: Assignments) -> LeakCheck:
    before = earlier.groups
    known = [row for row in rows if row.synthesis_group in before]
    leaks = sorted(
        f"row {row.id}: {row.subset}, was {before[row.synthesis_group]}"
        for row in known
        if row.subset != before[row.synthesis_group]
    )
    description = "Every row of an earlier cycle is where it was."
    return LeakCheck("earlier_rows_stayed", description, len(known), tuple(leaks))
