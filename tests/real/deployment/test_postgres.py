"""The deployed instance on a real PostgreSQL: whatever is killed, each run ends as what it was, and the next one works.

Code server, daemon and webserver are started as the compose file starts them, with a graph whose steps only wait, and
are asked what the UI asks. One deployment serves all tests here, in their order.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.real.deployment.deployed import Deployed, deployed
from tests.real.deployment.postgres_server import postgres_server, why_not

_REASON = why_not()
pytestmark = [pytest.mark.real, pytest.mark.skipif(_REASON is not None, reason=str(_REASON))]
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with (
        postgres_server() as postgres,
        deployed(tmp_path_factory.mktemp("deployed") / "here", postgres) as running,
    ):
        yield running


def until(ripe: Callable[[], object], deployment: Deployed, patience: float = 90.0) -> None:
    deadline = time.monotonic() + patience
    while not ripe():
        assert time.monotonic() < deadline, deployment.logs()
        time.sleep(0.1)


def started(deployment: Deployed, job: str, name: str) -> str:
    """A run whose step is under way; its id."""
    run = deployment.launch(job, name)
    until(lambda: "began" in deployment.notes(name), deployment)
    return run


def test_postgresql_killed_under_a_training_an_eval_beside_it_and_a_waiting_training(
    deployment: Deployed,
) -> None:
    training = started(deployment, "training", "training")
    waiting = deployment.launch("training", "waiting")
    beside = started(deployment, "evaluation", "beside")
    assert deployment.status(training) == "STARTED"
    assert deployment.notes("waiting") == ""

    process = int(re.findall(r"Started process for run \(pid: (\d+)\)", deployment.messages(beside))[0])
    deployment.postgres.kill()
    os.kill(process, signal.SIGKILL)
    # The code server sees that the eval's process is gone, and has nobody to tell.
    until(lambda: "cannot report on the runs" in deployment.log_file("code").read_text(), deployment)
    deployment.postgres.start()

    assert deployment.wait_for(beside, *ENDED) == "FAILURE"
    assert f"Run execution process for {beside}" in deployment.messages(beside)
    assert deployment.wait_for(training, "STARTED", *ENDED) == "STARTED"
    assert deployment.notes("waiting") == ""
    deployment.let_end("training")
    deployment.let_end("waiting")
    assert deployment.wait_for(training, *ENDED) == "SUCCESS"
    assert deployment.wait_for(waiting, *ENDED) == "SUCCESS"


def test_a_code_server_killed_under_a_run_then_stopped_under_the_next(deployment: Deployed) -> None:
    killed = started(deployment, "training", "killed")
    deployment.end("code", signal.SIGKILL)
    deployment.start("code")
    assert deployment.wait_for(killed, *ENDED) == "FAILURE"
    assert "the code server has no process for this run" in deployment.messages(killed)
    assert deployment.notes("killed") == "began\n"

    deployment.wait_until_it_serves()
    # That it begins shows that the killed run left its place in the pool.
    stopped = started(deployment, "training", "stopped")
    assert deployment.end("code", signal.SIGTERM) == 0
    assert deployment.notes("stopped") == "began\ncleaned up\n"
    assert deployment.wait_for(stopped, *ENDED) == "FAILURE"
    assert "Execution was interrupted unexpectedly" in deployment.messages(stopped)

    deployment.start("code")
    deployment.wait_until_it_serves()
    deployment.let_end("next")
    assert deployment.wait_for(deployment.launch("training", "next"), *ENDED) == "SUCCESS"


def test_daemon_and_webserver_lived_through_all_of_it_and_end_when_told(deployment: Deployed) -> None:
    assert deployment.server_info()["dagster_webserver_version"] == "1.13.27"
    assert [deployment.end(part, signal.SIGTERM) for part in ("daemon", "web")] == [0, 0]


def test_the_password_stands_in_no_log(deployment: Deployed) -> None:
    for log in deployment.root.glob("*.log"):
        assert deployment.postgres.password not in log.read_text(errors="replace"), log.name
