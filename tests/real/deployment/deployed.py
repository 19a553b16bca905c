"""The processes of `docker-compose.yml` on this machine: code server, daemon and webserver over a PostgreSQL."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.real.deployment.postgres_server import PostgresServer, free_port

REPOSITORY = Path(__file__).parents[3]
FASTER = {
    "dequeue_interval_seconds: 5": "dequeue_interval_seconds: 1",
    "poll_interval_seconds: 20": "poll_interval_seconds: 1",
    "free_slots_after_run_end_seconds: 30": "free_slots_after_run_end_seconds: 1",
    "user_code_failure_retry_delay: 30": "user_code_failure_retry_delay: 2",
}
"""How the deployed `dagster.yaml` waits shorter here; nothing else of it is changed."""
STEPS = {"training": "trains", "evaluation": "evaluates"}
_LAUNCH = """
mutation ($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
_STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
_EVENTS = """
query ($id: ID!) {
  runOrError(runId: $id) { ... on Run { eventConnection { events { ... on MessageEvent { message } } } } }
}
"""


@dataclass
class Deployed:
    """A running deployment; a stopped part can be started again, as Docker does."""

    root: Path
    postgres: PostgresServer
    code_port: int = field(default_factory=free_port)
    web_port: int = field(default_factory=free_port)
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        home = self.root / "home"
        home.mkdir(parents=True)
        (self.root / "data").mkdir()
        settings = (REPOSITORY / "deploy" / "dagster.yaml").read_text()
        for ours, faster in FASTER.items():
            assert settings.count(ours) == 1, ours
            settings = settings.replace(ours, faster)
        (home / "dagster.yaml").write_text(settings)

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("FLYWHEEL_", "DAGSTER"))
        }
        return {
            **kept,
            **self.postgres.variables,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            "DAGSTER_HOME": str(self.root / "home"),
            "DAGSTER_FILES": str(self.root / "data" / "dagster"),
            "FLYWHEEL_DATA": str(self.root / "data"),
        }

    def commands(self) -> Mapping[str, list[str]]:
        """The commands of the compose file, with ports and a graph of the test's."""
        graph = str(Path(__file__).with_name("tiny_graph.py"))
        code = [
            "resources.deployment",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.code_port),
            "--python-file",
            graph,
        ]
        target = ["--grpc-host", "127.0.0.1", "--grpc-port", str(self.code_port)]
        return {
            "code": code,
            "daemon": ["dagster._daemon", "run", *target],
            "web": ["dagster_webserver", "-h", "127.0.0.1", "-p", str(self.web_port), *target],
        }

    def start(self, part: str) -> None:
        """Start one of the parts, in a process group of its own, as a container's processes are."""
        with self.log_file(part).open("ab") as log:
            self.parts[part] = subprocess.Popen(
                [sys.executable, "-m", *self.commands()[part]],
                env=self.environment,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, part: str, number: int, patience: float = 60.0) -> int:
        """Send a signal to all processes of a part, as `tini -g` and the end of a container do; its exit status."""
        process = self.parts[part]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        return process.wait(patience)

    def log_file(self, part: str) -> Path:
        return self.root / f"{part}.log"

    def logs(self) -> str:
        return "\n".join(f"--- {part}\n{self.log_file(part).read_text()[-3000:]}" for part in self.parts)

    def notes(self, name: str) -> str:
        """What the step that was launched as `name` noted."""
        file = self.root / "data" / f"{name}.notes"
        return file.read_text() if file.exists() else ""

    def let_end(self, name: str) -> None:
        """Let the step end that was launched as `name`."""
        (self.root / "data" / f"{name}.end").touch()

    def server_info(self) -> Mapping[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}/server_info", timeout=5) as answer:
            return dict(json.load(answer))

    def ask(self, query: str, **variables: Any) -> Mapping[str, Any]:
        """What the UI asks and is answered."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web_port}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
        assert not found.get("errors"), found["errors"][0]["message"]
        return dict(found["data"])

    def launch(self, job: str, name: str) -> str:
        """Launch a run as the UI does, through the queue, and call its step `name`; the run's id."""
        selector = {
            "repositoryLocationName": f"grpc:127.0.0.1:{self.code_port}",
            "repositoryName": "__repository__",
            "jobName": job,
        }
        run_config = {"ops": {STEPS[job]: {"config": {"name": name}}}}
        answer = self.ask(_LAUNCH, parameters={"selector": selector, "runConfigData": run_config})[
            "launchRun"
        ]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def status(self, run: str) -> str:
        return str(self.ask(_STATUS, id=run)["runOrError"]["status"])

    def messages(self, run: str) -> str:
        """What the run's page lists.

        Connections that the webserver kept while the database was killed each cost an answer, as they cost a person
        a reload.
        """
        for _ in range(10):
            with contextlib.suppress(urllib.error.HTTPError):
                events = self.ask(_EVENTS, id=run)["runOrError"]["eventConnection"]["events"]
                return "\n".join(event.get("message") or "" for event in events)
        raise AssertionError(self.logs())

    def wait_for(self, run: str, *statuses: str, patience: float = 90.0) -> str:
        """Wait until the run has one of the statuses; the one it has."""
        deadline = time.monotonic() + patience
        found = "unknown"
        while True:
            with contextlib.suppress(AssertionError, OSError):
                found = self.status(run)
                if found in statuses:
                    return found
            assert time.monotonic() < deadline, f"run {run} is {found}, not {statuses}\n{self.logs()}"
            time.sleep(0.3)

    def wait_until_it_serves(self, patience: float = 120.0) -> None:
        """Wait until the code server listens and the webserver has loaded its graph."""
        deadline = time.monotonic() + patience
        while True:
            with contextlib.suppress(AssertionError, OSError):
                socket.create_connection(("127.0.0.1", self.code_port), timeout=1).close()
                answer = self.ask(
                    "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
                )
                if answer["repositoriesOrError"].get("nodes"):
                    return
            alive = all(process.poll() is None for process in self.parts.values())
            assert alive and time.monotonic() < deadline, self.logs()
            time.sleep(0.3)


@contextlib.contextmanager
def deployed(root: Path, postgres: PostgresServer) -> Iterator[Deployed]:
    """Everything started; everything killed at the end."""
    deployment = Deployed(root, postgres)
    try:
        for part in deployment.commands():
            deployment.start(part)
        deployment.wait_until_it_serves()
        yield deployment
    finally:
        for part in deployment.parts:
            deployment.end(part, signal.SIGKILL)
