"""Every way a job can end, on every backend: nothing is left, no lease is open, the error is clear.

The table is printed at the end of the tests.
"""

import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from resources.compute import BACKENDS
from resources.compute.leases import Leases

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="installs and starts engines and servers"),
]

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
GRAPH = HERE / "endings_graph.py"
KEY = "recognisable-key-9f2c"
# Without a queue, which would need the daemon.
INSTANCE = """telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""
PATIENCE = 30.0
"""Seconds in which everything of a job has to be gone: grace, confirmation of a teardown, and some."""


class Cell:
    """One ending on one backend."""

    def __init__(self, place: Any, **more: str) -> None:
        self.place = place
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLYWHEEL_")}
        self.variables = {
            **kept,
            "PYTHONPATH": str(REPOSITORY),
            "ENDING_KEY": KEY,
            **place.variables(),
            **more,
        }
        self.data = Path(self.variables["FLYWHEEL_DATA"])
        shutil.rmtree(self.data / "out", ignore_errors=True)
        self.home = place.root / "dagster"
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "dagster.yaml").write_text(INSTANCE)

    def start(self, *command: str, **more: str) -> subprocess.Popen[str]:
        """A fresh process; its lines go to `log`."""
        with self.log.open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-W", "ignore", *command],
                cwd=self.home,
                env={**self.variables, "DAGSTER_HOME": str(self.home), **more},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def alone(self, job: str) -> subprocess.Popen[str]:
        """The job without Dagster."""
        return self.start(str(GRAPH), job)

    def in_a_run(self, job: str) -> subprocess.Popen[str]:
        """The job in a run of Dagster's command line."""
        select = ("--select", "*", "-f", str(GRAPH))
        return self.start("-m", "dagster", "asset", "materialize", *select, JOB=job)

    @property
    def log(self) -> Path:
        return self.place.root / "log.txt"

    @property
    def lines(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, process: subprocess.Popen[str], seconds: float = 90.0) -> None:
        """Until the log holds `text`."""
        deadline = time.monotonic() + seconds
        while text not in self.lines:
            assert process.poll() is None, f"ended before {text!r}:\n{self.lines[-3000:]}"
            assert time.monotonic() < deadline, f"no {text!r} after {seconds:g} s:\n{self.lines[-3000:]}"
            time.sleep(0.1)

    def check_nothing_is_left(self) -> None:
        """No process, container, instance or sandbox; no open lease; no key in anything written."""
        deadline = time.monotonic() + PATIENCE
        while left := self.place.left():
            assert time.monotonic() < deadline, f"left after {PATIENCE:g} s: {left}\n{self.lines[-3000:]}"
            time.sleep(0.2)
        assert Leases(self.data / "leases").all_open() == (), self.lines[-3000:]
        work = [path.name for path in (self.data / "work").glob("*") if not path.name.endswith("lock")]
        assert work == [], f"workspaces are left: {work}"
        assert KEY not in self.lines
        for folder in (self.data, self.home):
            for path in filter(Path.is_file, folder.rglob("*")):
                assert KEY.encode() not in path.read_bytes(), path


