"""The sensor that opens the next cycle: real files, runs of a real instance."""

import gc
import os
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster import DagsterRunStatus as Status
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from assets.cycles import CYCLES
from assets.growth import manifest_growth
from flywheel.cycle.growth import write_offered
from flywheel.files.atomic import write_json, write_text
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import write_record
from flywheel.verdict.decision import Decision
from flywheel.verdict.gate import GateDecision
from resources.data_folder import DataFolder
from tests.stamps import stamped

TERMS = [f"cefa{letter}olin,drug" for letter in "abcdefghijklmnopqrst"]
SENSOR_TAGS = {"dagster/sensor_name": "manifest_growth"}


class Speaking(dg.Config):
    workers: int = 1


@dg.asset(partitions_def=CYCLES)
def speech_of_a_cycle(config: Speaking) -> None:
    """What a run is of."""


@dg.asset
def of_no_cycle() -> None:
    """What a run is of that has nothing to do with cycles."""


def definitions() -> dg.Definitions:
    job = dg.define_asset_job("flywheel_cycle", [speech_of_a_cycle])
    other = dg.define_asset_job("other", [of_no_cycle])
    return dg.Definitions(
        assets=[speech_of_a_cycle, of_no_cycle], jobs=[job, other], sensors=[manifest_growth]
    )


DEFINITIONS = definitions()


