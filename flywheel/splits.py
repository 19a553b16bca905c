"""The split: which rows are learned from, and which are only ever measured on.

Everything is decided for whole synthesis groups, never for single rows, and by rank: each group, term
and sentence stands in a queue at the place that the SHA-256 of the seed and its own key gives it. So a
decision depends neither on the order of the rows nor on the machine.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flywheel.assignments import Assignments
from flywheel.errors import Problems
from flywheel.leaks import TRAINING_SUBSETS, LeakCheck, TermIndex, check_leaks, sentence_key
from flywheel.manifest import SUBSETS, ManifestRow, find_conflicts
from flywheel.terms import ENTITY_CATEGORIES, HUMAN

__all__ = [
    "MIN_TERMS_FOR_UNSEEN",
    "SUBSETS",
    "TRAINING_SUBSETS",
    "Assignments",
    "LeakCheck",
    "Split",
    "SplitError",
    "SplitSettings",
    "check_leaks",
    "split_rows",
    "subset_counts",
]

MIN_TERMS_FOR_UNSEEN = 3
"""Of a smaller category no term is held out: too little would be left to learn from."""

_WITHOUT_TERM = "general"


class SplitError(Problems):
    """Rows, settings or earlier assignments from which no honest split can be made."""


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How the rows are divided; every fraction is of whole groups, terms or sentences.

    Args:
        validation_fraction: of the groups with seen terms and seen voices, in each category; 0 to 0.5.
        development_fraction: of the training groups that are left, in each category; 0 to 0.5, 0 is none.
        unseen_term_fraction: of the terms, in each category of three terms or more; 0 to 0.5, 0 is none.
        unseen_voices: voice ids that the trainer never hears.
        replay_fraction: of the general sentences; the others are the control. 0 to 1.
        seed: another seed gives another split.

    Raises:
        SplitError: all fractions that are out of range.
    """

    validation_fraction: float = 0.2
    development_fraction: float = 0.1
    unseen_term_fraction: float = 0.15
    unseen_voices: tuple[str, ...] = ()
    replay_fraction: float = 0.6
    seed: int = 42

    def __post_init__(self) -> None:
        largest = {
            "validation_fraction": 0.5,
            "development_fraction": 0.5,
            "unseen_term_fraction": 0.5,
            "replay_fraction": 1.0,
        }
        problems = [
            f"{name}: found {getattr(self, name)!r}; allowed: 0 to {limit:g}"
            for name, limit in largest.items()
            if not 0 <= getattr(self, name) <= limit
        ]
        if self.validation_fraction == 0:
            problems.append("validation_fraction: found 0; allowed: above 0, or nothing could be measured")
        if problems:
            raise SplitError("split settings", problems)


