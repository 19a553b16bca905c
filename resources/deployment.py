"""What a deployment adds to Dagster: a run whose process is gone ends, whatever took the process.

Dagster's `DefaultRunLauncher` starts runs as processes of the code server. When such a process dies, only the code
server knows it; when the code server dies, nobody does, and its runs would stay "started" for ever. So the launcher
here lets the daemon's run monitoring ask the code server which runs it has, and the code server here goes on looking
after its runs when the database was away.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import deserialize_value

_LOG = logging.getLogger("dagster.code_server")


class CodeServerRunLauncher(dg.DefaultRunLauncher):
    """Dagster's launcher, whose runs can be asked after."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """The daemon's run monitoring asks about every run that is under way."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the code server that started `run` still has a process for it.

        Of a run that no code server started (a command line did) nothing is known, and it is left alone. A server
        that does not answer tells nothing either: after its restart it answers again, and then without the run.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "no code server started it")
        try:
            runs = deserialize_value(client.get_current_runs(), GetCurrentRunsResult).current_runs
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "the code server does not answer")
        if run.run_id in runs:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, "the code server has no process for this run: it was restarted or killed"
        )


def keeps_looking(look: Callable[[Any], None]) -> Callable[[Any], None]:
    """`look` at the runs, which is done twice a second, without the end of the thread when it raises.

    Dagster's raises while the database is away, and a run whose process ends just then would never be reported.
    """

    @wraps(look)
    def looks(server: Any) -> None:
        try:
            look(server)
        except Exception as error:  # noqa: BLE001 (whatever it was, the next look may succeed)
            _LOG.warning("cannot report on the runs, tries again: %s: %s", type(error).__name__, error)

    return looks


def main() -> None:
    """`dagster api grpc`, with the arguments of this command line, as a code server that keeps looking."""
    from dagster._cli.api import grpc_command
    from dagster._grpc.server import DagsterApiServer

    look = DagsterApiServer._check_for_orphaned_runs
    DagsterApiServer._check_for_orphaned_runs = keeps_looking(look)  # type: ignore[method-assign,assignment]
    grpc_command()


if __name__ == "__main__":
    main()