@dataclass
class Team:
    """Who adds terms and drops recordings, and has a daemon with its instance; `cursor` is what the daemon keeps."""

    root: Path
    instance: dg.DagsterInstance
    cursor: str | None = None

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def seed(self) -> Path:
        return self.root / "seed.csv"

    def has(self, terms: list[str], recordings: int = 0) -> None:
        write_text(self.seed, "term,entity_category\n" + "\n".join(terms) + "\n")
        write_text(self.data / "recordings" / "a.jsonl", "".join(f"{n}\n" for n in range(recordings)))
        self.settle()

    def settle(self) -> None:
        long_ago = time.time() - 3600
        recordings = self.data / "recordings"
        for path in (self.seed, *recordings.rglob("*"), recordings):
            os.utime(path, (long_ago, long_ago))

    def turned(self, cycle: str = "cycle1", *, finished: bool = True) -> CycleFolder:
        """A cycle that had what is there now, its gate closed."""
        folder = CycleFolder(self.data, cycle)
        write_text(folder.term_seed, self.seed.read_text())
        write_offered(folder.offered, self.data / "recordings")
        if finished:
            write_record(folder.gate, GateDecision(False, (), "grow", ("drug",)))
            stamped(folder, also=("split", "base_model", "baseline_eval"))
        return folder

    def tick(self) -> dg.SensorResult:
        """One tick, as the daemon does it."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            definitions=DEFINITIONS,
            resources={"data": DataFolder(root=str(self.data))},
        ) as context:
            result = manifest_growth(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    def said(self) -> str:
        """Why a tick starts nothing."""
        result = self.tick()
        assert not result.run_requests and not result.dynamic_partitions_requests, result
        assert result.skip_reason is not None and result.skip_reason.skip_message
        return result.skip_reason.skip_message

    def requested(self) -> dg.RunRequest:
        """The one run that a tick starts."""
        result = self.tick()
        assert result.run_requests, result.skip_reason
        (request,) = result.run_requests
        assert result.dynamic_partitions_requests == [CYCLES.build_add_request([str(request.partition_key)])]
        return request

    def run(self, cycle: str, status: Status, *, job: str = "flywheel_cycle", **tags: str) -> dg.DagsterRun:
        """A run in the instance, whoever started it."""
        named = {name.replace("__", "/"): value for name, value in tags.items()}
        location = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=4000, location_name="flywheel")
        return self.instance.create_run_for_job(
            DEFINITIONS.resolve_job_def(job),
            status=status,
            tags={**({"dagster/partition": cycle} if cycle else {}), **named},
            remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job),
        )

    def ran(self, request: dg.RunRequest, status: Status) -> dg.DagsterRun:
        """The run that was requested, as the daemon tags it."""
        tags = {"dagster__run_key": str(request.run_key), "dagster__sensor_name": "manifest_growth"}
        return self.run(str(request.partition_key), status, **tags)


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """With five terms, which cycle1 had; the first look has been."""
    with dg.DagsterInstance.ephemeral() as instance:
        team = Team(tmp_path, instance)
        monkeypatch.setenv("FLYWHEEL_SEED", str(team.seed))
        team.has(TERMS[:5])
        team.turned()
        assert team.said().startswith(
            "the first look only records: nothing new since cycle1; a cycle opens at 10"
        )
        yield team


def test_nothing_new_starts_nothing(team: Team) -> None:
    assert team.said() == "nothing new since cycle1; a cycle opens at 10 new terms or 100 new recordings"


@pytest.mark.parametrize(
    ("terms", "recordings", "reason"),
    [
        (
            15,
            0,
            "10 new terms since cycle1 (cefafolin, cefagolin, cefaholin, cefaiolin, cefajolin and 5 more)",
        ),
        (5, 100, "100 new recordings since cycle1"),
        (
            15,
            100,
            "10 new terms since cycle1 (cefafolin, cefagolin, cefaholin, cefaiolin, cefajolin and 5 more) "
            "and 100 new recordings since cycle1",
        ),
    ],
)
def test_growth_opens_the_next_cycle(team: Team, terms: int, recordings: int, reason: str) -> None:
    team.has(TERMS[:terms], recordings)
    request = team.requested()
    assert request.partition_key == "cycle2"
    assert request.tags["flywheel/reason"] == reason
    assert request.tags["flywheel/cycle"] == "cycle2"
    assert request.run_config == {}


@pytest.mark.parametrize(
    ("terms", "recordings", "said"),
    [
        (TERMS[:14], 99, "9 new terms and 99 new recordings since cycle1; a cycle opens at"),
        (TERMS[:2], 0, "3 terms gone since cycle1; a cycle opens at"),
        ([TERMS[0].replace("drug", "lab"), *TERMS[1:5]], 0, "1 term in another category since cycle1;"),
    ],
)
def test_less_opens_none(team: Team, terms: list[str], recordings: int, said: str) -> None:
    team.has(terms, recordings)
    assert team.said().startswith(said)


def test_thresholds_come_from_the_environment(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_GROWTH_TERMS", "2")
    team.has(TERMS[:6])
    assert team.said() == "1 new term since cycle1; a cycle opens at 2 new terms or 100 new recordings"
    team.has(TERMS[:7])
    assert team.requested().partition_key == "cycle2"


def test_what_is_there_at_the_first_look_is_only_recorded(team: Team) -> None:
    """Whoever switches the sensor on gets no run for what has gathered; whatever comes then counts with it."""
    team.has(TERMS[:15])
    team.cursor = None
    by_hand = "It is left to a person: make run CYCLE=cycle2, or flywheel_cycle in the UI"
    said = f"10 new terms since cycle1; this was there at the first look. {by_hand}"
    assert team.said() == f"the first look only records: {said}"
    assert team.said() == said
    team.has(TERMS[:16])
    assert team.requested().tags["flywheel/reason"].startswith("11 new terms")


def test_the_first_look_waits_for_what_is_still_coming(team: Team) -> None:
    team.has(TERMS[:5], 100)
    team.cursor = None
    os.utime(team.data / "recordings" / "a.jsonl")
    assert team.said().startswith("the first look only records: nothing new since cycle1; 1 file still being")
    team.settle()
    assert team.said().startswith("the first look only records: 100 new recordings")
    assert "this was there at the first look" in team.said()


def test_the_first_cycle_is_a_persons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        team = Team(tmp_path, instance)
        monkeypatch.setenv("FLYWHEEL_SEED", str(team.seed))
        team.has(TERMS[:5])
        assert team.said().startswith("the first look only records: 5 new terms; a cycle opens at")
        team.has(TERMS)
        assert team.said() == (
            "20 new terms; there is no cycle yet. It is left to a person: make run CYCLE=cycle1, or flywheel_cycle in "
            "the UI"
        )
        team.has(TERMS[:5])
        team.turned()
        team.has(TERMS)
        assert team.requested().partition_key == "cycle2"


@pytest.mark.parametrize(
    "status", [Status.QUEUED, Status.STARTING, Status.STARTED, Status.CANCELING, Status.NOT_STARTED]
)
@pytest.mark.parametrize("cycle", ["cycle1", "cycle2", "cycle7"])
def test_no_cycle_begins_while_one_is_in_flight(team: Team, cycle: str, status: Status) -> None:
    """Whoever started it, and whichever it is."""
    team.has(TERMS[:15])
    run = team.run(cycle, status)
    assert f"; {cycle} is in flight: run {run.run_id} (" in team.said()
    team.instance.delete_run(run.run_id)
    assert team.requested().partition_key == "cycle2"


def test_runs_of_other_things_do_not_count(team: Team) -> None:
    team.has(TERMS[:15])
    team.run("", Status.STARTED, job="other")
    team.run("2024-01-01", Status.STARTED, job="other")
    assert team.requested().partition_key == "cycle2"


def test_a_cycle_that_is_not_finished_is_waited_for(team: Team) -> None:
    team.has(TERMS[:6])
    folder = team.turned("cycle2", finished=False)
    team.has(TERMS[:16])
    waits = "10 new terms since cycle2; cycle2 is not finished: "
    assert team.said() == (
        f"{waits}its gate has not decided yet. It is left to a person: make run CYCLE=cycle2"
    )
    write_record(folder.gate, GateDecision(True, (), "fine-tune", ("drug",)))
    evaluated = ("split", "base_model", "baseline_eval")
    stamped(folder, also=evaluated)
    assert team.said().startswith(f"{waits}its gate is open, and nothing is decided about its model yet")
    write_record(folder.decision, Decision("grow", promote=False, reasons=(), advice="grow"))
    stamped(folder, also=(*evaluated, "adapted_model", "next_eval"))
    assert team.requested().partition_key == "cycle3"


@pytest.mark.parametrize("status", [Status.FAILURE, Status.CANCELED])
def test_a_cycle_that_broke_off_is_not_started_again_without_a_person(team: Team, status: Status) -> None:
    """Even where the content changed since: it broke before it had a folder, so it is not unfinished."""
    team.has(TERMS[:15])
    run = team.ran(team.requested(), status)
    for terms in (15, 16):
        team.has(TERMS[:terms])
        said = team.said()
        assert f"; cycle2 was begun before: run {run.run_id}" in said
        assert "make run CYCLE=cycle2" in said


def test_a_run_that_the_daemon_did_not_live_to_launch_is_requested_again(team: Team) -> None:
    """Dagster launches it then, by its key, instead of creating another."""
    team.has(TERMS[:15])
    first = team.requested()
    team.ran(first, Status.NOT_STARTED)
    assert team.requested().run_key == first.run_key


def test_a_partition_without_a_run_is_no_cycle(team: Team) -> None:
    """The daemon may have died between adding the one and creating the other."""
    team.instance.add_dynamic_partitions("cycle", ["cycle1", "cycle2"])
    team.has(TERMS[:15])
    assert team.requested().partition_key == "cycle2"


def test_a_cycle_that_succeeded_is_followed_by_the_next(team: Team) -> None:
    team.has(TERMS[:10], 100)
    first = team.requested()
    team.ran(first, Status.SUCCESS)
    team.turned("cycle2")
    assert team.said().startswith("nothing new since cycle2")
    team.has(TERMS[:20], 100)
    second = team.requested()
    assert second.partition_key == "cycle3"
    assert second.run_key != first.run_key


def test_the_same_content_is_never_started_twice(team: Team) -> None:
    """Not even after the seed shrank and grew again; not with Dagster's history lost either."""
    team.has(TERMS[:15])
    run = team.ran(team.requested(), Status.SUCCESS)
    team.turned("cycle2")
    team.has(TERMS[:5])
    team.turned("cycle3")
    team.has(TERMS[:15])
    assert f"; exactly this was started before: run {run.run_id} (success)" in team.said()
    team.instance.delete_run(run.run_id)
    assert "; exactly this is what cycle2 had" in team.said()
    team.has(TERMS[:16])
    assert team.requested().partition_key == "cycle4"


