"""The job that makes room, and the schedule that asks for it: never beside another run, never unasked."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus as Status

from assets.retention import audio_retention, audio_retention_weekly
from flywheel.files.cycles import CycleFolder
from resources.data_folder import DataFolder
from tests.named_audio import Case, Row, built, name


@dg.job
def cycle() -> None:
    """What the run beside it is of."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return built(tmp_path / "data", Case([[Row("a")], *[[Row("b")]] * 3], set()))


def ran(
    instance: dg.DagsterInstance, data: Path, *, succeeds: bool = True, **config: Any
) -> list[tuple[int, str]]:
    """What the job said, with the levels."""
    result = audio_retention.execute_in_process(
        instance=instance,
        resources={"data": DataFolder(root=str(data))},
        run_config={"ops": {"remove_old_audio": {"config": config}}},
        raise_on_error=False,
    )
    assert result.success is succeeds
    return [
        (entry.level, entry.user_message)
        for entry in instance.all_logs(result.run_id)
        if not entry.is_dagster_event
    ]


def is_there(data: Path) -> bool:
    return (data / "speech" / f"{name('a')}.wav").exists()


@pytest.mark.parametrize(
    ("config", "first", "stays"),
    [
        ({}, "removed: 1 file, 0.0 MiB that only cycle1 named", False),
        ({"dry_run": True}, "would be removed: 1 file, 0.0 MiB that only cycle1 named", True),
        ({"keep": 4}, "nothing removed: 4 cycles, and all keep their audio", True),
    ],
)
def test_it_does_as_it_is_configured_and_says_so(
    instance: dg.DagsterInstance, data: Path, config: dict[str, Any], first: str, stays: bool
) -> None:
    assert ran(instance, data, **config)[0] == (logging.INFO, first)
    assert is_there(data) is stays


UNDER_WAY = [Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING]


@pytest.mark.parametrize("status", UNDER_WAY, ids=lambda status: status.name)
def test_beside_another_run_nothing_goes(instance: dg.DagsterInstance, data: Path, status: Status) -> None:
    run = instance.create_run_for_job(cycle, status=status)
    ((level, said),) = ran(instance, data)
    assert (level, said) == (logging.WARNING, f"nothing is removed: run {run.run_id} of cycle is under way")
    assert is_there(data)


@pytest.mark.parametrize(
    "status", [Status.SUCCESS, Status.FAILURE, Status.CANCELED], ids=lambda status: status.name
)
def test_runs_that_have_ended_hold_nothing_up(
    instance: dg.DagsterInstance, data: Path, status: Status
) -> None:
    instance.create_run_for_job(cycle, status=status)
    ran(instance, data)
    assert not is_there(data)


def test_the_schedule_asks_only_where_no_run_is_under_way() -> None:
    """With an instance on disk, as the daemon has one."""

    def asked() -> dg.RunRequest | str | None:
        said = audio_retention_weekly(dg.build_schedule_context(instance=instance))
        return said.skip_message if isinstance(said, dg.SkipReason) else said

    with dg.instance_for_test() as instance:
        assert isinstance(asked(), dg.RunRequest)
        run = instance.create_run_for_job(cycle, status=Status.STARTED)
        assert asked() == f"run {run.run_id} of cycle is under way"
        instance.report_run_failed(run)
        assert isinstance(asked(), dg.RunRequest)


def test_a_cycle_without_a_manifest_is_waited_for(instance: dg.DagsterInstance, data: Path) -> None:
    CycleFolder(data, "cycle5").root.mkdir()
    ((level, said),) = ran(instance, data)
    assert level == logging.WARNING
    assert "nobody knows which audio cycle5 needs; nothing is removed" in said
    assert is_there(data)


def test_a_mistake_fails_the_run(instance: dg.DagsterInstance, data: Path) -> None:
    assert ran(instance, data, succeeds=False, keep=-1) == []
    assert is_there(data)


def test_it_is_off_until_somebody_switches_it_on() -> None:
    definitions = dg.Definitions(
        jobs=[audio_retention], schedules=[audio_retention_weekly], resources={"data": DataFolder()}
    )
    schedule = definitions.resolve_schedule_def("audio_retention")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.job_name == "audio_retention"
    dg.Definitions.validate_loadable(definitions)
