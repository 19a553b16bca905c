"""A cycle is a partition that nobody has to add. This leans on Dagster's inside, so it is held here."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from assets.cycles import CYCLES
from assets.definitions import defs

REPOSITORY = Path(__file__).parents[2]
NOT_CYCLES = ("cycle0", "cycle01", "cycle-1", "cycle", "cycle1 ", "Cycle1", "foo", "1", "")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLYWHEEL_DATA", str(tmp_path))
    monkeypatch.delenv("FLYWHEEL_SEED", raising=False)
    return tmp_path


def materialize(instance: dg.DagsterInstance, cycle: str) -> dg.ExecuteInProcessResult:
    job = defs.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        partition_key=cycle, instance=instance, asset_selection=[dg.AssetKey("term_seed")]
    )


@pytest.mark.parametrize("cycle", ["cycle1", "cycle2", "cycle10"])
def test_a_cycle_that_nobody_added_runs_and_is_then_listed(data: Path, cycle: str) -> None:
    with dg.instance_for_test() as instance:
        assert instance.get_dynamic_partitions("cycle") == []
        assert materialize(instance, cycle).success
        assert instance.get_dynamic_partitions("cycle") == [cycle]
        key = dg.AssetKey("term_seed")
        assert instance.get_materialized_partitions(key) == {cycle}
    assert (data / "cycles" / cycle / "term_seed.csv").is_file()


def test_a_cycle_is_listed_once_however_often_it_runs() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for cycle in ("cycle2", "cycle1", "cycle1"):
            assert materialize(instance, cycle).success
        assert sorted(instance.get_dynamic_partitions("cycle")) == ["cycle1", "cycle2"]


@pytest.mark.parametrize("name", NOT_CYCLES)
def test_what_is_not_a_cycle_is_no_partition(name: str) -> None:
    assert not CYCLES.has_partition_key(name)


@pytest.mark.parametrize("name", ["cycle0", "cycle01", "foo"])
def test_a_run_for_what_is_not_a_cycle_is_refused(data: Path, name: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(dg.DagsterUnknownPartitionError, match=name):
            materialize(instance, name)
        assert instance.get_dynamic_partitions("cycle") == []
    assert list(data.iterdir()) == []


def test_the_command_line_refuses_it_too(data: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DAGSTER_HOME": str(data)}
    command = ("dagster", "asset", "materialize", "-m", "assets.definitions")
    done = subprocess.run(
        [sys.executable, "-m", *command, "--select", "term_seed", "--partition", "cycle0"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=data,
    )
    assert done.returncode != 0
    assert "cycle0" in done.stderr
    assert not (data / "cycles").exists()