@pytest.mark.parametrize("cursor", [None, "", "lost"])
def test_with_the_cursor_lost_nothing_is_started_twice(team: Team, cursor: str | None) -> None:
    team.has(TERMS[:15])
    run = team.ran(team.requested(), Status.STARTED)
    for _ in range(2):
        team.cursor = cursor
        assert team.said().startswith("the first look only records: 10 new terms since cycle1")
        assert team.said().startswith("10 new terms since cycle1; this was there at the first look")
    team.instance.report_run_failed(run)
    team.turned("cycle2")
    team.cursor = cursor
    assert team.said().startswith("the first look only records: nothing new since cycle2")


def test_the_key_of_a_run_is_its_content_whatever_the_cycle(team: Team) -> None:
    team.has(TERMS[:15])
    first = team.requested()
    team.turned("cycle2")
    (team.data / "cycles" / "cycle2").rename(team.root / "aside")
    assert team.requested().run_key == first.run_key
    team.has(TERMS[14::-1])
    assert team.requested().run_key == first.run_key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("term,entity_category\ncefazolin,drug\nmetop", "line 3, row: found 1 values ('metop')"),
        ("", "found an empty file"),
        ("term;entity_category\n", "line 1, header: found 'term;entity_category'"),
        (None, "file: found no such file"),
    ],
)
def test_a_seed_that_cannot_be_read_is_the_reason_until_it_can(
    team: Team, text: str | None, said: str
) -> None:
    team.seed.unlink()
    if text is not None:
        team.seed.write_text(text)
        team.settle()
    for _ in range(2):
        assert said in team.said()
    team.has(TERMS[:15])
    assert team.requested().partition_key == "cycle2"


