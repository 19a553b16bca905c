"""Which listed terms a reference holds, for manifests that do not say what their rows are about.

A row may hold several terms of a list, and each of these mentions is heard or missed for itself. So the KER over
a list is over mentions, one for each term that a row holds however often it says it; WER, CER and SER stay over
rows. With one term a row at most, as in a manifest with `term`, the two are the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flywheel.cli.foreign_files import ID, TEXT, ProblemList, open_table
from flywheel.cli.pairing import UNCATEGORISED, References
from flywheel.errors import FlywheelError
from flywheel.scoring.normalizers import Normalizer
from flywheel.scoring.term_matching import TermFinder

__all__ = ["Mention", "categories_filled", "distinct", "read_terms", "with_listed_terms"]

_WITHOUT_HEADER = (ID, TEXT)


@dataclass(frozen=True, slots=True)
class Mention:
    """A term that a row holds beside the first of them: the row's place, the term and its category."""

    place: int
    term: str
    category: str


def read_terms(path: Path) -> Mapping[str, str]:
    """The terms of a list, each with its category.

    Args:
        path: a table with a field `term` and perhaps `entity_category`, as a seed is; or a text file with a
            term on each line. In any case, of which the first counts, and with any category.

    Raises:
        FlywheelError: the file cannot be read, has no field `term`, or names a term in two categories.
    """
    problems = ProblemList(str(path))
    terms: dict[str, str] = {}
    spellings: dict[str, str] = {}
    with open_table(path) as table:
        is_list = table.columns == _WITHOUT_HEADER
        if not is_list and "term" not in table.columns:
            found = ", ".join(table.columns) or "no rows"
            problems.add(f"found {found}; allowed: a field `term`, and perhaps `entity_category`")
        for line, row in table.rows if not problems.count else ():
            term = f"{row[ID]} {row[TEXT]}" if is_list else row.get("term")
            category = row.get("entity_category") or UNCATEGORISED
            if not isinstance(term, str) or not isinstance(category, str) or not term.strip():
                problems.add(
                    f"line {line}: found {term!r}, {category!r}; allowed: a term, and a category as text"
                )
                continue
            term = " ".join(term.split())
            spelling = spellings.setdefault(term.casefold(), term)
            if terms.setdefault(spelling, category) != category:
                problems.add(
                    f"line {line}: found {term!r} as {category}; allowed: {terms[spelling]}, as above"
                )
    if not terms and not problems.count:
        problems.add("found no terms; at least one is needed")
    problems.refuse()
    return terms


def distinct(terms: Mapping[str, str], normalizer: Normalizer) -> Mapping[str, str]:
    """The terms that a normaliser tells apart, each in its first spelling: one that is said is one mention.

    Raises:
        FlywheelError: two spellings of one term in two categories.
    """
    first: dict[str, str] = {}
    for term, category in terms.items():
        spelling = first.setdefault(normalizer(term), term)
        if terms[spelling] != category:
            raise FlywheelError(
                f"--terms: found {term!r} as {category} and {spelling!r}, which {normalizer.name} does not tell from "
                f"it, as {terms[spelling]}; allowed: one category"
            )
    return {term: terms[term] for term in first.values()}


def with_listed_terms(
    references: References, terms: Mapping[str, str], normalizer: Normalizer
) -> tuple[References, tuple[Mention, ...]]:
    """The references with the first listed term of each row as its `term`; and all further mentions, in row order.

    Args:
        references: rows without a `term`.
        terms: term to category, in the order in which they count as first.
        normalizer: a row holds a term where its words stand in the reference, both normalised, as a hypothesis
            has to hold it.
    """
    index = TermFinder(terms, spelling=normalizer)
    found_in: dict[str, Sequence[str]] = {}
    first: list[str | None] = []
    further: list[Mention] = []
    for place, text in enumerate(references.texts):
        if text not in found_in:
            found_in[text] = index.found_in(normalizer(text))
        held = found_in[text]
        first.append(held[0] if held else None)
        further += (Mention(place, term, terms[term]) for term in held[1:])
    categories = [None if term is None else terms[term] for term in first]
    columns = {**references.columns, "term": first, "entity_category": categories}
    return replace(references, columns=columns), tuple(further)


def categories_filled(references: References) -> References:
    """The references with a category beside each term; `uncategorised` where the file has none."""
    terms = references.columns.get("term")
    if terms is None:
        return references
    found = references.columns.get("entity_category") or [None] * len(terms)
    categories = [
        category or (None if term is None else UNCATEGORISED)
        for term, category in zip(terms, found, strict=True)
    ]
    return replace(references, columns={**references.columns, "entity_category": categories})
