"""A syllable that the letters show and nobody speaks."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flywheel.files import bundled
from flywheel.speech.engines.espeak import reader
from flywheel.speech.synthesizer import Voice
from flywheel.verdict.misses.spelling import MissingVowel, missing_vowels

REFERENCE = Path(__file__).parents[2] / "speech" / "engines" / "drug_pronunciations.csv"


@pytest.fixture(scope="module")
def read() -> Iterator[Callable[[str], str]]:
    with reader(Voice("espeak:en-us")) as read:
        yield read


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_no_reference_pronunciation_is_suspected() -> None:
    assert [row["term"] for row in table(REFERENCE) if missing_vowels(row["term"], row["ipa"])] == []


def test_what_the_engine_leaves_out(read: Callable[[str], str]) -> None:
    terms = {row["term"] for path in (REFERENCE, bundled.path("starter_seed.csv")) for row in table(path)}
    found = {each.word for term in terms for each in missing_vowels(term, read(term))}
    assert len(terms) == 57
    assert found == {"furosemide", "omeprazole", "norepinephrine", "cholecystectomy", "dehydrogenase"}


@pytest.mark.parametrize(
    ("term", "ipa", "found"),
    [
        ("furosemide", "ˈfjʊɹoʊˌsmaɪd", [("furosemide", 3, 4)]),
        ("furosemide", "fjʊˈɹoʊsəˌmaɪd", []),
        ("lactate dehydrogenase", "ˈlækteɪt ˌdihaɪˈdɹoʊdʒneɪs", [("dehydrogenase", 4, 5)]),
        ("kidney stones", "ˈkɪdni ˈstoʊnz", []),  # a silent e before s
        ("hip replacement", "ˈhɪp ɹɪˈpleɪsmənt", []),  # and before an ending
        ("impaired", "ɪmˈpɛɹd", []),
        ("diabetes", "ˌdaɪəˈbitiz", []),  # more vowels than the letters show are no fault
        ("x-ray", "ˈɛks ˈɹeɪ", []),
        ("x-ray", "ˈɛksˌɹeɪ", []),
        ("up to date", "ˈʌptə ˈdeɪt", []),  # two words that the engine ran together
        ("up to date", "ˈʌpt ˈdeɪt", [("up to date", 2, 3)]),
    ],
)
def test_vowels_are_counted(term: str, ipa: str, found: list[tuple[str, int, int]]) -> None:
    missing = missing_vowels(term, ipa)
    assert all(isinstance(each, MissingVowel) and each.ipa in ipa for each in missing)
    assert [(each.word, each.spoken, each.spelt) for each in missing] == found
