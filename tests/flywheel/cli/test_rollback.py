"""`rollback`: which model is current afterwards, and what is said."""

from pathlib import Path

import pytest

from flywheel.recognisers.registry import Registry
from tests.flywheel.cli.conftest import Command


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder in which cycle1 and cycle2 were promoted."""
    for cycle in ("cycle1", "cycle2"):
        model = tmp_path / f"{cycle}.nemo"
        model.write_text(cycle)
        Registry(tmp_path / "models").promote(model, cycle=cycle, base_model="base", decision="KER down 80 %")
    return tmp_path


def test_the_model_before_the_current_one_is_current_again(command: Command, data: Path) -> None:
    outcome = command("rollback", "--data", data, "--reason", "worse on the ward")
    assert outcome.status == 0
    entry = Registry(data / "models").entries()[-1]
    assert (entry.event, entry.cycle, entry.reason) == ("rolled_back", "cycle1", "worse on the ward")
    assert outcome.out == f"current model: {entry.model} of cycle1\n"


def test_it_can_go_forward_again(command: Command, data: Path) -> None:
    command("rollback", "--data", data)
    assert "of cycle2\n" in command("rollback", "--data", data, "--to", "cycle2").out


def test_without_a_promoted_model_the_base_is_next(command: Command, data: Path) -> None:
    command("rollback", "--data", data)
    outcome = command("rollback", "--data", data)
    assert (outcome.status, outcome.out) == (
        0,
        "no promoted model is left: the next cycle starts from the base\n",
    )
    again = command("rollback", "--data", data)
    assert (again.status, again.out) == (2, "")
    assert again.err.startswith("error: ")


def test_a_model_that_was_never_promoted_is_refused(command: Command, data: Path) -> None:
    outcome = command("rollback", "--data", data, "--to", "cycle7")
    assert (outcome.status, outcome.out) == (2, "")
    assert "cycle7" in outcome.err
