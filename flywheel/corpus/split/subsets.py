"""The split: which rows are learned from, and which are only ever measured on.

Clinical rows are divided by whole sentences, in all their seen voices and noises together: a held-out row is
of a seen term in a known voice, and its sentence is new to the model. Everything is decided by rank: each term
and sentence stands in a queue at the place that the SHA-256 of the seed and its own key gives it. So a decision
depends neither on the order of the rows nor on the machine.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flywheel.corpus.manifest import MEASURED_ONLY, SUBSETS, ManifestRow, find_conflicts
from flywheel.corpus.split.earlier_decisions import NOTHING_ASSIGNED, Assignments
from flywheel.corpus.split.held_out_sentences import SIDES, Fractions, Group, divide_sentences, rank, share
from flywheel.corpus.split.leaks import TRAINING_SUBSETS, LeakCheck, check_leaks, sentence_key
from flywheel.corpus.terms import ENTITY_CATEGORIES
from flywheel.errors import Problems
from flywheel.scoring.slices import HUMAN, UNSEEN_ENGINE
from flywheel.scoring.term_matching import TermFinder, letter_words

__all__ = [
    "MIN_TERMS_FOR_UNSEEN",
    "SUBSETS",
    "TRAINING_SUBSETS",
    "Assignments",
    "LeakCheck",
    "Split",
    "SplitError",
    "SplitRecord",
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
    """How the rows are divided.

    Args:
        validation_fraction: of the synthesis groups with seen terms and seen voices, in each category, as nearly
            as whole sentences allow; 0 to 0.5.
        development_fraction: of the training groups that are left, likewise; 0 to 0.5, 0 is none.
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
    replay_fraction: float = 0.4
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

    def record(self, settings: SplitSettings, leaks: Iterable[LeakCheck] = ()) -> "SplitRecord":
        """What is kept of the split beside its rows."""
        return SplitRecord(settings, self.counts, self.warnings, self.assignments, tuple(leaks))


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """A split without its rows, as `split.json` holds it.

    Args:
        settings: how the rows were divided.
        counts: rows by subset and category, as `subset_counts` gives them.
        warnings, assignments: as in `Split`.
        leaks: what was looked for, and found.
    """

    settings: SplitSettings
    counts: Mapping[str, Mapping[str, int]]
    warnings: tuple[str, ...]
    assignments: Assignments
    leaks: tuple[LeakCheck, ...] = ()


def split_rows(
    rows: Sequence[ManifestRow], settings: SplitSettings, *, earlier: Assignments | None = None
) -> Split:
    """Give every row its subset.

    Rows of an unseen term stand in `unseen_term` whatever their voice; rows of an unseen voice in
    `unseen_voice`, whether or not a seen voice says their sentence in training. What is left is divided by
    sentence and category into `validation`, `development` and `train`, so that a term keeps a training sentence
    wherever it has two. General sentences, in all their voices and noises together, are `replay` or the control
    `general`.

    Rows that come as `human` or as `unseen_engine` stay it, and the others are divided as if these were not
    there: whoever drops recordings of people, or has a second synthesiser, moves no other row. A voice of these
    people, and any voice of that synthesiser, trains nothing either.

    Args:
        rows: of one manifest; subsets that they have already do not count, but for those two.
        settings: fractions, voices and seed.
        earlier: the assignments of the last cycle. What they name stays where it was, and a new voice of a
            sentence joins it there; only what is new is drawn, so that the fractions hold for old and new
            together as far as that allows. Cycles that were split by voice may have left a sentence on both
            sides: its old rows stay, new voices of it join training, and a warning counts the held-out ones.

    Raises:
        SplitError: no rows, rows that contradict each other, or voices or engines that cannot be held out.
    """
    earlier = earlier or NOTHING_ASSIGNED
    apart = {
        row.synthesis_group: subset
        for row in rows
        if (subset := _subset_from_the_start(row, earlier)) is not None
    }
    barred = _barred_voices(rows, apart, settings, earlier)
    _refuse(rows, apart, settings, barred, earlier)
    groups = _not_in(_groups(rows), apart)
    warnings = _voice_warnings(groups, settings, earlier)

    unseen_terms = _unseen_terms(groups, settings, earlier, warnings)
    placed = {group.key: earlier.groups[group.key] for group in groups if group.key in earlier.groups}
    placed |= _set_aside(_not_in(groups, placed), unseen_terms, barred, warnings)
    sides = _sides_before(groups, placed, earlier)
    placed |= _joining(groups, placed, sides)
    fractions = Fractions(settings.validation_fraction, settings.development_fraction, settings.seed)
    for category in ENTITY_CATEGORIES:
        drawn = divide_sentences(category, groups, placed, fractions, warnings)
        sides |= drawn
        placed |= _joining(groups, placed, drawn)
    general = _general_sides(groups, unseen_terms, barred, sides, settings, earlier, warnings)
    placed |= {group.key: general[group.sentence] for group in groups if group.term is None}

    warnings += _gaps(groups, placed, unseen_terms)
    voices = {group.voice_id: "seen" for group in groups if placed[group.key] in TRAINING_SUBSETS}
    placed |= apart
    now = Assignments(
        terms={g.term: "unseen" if g.term in unseen_terms else "seen" for g in groups if g.term is not None},
        voices=voices | barred,
        groups=placed,
        sentences=sides | general,
    )
    split = tuple(row.with_subset(placed[row.synthesis_group]) for row in rows)
    return Split(split, tuple(dict.fromkeys(warnings)), earlier.updated(now))


