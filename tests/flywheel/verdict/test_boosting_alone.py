"""What is said of boosting: a table of what it did and what the fine-tuning did, and the sentence that follows."""

import pytest

from flywheel.recognisers.boosting import Boosting
from flywheel.scoring import Comparison, compare
from flywheel.verdict.boosting_alone import boosting_alone, boosting_suffices
from tests.flywheel.verdict.test_decision import clinical, compared, general


def boosted(after: str, *, general_errors: tuple[int, int] | None = (10, 10), alpha: float = 1.5) -> Boosting:
    comparison = compared("x" * len(after), after, general_errors=general_errors)
    return Boosting(alpha, 12, "development rows, n = 50", (), comparison)


def finetuned(boosting: str, trained: str) -> Comparison:
    return compare(
        clinical(boosting) + general(10), clinical(trained) + general(10), priority_categories=("drug",)
    )


@pytest.mark.parametrize(
    ("boosting", "against", "suffices", "said"),
    [
        pytest.param(
            boosted("x" * 4 + "." * 36),
            None,
            True,
            "Phrase boosting alone (alpha 1.5, 12 terms, no training) does it: 4 of 40 held-out drug mentions missed, "
            "40 of 40 without it; general WER changes by +0.0 [+0.0, +0.0] points, n = 10.",
            id="it does, and nothing was trained",
        ),
        pytest.param(
            boosted("x" * 20 + "." * 20),
            finetuned("x" * 20 + "." * 20, "." * 40),
            True,
            "The fine-tuned model is better still: it misses 0 of 40 where boosting misses 20 of 40 (p < 0.001).",
            id="it does, and training does more",
        ),
        pytest.param(
            boosted("x" * 4 + "." * 36),
            finetuned("x" * 4 + "." * 36, "x" * 2 + "." * 38),
            True,
            "not measurably better: it misses 2 of 40 where boosting misses 4 of 40 (p = 0.500). Boosting is the",
            id="it does as much as training",
        ),
        pytest.param(
            boosted("x....." * 7),
            finetuned("x....." * 7, "." * 42),
            True,
            "not measurably better: it misses 0 of 42 where boosting misses 7 of 42 (p = 0.016; over terms -16.7 [",
            id="training does more, but for one term of six alone",
        ),
        pytest.param(
            boosted("x" * 38 + "." * 2),
            finetuned("x" * 38 + "." * 2, "." * 40),
            False,
            "Phrase boosting alone (alpha 1.5, 12 terms, no training) does not do it: 38 of 40 held-out drug",
            id="too little",
        ),
        pytest.param(
            boosted("." * 40, general_errors=(10, 20)),
            None,
            False,
            "does not do it: 0 of 40 held-out drug mentions missed, 40 of 40 without it; general WER changes by +10.0",
            id="at the price of general speech",
        ),
        pytest.param(
            boosted("." * 40, general_errors=None),
            None,
            False,
            "general speech was not measured.",
            id="nobody knows at what price",
        ),
        pytest.param(
            boosted("", alpha=2), None, False, "no held-out row has a term of the priority", id="no terms"
        ),
        pytest.param(
            boosted("x" * 40, alpha=0.0),
            None,
            False,
            "Phrase boosting does not do it: no strength that was tried missed fewer terms",
            id="nothing helped",
        ),
    ],
)
def test_what_boosting_alone_does(
    boosting: Boosting, against: Comparison | None, suffices: bool, said: str
) -> None:
    assert boosting_suffices(boosting) == suffices
    assert said in boosting_alone(boosting, against=against)
