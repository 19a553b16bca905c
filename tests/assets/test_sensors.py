"""What watches over runs: leases of real files, runs of a real instance."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus as Status

from assets.definitions import defs
from assets.sensors import StillRunning, after_a_cancelled_run, after_a_failed_run, lease_sweep, run_has_ended
from resources.compute.leases import Lease, Leases
from resources.compute.resource import Compute
from resources.data_folder import DataFolder

CRASHED = {"pid_started": 1}
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="whether a holder lives is told by Linux"),
    # Of Dagster's about itself, where it gives a sensor its resources.
    pytest.mark.filterwarnings("ignore:InitResourceContext.dagster_run:DeprecationWarning"),
]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def compute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compute:
    monkeypatch.delenv("FLYWHEEL_COMPUTE", raising=False)
    return Compute(data=DataFolder(root=str(tmp_path)))


def opened(
    compute: Compute, resource: str, *, backend: str = "local", run_id: str = "", **fields: Any
) -> Lease:
    """A lease of this process, or with `fields` of another. The backend `local` can end anything: nothing."""
    leases: Leases = compute.leases
    lease = leases.open(backend=backend, resource=resource, job="train", lifetime=3600, run_id=run_id)
    changed = replace(lease, **fields)
    (leases.folder / f"{lease.id}.json").write_text(json.dumps(asdict(changed)))
    return changed


@dg.job
def cycle() -> None:
    """What the runs below are of."""


def a_run(instance: dg.DagsterInstance, status: Status) -> dg.DagsterRun:
    return instance.create_run_for_job(cycle, status=status)


Sensor = Callable[[dg.DagsterInstance, Compute], object]


def tick(instance: dg.DagsterInstance, compute: Compute) -> str:
    """One tick of the sensor that sweeps; what it says."""
    with dg.build_sensor_context(instance=instance, resources={"compute": compute}) as context:
        said = lease_sweep(context)
    assert isinstance(said, dg.SkipReason)
    return said.skip_message or ""


def after(sensor: dg.SensorDefinition, status: Status) -> Sensor:
    """The evaluation of a sensor after a run that ended so."""

    def evaluated(instance: dg.DagsterInstance, compute: Compute) -> None:
        run = a_run(instance, status)
        report = {Status.FAILURE: instance.report_run_failed, Status.CANCELED: instance.report_run_canceled}
        report[status](run)
        (record,) = instance.get_records_for_run(run.run_id).records
        assert record.event_log_entry.dagster_event is not None
        with dg.build_run_status_sensor_context(
            sensor_name=sensor.name,
            dagster_event=record.event_log_entry.dagster_event,
            dagster_instance=instance,
            dagster_run=run,
            resources={"compute": compute},
        ) as context:
            sensor(context.for_run_failure() if status == Status.FAILURE else context)

    return evaluated


SENSORS = [
    pytest.param(tick, id="lease_sweep"),
    pytest.param(after(after_a_failed_run, Status.FAILURE), id="after_a_failed_run"),
    pytest.param(after(after_a_cancelled_run, Status.CANCELED), id="after_a_cancelled_run"),
]


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (Status.SUCCESS, True),
        (Status.FAILURE, True),
        (Status.CANCELED, True),
        (Status.STARTING, False),
        (Status.STARTED, False),
        (Status.CANCELING, False),
    ],
    ids=lambda value: value.name if isinstance(value, Status) else ("ended" if value else "goes on"),
)
def test_whether_a_run_has_ended(
    instance: dg.DagsterInstance, compute: Compute, status: Status, ended: bool
) -> None:
    """Its machine is ended with it, even while its process lingers."""
    run = a_run(instance, status)
    assert run_has_ended(instance)(run.run_id) is ended
    opened(compute, "machine", run_id=run.run_id)
    said = tick(instance, compute)
    if ended:
        assert said.splitlines()[0] == f"ended local machine: its run {run.run_id} has ended"
    assert (compute.leases.all_open() == ()) is ended


def test_a_run_of_another_instance_is_left_to_its_process(
    instance: dg.DagsterInstance, compute: Compute
) -> None:
    """Two instances, or hosts, may share a data folder: what one does not know may be running at the other."""
    assert run_has_ended(instance)("unheard-of") is False
    opened(compute, "living", run_id="unheard-of")
    opened(compute, "elsewhere", run_id="unheard-of", host="elsewhere")
    opened(compute, "crashed", run_id="unheard-of", **CRASHED)
    assert "1 ended, 0 failed, 2 left to the runs that hold them" in tick(instance, compute)
    assert {lease.resource for lease in compute.leases.all_open()} == {"living", "elsewhere"}


@pytest.mark.parametrize("sensor", SENSORS)
def test_every_sensor_sweeps(instance: dg.DagsterInstance, compute: Compute, sensor: Sensor) -> None:
    running = a_run(instance, Status.STARTED)
    living = opened(compute, "living", run_id=running.run_id)
    opened(compute, "crashed", **CRASHED)
    sensor(instance, compute)
    assert compute.leases.all_open() == (living,)


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_sweep_that_fails_fails_the_tick(
    instance: dg.DagsterInstance, compute: Compute, sensor: Sensor
) -> None:
    stubborn = opened(compute, "stubborn", backend="gone", **CRASHED)
    with pytest.raises(StillRunning) as caught:
        sensor(instance, compute)
    assert "gone could not end 'stubborn'" in str(caught.value)
    assert "IT MAY STILL BE RUNNING AND COSTING MONEY" in str(caught.value)
    assert compute.leases.all_open() == (stubborn,)


def test_a_tick_says_what_it_did(instance: dg.DagsterInstance, compute: Compute) -> None:
    assert tick(instance, compute) == "0 ended, 0 failed, nothing else is open"
    opened(compute, "crashed", **CRASHED)
    assert tick(instance, compute).startswith("ended local crashed: the process")


def test_they_run_without_being_asked() -> None:
    sensors = {sensor.name: sensor for sensor in defs.sensors or []}
    assert set(sensors) == {
        *("manifest_growth", "dead_runs", "lease_sweep"),
        *("after_a_failed_run", "after_a_cancelled_run"),
    }
    assert {sensor.default_status for sensor in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}
    assert sensors["lease_sweep"].minimum_interval_seconds == 60
