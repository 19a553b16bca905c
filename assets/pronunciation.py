"""How the terms of the cycle are spoken."""

from collections import Counter

import dagster as dg

from assets.corpus import sentences, term_seed
from assets.cycles import CYCLES, OWNERS, cycle_step
from flywheel.files import sha256_of_file
from flywheel.pronunciation.lexicon import Lexicon, Pronunciation, write_lexicon
from flywheel.speech.synthesis import g2p_source
from flywheel.terms import read_term_seed
from resources.data_folder import DataFolder
from resources.speech.resource import Speech


@dg.asset(
    group_name="corpus",
    kinds={"json"},
    owners=OWNERS,
    deps=[term_seed, sentences],
    partitions_def=CYCLES,
    code_version="1",
    description=(
        "How each term is spoken, one row per term: a person's override, else the dictionary's entry, else the "
        "engine's own rules."
    ),
)
def pronunciations(
    context: dg.AssetExecutionContext, data: DataFolder, voices: Speech
) -> dg.MaterializeResult:
    """Choose the pronunciation of each term."""
    with cycle_step(context) as cycle:
        folder = data.cycle(cycle)
        source = g2p_source(voices.casting.engine)
        lexicon = Lexicon(
            tuple(Pronunciation(term.text, None, source) for term in read_term_seed(folder.term_seed))
        )
        write_lexicon(folder.pronunciations, lexicon)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(sha256_of_file(folder.pronunciations)),
            metadata={
                "terms": len(lexicon.entries),
                "by ipa_source": dg.MetadataValue.json(Counter(each.ipa_source for each in lexicon.entries)),
            },
        )