@dataclass(frozen=True, slots=True)
class Split:
    """The rows in the order they came in, each with its subset.

    Args:
        rows: with `subset` filled.
        warnings: what the rows were too few for, a sentence each.
        assignments: what the next cycle passes as `earlier`; those of earlier cycles are in it.
    """

    rows: tuple[ManifestRow, ...]
    warnings: tuple[str, ...]
    assignments: Assignments

    def subset(self, name: str) -> tuple[ManifestRow, ...]:
        """The rows of one subset, in their order."""
        return tuple(row for row in self.rows if row.subset == name)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Rows by subset and category, as `subset_counts` gives them."""
        return subset_counts(self.rows)


@dataclass(frozen=True, slots=True)
class _Group:
    """What the rows of one synthesis have in common."""

    key: str
    text: str
    voice_id: str
    term: str | None
    category: str | None


def split_rows(
    rows: Sequence[ManifestRow], settings: SplitSettings, *, earlier: Assignments | None = None
) -> Split:
    """Give every row its subset.

    Rows of an unseen term stand in `unseen_term` whatever their voice; rows of an unseen voice in
    `unseen_voice`. What is left is divided by synthesis group and category into `validation`,
    `development` and `train`, so that a term keeps a training group wherever it has two. General
    sentences, in all their voices and noises together, are `replay` or the control `general`.

    Rows that come as `human` stay it, and the others are divided as if these were not there: whoever drops
    recordings of people moves no other row. A voice of theirs trains nothing either, whatever made it.

    Args:
        rows: of one manifest; subsets other than `human` that they have already do not count.
        settings: fractions, voices and seed.
        earlier: the assignments of the last cycle. What they name stays where it was; only what is new
            is drawn, so that the fractions hold for old and new together as far as that allows.

    Raises:
        SplitError: no rows, rows that contradict each other, or voices that cannot be held out.
    """
    earlier = earlier or Assignments()
    people = [row for row in rows if row.is_human or earlier.groups.get(row.synthesis_group) == HUMAN]
    people_voices = {row.voice_id for row in people} | _named(earlier.voices, HUMAN)
    unseen_voices = {*settings.unseen_voices, *_named(earlier.voices, "unseen")}
    barred_voices = unseen_voices | people_voices
    _refuse(rows, people, settings, barred_voices, earlier)
    groups = _not_in(_groups(rows), {row.synthesis_group for row in people})
    warnings = _voice_warnings(groups, settings, earlier)

    unseen_terms = _unseen_terms(groups, settings, earlier, warnings)
    placed = {group.key: earlier.groups[group.key] for group in groups if group.key in earlier.groups}
    placed |= _set_aside(_not_in(groups, placed), unseen_terms, barred_voices, warnings)
    for category in ENTITY_CATEGORIES:
        placed |= _split_category(category, groups, placed, settings, warnings)
    sides = _general_sides(groups, unseen_terms, barred_voices, settings, earlier, warnings)
    placed |= {group.key: sides[sentence_key(group.text)] for group in groups if group.term is None}

    warnings += _gaps(groups, placed, unseen_terms)
    placed |= {row.synthesis_group: HUMAN for row in people}
    voices = {group.voice_id: "seen" for group in groups if placed[group.key] in TRAINING_SUBSETS}
    now = Assignments(
        terms={g.term: "unseen" if g.term in unseen_terms else "seen" for g in groups if g.term is not None},
        voices=voices | dict.fromkeys(unseen_voices, "unseen") | dict.fromkeys(people_voices, HUMAN),
        groups=placed,
        sentences=sides,
    )
    split = tuple(row.with_subset(placed[row.synthesis_group]) for row in rows)
    return Split(split, tuple(dict.fromkeys(warnings)), earlier.updated(now))


def subset_counts(
    rows: Iterable[ManifestRow], unit: Literal["rows", "groups", "terms"] = "rows"
) -> dict[str, dict[str, int]]:
    """How many rows, synthesis groups or terms stand in each subset.

    Returns:
        Subset to a table: each entity category, ``general`` (rows without a term) and ``total``. All
        subsets and all columns are there, empty ones with 0; but `human` only where somebody was recorded.
    """
    key_field = {"rows": "id", "groups": "synthesis_group", "terms": "term"}[unit]
    columns = (*ENTITY_CATEGORIES, _WITHOUT_TERM)
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        value = getattr(row, key_field)
        if row.subset is not None and value is not None:
            found[row.subset, row.entity_category or _WITHOUT_TERM].add(value)
    subsets = [subset for subset in SUBSETS if subset != HUMAN or any(key[0] == HUMAN for key in found)]
    table = {subset: {column: len(found[subset, column]) for column in columns} for subset in subsets}
    return {subset: {**counts, "total": sum(counts.values())} for subset, counts in table.items()}


def _refuse(
    rows: Sequence[ManifestRow],
    people: Sequence[ManifestRow],
    settings: SplitSettings,
    barred_voices: Collection[str],
    earlier: Assignments,
) -> None:
    problems = list(find_conflicts(rows)) if rows else ["found no rows; allowed: at least one"]
    problems += _trained_people(people, earlier)
    people_ids = {row.id for row in people}
    rows = [row for row in rows if row.id not in people_ids]
    voices = sorted({row.voice_id for row in rows})
    absent = sorted(set(settings.unseen_voices).difference(voices))
    if rows and absent and len(absent) == len(set(settings.unseen_voices)):
        found = f"{', '.join(absent)}, which no row is spoken in"
        problems.append(f"unseen_voices: found {found}; allowed: {', '.join(voices)}")
    for voice in settings.unseen_voices:
        if earlier.voices.get(voice) == "seen":
            problems.append(
                f"unseen_voices: found {voice!r}, trained on in an earlier cycle; allowed: other voices"
            )
    if rows and set(voices) <= set(barred_voices):
        problems.append(f"unseen_voices: found all voices ({', '.join(voices)}); allowed: some, not all")
    for row in rows:
        replayed = earlier.sentences.get(sentence_key(row.text)) == "replay"
        if row.term is None and row.voice_id in barred_voices and replayed:
            problems.append(
                f"row {row.id}, voice_id: found the unseen voice {row.voice_id!r} on a sentence trained on "
                "in an earlier cycle; allowed: other voices, or a sentence of the control"
            )
    if problems:
        raise SplitError("split", problems)


def _trained_people(people: Iterable[ManifestRow], earlier: Assignments) -> list[str]:
    """People whose speech cannot be held out any more."""
    trained = sorted({row.voice_id for row in people if earlier.voices.get(row.voice_id) == "seen"})
    problems = [
        f"human speech: found the voice {voice!r}, trained on in an earlier cycle; allowed: other voices"
        for voice in trained
    ]
    return problems + [
        f"row {row.id}: found human speech whose audio was in {subset} in an earlier cycle; allowed: other audio"
        for row in people
        if (subset := earlier.groups.get(row.synthesis_group)) in TRAINING_SUBSETS
    ]


def _groups(rows: Sequence[ManifestRow]) -> tuple[_Group, ...]:
    """Each synthesis group once, ordered by key: from here on the order of the rows is forgotten."""
    first = {row.synthesis_group: row for row in rows}
    return tuple(
        _Group(key, row.text, row.voice_id, row.term, row.entity_category)
        for key, row in sorted(first.items())
    )


def _not_in(groups: Iterable[_Group], placed: Collection[str]) -> tuple[_Group, ...]:
    return tuple(group for group in groups if group.key not in placed)


def _named(table: Mapping[str, str], word: str) -> frozenset[str]:
    return frozenset(key for key, value in table.items() if value == word)


def _rank(seed: int, queue: str, key: str) -> str:
    """The place of `key` in a queue: the same on every machine, and unrelated to its other places."""
    return hashlib.sha256(f"{seed}\n{queue}\n{key}".encode()).hexdigest()


def _share(fraction: float, count: int) -> int:
    """`fraction` of `count`, halves upwards (Python's `round` would go to the even neighbour)."""
    return math.floor(fraction * count + 0.5)


def _voice_warnings(groups: Iterable[_Group], settings: SplitSettings, earlier: Assignments) -> list[str]:
    warnings = []
    if absent := sorted(set(settings.unseen_voices) - {group.voice_id for group in groups}):
        warnings.append(f"unseen voices: no row is spoken in {', '.join(absent)}")
    kept = sorted(_named(earlier.voices, "unseen") - set(settings.unseen_voices))
    if kept:
        warnings.append(f"unseen voices: {', '.join(kept)} stay unseen, as in an earlier cycle")
    elif not settings.unseen_voices:
        warnings.append("unseen voices: none, so nothing is measured on a new voice")
    return warnings


def _unseen_terms(
    groups: Sequence[_Group], settings: SplitSettings, earlier: Assignments, warnings: list[str]
) -> frozenset[str]:
    """The terms that are in no training row, those of earlier cycles among them."""
    terms = {group.term: group.category for group in groups if group.term is not None}
    unseen = set(_named(earlier.terms, "unseen"))
    # A new term around an unseen one, as a longer name is, would teach it.
    index = TermIndex(unseen)
    unseen |= {term for term in terms if term not in earlier.terms and index.mentioned_in(term)}
    said_elsewhere = _said_elsewhere(groups, terms)
    for category in ENTITY_CATEGORIES:
        members = [term for term, of in terms.items() if of == category]
        if not members or settings.unseen_term_fraction == 0:
            continue
        if len(members) < MIN_TERMS_FOR_UNSEEN:
            if unseen.intersection(members):
                continue
            counted = f"{len(members)} {'term' if len(members) == 1 else 'terms'}"
            warnings.append(
                f"unseen terms: none of {category}, it has {counted} of {MIN_TERMS_FOR_UNSEEN} needed"
            )
            continue
        wanted = min(max(1, _share(settings.unseen_term_fraction, len(members))), len(members) - 1)
        free = [term for term in members if term not in earlier.terms and term not in unseen | said_elsewhere]
        free.sort(key=lambda term: _rank(settings.seed, "unseen_term", term))
        unseen |= set(free[: max(0, wanted - len(unseen.intersection(members)))])
        got = len(unseen.intersection(members))
        if got < wanted:
            reason = "the others were trained on earlier, or stand in rows of other terms"
            warnings.append(f"unseen terms: {got} of {category} instead of {wanted}, {reason}")
    return frozenset(unseen)


def _said_elsewhere(groups: Sequence[_Group], terms: Collection[str]) -> frozenset[str]:
    """Terms that a row about something else says too: holding them out would hold out nothing."""
    index = TermIndex(terms)
    texts = {(group.text, group.term) for group in groups}
    return frozenset(found for text, term in texts for found in index.mentioned_in(text) if found != term)


def _set_aside(
    groups: Sequence[_Group],
    unseen_terms: Collection[str],
    unseen_voices: Collection[str],
    warnings: list[str],
) -> dict[str, str]:
    """The subset of each clinical group that may not be trained on, whatever the fractions are."""
    index = TermIndex(unseen_terms)
    aside: dict[str, str] = {}
    for group in groups:
        if group.term is None:
            continue
        if group.term in unseen_terms:
            aside[group.key] = "unseen_term"
        elif group.voice_id in unseen_voices:
            aside[group.key] = "unseen_voice"
        elif said := sorted(index.mentioned_in(group.text)):
            aside[group.key] = "validation"
            warnings.append(
                f"validation: {group.text!r} ({group.term}) is not trained on, it says the unseen {said[0]}"
            )
    return aside


def _split_category(
    category: str,
    groups: Sequence[_Group],
    placed: Mapping[str, str],
    settings: SplitSettings,
    warnings: list[str],
) -> dict[str, str]:
    """Divide the groups of one category that are placed nowhere yet."""
    learnable = ("train", "development", "validation")
    members = [g for g in groups if g.category == category and placed.get(g.key, "train") in learnable]
    free = _not_in(members, placed)
    if len(members) == 1 and free:
        warnings.append(f"validation: nothing of {category}, its only synthesis group goes to train")
    held = Counter(placed[group.key] for group in members if group.key in placed)
    # Groups of each term that are trained on, or still may be.
    left = Counter(group.term for group in members if placed.get(group.key, "train") == "train")

    wanted = min(max(1, _share(settings.validation_fraction, len(members))), len(members) - 1)
    queue = sorted(free, key=lambda group: _rank(settings.seed, "validation", group.key))
    validation = _draw(queue, wanted - held["validation"], left)
    # Where terms have one group each, some go without training, but never all of the category.
    short = min(wanted - held["validation"] - len(validation), left.total() - 1)
    lone = _not_in(queue, {group.key for group in validation})[: max(0, short)]
    left.subtract(group.term for group in lone)

    rest = _not_in(free, {group.key for group in (*validation, *lone)})
    wanted = _share(settings.development_fraction, left.total() + held["development"])
    queue = sorted(rest, key=lambda group: _rank(settings.seed, "development", group.key))
    development = _draw(queue, wanted - held["development"], left)
    return {
        **{group.key: "train" for group in rest},
        **{group.key: "validation" for group in (*validation, *lone)},
        **{group.key: "development" for group in development},
    }


def _draw(queue: Iterable[_Group], wanted: int, left: Counter[str | None]) -> tuple[_Group, ...]:
    """The first `wanted` groups of the queue that are not the last of their term; `left` is brought down."""
    drawn: list[_Group] = []
    for group in queue:
        if len(drawn) < wanted and left[group.term] > 1:
            left[group.term] -= 1
            drawn.append(group)
    return tuple(drawn)


def _general_sides(
    groups: Sequence[_Group],
    unseen_terms: Collection[str],
    unseen_voices: Collection[str],
    settings: SplitSettings,
    earlier: Assignments,
    warnings: list[str],
) -> dict[str, str]:
    """Words of each general sentence to ``replay`` or ``general``.

    A sentence that an unseen voice speaks, or that says an unseen term, is the control's in all its rows.
    """
    general = [(sentence_key(group.text), group) for group in groups if group.term is None]
    if not general:
        return {}
    index = TermIndex(unseen_terms)
    barred = {key for key, g in general if g.voice_id in unseen_voices or index.mentioned_in(g.text)}
    keys = sorted({key for key, _ in general})
    sides = {key: earlier.sentences[key] for key in keys if key in earlier.sentences}
    wanted = _share(settings.replay_fraction, len(keys))
    if 0 < settings.replay_fraction < 1:
        wanted = min(max(1, wanted), len(keys) - 1)
    free = [key for key in keys if key not in sides and key not in barred]
    free.sort(key=lambda key: _rank(settings.seed, "replay", key))
    replayed = len(_named(sides, "replay"))
    drawn = free[: max(0, wanted - replayed)]
    if replayed + len(drawn) < wanted:
        reason = f"{len(barred)} are spoken in an unseen voice or say an unseen term"
        warnings.append(
            f"replay: {replayed + len(drawn)} of {len(keys)} sentences instead of {wanted}, {reason}"
        )
    return {**dict.fromkeys(keys, "general"), **dict.fromkeys(drawn, "replay"), **sides}


def _gaps(groups: Sequence[_Group], placed: Mapping[str, str], unseen_terms: Collection[str]) -> list[str]:
    """What the split lacks that somebody will look for."""
    seen = {group.term for group in groups if group.term is not None} - set(unseen_terms)
    trained = {group.term for group in groups if placed[group.key] in TRAINING_SUBSETS}
    used = set(placed.values())
    warnings = []
    if untrained := sorted(seen - trained):
        warnings.append(f"train: no row about {', '.join(untrained)}, though not held out as unseen")
    if "train" not in used:
        warnings.append("train: no rows, so nothing can be learned")
    if "general" not in used:
        warnings.append("general: no control sentences, so forgetting cannot be measured")
    return warnings
