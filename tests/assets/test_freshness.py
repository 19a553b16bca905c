"""A leaderboard that has grown too old is shown as such, by the daemon that looks after it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.freshness import FreshnessDaemon

from assets.cycles import CYCLES
from assets.freshness import kept_fresh
from assets.leaderboard import leaderboard
from flywheel.errors import FlywheelError

REPOSITORY = Path(__file__).parents[2]
KEY = dg.AssetKey("leaderboard")
CODE = """
import dagster as dg
from assets.leaderboard import leaderboard
from resources.data_folder import DataFolder

defs = dg.Definitions(assets=[leaderboard], resources={"data": DataFolder()})
"""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def workspace(instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[WorkspaceProcessContext]:
    """A code server of its own, as the daemon has it, that serves the leaderboard."""
    file = tmp_path / "served.py"
    file.write_text(CODE)
    target = PythonFileTarget(str(file), None, str(REPOSITORY), None)
    with create_test_daemon_workspace_context(target, instance) as context:
        yield context


def test_the_daemon_tells_how_old_the_newest_page_is(
    instance: dg.DagsterInstance, workspace: WorkspaceProcessContext
) -> None:
    """Without any setting in dagster.yaml: Dagster 1.13.27 starts that daemon by itself."""
    assert FreshnessDaemon.daemon_type() in instance.get_required_daemon_types()

    def state(days: float = 0) -> FreshnessState:
        with freeze_time(datetime.now(UTC) + timedelta(days=days)):
            list(FreshnessDaemon().run_iteration(workspace))
        return instance.get_freshness_state_records([KEY])[KEY].freshness_state

    assert state() is FreshnessState.UNKNOWN
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition="cycle1"))
    assert [state(days) for days in (0, 27, 29, 34, 36)] == [
        FreshnessState.PASS,
        FreshnessState.PASS,
        FreshnessState.WARN,
        FreshnessState.WARN,
        FreshnessState.FAIL,
    ]
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition="cycle2"))
    assert state() is FreshnessState.PASS


def policy_of(asset: dg.AssetsDefinition) -> dg.FreshnessPolicy | None:
    (spec,) = asset.specs
    return spec.freshness_policy


@dg.asset(partitions_def=CYCLES)
def page() -> None:
    """Any."""


@pytest.mark.parametrize(
    ("given", "days"), [(None, 35), ("", 35), ("7", 7), (" 1.5 ", 1.5), ("off", None), ("OFF", None)]
)
def test_it_is_switched_by_a_variable(
    monkeypatch: pytest.MonkeyPatch, given: str | None, days: float | None
) -> None:
    if given is not None:
        monkeypatch.setenv("FLYWHEEL_FRESH_DAYS", given)
    expected = None
    if days is not None:
        fail = timedelta(days=days)
        expected = dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=0.8 * fail)
    assert policy_of(kept_fresh(page)) == expected


@pytest.mark.parametrize("given", ["0", "-3", "never", "nan", "inf", "4000", "7 days"])
def test_what_is_no_number_of_days_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("FLYWHEEL_FRESH_DAYS", given)
    with pytest.raises(FlywheelError) as caught:
        kept_fresh(page)
    assert str(caught.value) == (
        f"FLYWHEEL_FRESH_DAYS: found {given!r}; allowed: days from 1 to 3650, or off"
    )


def test_the_leaderboard_has_it() -> None:
    assert policy_of(leaderboard) is not None
