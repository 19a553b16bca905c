"""The whole graph in this process: real terms, speech, split and scores; only what hears and trains is made up."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.definitions import defs
from flywheel.compute.job import ComputeJob, JobOutcome
from flywheel.corpus.sentences import BUNDLED_GENERAL_SENTENCES
from flywheel.files.cycles import CycleFolder
from resources.compute.resource import Compute
from resources.readiness import Finding
from tests.assets.test_evaluation import Backend

SEED = "term,entity_category\ncefazolin,drug\nmetoprolol,drug\napixaban,drug\nbronchoscopy,procedure\n"
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "gate": {"minimum_rows": 20, "minimum_rows_per_category": 1},
    "decision": {"general_wer_cap": 0.9, "significance": 1.0},
}


@dataclass
class Turned:
    """How a run ended: what was said, which jobs were run, and what each asset told of itself."""

    success: bool
    said: str
    jobs: list[str]
    told: Mapping[str, Mapping[str, Any]]


@dataclass
class Workplace:
    """A data folder and a Dagster instance."""

    root: Path
    instance: dg.DagsterInstance
    patch: pytest.MonkeyPatch
    jobs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        lines = BUNDLED_GENERAL_SENTENCES.read_text().splitlines(keepends=True)
        (self.root / "general.csv").write_text("".join(lines[:31]))
        if not self.seed.exists():
            self.seed.write_text(SEED)
        for name, value in {
            "FLYWHEEL_DATA": self.data,
            "FLYWHEEL_SEED": self.seed,
            "FLYWHEEL_GENERAL": self.root / "general.csv",
            "WANDB_MODE": "disabled",
        }.items():
            self.patch.setenv(name, str(value))
        jobs = self.jobs

        class Counted(Backend):
            def run(self, job: ComputeJob, outputs_to: Path, on_line: Callable[[str], None]) -> JobOutcome:
                jobs.append(job.name)
                return super().run(job, outputs_to, on_line)

            def readiness(self) -> tuple[Finding, ...]:
                return (Finding("nothing", True, "it loads no model"),)

        self.patch.setattr(Compute, "connect", lambda self, name="": Counted())

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def seed(self) -> Path:
        return self.root / "seed.csv"

    def cycle(self, name: str = "cycle1") -> CycleFolder:
        return CycleFolder(self.data, name)

    def turn(
        self,
        cycle: str = "cycle1",
        config: Mapping[str, Mapping[str, Any]] | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> Turned:
        self.jobs.clear()
        ops = {**SETTINGS, **(config or {})}
        ran = defs.resolve_job_def("flywheel_cycle").execute_in_process(
            partition_key=cycle,
            instance=self.instance,
            raise_on_error=False,
            run_config={
                "ops": {name: {"config": dict(values)} for name, values in ops.items()},
                "resources": {name: {"config": values} for name, values in (resources or {}).items()},
            },
        )
        told = {
            made.asset_key.to_user_string(): {name: value.value for name, value in made.metadata.items()}
            for event in ran.all_events
            if event.event_type_value == "ASSET_MATERIALIZATION"
            for made in [event.step_materialization_data.materialization]
        }
        errors = [
            event.step_failure_data.user_failure_data.description
            if event.step_failure_data.user_failure_data
            else f"TRACE {event.step_failure_data.error}"
            for event in ran.all_events
            if event.is_step_failure
        ]
        said = "\n".join(
            [*(entry.user_message for entry in _entries(self.instance, ran.run_id)), *map(str, errors)]
        )
        return Turned(ran.success, said, list(self.jobs), told)

    def contents(self) -> dict[str, bytes]:
        """Every file of the data folder, without the locks of cycles, by its path."""
        files = (path for path in sorted(self.data.rglob("*")) if path.is_file())
        return {
            str(path.relative_to(self.data)): path.read_bytes()
            for path in files
            if not path.name.startswith(".")
        }

    def copy(self, root: Path, instance: dg.DagsterInstance, patch: pytest.MonkeyPatch) -> "Workplace":
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Workplace(root, instance, patch)


def _entries(instance: dg.DagsterInstance, run_id: str) -> list[Any]:
    found, cursor = [], None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, limit=1000)
        found += [each.event_log_entry for each in page.records]
        if not page.has_more:
            return found
        cursor = page.cursor
