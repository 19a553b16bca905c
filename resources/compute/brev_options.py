"""The options of the backend `brev`."""

import re
from dataclasses import dataclass
from typing import Final

from flywheel.errors import Problems

__all__ = ["BrevOptions"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrevOptions:
    """How the backend `brev` runs jobs; `gpu` is also the variable FLYWHEEL_BREV_GPU, and so on.

    Args:
        gpu, disk_gb: of a new instance.
        instance: an instance of yours to use instead of a new one; started if it is stopped.
        after: what is done with the instance: `delete` (a new one), `stop` (one of yours), or for one of yours `keep`.
        image: the container the job runs in; `none` for the instance itself.
        python: what runs the job there: at least 3.11, with what the job imports.
        command: the `brev` command.
        ssh_config: a configuration of ssh instead of its own, which `brev refresh` writes to.
        folder: absolute, for the jobs' folders on the instance; its user's home by default.
        create_timeout: seconds for `brev create` to answer or the instance to be listed.
        ready_timeout: seconds for the instance to be ready and reachable.
        reconnect_for: seconds for which a lost connection is tried again.
        appears_within: seconds in which an instance may still turn up whose creation was asked for in vain.
        teardown_patience: seconds in which the instance must be gone.
        poll: seconds between looks at `brev ls`.
        max_lifetime_hours: after this the instance shuts itself down; 0: the job's time-out and an hour.
    """

    gpu: str = "L40S"
    disk_gb: int = 200
    instance: str = ""
    after: str = ""
    image: str = "nvcr.io/nvidia/nemo:25.11.01"
    python: str = "python"
    command: str = "brev"
    ssh_config: str = ""
    folder: str = ""
    create_timeout: float = 300.0
    ready_timeout: float = 1200.0
    reconnect_for: float = 900.0
    appears_within: float = 30.0
    teardown_patience: float = 300.0
    poll: float = 5.0
    max_lifetime_hours: float = 0.0

    def __post_init__(self) -> None:
        problems = []
        if not _NAME.fullmatch(self.gpu):
            problems.append(f"gpu: {self.gpu!r} is not a name such as 'L40S'")
        if self.instance and not _NAME.fullmatch(self.instance):
            problems.append(f"instance: {self.instance!r} is not a name of an instance")
        allowed = ("", "delete", "stop", *(["keep"] if self.instance else []))
        if self.after not in allowed:
            problems.append(
                f"after: found {self.after!r}; allowed are 'delete', 'stop' and, only with `instance`, 'keep'"
            )
        if self.folder and not self.folder.startswith("/"):
            problems.append(f"folder: {self.folder!r} is not absolute")
        positive = ("disk_gb", "create_timeout", "ready_timeout", "teardown_patience", "poll")
        problems += [
            f"{name}: {getattr(self, name)!r}: more than 0 is needed"
            for name in positive
            if not getattr(self, name) > 0
        ]
        if not self.max_lifetime_hours >= 0:
            problems.append(f"max_lifetime_hours: {self.max_lifetime_hours!r}: 0 or more is needed")
        if problems:
            raise Problems("options of the backend brev", problems)

    @property
    def afterwards(self) -> str:
        """What is done with the instance: what was asked for, else the usual thing."""
        return self.after or ("stop" if self.instance else "delete")

    @property
    def container(self) -> str:
        """The image of the job's container; empty where it runs on the instance itself."""
        return "" if self.image == "none" else self.image
