"""The table of quantities: which of a reference's were heard, and what went wrong with the others."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.scoring.doses import NO_DOSES, DoseErrors, Quantity, dose_errors, quantities_in
from flywheel.scoring.normalizers import CLINICAL


def errors(
    quantities: int,
    *,
    value: int = 0,
    tenfold: int = 0,
    unit: int = 0,
    missing: int = 0,
    invented: int = 0,
) -> DoseErrors:
    return DoseErrors(quantities, value, tenfold, unit, missing, invented)


RIGHT = [
    # as spoken and as written
    ("five milligrams", "5 mg", 1),
    ("zero point five milligrams per kilogram", "0.5 mg/kg", 1),
    ("point oh five milligrams", "0.05 mg", 1),
    ("one twenty over eighty", "120/80", 1),
    ("one oh five over sixty millimeters of mercury", "105/60 mmHg", 1),
    ("ten to the nine per liter", "10⁹/L", 1),
    ("five point two times ten to the ninth per liter", "5.2 x10^9/L", 1),
    ("seven percent", "7%", 1),
    ("thirty seven point five degrees celsius", "37.5 °C", 1),
    ("minus five", "-5", 1),
    ("one hundred units", "100U", 1),
    ("a hundred units", "100 units", 1),
    ("five to ten milligrams", "5-10 mg", 1),
    ("two hundred fifty milligrams per five milliliters", "250mg/5mL", 1),
    ("sixty milliliters per minute per one point seven three square meters", "60 mL/min/1.73 m²", 1),
    ("two and a half tablets", "2½ tablets", 1),
    ("half a tablet", "1/2 tablet", 1),
    ("seven out of ten", "7/10", 1),
    ("eighteen gauge needle", "18G needle", 1),
    ("every six hours", "q6h", 1),
    ("five milligrams every four to six hours", "5 mg q4-6h", 2),
    ("b twelve five hundred micrograms", "B12 500 µg", 1),
    # the same amount in other words
    ("1.0 mg", "1 mg", 1),
    ("1 g", "1000 mg", 1),
    ("0.5 mg/kg", "500 mcg/kg", 1),
    ("1 tablet", "1 tablets", 1),
    ("5 cc", "5 mL", 1),
    ("10 IU", "10 units", 1),
    ("60 bpm", "60 beats/min", 1),
    ("5 mg to 10 mg", "5 to 10 mg", 1),
    ("30 minutes", "half an hour", 1),
    ("72 years old", "72-year-old", 1),
    ("twice daily", "2 times a day", 1),
    ("twice a day", "two times per day", 1),
    ("5 mg a day", "5 mg/day", 1),
    ("1 g 3x daily", "one gram three times a day", 2),
    ("1 g 4", "one gram four", 2),  # the g is a unit, and no letter that names the 4
    ("2 1/2 tablets", "2.5 tablets", 1),
    # the words around a quantity are not its affair
    ("give 5 stitches", "gave 5 switches", 1),
]


@pytest.mark.parametrize(("reference", "hypothesis", "quantities"), RIGHT)
def test_heard_right_however_it_is_said_or_written(reference: str, hypothesis: str, quantities: int) -> None:
    assert dose_errors(CLINICAL(reference), CLINICAL(hypothesis)) == errors(quantities)


WRONG = [
    # a wrong value
    ("5 mg", "6 mg", errors(1, value=1)),
    ("fifteen milligrams", "fifty milligrams", errors(1, value=1)),
    ("120/80", "130/80", errors(1, value=1)),
    ("-5", "5", errors(1, value=1)),
    ("twice daily", "once daily", errors(1, value=1)),
    ("q6h", "q8h", errors(1, value=1)),
    ("250 mg/5 mL", "250 mg/10 mL", errors(1, value=1)),
    ("1 to 2 tablets", "1 or 2 tablets", errors(1, value=1)),
    ("5 to 10 mg", "10 mg", errors(1, value=1)),
    ("½ tablet", "1 tablet", errors(1, value=1)),
    ("0 mg", "5 mg", errors(1, value=1)),
    ("potassium 4", "potassium 5", errors(1, value=1)),
    # off by a power of ten
    ("5 mg", "0.5 mg", errors(1, value=1, tenfold=1)),
    ("zero point five milligrams", "five milligrams", errors(1, value=1, tenfold=1)),
    ("10 units", "a hundred units", errors(1, value=1, tenfold=1)),
    ("0.05 mcg/kg/min", "0.5 mcg/kg/min", errors(1, value=1, tenfold=1)),
    ("5.2 x 10^9/L", "5.2 x 10^6/L", errors(1, value=1, tenfold=1)),
    ("1,000 units", "10,000 units", errors(1, value=1, tenfold=1)),
    ("0.5-1 mg", "5-10 mg", errors(1, value=1, tenfold=1)),
    ("0.5-1 mg", "5-20 mg", errors(1, value=1)),  # one number of two
    ("-5", "-0.5", errors(1, value=1, tenfold=1)),
    # a wrong unit
    ("5 mg", "5 mcg", errors(1, unit=1)),
    ("5 mg", "5 mL", errors(1, unit=1)),
    ("5 mg", "5", errors(1, unit=1)),
    ("5 mg/kg", "5 mg", errors(1, unit=1)),
    ("5 mcg/kg/min", "5 mcg/kg/h", errors(1, unit=1)),
    ("250 mg/5 mL", "250 mg", errors(1, unit=1)),
    ("3 times a day", "3 times a week", errors(1, unit=1)),
    ("7.2%", "7.2", errors(1, unit=1)),
    ("10 cmH2O", "10 cm", errors(1, unit=1)),
    # a value and a unit both wrong count once, as the value
    ("5 mg", "6 mL", errors(1, value=1)),
    ("5 mg", "50 mL", errors(1, value=1, tenfold=1)),
    # missing and invented
    ("give 5 mg", "give", errors(1, missing=1)),
    ("give 5 mg", "", errors(1, missing=1)),
    ("give", "give 5 mg", errors(0, invented=1)),
    ("5 mg for 7 days", "7 days", errors(2, missing=1)),
    ("5 mg then 10 mg", "10 mg", errors(2, missing=1)),
    ("5 mg", "5 mg 3 times daily", errors(1, invented=1)),
    # in order, and with what shares a value or a unit
    ("5 mg and 10 mL", "10 mL and 5 mg", errors(2, missing=1, invented=1)),
    (
        "5 mg 3 times daily for 7 days",
        "50 mg 3 times daily for 7 weeks",
        errors(3, value=1, tenfold=1, unit=1),
    ),
    ("5 mg", "3 tablets of 5 mcg", errors(1, unit=1, invented=1)),
    # more harshly than a listener would: the joining word, the hundred
    ("120/80", "120 80", errors(1, value=1, invented=1)),
    ("150 mg", "one fifty milligrams", errors(1, value=1)),
    ("250 mg", "two fifty milligrams", errors(1, value=1, invented=1)),
]


@pytest.mark.parametrize(("reference", "hypothesis", "expected"), WRONG)
def test_what_went_wrong_is_told_apart(reference: str, hypothesis: str, expected: DoseErrors) -> None:
    assert dose_errors(CLINICAL(reference), CLINICAL(hypothesis)) == expected


NO_QUANTITY = [
    "",
    "cefazolin was started on admission",
    "type 2 diabetes",
    "stage three disease in bed four",
    "vitamin B12 and CD4 and COVID-19",
    "L4-L5 and T12-L1",
    "E4V5M6",
    "5-FU and a 2D echo",
    "on March 3 and 4 May in 2020",
    "12/31/2020",
    "the 2nd and the twenty first",
    "no one of the ones, but one",
    "factor VIII b.i.d.",
    "3/0 vicryl",  # a suture
    "once he was stable the other half slept twice",
    "9" * 19,
    "9" * 6000,
    "10^9999",
    "1.2.3",
]


@pytest.mark.parametrize("text", NO_QUANTITY, ids=lambda text: text[:40])
def test_what_is_no_quantity(text: str) -> None:
    assert quantities_in(CLINICAL(text)) == ()
    assert dose_errors(CLINICAL(text), CLINICAL(text)) == NO_DOSES


# Kept so that a change is seen: what the module's docstring says is not covered.
NOT_COVERED = [
    ("potassium one", 0),
    ("HbA1c 7", 0),
    ("vitamin K 10", 0),
    ("parkrun 5", 1),
    ("at ten thirty", 2),
    ("less than five", 1),
    ("a dozen eggs and a hundred more", 0),
]


@pytest.mark.parametrize(("text", "quantities"), NOT_COVERED)
def test_the_limits_are_where_the_docstring_says(text: str, quantities: int) -> None:
    assert len(quantities_in(CLINICAL(text))) == quantities


def test_a_quantity_has_its_values_and_its_unit_in_one_spelling() -> None:
    text = CLINICAL("vitamin C 1 g 3x daily, 250 mg/5 mL, BP 120/80 mmHg, -0.5 to 1")
    assert quantities_in(text) == (
        Quantity((Decimal(1),), "", "g", ()),
        Quantity((Decimal(3),), "", "time/day", ()),
        Quantity((Decimal(250),), "", "mg/ml", (Decimal(5),)),
        Quantity((Decimal(120), Decimal(80)), "/", "mm hg", ()),
        Quantity((Decimal("-0.5"), Decimal(1)), "to", "", ()),
    )


TEXTS = st.lists(
    st.sampled_from(
        [
            *(
                "5 mg",
                "0.5 mg",
                "50 mg",
                "5 mcg",
                "5",
                "10 mL",
                "10",
                "120/80",
                "5-10 mg",
                "to",
                "and",
                "per",
            ),
            *(
                "type",
                "2",
                "tablets",
                "half a",
                "tablet",
                "twice daily",
                "once a week",
                "3 times",
                "a day",
                "b",
            ),
            *(
                "250 mg/5 mL",
                "5.2 x 10^9/L",
                "minus",
                "one",
                "1/2",
                "point five",
                "march",
                "in 2020",
                "/",
                "%",
            ),
        ]
    ),
    max_size=9,
).map(lambda words: CLINICAL(" ".join(words)))


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_identical_texts_have_no_errors(text: str) -> None:
    assert dose_errors(text, text) == errors(len(quantities_in(text)))


@settings(max_examples=300, deadline=None)
@given(reference=TEXTS, hypothesis=TEXTS)
def test_counts_add_up_and_missing_is_invented_the_other_way_round(reference: str, hypothesis: str) -> None:
    there, back = dose_errors(reference, hypothesis), dose_errors(hypothesis, reference)
    assert there.quantities == len(quantities_in(reference))
    assert there.quantities - there.missing + there.invented == back.quantities
    assert there.wrong_value + there.wrong_unit + there.missing <= there.quantities
    assert there.tenfold <= there.wrong_value
    assert there[1:4] == back[1:4]
    assert (there.missing, there.invented) == (back.invented, back.missing)