@pytest.fixture(scope="module", params=list(BACKENDS))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A place where jobs of a backend run, with the servers and fakes it needs."""
    module = importlib.import_module(f"loopback.{request.param}_place")
    with ExitStack() as stack:
        # Short: sockets are made below it.
        yield stack.enter_context(module.Place(tmp_path_factory.mktemp(request.param[:2])))


@pytest.fixture
def row(
    place: Any, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Iterator[dict[str, str]]:
    """What the table says of this cell; filled by the test."""
    said: dict[str, str] = {}
    started = time.monotonic()
    yield said
    ending = (
        request.node.name.removeprefix("test_").replace(f"{place.name}-", "").replace(f"[{place.name}]", "")
    )
    record_property("ending", (place.name, ending, said.get("how", "FAILED"), time.monotonic() - started))


@pytest.mark.parametrize(
    ("job", "status", "said"),
    [
        pytest.param("ends well", 0, "ended well", id="success"),
        pytest.param("fails", 1, "exit code 3", id="command fails"),
        pytest.param("takes too long", 1, "stopped after its time-out of 6 s", id="time-out"),
        pytest.param("leaves nothing", 1, "did not leave out.txt", id="output missing"),
    ],
)
def test_by_itself(place: Any, row: dict[str, str], job: str, status: int, said: str) -> None:
    cell = Cell(place)
    assert cell.alone(job).wait(timeout=180) == status, cell.lines[-3000:]
    assert said in cell.lines
    assert (cell.data / "out" / "out.txt").exists() == (job == "ends well")
    if job == "fails":
        assert "it broke" in cell.lines
    assert "Traceback" not in cell.lines
    cell.check_nothing_is_left()
    row["how"] = f"{job}: {said}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupted(place: Any, row: dict[str, str], number: signal.Signals) -> None:
    cell = Cell(place)
    run = cell.in_a_run("lasts")
    cell.wait_for("started\n", run)
    os.kill(run.pid, number)
    assert run.wait(timeout=90) != 0
    cell.check_nothing_is_left()
    row["how"] = f"{number.name}: exit code {run.returncode}"


def test_killed_then_swept(place: Any, row: dict[str, str]) -> None:
    cell = Cell(place)
    run = cell.in_a_run("lasts")
    cell.wait_for("started\n", run)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait(timeout=30) == -signal.SIGKILL
    sweep = cell.start("-m", "flywheel", "sweep")
    assert sweep.wait(timeout=120) == 0, cell.lines
    swept = cell.lines
    # Workspaces of killed runs are removed by the next job.
    assert cell.alone("ends well").wait(timeout=180) == 0, cell.lines[-3000:]
    cell.check_nothing_is_left()
    row["how"] = swept.strip().splitlines()[0]


def test_connection_lost(place: Any, row: dict[str, str]) -> None:
    cell = Cell(place)
    run = cell.alone("counts")
    cell.wait_for("line 2\n", run)
    why_not = place.cut_connection()
    if why_not:
        run.wait(timeout=120)
        row["how"] = f"not applicable: {why_not}"
        return
    status = run.wait(timeout=180)
    cell.check_nothing_is_left()
    assert (status == 0) == (place.expected_after_cut == "success"), cell.lines[-3000:]
    if status == 0:
        counted = [line for line in cell.lines.splitlines() if line.startswith("line ")]
        assert counted == [f"line {number}" for number in range(1, 9)]
    row["how"] = f"the job's run ended with {place.expected_after_cut}"


def test_disk_full_at_stage_in(place: Any, row: dict[str, str]) -> None:
    given = place.full_disk()
    if isinstance(given, str):
        row["how"] = f"not applicable: {given}"
        return
    cell = Cell(place, **given, IN_LINES="200000")
    assert cell.alone("ends well").wait(timeout=180) == 1, cell.lines[-3000:]
    assert "could not be brought there" in cell.lines
    assert "Traceback" not in cell.lines
    cell.check_nothing_is_left()
    row["how"] = cell.lines.strip().splitlines()[-1][:150]


def test_terminated_in_the_ui(place: Any, row: dict[str, str]) -> None:
    cell = Cell(place)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = cell.start(
        *("-m", "dagster_webserver", "-f", str(GRAPH), "-h", "127.0.0.1", "-p", str(port)), JOB="lasts"
    )
    try:
        cell.wait_for("Serving dagster-webserver", server)
        _wait(lambda: _listens(port), "the webserver, which says so a little early")
        run_id = _launch(port)
        _wait(lambda: "started" in _messages(port, run_id), "the job to start")
        said = _graphql(port, TERMINATE, runId=run_id)["terminateRun"]
        assert said["__typename"] == "TerminateRunSuccess", said
        _wait(lambda: _status(port, run_id) == "CANCELED", "the run to be cancelled")
        # While the server lives on, which has the same variables.
        _wait(lambda: not any("sleep 600" in process for process in place.left()), "the job to end", PATIENCE)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
    cell.check_nothing_is_left()
    row["how"] = "run cancelled"


LAUNCH = """mutation($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, mode: "default"}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
    ... on InvalidSubsetError { message } } }"""
TERMINATE = """mutation($runId: String!) {
  terminateRun(runId: $runId) { __typename ... on TerminateRunFailure { message } } }"""
REPOSITORIES = """{ repositoriesOrError { ... on RepositoryConnection {
  nodes { name location { name } } } } }"""
STATUS = "query($runId: ID!) { runOrError(runId: $runId) { ... on Run { status } } }"
MESSAGES = """query($runId: ID!) { logsForRun(runId: $runId) {
  ... on EventConnection { events { ... on MessageEvent { message } } } } }"""


def _graphql(port: int, query: str, **variables: Any) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = json.loads(answer.read())
    assert "errors" not in found, found
    return found["data"]


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _launch(port: int) -> str:
    repository = _graphql(port, REPOSITORIES)["repositoriesOrError"]["nodes"][0]
    selector: Mapping[str, Any] = {
        "repositoryName": repository["name"],
        "repositoryLocationName": repository["location"]["name"],
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": ["ending"]}],
    }
    launched = _graphql(port, LAUNCH, selector=selector)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def _status(port: int, run_id: str) -> str:
    return _graphql(port, STATUS, runId=run_id)["runOrError"]["status"]


def _messages(port: int, run_id: str) -> list[str]:
    events = _graphql(port, MESSAGES, runId=run_id)["logsForRun"]["events"]
    return [event.get("message") for event in events]


def _wait(ripe: Any, what: str, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not ripe():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.3)