def subset_counts(
    rows: Iterable[ManifestRow], unit: Literal["rows", "groups", "terms"] = "rows"
) -> dict[str, dict[str, int]]:
    """How many rows, synthesis groups or terms stand in each subset.

    Returns:
        Subset to a table: each entity category, ``general`` (rows without a term) and ``total``. All
        subsets and all columns are there, empty ones with 0; but `human` only where somebody was recorded, and
        `unseen_engine` only where a second synthesiser spoke.
    """
    key_field = {"rows": "id", "groups": "synthesis_group", "terms": "term"}[unit]
    columns = (*ENTITY_CATEGORIES, _WITHOUT_TERM)
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        value = getattr(row, key_field)
        if row.subset is not None and value is not None:
            found[row.subset, row.entity_category or _WITHOUT_TERM].add(value)
    there = {subset for subset, _ in found}
    subsets = [subset for subset in SUBSETS if subset not in MEASURED_ONLY or subset in there]
    table = {subset: {column: len(found[subset, column]) for column in columns} for subset in subsets}
    return {subset: {**counts, "total": sum(counts.values())} for subset, counts in table.items()}


def _subset_from_the_start(row: ManifestRow, earlier: Assignments) -> str | None:
    """The subset of a row that is only ever measured on: its own, or the one that its audio had before."""
    before = earlier.groups.get(row.synthesis_group)
    return row.subset if row.is_measured_only else before if before in MEASURED_ONLY else None


def _barred_voices(
    rows: Iterable[ManifestRow], apart: Mapping[str, str], settings: SplitSettings, earlier: Assignments
) -> dict[str, str]:
    """The voices that train nothing, each with the reason."""
    kept = {voice: why for voice, why in earlier.voices.items() if why != "seen"}
    of_rows = {row.voice_id: apart[row.synthesis_group] for row in rows if row.synthesis_group in apart}
    return kept | dict.fromkeys(settings.unseen_voices, "unseen") | of_rows


def _refuse(
    rows: Sequence[ManifestRow],
    apart: Mapping[str, str],
    settings: SplitSettings,
    barred: Mapping[str, str],
    earlier: Assignments,
) -> None:
    problems = list(find_conflicts(rows)) if rows else ["found no rows; allowed: at least one"]
    problems += _trained_people([row for row in rows if apart.get(row.synthesis_group) == HUMAN], earlier)
    problems += _trained_engines(rows, apart, barred, earlier)
    rows = [row for row in rows if row.synthesis_group not in apart]
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
    if rows and set(voices) <= barred.keys():
        problems.append(f"unseen_voices: found all voices ({', '.join(voices)}); allowed: some, not all")
    for row in rows:
        replayed = earlier.sentences.get(sentence_key(row.text)) == "replay"
        if row.term is None and row.voice_id in barred and replayed:
            problems.append(
                f"row {row.id}, voice_id: found the unseen voice {row.voice_id!r} on a sentence trained on "
                "in an earlier cycle; allowed: other voices, or a sentence of the control"
            )
    if problems:
        raise SplitError("split", problems)