def test_a_seed_full_of_problems_does_not_fill_the_history(team: Team) -> None:
    team.seed.write_text("term,entity_category\n" + "X,drug\n" * 5000)
    team.settle()
    said = team.said()
    assert len(said.splitlines()) < 10 and said.endswith("more")


def test_a_seed_and_recordings_being_written_are_left_alone(team: Team) -> None:
    team.has(TERMS[:15])
    os.utime(team.seed)
    assert "seed.csv: was changed just now" in team.said()
    team.has(TERMS[:5], 100)
    os.utime(team.data / "recordings" / "a.jsonl")
    assert "1 file still being written" in team.said()
    team.settle()
    assert team.requested().tags["flywheel/reason"] == "100 new recordings since cycle1"


def test_a_folder_of_recordings_that_is_not_there_is_named(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYWHEEL_RECORDINGS", str(team.root / "absent"))
    assert team.said().startswith(f"FLYWHEEL_RECORDINGS: there is no folder {team.root / 'absent'}")


def test_it_can_be_switched_off(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    team.has(TERMS[:15])
    monkeypatch.setenv("FLYWHEEL_GROWTH", "off")
    assert team.said() == "off: FLYWHEEL_GROWTH=off"
    monkeypatch.setenv("FLYWHEEL_GROWTH", "of")
    assert "FLYWHEEL_GROWTH: found 'of'; allowed: on, off" in team.said()
    monkeypatch.setenv("FLYWHEEL_GROWTH", "on")
    assert team.requested().partition_key == "cycle2"


def test_runs_get_the_configuration_of_the_file(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"ops": {"speech_of_a_cycle": {"config": {"workers": 2}}}}
    monkeypatch.setenv("FLYWHEEL_RUN_CONFIG", str(team.root / "run.json"))
    team.has(TERMS[:15])
    assert "run.json: no such file or directory; FLYWHEEL_RUN_CONFIG names" in team.said()
    write_text(team.root / "run.json", "ops: [speech")
    assert "run.json:1: neither YAML nor JSON" in team.said()
    write_text(team.root / "run.json", "ops: {speach: {config: {}}}")
    assert "FLYWHEEL_RUN_CONFIG: no configuration of flywheel_cycle" in team.said()
    write_json(team.root / "run.json", config)
    assert team.requested().run_config == config


def test_the_seed_that_the_configuration_names_is_the_one_that_counts(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = team.root / "other.csv"
    write_json(team.root / "run.json", {"ops": {"term_seed": {"config": {"seed_file": str(other)}}}})
    monkeypatch.setenv("FLYWHEEL_RUN_CONFIG", str(team.root / "run.json"))
    assert f"{other}: 1 problem" in team.said()
    write_text(other, "term,entity_category\n" + "\n".join(TERMS[:7]) + "\n")
    os.utime(other, (0, 0))
    assert team.said().startswith("2 new terms since cycle1")


def test_ten_thousand_looks_without_a_change_keep_no_memory(team: Team) -> None:
    """Neither the process nor what is remembered grows."""
    team.has(TERMS[:10], 5000)
    team.turned()
    team.said()
    cursor, process = team.cursor, psutil.Process()
    with dg.build_sensor_context(
        instance=team.instance,
        cursor=cursor,
        definitions=DEFINITIONS,
        resources={"data": DataFolder(root=str(team.data))},
    ) as context:

        def looked(times: int) -> None:
            for _ in range(times):
                result = manifest_growth(context)
                assert isinstance(result, dg.SensorResult) and result.cursor == cursor
            gc.collect()

        looked(500)
        resident = process.memory_info().rss
        looked(9000)
        resident = process.memory_info().rss - resident
        # Tracing slows it down about fivefold.
        tracemalloc.start()
        try:
            looked(50)
            objects = tracemalloc.get_traced_memory()[0]
            looked(450)
            objects = tracemalloc.get_traced_memory()[0] - objects
        finally:
            tracemalloc.stop()
    assert resident < 5_000_000, resident
    assert objects < 20_000, objects
