"""Which of a category's sentences are held out: whole ones, terms in turn, as nearly as fractions allow.

A sentence's rank is the SHA-256 of the seed and its words, so that neither the order of rows nor the machine decides.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from flywheel.corpus.split.leaks import sentence_key

__all__ = ["SIDES", "Fractions", "Group", "divide_sentences", "rank", "share"]

SIDES = ("train", "development", "validation")
"""The sides of a clinical sentence; where voices of it stand on several, it counts as the first of these."""


@dataclass(frozen=True)
class Group:
    """What the rows of one synthesis have in common."""

    key: str
    text: str
    voice_id: str
    term: str | None
    category: str | None

    @cached_property
    def sentence(self) -> str:
        """What all groups of one sentence share."""
        return sentence_key(self.text)


@dataclass(frozen=True, slots=True)
class Fractions:
    """How much of the synthesis groups of a category is held out, and how much of the rest picks the checkpoint."""

    validation: float
    development: float
    seed: int


def rank(seed: int, queue: str, key: str) -> str:
    """The place of `key` in a queue: the same on every machine, and unrelated to its other places."""
    return hashlib.sha256(f"{seed}\n{queue}\n{key}".encode()).hexdigest()


def share(fraction: float, count: int) -> int:
    """`fraction` of `count`, halves upwards (Python's `round` would go to the even neighbour)."""
    return math.floor(fraction * count + 0.5)


def divide_sentences(
    category: str,
    groups: Sequence[Group],
    placed: Mapping[str, str],
    fractions: Fractions,
    warnings: list[str],
) -> dict[str, str]:
    """The sides of those sentences of one category that are placed nowhere yet.

    Each side is brought as near to its fraction of synthesis groups as whole sentences allow, what is placed counted
    in. Terms take turns, so that many are measured and none is left with little to learn from. Of two sentences or
    more one is held out; a term keeps one in training wherever it has two, and the category always.

    Args:
        category: one of the entity categories.
        groups: of all categories, general speech among them.
        placed: the subset of each group that has one, by its key.
        fractions: and the seed of the ranks.
        warnings: what the sentences are too few for is added here.
    """
    members = [g for g in groups if g.category == category and placed.get(g.key, "train") in SIDES]
    free = _sentences([group for group in members if group.key not in placed])
    several = len({group.sentence for group in members}) > 1
    if free and not several:
        warnings.append(f"validation: nothing of {category}, its only sentence goes to train")
    held = Counter(placed[group.key] for group in members if group.key in placed)
    stock = _Stock(group for group in members if placed.get(group.key, "train") == "train")

    wanted = share(fractions.validation, len(members)) - held["validation"]
    given = Counter(
        term for term, _ in {(g.term, g.sentence) for g in members if placed.get(g.key, "train") != "train"}
    )
    queue = _in_turns(free, given, fractions.seed, "validation")
    validation = _draw(queue, wanted if several else 0, stock.gives)
    # Where terms have one sentence each, some go without training, but never all of the category.
    wanted -= sum(sentence.groups for sentence in validation)
    validation += _draw(queue, wanted if several else 0, stock.gives_lone)
    if several and not validation and not held["validation"]:
        validation = _smallest(queue, stock.gives) or _smallest(queue, stock.gives_lone)

    held_out = {sentence.key for sentence in validation}
    rest = [sentence for sentence in free if sentence.key not in held_out]
    trained = held["train"] + held["development"] + sum(sentence.groups for sentence in rest)
    wanted = share(fractions.development, trained) - held["development"]
    # What is said as general speech too can be learned or measured there, but not pick a checkpoint.
    general = {group.sentence for group in groups if group.term is None}
    given.update(term for sentence in validation for term in sentence.terms)
    others = [sentence for sentence in rest if sentence.key not in general]
    development = _draw(_in_turns(others, given, fractions.seed, "development"), wanted, stock.gives)
    return {
        **{sentence.key: "train" for sentence in rest},
        **{sentence.key: "validation" for sentence in validation},
        **{sentence.key: "development" for sentence in development},
    }


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence that is placed nowhere yet: how many groups it has in one category, and about which terms."""

    key: str
    groups: int
    terms: frozenset[str | None]


def _sentences(groups: Iterable[Group]) -> tuple[_Sentence, ...]:
    said: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        said[group.sentence].append(group)
    return tuple(
        _Sentence(key, len(of), frozenset(group.term for group in of)) for key, of in sorted(said.items())
    )


def _in_turns(
    sentences: Iterable[_Sentence], given: Mapping[str | None, int], seed: int, queue: str
) -> list[_Sentence]:
    """The sentences by their rank, terms in turn: a second one of a term comes after the first one of every other.

    `given` is how many sentences each term has given away before.
    """
    turns = Counter(given)
    places: dict[str, int] = {}
    ranked = sorted(sentences, key=lambda sentence: rank(seed, queue, sentence.key))
    for sentence in ranked:
        places[sentence.key] = max(turns[term] for term in sentence.terms)
        turns.update(sentence.terms)
    return sorted(ranked, key=lambda sentence: places[sentence.key])


class _Stock:
    """What of a category is trained on, or still may be, as sentences are drawn from it."""

    def __init__(self, groups: Iterable[Group]) -> None:
        said = {(group.term, group.sentence) for group in groups}
        self._left = Counter(term for term, _ in said)
        self._lone = frozenset(term for term, count in self._left.items() if count == 1)
        self._sentences = len({sentence for _, sentence in said})

    def gives(self, sentence: _Sentence) -> bool:
        """Gives the sentence away unless it is the last one of a term."""
        return self._given(sentence, all(self._left[term] > 1 for term in sentence.terms))

    def gives_lone(self, sentence: _Sentence) -> bool:
        """Gives away the only sentence that its terms have, unless it is the last one of the category."""
        return self._given(sentence, self._sentences > 1 and sentence.terms <= self._lone)

    def _given(self, sentence: _Sentence, may_be: bool) -> bool:
        if may_be:
            self._left.subtract(sentence.terms)
            self._sentences -= 1
        return may_be


def _draw(queue: Iterable[_Sentence], wanted: int, gives: Callable[[_Sentence], bool]) -> list[_Sentence]:
    """The sentences of the queue, from its front, that bring the number of their groups nearer to `wanted`."""
    drawn: list[_Sentence] = []
    lacking = wanted
    for sentence in queue:
        if sentence.groups < 2 * lacking and gives(sentence):
            drawn.append(sentence)
            lacking -= sentence.groups
    return drawn


def _smallest(queue: Iterable[_Sentence], gives: Callable[[_Sentence], bool]) -> list[_Sentence]:
    """The one of fewest groups that can be spared, if any."""
    smallest = next(filter(gives, sorted(queue, key=lambda sentence: sentence.groups)), None)
    return [smallest] if smallest else []
