"""Section 12: what made the numbers."""

from flywheel.scoring import CLINICAL, PUBLISHED
from tests.leaderboard_page import PROVENANCE, page_of, read_page


def test_provenance_names_models_normalisers_seeds_versions_and_rows() -> None:
    page = read_page(page_of("trained")[1])
    values = {name: line["value"] for name, line in page.lines(PROVENANCE).items()}
    assert values["model before"] == "models/untrained.nemo"
    assert values["model after"] == "models/adapted.nemo"
    assert values["normaliser"] == CLINICAL.label
    assert values["published normaliser"] == PUBLISHED.label
    assert values["manifest sha256"] == "9f2c7b1e" * 8
    assert values["seeds"] == "split 42, noise 7, bootstrap 42"
    assert values["versions"] == "nemo_toolkit 3.0.0, torch 2.13.0"
    assert values["cost"] == "not known"
    assert page.lines(PROVENANCE, 1)["validation"] == {
        "subset": "validation",
        "drug": "27",
        "procedure": "3",
        "condition": "12",
        "total": "42",
    }
