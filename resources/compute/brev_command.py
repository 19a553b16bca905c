"""NVIDIA's `brev` command.

What is relied on was read in its source (v0.6.327): `create NAME -g GPU --min-disk GB -d`, which may say nothing
without a terminal; `ls --json`, the only word on what exists; `refresh`, which writes the configuration of ssh;
`delete`, `stop` and `start`, whose exit status is not trusted: `ls` is asked until it says so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flywheel.compute.job import Seconds
from flywheel.errors import FlywheelError
from resources.compute.commands import run_command

__all__ = ["Brev", "BrevError", "Instance"]

_PATIENCE: Final[Seconds] = 60.0
_LOG_IN: Final = "Log in with `brev login` (`brev ls` shows whether that worked)"


class BrevError(FlywheelError):
    """Something that `brev` refused or did not do, in its words."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One of the instances that `brev ls` lists, with its statuses in its words."""

    name: str
    status: str
    build: str
    shell: str
    health: str

    @property
    def running(self) -> bool:
        """Whether it runs, though it may not be ready."""
        return self.status == "RUNNING"

    @property
    def ready(self) -> bool:
        """Whether it can be used. Health is not told for every kind of machine."""
        return self.running and self.shell == "READY" and self.health != "UNHEALTHY"

    @property
    def broken(self) -> bool:
        """Whether it will never be ready."""
        return self.status == "FAILURE" or self.build == "CREATE_FAILED"

    def __str__(self) -> str:
        return f"status {self.status}, build {self.build or '?'}, shell {self.shell}, health {self.health or '?'}"


@dataclass(frozen=True, slots=True)
class Brev:
    """The command, by its name or path."""

    command: str = "brev"

    def version(self, *, within: Seconds = _PATIENCE) -> str:
        """The first line of `brev --version`."""
        return next(
            iter(self._output("--version", within=within).decode("utf-8", "replace").splitlines()), ""
        )

    def instances(self, *, within: Seconds = _PATIENCE) -> tuple[Instance, ...]:
        """Those of the user; raises `BrevError` where that cannot be told, e.g. without a login."""
        output = self._output("ls", "--json", within=within, hint=_LOG_IN)
        try:
            # Null itself, and null for the list, are none.
            listed: list[Mapping[str, Any]] = (json.loads(output) or {}).get("workspaces") or []
            return tuple(
                Instance(
                    each["name"],
                    each["status"],
                    each.get("build_status") or "",
                    each.get("shell_status") or "",
                    each.get("health_status") or "",
                )
                for each in listed
            )
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            said = output.decode("utf-8", "replace").strip()[:300]
            raise BrevError(
                f"`{self.command} ls --json` gave no list of instances ({error!r}): {said!r}. {_LOG_IN}"
            ) from None

    def find(self, name: str) -> Instance | None:
        """The instance of that name; None where `ls` does not list it."""
        return next((each for each in self.instances() if each.name == name), None)

    def creation(self, name: str, gpu: str, disk_gb: int) -> list[str]:
        """The command that asks for a new instance."""
        return [self.command, "create", name, "-g", gpu, "--min-disk", str(disk_gb), "-d"]

    def starting(self, name: str) -> list[str]:
        """The command that asks for a stopped instance to be started."""
        return [self.command, "start", name, "-d"]

    def delete(self, name: str) -> None:
        """Ask for an instance to be deleted; that takes a while."""
        self._output("delete", name)

    def stop(self, name: str) -> None:
        """Ask for an instance to be stopped; that takes a while, and its disk still costs."""
        self._output("stop", name)

    def refresh(self) -> None:
        """Let ssh know the instances by their names."""
        self._output("refresh")

    def _output(self, *arguments: str, within: Seconds = _PATIENCE, hint: str = "") -> bytes:
        done = run_command([self.command, *arguments], timeout=within)
        if done.exit_code != 0:
            asked = " ".join((self.command, *arguments))
            raise BrevError(f"`{asked}` failed: {done.words}" + (f". {hint}" if hint else ""))
        return done.output
