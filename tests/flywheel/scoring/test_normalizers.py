"""The table of clinical cases that the normalisers are held to."""

import csv
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flywheel.bundled
from flywheel.errors import FlywheelError
from flywheel.scoring import CLINICAL, NORMALIZERS, PUBLISHED, Normalizer, normalizer_named, term_found

BUNDLED = Path(flywheel.bundled.__file__).parent


# The faults that methodology.md lists: they are kept, so that figures compare.
PUBLISHED_CASES = [
    ("0.5 mg", "05 mg"),
    ("120/80", "12080"),
    ("½", "12"),
    ("10 mg/mL", "10 mgml"),
    ("co-trimoxazole", "co-trimoxazole"),
    ("co trimoxazole", "co trimoxazole"),
    ("20 mm Hg", "20 mm hg"),
    ("oh", "oh"),
    ("Sjögren\u2019s", "sjogrens"),
    ("  Give\tCefazolin,\n now! ", "give cefazolin now"),
    ("37℃", "37c"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "expected"), PUBLISHED_CASES)
def test_published_clinical_keeps_its_faults(text: str, expected: str) -> None:
    assert PUBLISHED(text) == expected


CLINICAL_CASES = [
    # methodology.md: what the published and the Whisper normalisers get wrong
    ("0.5 mg", "0.5 mg"),
    ("120/80", "120 / 80"),
    ("½", "1/2"),
    ("10 mg/mL", "10 mg/ml"),
    ("co-trimoxazole", "co trimoxazole"),
    ("20 mm Hg", "20 mm hg"),
    ("oh", "oh"),
    ("Sjogren's", "sjogrens"),
    # decimals, thousands, powers, fractions
    ("0.5.", "0.5"),
    (".5 mg", "0.5 mg"),
    ("1.0 mg", "1.0 mg"),
    ("1,000 units", "1000 units"),
    ("1,234,567", "1234567"),
    ("1,2,3", "1 2 3"),
    ("1,23", "1 23"),
    ("2½ tablets", "2 1/2 tablets"),
    ("¾", "3/4"),
    ("10⁹/L", "10^9/l"),
    ("10⁻³", "10^-3"),
    ("10^9 / L", "10^9/l"),
    # signs that are read aloud
    ("95%", "95 percent"),
    ("5 per cent", "5 percent"),
    ("37.5 °C", "37.5 degrees celsius"),
    ("37℃", "37 degrees celsius"),
    ("101°F", "101 degrees fahrenheit"),
    ("\u22122.5", "minus 2.5"),
    ("T-score -2.5", "t score minus 2.5"),
    ("≥5", "greater than or equal to 5"),
    ("p <.05", "p less than 0.05"),
    ("2+ edema", "2 plus edema"),
    ("5 ± 1", "5 plus or minus 1"),
    ("A&E", "a and e"),
    # units
    ("5mg", "5 mg"),
    ("5.5mL", "5.5 ml"),
    ("20mmHg", "20 mm hg"),
    ("5 µg", "5 mcg"),  # the micro sign
    ("5 μg", "5 mcg"),  # the Greek letter
    ("5 ug", "5 mcg"),
    ("50 mcg/kg/min", "50 mcg/kg/min"),
    ("250 mg/5 mL", "250 mg/5 ml"),
    ("kg/m²", "kg/m2"),
    ("60 ml/min/1.73 m²", "60 ml/min/1.73 m2"),
    ("SpO₂", "spo2"),
    # glued letters that are no unit
    ("2nd", "2nd"),
    ("B12", "b12"),
    ("q4h", "q4h"),
    ("5-HT", "5 ht"),
    # hyphens, slashes, dots
    ("x-ray", "x ray"),
    ("5-10 mg", "5 10 mg"),
    ("L4-L5", "l4 l5"),
    ("and/or", "and or"),
    ("b.i.d.", "bid"),
    ("i.v. fluids", "iv fluids"),
    ("Dr. Smith", "dr smith"),
    ("7/10", "7 / 10"),
    ("12/31/2020", "12 / 31 / 2020"),
    ("10:30", "10 30"),
    # letters
    ("naïve", "naive"),
    ("anæmia", "anaemia"),
    ("ﬁbrillation", "fibrillation"),
    ("β-blocker", "beta blocker"),
    ("TNF\u03b1", "tnf alpha"),
    ("Crohn\u2019s", "crohns"),
    ("“oh,” she said", "oh she said"),
    ("the patients\u2019 charts", "the patients charts"),
    ("cefa\u00adzolin\u200b", "cefazolin"),  # soft hyphen, zero-width space
    ("\ufeffcefazolin", "cefazolin"),
    ("<unk> ⁇", "unk"),
    # nothing left, nothing there
    ("...", ""),
    ("", ""),
    ("   ", ""),
]


@pytest.mark.parametrize(("text", "expected"), CLINICAL_CASES)
def test_flywheel_clinical(text: str, expected: str) -> None:
    assert CLINICAL(text) == expected


