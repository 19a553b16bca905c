"""The options of a backend: from the run's configuration, else the environment, else their defaults."""

from dataclasses import dataclass
from typing import Any

import pytest

from flywheel.errors import Problems
from resources.compute.settings import read_options


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    image: str = "nemo"
    gpu: str = "L40S"
    disk_gb: int = 200
    poll: float = 5.0
    reuse: bool = False


@pytest.mark.parametrize(
    ("variables", "given", "expected"),
    [
        pytest.param({}, {}, Options(), id="defaults"),
        pytest.param({}, {"gpu": "H100", "disk_gb": 50}, Options(gpu="H100", disk_gb=50), id="configured"),
        pytest.param(
            {"FLYWHEEL_RENTED_GPU": "H100", "FLYWHEEL_RENTED_DISK_GB": "50"},
            {},
            Options(gpu="H100", disk_gb=50),
            id="variables",
        ),
        pytest.param(
            {"FLYWHEEL_RENTED_GPU": "H100"}, {"gpu": "A10G"}, Options(gpu="A10G"), id="configured wins"
        ),
        pytest.param({"FLYWHEEL_OTHER_GPU": "H100"}, {}, Options(), id="another backend's variable"),
        pytest.param(
            {"FLYWHEEL_RENTED_GPU": ""}, {}, Options(gpu=""), id="an empty variable is a value: none"
        ),
        pytest.param(
            {"FLYWHEEL_RENTED_GPU": "H100"}, {"gpu": ""}, Options(gpu=""), id="empty and configured"
        ),
        pytest.param({}, {"gpu": None}, Options(), id="null is not given"),
        pytest.param({"FLYWHEEL_RENTED_POLL": "0.5"}, {}, Options(poll=0.5), id="a fraction as text"),
        pytest.param({}, {"poll": 2}, Options(poll=2.0), id="a whole number for a fraction"),
        pytest.param({}, {"disk_gb": 50.0}, Options(disk_gb=50), id="a whole number with a point"),
        pytest.param({}, {"image": 7}, Options(image="7"), id="a whole number for text"),
    ],
)
def test_where_an_option_is_from(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], given: dict[str, Any], expected: Options
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = read_options(Options, "rented", given)
    assert found == expected
    assert [type(getattr(found, name)) for name in ("gpu", "disk_gb", "poll", "reuse")] == [
        str,
        int,
        float,
        bool,
    ]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *((word, True) for word in ("true", "True", "YES", "1", True, 1)),
        *((word, False) for word in ("false", "No", "0", False, 0)),
    ],
)
def test_words_for_yes_and_no(word: Any, value: bool) -> None:
    assert read_options(Options, "rented", {"reuse": word}).reuse is value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(
            {"disk_gb": "much"}, "found 'much', a whole number is needed, as 200", id="a word for a number"
        ),
        pytest.param({"disk_gb": "50.5"}, "found '50.5'", id="a fraction as text"),
        pytest.param({"disk_gb": 50.5}, "found 50.5", id="a fraction"),
        pytest.param({"disk_gb": ""}, "found ''", id="nothing for a number"),
        pytest.param({"disk_gb": True}, "found True", id="yes for a number"),
        pytest.param({"disk_gb": [50]}, "found [50]", id="a list"),
        pytest.param(
            {"poll": "soon"}, "found 'soon', a number is needed, as 5.0", id="a word for a fraction"
        ),
        pytest.param({"poll": "nan"}, "found 'nan'", id="not a number"),
        pytest.param({"poll": float("inf")}, "found inf", id="for ever"),
        pytest.param({"poll": True}, "found True", id="yes for a fraction"),
        pytest.param(
            {"reuse": "maybe"}, "found 'maybe', true or false is needed, as False", id="neither yes nor no"
        ),
        pytest.param({"reuse": ""}, "found ''", id="nothing for yes or no"),
        pytest.param({"reuse": 2}, "found 2", id="a number that is neither"),
        pytest.param({"image": {"name": "nemo"}}, "found {'name': 'nemo'}", id="a mapping for text"),
        pytest.param({"image": 3.10}, "found 3.1,", id="a number whose digits are lost"),
        pytest.param({"image": False}, "found False", id="no for text"),
    ],
)
def test_a_value_of_the_wrong_type_says_where_it_may_be_from(given: dict[str, Any], said: str) -> None:
    with pytest.raises(Problems) as caught:
        read_options(Options, "rented", given)
    (name,) = given
    (problem,) = caught.value.problems
    assert problem.startswith(f"{name} (or FLYWHEEL_RENTED_{name.upper()}): ")
    assert said in problem
    assert "options of the backend rented" in str(caught.value)


def test_all_problems_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_RENTED_POLL", "soon")
    with pytest.raises(Problems) as caught:
        read_options(Options, "rented", {"gpus": "H100", "Image": "x", "disk_gb": "much"})
    assert [problem.split()[0] for problem in caught.value.problems] == ["Image:", "gpus:", "disk_gb", "poll"]
    assert "allowed are image, gpu, disk_gb, poll, reuse" in caught.value.problems[1]
