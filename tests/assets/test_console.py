"""What a person at a terminal reads of a run."""

import re
from collections.abc import Callable

import dagster as dg
import pytest

from assets.console import console
from assets.definitions import defs

LINE = re.compile(r"\d\d:\d\d:\d\d  (\w+): (.*)")


@dg.asset
def spoken(context: dg.AssetExecutionContext) -> None:
    context.log.debug("of no interest")
    context.log.info("halfway")
    context.log.warning("a little noise")


@dg.asset
def mistaken() -> None:
    raise dg.Failure(description="seed.csv: line 3 is wrong;\n  write cefazolin", allow_retries=False)


@dg.asset
def broken() -> None:
    raise KeyError("a fault of ours")


@dg.asset
def measured() -> None:
    return None


@dg.asset_check(asset=measured, blocking=True)
def exact(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    context.log.error("row 3 is 8000 Hz")
    return dg.AssetCheckResult(passed=False, description="row 3 is 8000 Hz")


LinesOf = Callable[..., list[str]]


@pytest.fixture
def lines_of(capfd: pytest.CaptureFixture[str]) -> LinesOf:
    def lines(*assets: dg.AssetsDefinition, **config: str) -> list[str]:
        definitions = dg.Definitions(
            assets=[each for each in assets if not isinstance(each, dg.AssetChecksDefinition)],
            asset_checks=[each for each in assets if isinstance(each, dg.AssetChecksDefinition)],
            loggers={"console": console},
            executor=dg.in_process_executor,
        )
        definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            raise_on_error=False, run_config={"loggers": {"console": config}}
        )
        out, err = capfd.readouterr()
        assert out == ""
        return err.splitlines()

    return lines


def test_a_line_is_the_time_the_step_and_what_it_says(lines_of: LinesOf) -> None:
    said = [LINE.fullmatch(line) for line in lines_of(spoken)]
    assert all(said)
    assert [line.groups() for line in said if line is not None] == [
        ("spoken", "halfway"),
        ("spoken", "a little noise"),
    ]


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("INFO", ["halfway", "a little noise"]),
        ("warning", ["a little noise"]),
        ("ERROR", []),
    ],
)
def test_the_lowest_level_is_chosen(lines_of: LinesOf, level: str, shown: list[str]) -> None:
    assert [line.partition(": ")[2] for line in lines_of(spoken, config=level)] == shown


def test_everything_can_be_shown(lines_of: LinesOf) -> None:
    assert any(line.endswith("spoken: of no interest") for line in lines_of(spoken, config="DEBUG"))


def test_a_mistake_of_the_users_is_its_message_alone(lines_of: LinesOf) -> None:
    lines = lines_of(mistaken)
    assert lines[0].endswith("mistaken: failed: seed.csv: line 3 is wrong;")
    assert lines[1] == "  write cefazolin"
    assert len(lines) == 3  # the last says that the run has failed
    assert "Steps failed: ['mistaken']" in lines[2]


def test_a_fault_of_the_code_comes_with_its_trace(lines_of: LinesOf) -> None:
    text = "\n".join(lines_of(broken))
    assert "KeyError: 'a fault of ours'" in text
    assert "test_console.py" in text


def test_a_failed_check_says_what_it_found(lines_of: LinesOf) -> None:
    lines = lines_of(measured, exact)
    assert lines[0].endswith("measured_exact: row 3 is 8000 Hz")
    assert lines[1].endswith("measured_exact: failed: 1 blocking asset check failed with ERROR severity:")
    assert lines[2] == "measured: exact"
    assert len(lines) == 4
    assert "Stack Trace" not in "\n".join(lines)


def test_the_graph_has_it() -> None:
    assert (defs.loggers or {})["console"] is console
