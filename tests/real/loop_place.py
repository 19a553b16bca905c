"""A folder in which the flywheel is used as its users do, by the command line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flywheel.corpus.sentences import BUNDLED_GENERAL_SENTENCES

REPOSITORY = Path(__file__).parents[2]
SEED = """term,entity_category
cefazolin,drug
metoprolol,drug
apixaban,drug
furosemide,drug
ferritin,lab
bronchoscopy,procedure
"""
GENERAL_SENTENCES = 120
REDUCED: Mapping[str, Any] = {
    "split": {"replay_fraction": 0.25},
    "boosted_eval": {"alphas": [1.0], "clinical_rows": 20, "general_rows": 20},
    "adapted_model": {"hyperparameters": {"max_epochs": 1}},
}
"""One pass over few rows: what the model is like afterwards is no concern of these tests."""


def write_general_sentences(path: Path) -> None:
    """The first of the bundled general sentences: enough for a control, and soon spoken."""
    lines = BUNDLED_GENERAL_SENTENCES.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: 1 + GENERAL_SENTENCES]))


@dataclass(frozen=True)
class Ran:
    """A run of the command line that has ended."""

    exit_code: int
    lines: str


@dataclass(frozen=True)
class Place:
    """A folder in which the flywheel is used: its own data, Dagster history and seed."""

    root: Path
    seed: str = SEED
    variables: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "dagster.yaml", self.root)
        (self.root / "seed.csv").write_text(self.seed)
        write_general_sentences(self.root / "general.csv")

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def cycle(self) -> Path:
        return self.data / "cycles" / "cycle1"

    def start(self, select: str, config: Mapping[str, Any] = REDUCED) -> subprocess.Popen[str]:
        """`dagster asset materialize` for cycle1; its lines go to `log`."""
        ops = {name: {"config": values} for name, values in config.items()}
        selected = ("--select", select, "--partition", "cycle1")
        resources = {name: {"config": values} for name, values in self.resources.items()}
        configured = (
            "--config-json",
            json.dumps({"loggers": {"console": {}}, "ops": ops, "resources": resources}),
        )
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLYWHEEL_")}
        command = ("dagster", "asset", "materialize", "-m", "assets.definitions")
        with self.log.open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *command, *selected, *configured],
                cwd=self.root,
                env={
                    **kept,
                    "PYTHONPATH": str(REPOSITORY),
                    "DAGSTER_HOME": str(self.root),
                    "FLYWHEEL_DATA": str(self.data),
                    "FLYWHEEL_SEED": str(self.root / "seed.csv"),
                    "FLYWHEEL_GENERAL": str(self.root / "general.csv"),
                    "FLYWHEEL_SECOND_ENGINE": "off",
                    **self.variables,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def run(self, select: str = "*", config: Mapping[str, Any] = REDUCED) -> Ran:
        """The same, waited for."""
        exit_code = self.start(select, config).wait(timeout=540)
        return Ran(exit_code, self.log.read_text())

    def materialisations(self, asset: str) -> list[dict[str, Any]]:
        """The metadata of each materialisation that Dagster remembers, the latest first."""
        program = (
            "import json, dagster as dg\n"
            f"found = dg.DagsterInstance.get().fetch_materializations(dg.AssetKey({asset!r}), limit=100)\n"
            "events = [each.asset_materialization.metadata for each in found.records]\n"
            "print(json.dumps([{name: value.value for name, value in each.items()} for each in events]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=self.root,
            env={**os.environ, "DAGSTER_HOME": str(self.root)},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    def contents(self) -> dict[str, bytes]:
        """The bytes of every file of the data folder, by its path."""
        files = (path for path in sorted(self.data.rglob("*")) if path.is_file())
        return {str(path.relative_to(self.data)): path.read_bytes() for path in files}


@dataclass(frozen=True)
class Turned:
    """A cycle that has been turned: where, how the run ended, and its files right afterwards."""

    place: Place
    ran: Ran
    contents: Mapping[str, bytes]