def _trained_people(people: Iterable[ManifestRow], earlier: Assignments) -> list[str]:
    """People whose speech cannot be held out any more."""
    people = list(people)
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


def _trained_engines(
    rows: Iterable[ManifestRow], apart: Mapping[str, str], barred: Mapping[str, str], earlier: Assignments
) -> list[str]:
    """Engines that are to be unseen and to speak training rows."""
    unseen = {_engine(voice) for voice, why in barred.items() if why == UNSEEN_ENGINE}
    trained = unseen & {_engine(voice) for voice, why in earlier.voices.items() if why == "seen"}
    now = unseen & {row.engine for row in rows if row.synthesis_group not in apart}
    return [
        f"unseen engine: found {engine!r}, trained on in an earlier cycle; allowed: another second engine, or none"
        for engine in sorted(trained)
    ] + [
        f"engine: found rows spoken by {engine!r}, the second engine of this or an earlier cycle, which must stay "
        "unseen; allowed: another engine for the corpus, or a new data folder"
        for engine in sorted(now - trained)
    ]


def _engine(voice_id: str) -> str:
    return voice_id.partition(":")[0]


def _groups(rows: Sequence[ManifestRow]) -> tuple[Group, ...]:
    """Each synthesis group once, ordered by key: from here on the order of the rows is forgotten."""
    first = {row.synthesis_group: row for row in rows}
    return tuple(
        Group(key, row.text, row.voice_id, row.term, row.entity_category)
        for key, row in sorted(first.items())
    )


def _not_in(groups: Iterable[Group], placed: Collection[str]) -> tuple[Group, ...]:
    return tuple(group for group in groups if group.key not in placed)


def _named(table: Mapping[str, str], word: str) -> frozenset[str]:
    return frozenset(key for key, value in table.items() if value == word)


def _voice_warnings(groups: Iterable[Group], settings: SplitSettings, earlier: Assignments) -> list[str]:
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
    groups: Sequence[Group], settings: SplitSettings, earlier: Assignments, warnings: list[str]
) -> frozenset[str]:
    """The terms that are in no training row, those of earlier cycles among them."""
    terms = {group.term: group.category for group in groups if group.term is not None}
    unseen = set(_named(earlier.terms, "unseen"))
    # A new term around an unseen one, as a longer name is, would teach it.
    index = TermFinder(unseen, letter_words)
    unseen |= {term for term in terms if term not in earlier.terms and index.found_in(term)}
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
        wanted = min(max(1, share(settings.unseen_term_fraction, len(members))), len(members) - 1)
        free = [term for term in members if term not in earlier.terms and term not in unseen | said_elsewhere]
        free.sort(key=lambda term: rank(settings.seed, "unseen_term", term))
        unseen |= set(free[: max(0, wanted - len(unseen.intersection(members)))])
        got = len(unseen.intersection(members))
        if got < wanted:
            reason = "the others were trained on earlier, or stand in rows of other terms"
            warnings.append(f"unseen terms: {got} of {category} instead of {wanted}, {reason}")
    return frozenset(unseen)


def _said_elsewhere(groups: Sequence[Group], terms: Collection[str]) -> frozenset[str]:
    """Terms that a row about something else says too: holding them out would hold out nothing."""
    index = TermFinder(terms, letter_words)
    texts = {(group.text, group.term) for group in groups}
    return frozenset(found for text, term in texts for found in index.found_in(text) if found != term)


def _set_aside(
    groups: Sequence[Group],
    unseen_terms: Collection[str],
    unseen_voices: Collection[str],
    warnings: list[str],
) -> dict[str, str]:
    """The subset of each clinical group that may not be trained on, whatever the fractions are."""
    index = TermFinder(unseen_terms, letter_words)
    aside: dict[str, str] = {}
    for group in groups:
        if group.term is None:
            continue
        if group.term in unseen_terms:
            aside[group.key] = "unseen_term"
        elif group.voice_id in unseen_voices:
            aside[group.key] = "unseen_voice"
        elif said := sorted(index.found_in(group.text)):
            aside[group.key] = "validation"
            warnings.append(
                f"validation: {group.text!r} ({group.term}) is not trained on, it says the unseen {said[0]}"
            )
    return aside