SAID_AND_WRITTEN = [
    ("co-trimoxazole", "co trimoxazole"),
    ("Sjögren's", unicodedata.normalize("NFD", "Sjögren\u2019s")),
    ("twenty five", "25"),
    ("twenty-five", "25"),
    ("one hundred and twenty", "120"),
    ("two hundred five thousand", "205,000"),
    ("five million units", "5,000,000 units"),
    ("5 million units", "5,000,000 units"),
    ("nineteen hundred", "1,900"),
    ("zero", "0"),
    ("zero point five milligrams", "0.5 mg"),
    ("three point two five", "3.25"),
    ("one hundred point five", "100.5"),
    ("one hundred twenty over eighty", "120/80"),
    ("one twenty over eighty", "120/80"),
    ("120 over 80 millimeters of mercury", "120/80 mmHg"),
    ("seven out of ten", "7/10"),
    ("ten milligrams per milliliter", "10 mg/mL"),
    ("ten micrograms per kilogram per minute", "10 µg/kg/min"),
    ("two litres", "2 L"),
    ("two liters", "2 L"),
    ("sixty beats per minute", "60 beats/min"),
    ("every four hours", "every 4 hrs"),
    ("vitamin b twelve", "vitamin B 12"),
    ("type two diabetes", "Type 2 diabetes"),
    ("thirty seven degrees celsius", "37 °C"),
    ("ninety five percent", "95%"),
    ("minus two point five", "-2.5"),
]


@pytest.mark.parametrize(("said", "written"), SAID_AND_WRITTEN)
def test_what_sounds_alike_is_alike(said: str, written: str) -> None:
    assert CLINICAL(said) == CLINICAL(written)


KEPT_APART = [
    ("0.5 mg", "5 mg"),
    ("0.5 mg", "05 mg"),
    ("5 mg", "5 mcg"),
    ("5 mg", "5 ml"),
    ("10 mg", "10 mg/ml"),
    ("-2.5", "2.5"),
    ("<5", ">5"),
    ("1,000", "1 000"),
    ("2½", "21/2"),
    ("10⁹", "109"),
    ("oh", "0"),
    ("four five", "45"),
    ("twenty twenty", "40"),
    ("one thousand two thousand", "3000"),
    ("one hundred and two hundred", "300"),
    ("cefa zolin", "cefazolin"),
    ("hyponatremia", "hypernatremia"),
]


@pytest.mark.parametrize(("one", "other"), KEPT_APART)
def test_what_differs_for_a_patient_stays_different(one: str, other: str) -> None:
    assert CLINICAL(one) != CLINICAL(other)


LEFT_ALONE = [
    "a hundred",
    "the second dose",
    "half a tablet",
    "five five five",
    "2 gram stains were negative",
    "a minute later",
    "apixaban per day",
    "at that point the patient left",
    "over the counter",
]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_words_with_more_than_one_reading_stay(text: str) -> None:
    assert CLINICAL(text) == text.replace("five five five", "5 5 5")


WORDS = st.sampled_from(
    [
        *(
            "zero",
            "one",
            "five",
            "twelve",
            "twenty",
            "hundred",
            "thousand",
            "million",
            "and",
            "point",
            "over",
        ),
        *(
            "out",
            "of",
            "per",
            "cent",
            "/",
            "-",
            "+",
            "+/-",
            "<",
            "≥",
            "%",
            "°C",
            "^",
            "'",
            ".",
            ",",
            "½",
            "10⁹",
        ),
        *("0", "5", "12", "120", "0.5", ".5", "1,000", "5mg", "mg", "mL", "milligrams", "hour", "kg", "mmHg"),
        *("millimeters", "mercury", "gram", "stain", "µg", "β", "b.i.d.", "i.v", "oh", "cefazolin", "İ", "ß"),
    ]
)
PHRASES = st.lists(st.tuples(WORDS, st.sampled_from(["", " "])), max_size=8).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)


@pytest.mark.parametrize("normalizer", NORMALIZERS.values(), ids=NORMALIZERS)
@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(), PHRASES))
def test_idempotent_and_one_space_between_words(normalizer: Normalizer, text: str) -> None:
    once = normalizer(text)
    assert normalizer(once) == once
    assert " ".join(once.split()) == once


@pytest.mark.parametrize("normalizer", NORMALIZERS.values(), ids=NORMALIZERS)
def test_idempotent_for_every_character(normalizer: Normalizer) -> None:
    # Scripts, signs, presentation forms and mathematical letters; ideographs hold nothing to fold.
    blocks = (range(0x3400), range(0xA640, 0xAC00), range(0xF900, 0x10000), range(0x1D400, 0x1F200))
    characters = (chr(code) for block in blocks for code in block)
    wrong = [char for char in characters if normalizer(once := normalizer(f"5{char}mg")) != once]
    assert wrong == []


@pytest.mark.parametrize("normalizer", NORMALIZERS.values(), ids=NORMALIZERS)
def test_every_starter_term_is_found_in_every_carrier(normalizer: Normalizer) -> None:
    with (BUNDLED / "starter_seed.csv").open(encoding="utf-8", newline="") as file:
        terms = [(row["term"], row["entity_category"]) for row in csv.DictReader(file)]
    with (BUNDLED / "carriers.csv").open(encoding="utf-8", newline="") as file:
        carriers = [(row["sentence"], row["entity_category"]) for row in csv.DictReader(file)]
    lost = [
        (term, sentence)
        for term, category in terms
        for sentence, of_category in carriers
        if category == of_category
        and not term_found(normalizer(term), normalizer(sentence.replace("{term}", term)))
    ]
    assert terms and carriers and lost == []


def test_names_and_versions() -> None:
    assert {name: n.version for name, n in NORMALIZERS.items()} == {
        "published_clinical": "1",
        "flywheel_clinical": "1",
    }
    assert CLINICAL.as_dict() == {"name": "flywheel_clinical", "version": "1"}
    assert CLINICAL.label == "flywheel_clinical 1"
    assert normalizer_named("published_clinical") is PUBLISHED


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(FlywheelError, match=r"'whisper'.*published_clinical, flywheel_clinical"):
        normalizer_named("whisper")
