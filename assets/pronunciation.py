"""How the terms of the cycle are spoken."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import dagster as dg

from assets.corpus import sentences, term_seed
from assets.cycles import CYCLES, OWNERS, making
from flywheel.corpus.terms import read_term_seed
from flywheel.files.atomic import sha256_of_file
from flywheel.pronunciation.choosing import choose_pronunciations
from flywheel.pronunciation.lexicon import Pronunciation, g2p_source, write_lexicon
from flywheel.pronunciation.overrides import read_overrides
from flywheel.scoring.numbers_as_text import counted
from flywheel.speech.engines.espeak import EspeakSynthesizer
from flywheel.speech.synthesizer import Voice
from resources.data_folder import DataFolder
from resources.dictionary import OFF, Dictionary, MedicalDictionary
from resources.speech.resource import Speech

_GENERAL_AMERICAN = Voice("espeak:en-us")
"""Whose reading of a stem becomes a candidate, whoever speaks the corpus."""
_PREVIEW_ROWS = 40


@dg.asset(
    group_name="corpus",
    kinds={"json"},
    owners=OWNERS,
    deps=[term_seed, sentences],
    partitions_def=CYCLES,
    code_version="2",
    description=(
        "How each term is spoken, one row per term and per other word that has an override: a person's override, "
        "else Merriam-Webster's medical dictionary, else the engine's own rules, for which candidates are proposed "
        "and never used unasked. Rows of words that get another pronunciation are synthesised anew and sound "
        "different from the last cycle's: an override is a person's decision, and so is to give the dictionary's key."
    ),
)
def pronunciations(
    context: dg.AssetExecutionContext, data: DataFolder, voices: Speech, dictionary: Dictionary
) -> dg.MaterializeResult:
    """Choose the pronunciation of each term."""
    with making(context, data, "pronunciations") as folder:
        terms = [term.text for term in read_term_seed(folder.term_seed)]
        overrides = read_overrides(data.overrides)
        context.log.info(f"overrides: {counted(len(overrides), 'word')} in {data.overrides}")
        engine, espeak = voices.casting.engine, EspeakSynthesizer()
        with _asked(context, dictionary) as asked:
            chosen = choose_pronunciations(
                terms,
                overrides,
                asked.look_up if asked else None,
                engine,
                lambda text: espeak.spoken_ipa(text, _GENERAL_AMERICAN),
            )
        for warning in chosen.warnings:
            context.log.warning(warning)
        write_lexicon(folder.pronunciations, chosen.lexicon)
        entries = chosen.lexicon.entries
        sources = Counter(each.ipa_source for each in entries if each.is_term)
        context.log.info(
            f"left to {g2p_source(engine)}: {sources[g2p_source(engine)]} of {counted(len(terms), 'term')}"
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(sha256_of_file(folder.pronunciations)),
            metadata={
                "terms": len(terms),
                "by ipa_source": dg.MetadataValue.json(sources),
                "overridden words that are no terms": sum(not each.is_term for each in entries),
                "dictionary": f"{asked.asked} asked, {asked.cached} cached" if asked else OFF,
                "unanswered by the dictionary": len(chosen.unanswered),
                "unknown glyphs": dg.MetadataValue.json(list(chosen.unknown_glyphs)),
                "preview": dg.MetadataValue.md(_table(entries)),
            },
        )


@contextmanager
def _asked(context: dg.AssetExecutionContext, dictionary: Dictionary) -> Iterator[MedicalDictionary | None]:
    """The dictionary, or None where it is off; said in the log before it is asked."""
    if not dictionary.is_on:
        context.log.info(f"dictionary: {OFF}")
        yield None
        return
    with dictionary.opened() as opened:
        context.log.info(
            "dictionary: Merriam-Webster's medical dictionary; terms that it has not answered yet are sent to "
            f"{urlsplit(dictionary.url).hostname}"
        )
        yield opened
        context.log.info(f"dictionary: {opened.asked} asked, {opened.cached} cached")


def _table(entries: Sequence[Pronunciation]) -> str:
    """The first entries as Markdown."""
    rows = [
        f"| {each.words} | {each.ipa or ''} | {each.ipa_source} | "
        f"{', '.join(candidate.ipa for candidate in each.candidates)} | {each.notes.replace('|', '/')} |"
        for each in entries[:_PREVIEW_ROWS]
    ]
    more = len(entries) - len(rows)
    head = ["| words | IPA | ipa_source | candidates | notes |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, *([f"\nand {more} more"] if more > 0 else [])])
