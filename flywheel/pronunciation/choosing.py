"""From terms to a lexicon: a person's override, else the dictionary's entry, else the engine's own rules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flywheel.pronunciation.candidates import Spoken, candidates_for
from flywheel.pronunciation.dictionary import DictionaryOutage, LookUp, Said, said_of
from flywheel.pronunciation.lexicon import DICTIONARY, OVERRIDE, Lexicon, Pronunciation, g2p_source
from flywheel.pronunciation.overrides import Override
from flywheel.scoring.numbers_as_text import counted

__all__ = ["Chosen", "choose_pronunciations"]

_NO_ANSWER = "the dictionary did not answer"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The lexicon of a cycle, and what a person must be told of how it came about.

    Args:
        lexicon: the terms in the order given, then the overridden words that are no terms.
        unknown_glyphs: a line for each term whose entry could not be read for a glyph that is not known.
        unanswered: the terms that were left to the engine because the dictionary did not answer.
        warnings: what is to be said in the log.
    """

    lexicon: Lexicon
    unknown_glyphs: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def choose_pronunciations(
    terms: Sequence[str],
    overrides: Iterable[Override],
    look_up: LookUp | None,
    engine: str,
    spoken: Spoken | None,
) -> Chosen:
    """Choose how each term is spoken.

    An override of the whole term comes first. Where only words of the term are overridden, what the person said of
    them holds, and the dictionary is asked for the other words; the source is then the dictionary's. A term of
    which any word is left open is the engine's, and counts as such, though overridden words in it are heard.

    Args:
        terms: of the seed, each once.
        overrides: those that hold, each of its words once.
        look_up: the dictionary; None where it is off.
        engine: who speaks, e.g. ``espeak``.
        spoken: an engine's own reading, from which candidates are made; None proposes nothing.

    Raises:
        FlywheelError: whatever `look_up` raises, but for an outage: terms without an answer are the engine's, with
            a note and a warning.
    """
    by_words = {override.term: override for override in overrides}
    entries: list[Pronunciation] = []
    glyphs: list[str] = []
    unanswered: list[str] = []
    outage = ""
    for term in terms:
        if term in by_words:
            entries.append(_overridden(by_words[term], is_term=True))
            continue
        try:
            said = _said(term, by_words, look_up)
        except DictionaryOutage as error:
            outage = str(error)
            unanswered.append(term)
            said = Said(None, _NO_ANSWER)
        glyphs += [f"{term}: {glyph}" for glyph in said.unknown]
        entries.append(_entry(term, said, by_words, engine, spoken))
    known = set(terms)
    entries += [_overridden(each, is_term=False) for each in by_words.values() if each.term not in known]
    warnings = [
        f"the dictionary has a glyph that is not known, and is not followed there: {line}" for line in glyphs
    ]
    if unanswered:
        warnings.append(
            f"{counted(len(unanswered), 'term')} of {len(terms)} left to the engine, since {_NO_ANSWER}: {outage}. "
            "Materialise pronunciations again to ask again, before speech is paid for"
        )
    return Chosen(Lexicon(tuple(entries)), tuple(glyphs), tuple(unanswered), tuple(warnings))


def _said(term: str, overrides: Mapping[str, Override], look_up: LookUp | None) -> Said:
    """What is known of a term that has no override of its own, from overrides of its words and the dictionary."""
    parts = _parts(term, overrides)
    overridden = [part for part in parts if part in overrides]
    if not overridden:
        return Said(None) if look_up is None else said_of(term, look_up)
    others = {part: said_of(part, look_up) for part in parts if look_up is not None and part not in overrides}
    ipa = [overrides[part].ipa if part in overrides else others.get(part, Said(None)).ipa for part in parts]
    notes = [f"overridden: {', '.join(overridden)}", *(each.note for each in others.values() if each.note)]
    return Said(
        " ".join(each for each in ipa if each is not None) if None not in ipa else None,
        "; ".join(notes),
        tuple(glyph for each in others.values() for glyph in each.unknown),
    )


def _parts(term: str, overrides: Mapping[str, Override]) -> tuple[str, ...]:
    """The term in overridden words, of which the longest count, and the single words between them."""
    words = term.split(" ")
    parts: list[str] = []
    place = 0
    while place < len(words):
        phrases = (" ".join(words[place:end]) for end in range(len(words), place, -1))
        parts.append(next((phrase for phrase in phrases if phrase in overrides), words[place]))
        place += parts[-1].count(" ") + 1
    return tuple(parts)


def _entry(
    term: str, said: Said, overrides: Mapping[str, Override], engine: str, spoken: Spoken | None
) -> Pronunciation:
    if said.ipa is not None:
        source = OVERRIDE if all(part in overrides for part in _parts(term, overrides)) else DICTIONARY
        return Pronunciation(term, said.ipa, source, notes=said.note)
    candidates = () if spoken is None else candidates_for(term, spoken)
    return Pronunciation(term, None, g2p_source(engine), candidates=candidates, notes=said.note)


def _overridden(override: Override, *, is_term: bool) -> Pronunciation:
    verified = f"verified by {override.verified_by}, {override.verified_at}"
    notes = f"{verified}: {override.notes}" if override.notes.strip() else verified
    return Pronunciation(override.term, override.ipa, OVERRIDE, is_term=is_term, notes=notes)
