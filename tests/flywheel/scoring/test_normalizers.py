"""The table of clinical cases that the normalisers are held to."""

import csv
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flywheel.files.bundled
from flywheel.errors import FlywheelError
from flywheel.scoring import CLINICAL, NORMALIZERS, PUBLISHED, Normalizer, normalizer_named, term_found

BUNDLED = Path(flywheel.files.bundled.__file__).parent


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
    ("10*9/L", "10^9/l"),  # as UCUM writes it
    ("10^+9", "10^9"),
    ("5.2 x10^9/L", "5.2 x 10^9/l"),
    ("5.2 × 10⁹/L", "5.2 x 10^9/l"),
    ("5.2·10⁹/L", "5.2 x 10^9/l"),
    ("0·5 mg", "0.5 mg"),  # the raised point of British journals
    ("0,5 mg", "0.5 mg"),  # a decimal comma
    ("10\u00a0000 units", "10000 units"),  # a no-break space between thousands
    ("1\u202f000\u202f000", "1000000"),
    ("５００ｍｇ", "500 mg"),  # full width
    ("5\u00a0mg", "5 mg"),
    ("5㎎", "5 mg"),
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
    ("37ºC", "37 degrees celsius"),  # the masculine ordinal, from a Spanish keyboard
    ("37˚C", "37 degrees celsius"),  # the ring above
    ("37 ° C", "37 degrees celsius"),
    ("–5 °C", "minus 5 degrees celsius"),  # an en dash for a minus sign
    ("5‰", "5 per mille"),
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
    ("60 ml/min/1.73 m²", "60 ml/min/1.73 m 2"),
    ("10U", "10 units"),  # read `ten units`, never `ten u`
    ("5 U/kg/h", "5 units/kg/h"),
    ("2 mIU/L", "2 miu/l"),
    ("100 mcg/puff", "100 mcg/puff"),
    ("1 unit/kg", "1 unit/kg"),
    ("5 mg/24h", "5 mg/24 h"),
    ("10 cmH2O", "10 cm h 2 o"),
    ("10 cm H₂O", "10 cm h 2 o"),
    ("20 mm/Hg", "20 mm hg"),
    ("18G cannula", "18 gauge cannula"),  # gauge sizes
    ("18 g of protein", "18 g of protein"),
    ("14Fr catheter", "14 french catheter"),
    ("3x/day", "3 times/day"),
    ("twice/day", "twice/day"),
    # letters and digits part: nobody hears whether they are one word
    ("SpO₂", "spo 2"),
    ("B12", "b 12"),
    ("q4h", "q 4 h"),
    ("q.6h", "q 6 h"),
    ("5-HT", "5 ht"),
    ("5HT3", "5 ht 3"),
    ("HbA1c 7.2%", "hba 1 c 7.2 percent"),
    ("pH7.4", "ph 7.4"),
    ("CA-125", "ca 125"),
    ("COVID-19", "covid 19"),
    ("H1N1", "h 1 n 1"),
    ("PCV13", "pcv 13"),  # vaccines
    ("DTaP-IPV", "dtap ipv"),
    ("E4V5M6", "e 4 v 5 m 6"),  # a coma score by its parts
    ("D5 1/2NS", "d 5 1/2 ns"),
    ("4x4 gauze", "4 x 4 gauze"),
    ("8am", "8 am"),
    ("HR in the 120s", "hr in the 120s"),
    # ordinals in digits are read as words
    ("2nd", "second"),
    ("1st-degree block", "first degree block"),
    ("11th rib", "eleventh rib"),
    ("21st", "20 first"),
    ("30th", "thirtieth"),
    ("11st 4", "11st 4"),  # a weight in stones
    ("101st", "101st"),  # `hundred and first`, `one hundred first`
    # hyphens, slashes, dots
    ("x-ray", "x ray"),
    ("L4-L5", "l 4 l 5"),
    # a rising pair with a unit behind is a range, and a range has its `to`
    ("5-10 mg", "5 to 10 mg"),
    ("5–10 mg", "5 to 10 mg"),  # an en dash
    ("5 - 10 mg", "5 to 10 mg"),
    ("5mg-10mg", "5 mg to 10 mg"),
    ("10-20%", "10 to 20 percent"),
    ("q4-6h", "q 4 to 6 h"),
    ("5-10-day course", "5 to 10 day course"),
    ("12-20/min", "12 to 20/min"),
    ("36.5-37.5°C", "36.5 to 37.5 degrees celsius"),
    ("1,000-2,000 units", "1000 to 2000 units"),
    ("3-0 silk", "3 0 silk"),  # a suture
    ("10-5 mg", "10 5 mg"),
    ("5 -10 mg", "5 minus 10 mg"),
    ("2020-12-31", "2020 12 31"),
    ("555-1234", "555 1234"),
    ("pain 5-10", "pain 5 10"),
    # further hyphens, slashes, dots
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
    ("\u03b11-antitrypsin", "alpha 1 antitrypsin"),
    ("\u03bc-opioid", "mu opioid"),
    ("\u00b5-opioid", "mu opioid"),
    ("Ménière\u2019s", "menieres"),
    ("Type II", "type ii"),  # Roman numerals stay
    ("factor VIII", "factor viii"),
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
    # decimals
    ("zero point oh five micrograms per kilogram per minute", "0.05 mcg/kg/min"),
    ("zero point zero five", "0.05"),
    ("point five milligrams", ".5 mg"),
    ("point oh one percent", "0.01%"),
    ("less than zero point oh one", "<0.01"),
    # numbers
    ("a hundred and twenty milligrams", "120 mg"),
    ("a hundred units", "100 U"),
    ("a thousand milligrams", "1,000 mg"),
    ("fourteen hundred hours", "1400 hrs"),
    ("one and a half tablets", "1½ tablets"),
    ("two and a half tablets", "2 1/2 tablets"),
    ("one half tablet", "1/2 tablet"),
    ("three quarters", "¾"),
    ("two thirds", "⅔"),
    # powers
    ("five point two times ten to the ninth per liter", "5.2 x 10^9/L"),
    ("ten to the nine per litre", "10⁹/L"),
    ("ten to the power of six", "10^6"),
    ("ten to the minus third power", "10⁻³"),
    # frequencies and routes
    ("five milligrams p o t i d", "5 mg p.o. t.i.d."),
    ("b i d", "BID"),
    ("p r n", "p.r.n."),
    ("q six h", "q6h"),
    ("q four to six hours", "q4-6h"),
    ("every four to six hours", "every 4-6 hrs"),
    ("two to three times per day", "2-3 times/day"),
    ("three times per week", "3x/week"),
    ("i v", "IV"),
    ("eight a m", "8 a.m."),
    ("eight p m", "8pm"),
    ("ten thirty", "10:30"),
    # blood pressure and other pressures
    ("one oh five over sixty", "105/60"),
    ("one eighteen over seventy six millimeters of mercury", "118/76 mmHg"),
    ("ten centimeters of water", "10 cmH2O"),
    # scores
    ("GCS fifteen out of fifteen", "GCS 15/15"),
    ("e four v five m six", "E4V5M6"),
    ("three over six murmur", "3/6 murmur"),
    # concentrations and rates
    ("ten milliequivalents per liter", "10 mEq/L"),
    ("five units per kilogram per hour", "5 U/kg/h"),
    ("two hundred fifty milligrams per five milliliters", "250mg/5mL"),
    ("fifty three millimoles per mole", "53 mmol/mol"),
    ("two hundred eighty milliosmoles per kilogram", "280 mOsm/kg"),
    ("five picograms per milliliter", "5 pg/mL"),
    ("two milliunits per minute", "2 mU/min"),
    ("thirty kilograms per square meter", "30 kg/m²"),
    ("thirty kilograms per metre squared", "30 kg/m2"),
    ("one point seven three square meters", "1.73 m²"),
    ("five cells per cubic millimeter", "5 cells/mm³"),
    ("five cells per microliter", "5 cells/µL"),
    ("one hundred micrograms per puff", "100 µg/puff"),
    ("twelve to twenty per minute", "12–20/min"),
    # other units
    ("thirty seconds", "30 secs"),
    ("one hundred fifty pounds", "150 lbs"),
    ("two weeks", "2 wks"),
    ("ninety femtoliters", "90 fL"),
    ("eighteen gauge needle", "18G needle"),
    ("fourteen french", "14Fr"),
    ("twenty five milligram tablet", "25-mg tablet"),
    ("ten to twenty percent", "10-20%"),
    # letters and digits
    ("vitamin b twelve", "vitamin B12"),
    ("hemoglobin a one c", "hemoglobin A1c"),
    ("h one n one", "H1N1"),
    ("covid nineteen", "COVID-19"),
    ("pH seven point four", "pH7.4"),
    ("c d four", "C D4"),
    ("l four l five", "L4/L5"),
    ("d five w", "D5W"),
    ("alpha one", "α₁"),
    ("seventy two year old", "72-year-old"),
    # ordinals
    ("the second dose", "the 2nd dose"),
    ("twenty first", "21st"),
    ("twenty second", "22nd"),
    ("the thirtieth", "the 30th"),
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
    ("0.05", "0.5"),
    ("0·5", "5"),
    ("5-10 mg", "510 mg"),
    ("5 to 10 mg", "5 mg"),
    ("10^9/L", "10^6/L"),
    ("5 units", "5 iu"),
    ("bid", "tid"),
    ("q 6 h", "q 8 h"),
    ("twice daily", "twice weekly"),
    ("105/60", "15/60"),
    ("5%", "5‰"),
    ("5 g", "5 gauge"),
    ("b 12", "b 2"),
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
    "at that point five patients left",
    "the melting point five years ago",
    "from ten to the fifth day",
    "a twenty second pause",
    "one fifty milligrams",
    "a million reasons",
    "half a million units",
    "a third of it",
    "oh five",
    "twice daily",
    "i am on the fence",
    "the p value",
    "vitamin b and d",
    "c t scan",
    "he had five moles",
]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_words_with_more_than_one_reading_stay(text: str) -> None:
    digits = {"five": "5", "ten": "10", "twenty": "20", "one fifty milligrams": "1 50 mg"}
    for words, in_digits in reversed(digits.items()):
        text = text.replace(words, in_digits)
    assert CLINICAL(text) == text


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
        *(
            "a",
            "half",
            "quarter",
            "thirds",
            "to",
            "the",
            "power",
            "x",
            "times",
            "10^",
            "ninth",
            "2nd",
            "21st",
            "–",
        ),
        *(
            "*",
            "·",
            "º",
            "0,5",
            "1/2",
            "minus",
            "u",
            "g",
            "needle",
            "square",
            "meter",
            "squared",
            "m2",
            "mm3",
        ),
        *(
            "cmH2O",
            "water",
            "b",
            "i",
            "d",
            "q",
            "p",
            "m",
            "B12",
            "q6h",
            "80s",
            "pm",
            "once",
            "day",
            "seconds",
        ),
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
        "flywheel_clinical": "2",
    }
    assert CLINICAL.label == "flywheel_clinical 2"
    assert normalizer_named("published_clinical") is PUBLISHED


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(FlywheelError, match=r"'whisper'.*published_clinical, flywheel_clinical"):
        normalizer_named("whisper")