def _sides_before(groups: Iterable[Group], placed: Mapping[str, str], earlier: Assignments) -> dict[str, str]:
    """The side of each clinical sentence that earlier cycles placed, or that may not be trained on.

    One that stands on several sides, as cycles that were split by voice left them, counts as training: that
    its words were learned cannot be undone.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        if group.term is not None and placed.get(group.key) in SIDES:
            found[group.sentence].add(placed[group.key])
    sides = {key: next(side for side in SIDES if side in on) for key, on in found.items()}
    known = {group.sentence for group in groups if group.term is not None}
    return sides | {key: side for key, side in earlier.sentences.items() if key in known and side in SIDES}


def _joining(groups: Iterable[Group], placed: Mapping[str, str], sides: Mapping[str, str]) -> dict[str, str]:
    """The clinical groups that are placed nowhere yet and whose sentence is."""
    return {
        group.key: sides[group.sentence]
        for group in groups
        if group.term is not None and group.key not in placed and group.sentence in sides
    }


def _general_sides(
    groups: Sequence[Group],
    unseen_terms: Collection[str],
    unseen_voices: Collection[str],
    clinical: Mapping[str, str],
    settings: SplitSettings,
    earlier: Assignments,
    warnings: list[str],
) -> dict[str, str]:
    """Words of each general sentence to ``replay`` or ``general``.

    A sentence that an unseen voice speaks, or that says an unseen term, is the control's in all its rows; one
    that is also said about a term goes where that is learned, by `clinical`, or is not.
    """
    general = [(group.sentence, group) for group in groups if group.term is None]
    if not general:
        return {}
    index = TermFinder(unseen_terms, letter_words)
    barred = {key for key, g in general if g.voice_id in unseen_voices or index.found_in(g.text)}
    keys = sorted({key for key, _ in general})
    sides = {
        key: "replay" if clinical[key] in TRAINING_SUBSETS else "general" for key in keys if key in clinical
    }
    sides |= {key: side for key in keys if (side := earlier.sentences.get(key)) in ("general", "replay")}
    wanted = share(settings.replay_fraction, len(keys))
    if 0 < settings.replay_fraction < 1:
        wanted = min(max(1, wanted), len(keys) - 1)
    free = [key for key in keys if key not in sides and key not in barred]
    free.sort(key=lambda key: rank(settings.seed, "replay", key))
    replayed = len(_named(sides, "replay"))
    drawn = free[: max(0, wanted - replayed)]
    if replayed + len(drawn) < wanted:
        reason = f"{len(barred)} are spoken in an unseen voice or say an unseen term"
        warnings.append(
            f"replay: {replayed + len(drawn)} of {len(keys)} sentences instead of {wanted}, {reason}"
        )
    return {**dict.fromkeys(keys, "general"), **dict.fromkeys(drawn, "replay"), **sides}


def _gaps(groups: Sequence[Group], placed: Mapping[str, str], unseen_terms: Collection[str]) -> list[str]:
    """What the split lacks that somebody will look for."""
    seen = {group.term for group in groups if group.term is not None} - set(unseen_terms)
    trained = {group.term for group in groups if placed[group.key] in TRAINING_SUBSETS}
    used = set(placed.values())
    said = {g.sentence for g in groups if g.term is not None and placed[g.key] in TRAINING_SUBSETS}
    held_out = [g for g in groups if placed[g.key] == "validation"]
    warnings = []
    if known := sum(group.sentence in said for group in held_out):
        warnings.append(
            f"validation: {known} of {len(held_out)} held-out syntheses say a sentence that training says in "
            "another voice; an earlier cycle was split by voice, and its rows stay where they are"
        )
    if untrained := sorted(seen - trained):
        warnings.append(f"train: no row about {', '.join(untrained)}, though not held out as unseen")
    if "train" not in used:
        warnings.append("train: no rows about a term, so no term can be learned")
    if "general" not in used:
        warnings.append("general: no control sentences, so forgetting cannot be measured")
    return warnings
