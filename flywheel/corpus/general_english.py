"""Sentences of general and clinical English without clinical terms, for training the bundled base model.

Two sources, mixed: a small context-free grammar (`bundled/english_grammar.txt`) gives natural word order,
and draws from the most frequent English words give every sound in every neighbourhood. Frequencies are
those of the `wordfreq` package.
"""

import random
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import accumulate
from pathlib import Path

from flywheel.errors import FlywheelError
from flywheel.files import bundled

_SLOT = re.compile(r"\{([A-Z]+)\}")
_FOREIGN = re.compile(r"[^a-z' -]+")
_LONGEST_DRAWN = 11
"""Most words drawn for a sentence, where so few are allowed at all."""
_WORD = re.compile(r"(?=.*[aeiouy])[a-z]{2,14}|[ai]")

Grammar = Mapping[str, tuple[str, ...]]


def read_grammar(path: Path | None = None) -> Grammar:
    """The rules of a grammar file: name -> alternatives. A slot without a rule, or anything but the letters a
    to z, apostrophe, hyphen and space beside the slots, is a `FlywheelError`."""
    source = path or bundled.path("english_grammar.txt")
    rules: dict[str, tuple[str, ...]] = {}
    joined = re.sub(r"\n\s+\|", " |", re.sub(r"(?m)^#.*\n", "", source.read_text(encoding="utf-8")))
    for line in filter(str.strip, joined.splitlines()):
        name, _, alternatives = line.partition(":")
        rules[name.strip()] = tuple(alternative.strip() for alternative in alternatives.split("|"))
    unknown = {
        slot for rule in rules.values() for text in rule for slot in _SLOT.findall(text)
    } - rules.keys()
    if unknown or "SENTENCE" not in rules:
        raise FlywheelError(f"{source}: no rule for {', '.join(sorted(unknown)) or 'SENTENCE'}")
    foreign = [
        f"{name} holds {found!r}"
        for name, rule in rules.items()
        for text in rule
        for found in _FOREIGN.findall(_SLOT.sub("", text))
    ]
    if foreign:
        raise FlywheelError(
            f"{source}: {', '.join(foreign)}; allowed are a to z, apostrophe, hyphen, space and {{SLOTS}}"
        )
    return rules


def expand(grammar: Grammar, generator: random.Random, start: str = "SENTENCE") -> str:
    """One sentence of the grammar; every alternative of a rule is as likely as its neighbours."""
    return _SLOT.sub(lambda slot: expand(grammar, generator, slot[1]), generator.choice(grammar[start]))


def frequent_words(count: int, without: Collection[str]) -> tuple[str, ...]:
    """Up to `count` of the most frequent English words, most frequent first, `without` some.

    Words are of the letters a to z, 2 to 14 of them with a vowel among them, besides `a` and `i`.
    """
    from wordfreq import top_n_list

    return tuple(word for word in top_n_list("en", count) if _WORD.fullmatch(word) and word not in without)


def general_english(
    *,
    seed: int,
    without: Collection[str],
    vocabulary: int = 16_000,
    grammar_share: float = 0.6,
    words: range = range(4, 17),
) -> Iterator[str]:
    """An endless stream of sentences of `words` words, none of which holds a word of `without`.

    Args:
        seed: equal seeds give equal streams.
        without: lower-case words that must not occur, e.g. all words of a term seed.
        vocabulary: how many frequent words to draw from; a word of rank r is drawn with weight (r + 50)^-0.8.
        grammar_share: fraction of sentences from the grammar.
        words: allowed lengths; a sentence outside is drawn again. Frequent words are drawn up to 11 at a
            time, unless all allowed lengths are above that.
    """
    generator = random.Random(seed)
    grammar = read_grammar()
    lexicon = frequent_words(vocabulary, without)
    weights = list(accumulate((rank + 50) ** -0.8 for rank in range(len(lexicon))))
    lengths = [length for length in words if length <= _LONGEST_DRAWN] or words
    excluded = frozenset(without)
    while True:
        if generator.random() < grammar_share:
            sentence = expand(grammar, generator)
        else:
            drawn = generator.choices(lexicon, cum_weights=weights, k=generator.choice(lengths))
            sentence = " ".join(drawn)
        spoken = sentence.split()
        if len(spoken) in words and excluded.isdisjoint(spoken):
            yield sentence
