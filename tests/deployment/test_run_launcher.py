"""What the daemon is told of a run, where there is no deployment around it: see also tests/real/deployment."""

import json
import socket
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from resources.deployment import CodeServerRunLauncher, keeps_looking


@dg.job
def nothing() -> None:
    """A job without steps."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def told(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[WorkerStatus, str | None]:
    launcher = CodeServerRunLauncher()
    launcher.register_instance(instance)
    found = launcher.check_run_worker_health(run)
    return found.status, found.msg


def test_a_run_of_the_command_line_is_left_alone(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED)
    assert told(instance, run) == (WorkerStatus.RUNNING, "no code server started it")


def test_a_code_server_that_does_not_answer_tells_nothing(instance: dg.DagsterInstance) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        where = json.dumps({"host": "127.0.0.1", "port": bound.getsockname()[1]})
        started = dg.DagsterRunStatus.STARTED
        run = instance.create_run_for_job(nothing, status=started, tags={GRPC_INFO_TAG: where})
        assert told(instance, run) == (WorkerStatus.RUNNING, "the code server does not answer")


def test_a_look_that_raises_does_not_end_the_looking(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[object] = []

    def look(server: object) -> None:
        seen.append(server)
        if len(seen) == 1:
            raise ConnectionError("the database is away")

    looks = keeps_looking(look)
    looks("server")
    looks("server")
    assert seen == ["server", "server"]
    assert "the database is away" in caplog.text
