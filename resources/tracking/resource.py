"""The tracker as a Dagster resource: what a cycle tells it, and that it never stops one."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg

from flywheel.compute.job import Seconds
from flywheel.cycle.tracking import cycle_record, losses_in
from flywheel.files.cycles import CycleFolder
from flywheel.files.locks import held
from flywheel.files.records import read_record
from flywheel.recognisers.nemo_asr import TrainingRecord
from flywheel.verdict.decision import Decision
from resources.data_folder import DataFolder
from resources.readiness import Finding
from resources.tracking.account import Account, chosen_account, readiness
from resources.tracking.client import NotTracked, command_for, pending
from resources.tracking.runs import CycleRun, Say, TrainingPart, run_of, send_pending, write_results

__all__ = ["Tracked", "Tracking"]

_LIVE_ENDS_WITHIN: Final[Seconds] = 20.0


@dataclass(frozen=True, slots=True)
class Tracked:
    """What became of a cycle's run.

    Args:
        run_id: of W&B; empty where not even that could be kept.
        figures: how many numbers the run holds.
        cached: whether the very same was written before.
        kept: the folder of all its parts.
        url: its page, where it was ever sent.
        problem: why not all of it is where it should be; empty where all is well.
        command: what sends the parts that are here only; empty where there are none.
    """

    run_id: str
    figures: int
    cached: bool
    kept: Path
    url: str
    problem: str
    command: str


class Tracking(dg.ConfigurableResource):
    """Weights & Biases.

    `mode` is `online`, `offline` or `off`, by default `WANDB_MODE`, else online where there is a key in
    `WANDB_API_KEY`, else off. `project` is by default `WANDB_PROJECT`, else clinical-asr-flywheel; `entity` is
    `WANDB_ENTITY`, else the key's own. `audio` sends the speech of the manifest along. `upload_seconds` is how long
    a cycle waits for what is sent.
    """

    data: dg.ResourceDependency[DataFolder]
    mode: str = ""
    project: str = ""
    entity: str = ""
    audio: bool = False
    upload_seconds: float = 900.0

    @property
    def account(self) -> Account:
        """Whose runs they are, and whether they are sent; a wrong mode is a `FlywheelError`."""
        return chosen_account(self.mode, self.project, self.entity)

    def readiness(self) -> tuple[Finding, ...]:
        """Whether runs are tracked, and whether the key is accepted."""
        return readiness(self.account)

    @contextmanager
    def losses(self, cycle: str, config: Mapping[str, Any], say: Say) -> Iterator[Callable[[str], None]]:
        """Lines of a training go to `say` and, where they hold losses, to a part of the cycle's run.

        Online they are sent as they come. What is wrong with that is said once; the training goes on, and `record`
        sends what did not arrive.
        """
        account = self.account
        if account.mode == "off":
            yield say
            return
        part = TrainingPart(lambda: self._run(cycle, account), config, say)

        def follow(line: str) -> None:
            say(line)
            if figures := losses_in(line):
                part.log(figures)

        try:
            yield follow
        except BaseException:
            part.end(exit_code=1, wait=0.0)
            raise
        part.end(exit_code=0, wait=_LIVE_ENDS_WITHIN)

    def record(self, cycle: str, say: Say) -> Tracked:
        """Write what the cycle's files tell into its run, unless that was done; online, send what is pending.

        What is wrong with W&B's client or server, the network or the disk is not raised: it is the `problem`. Only
        for an account that is not off.
        """
        account, folder = self.account, self.data.cycle(cycle)
        record = cycle_record(folder)
        run, cached, problem = None, False, ""
        try:
            run = self._run(cycle, account)
            with held(run.folder / "lock"):
                cached = write_results(run, record, folder, self._promoted(folder), audio=self.audio)
                if account.mode == "online":
                    problem = send_pending(run, say, within=self.upload_seconds)
        except (NotTracked, OSError) as error:
            problem = str(error)
        left = [] if run is None else pending(run.folder, run.id)
        return Tracked(
            run_id="" if run is None else run.id,
            figures=len(record.figures),
            cached=cached,
            kept=self._root / cycle,
            url="" if run is None else run.url,
            problem=problem,
            command=command_for(left) if left else "",
        )

    @property
    def _root(self) -> Path:
        return self.data.path / "tracking"

    def _run(self, cycle: str, account: Account) -> CycleRun:
        return run_of(cycle, self._root, account)

    def _promoted(self, folder: CycleFolder) -> Path | None:
        """The file of the model that the cycle's decision promoted, if it did and it is still there."""
        if not (folder.decision.exists() and folder.training_run_info.exists()):
            return None
        trained = read_record(folder.training_run_info, TrainingRecord).model_sha256
        registry = self.data.registry
        promoted = [
            registry.folder / entry.model
            for entry in registry.entries()
            if entry.event == "promoted" and (entry.cycle, entry.sha256) == (folder.cycle, trained)
        ]
        kept = read_record(folder.decision, Decision).promote
        return next((file for file in promoted if kept and file.is_file()), None)
