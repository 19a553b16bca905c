"""Runs whose process is gone end, and a cycle that a sensor began is requested again, once."""

import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import psutil
import pytest
from dagster import DagsterRunStatus as Status

from assets.dead_runs import AGAIN_TAG, dead_runs
from assets.definitions import defs
from resources.run_process import PROCESS_TAG, is_gone, this_process

SENSOR = {"dagster/sensor_name": "manifest_growth"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="module")
def gone() -> str:
    """A process that was there, and was killed."""
    program = "from resources.run_process import this_process; print(this_process(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        assert not is_gone(said)
        process.kill()
    return said


def begun(
    instance: dg.DagsterInstance, process: str, *, status: Status = Status.STARTED, **tags: str
) -> dg.DagsterRun:
    named = {name.replace("__", "/"): value for name, value in tags.items()}
    return instance.create_run_for_job(
        defs.resolve_job_def("flywheel_cycle"),
        status=status,
        tags={"dagster/partition": "cycle2", PROCESS_TAG: process, **named},
    )


def look(instance: dg.DagsterInstance) -> dg.SensorResult:
    result = dead_runs(dg.build_sensor_context(instance=instance, definitions=defs))
    assert isinstance(result, dg.SensorResult)
    return result


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Status:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_what_lives_or_is_elsewhere_is_left_alone(instance: dg.DagsterInstance) -> None:
    elsewhere = f"another-host 1 {psutil.boot_time():.0f}"
    runs = [begun(instance, this_process()), begun(instance, elsewhere)]
    assert look(instance).skip_reason == dg.SkipReason("every run that is under way has its process")
    assert {status_of(instance, run) for run in runs} == {Status.STARTED}


def test_a_process_id_that_was_given_anew_is_another_process() -> None:
    host, pid, _began = this_process().split(" ")
    assert is_gone(f"{host} {pid} 1")


@pytest.mark.parametrize(
    ("status", "after"), [(Status.STARTED, Status.FAILURE), (Status.CANCELING, Status.CANCELED)]
)
def test_a_run_that_a_person_began_ends_and_says_why(
    instance: dg.DagsterInstance, gone: str, status: Status, after: Status
) -> None:
    run = begun(instance, gone, status=status)
    result = look(instance)
    assert not result.run_requests
    assert result.skip_reason == dg.SkipReason("1 run ended")
    assert status_of(instance, run) == after
    messages = [
        (record.event_log_entry.dagster_event.message if record.event_log_entry.dagster_event else "")
        for record in instance.get_records_for_run(run.run_id).records
    ]
    assert any("the process of this run is gone" in message for message in messages)


def test_a_cycle_that_a_sensor_began_is_requested_again_once(instance: dg.DagsterInstance, gone: str) -> None:
    run = begun(instance, gone, **{name.replace("/", "__"): value for name, value in SENSOR.items()})
    (request,) = look(instance).run_requests or ()
    assert (request.partition_key, request.run_key) == ("cycle2", f"again-{run.run_id}")
    assert request.tags[AGAIN_TAG] == run.run_id
    second = begun(instance, gone, dagster__sensor_name="dead_runs", flywheel__again=run.run_id)
    assert not look(instance).run_requests
    assert status_of(instance, second) == Status.FAILURE
