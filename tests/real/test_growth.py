"""Growth opens the next cycle by itself: with the real daemon, webserver and code server, killed and started again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from flywheel.corpus.cached_rows import write_cached_rows
from flywheel.corpus.sentences import cycle_sentences, write_sentences
from flywheel.corpus.terms import read_term_seed
from flywheel.cycle.growth import write_offered
from flywheel.files.atomic import write_json, write_text
from flywheel.files.cycles import CycleFolder
from tests.cycle_on_disk import baseline_cycle
from tests.real.loop_place import write_general_sentences
from tests.stamps import stamped

pytestmark = pytest.mark.real

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FIRST = ["cefazolin,drug", "metoprolol,drug", "bronchoscopy,procedure"]
DRUGS = ["apixaban", "furosemide", "warfarin", "heparin", "digoxin", "atenolol"]
LABS = ["ferritin", "sodium", "potassium", "albumin"]
CONDITIONS = ["asthma", "anemia", "sepsis", "stroke", "gout", "eczema", "angina", "ileus", "croup", "edema"]
MORE = [*(f"{term},drug" for term in DRUGS), *(f"{term},lab" for term in LABS)]
OTHERS = [f"{term},condition" for term in CONDITIONS]
SENSOR = 'repositoryLocationName: "flywheel", repositoryName: "__repository__", sensorName: "manifest_growth"'
CODE = ["--module-name", "assets.definitions"]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def eventually(happens: Callable[[], object], what: str, *, within: float = 60, every: float = 0.2) -> None:
    """Wait until it happens; fail with what is said of it."""
    ends = time.monotonic() + within
    while not happens():
        assert time.monotonic() < ends, f"not within {within:.0f} s: {what}"
        time.sleep(every)


@dataclass
class Service:
    """The flywheel as it is deployed: a code server, a daemon and a webserver, each a process of its own."""

    root: Path
    instance: dg.DagsterInstance
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=lambda: {"code": free_port(), "webserver": free_port()})

    @property
    def data(self) -> Path:
        return self.root / "data"

    def has(self, terms: list[str], *, seconds_ago: float = 0) -> None:
        write_text(self.root / "seed.csv", "term,entity_category\n" + "\n".join(terms) + "\n")
        changed = time.time() - seconds_ago
        os.utime(self.root / "seed.csv", (changed, changed))

    def start(self, *names: str) -> None:
        location = {"host": "127.0.0.1", "port": self.ports["code"], "location_name": "flywheel"}
        write_json(self.root / "workspace.yaml", {"load_from": [{"grpc_server": location}]})
        for name in names:
            here = ["--host", "127.0.0.1", "--port", str(self.ports.get(name))]
            command = {
                "code": ["dagster", "api", "grpc", *here, *CODE],
                "daemon": ["dagster-daemon", "run", "--workspace", "workspace.yaml"],
                "webserver": ["dagster-webserver", *here, "--workspace", "workspace.yaml"],
            }[name]
            with (self.root / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(
                    [str(BIN / command[0]), *command[1:]],
                    cwd=self.root,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            if name == "code":
                # The others would wait a minute until they ask again.
                eventually(self.code_answers, "the code server answers")

    def code_answers(self) -> bool:
        assert self.running["code"].poll() is None, self.log("code")
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.ports["code"])) == 0

    def kill(self, name: str) -> None:
        """As a machine that goes down does it."""
        self.running[name].kill()
        self.running.pop(name).wait()

    def stop(self) -> None:
        """End all of them, and what they left behind."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text()[-6000:]

    @property
    def said(self) -> list[str]:
        """Why each look of the sensor that has ended started nothing, the latest first; empty for one that did."""
        for state in self.instance.all_instigator_state():
            if state.name == "manifest_growth":
                ticks = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=200)
                assert not [tick.error for tick in ticks if tick.error], ticks
                return [tick.skip_reason or "" for tick in ticks if tick.end_timestamp]
        return []

    def looks(self, count: int, said: str) -> None:
        """Wait for so many more looks; the latest says `said`."""
        before = len(self.said)

        def looked() -> bool:
            found = self.said
            return len(found) >= before + count and said in found[0]

        eventually(looked, f"{count} more looks and {said!r}; {self.log('daemon')}")

    @property
    def runs(self) -> list[tuple[str, str]]:
        """Cycle and status of every run, the oldest first."""
        runs = reversed(self.instance.get_runs())
        return [(run.tags["dagster/partition"], run.status.value) for run in runs]

    def ask(self, mutation: str) -> str:
        """Let the webserver do something, as its own pages do; the type of what it answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['webserver']}/graphql",
            json.dumps({"query": f"mutation {{ done: {mutation} {{ __typename }} }}"}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["data"]["done"]["__typename"])


@pytest.fixture
def flywheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The service with a cycle1 that had three terms and a closed gate; nothing runs yet."""
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    write_general_sentences(tmp_path / "general.csv")
    # A cycle that stops at its gate takes half a minute; one that trains takes minutes.
    short = {"gate": {"minimum_rows": 100_000}, "boosted_eval": {"enabled": False}}
    write_json(tmp_path / "run.json", {"ops": {name: {"config": config} for name, config in short.items()}})
    # Dagster's storage lies where the process works.
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DAGSTER_HOME": tmp_path,
        "PYTHONPATH": REPOSITORY,
        "PYTHONWARNINGS": "ignore",
        "FLYWHEEL_DATA": tmp_path / "data",
        "FLYWHEEL_SEED": tmp_path / "seed.csv",
        "FLYWHEEL_GENERAL": tmp_path / "general.csv",
        "FLYWHEEL_RUN_CONFIG": tmp_path / "run.json",
        "FLYWHEEL_GROWTH_SECONDS": 1,
    }.items():
        monkeypatch.setenv(name, str(value))
    with dg.DagsterInstance.get() as instance:
        made = Service(tmp_path, instance)
        made.has(FIRST, seconds_ago=60)
        folder = baseline_cycle(made.data, minimum_rows=100_000)
        shutil.copy(tmp_path / "seed.csv", folder.term_seed)
        write_offered(folder.offered, made.data / "recordings")
        write_sentences(folder.sentences, cycle_sentences(read_term_seed(folder.term_seed)).sentences)
        write_cached_rows(folder.recordings, [], made.data / "speech")
        stamped(folder)
        try:
            yield made
        finally:
            made.stop()


def test_it_runs_by_itself(flywheel: Service) -> None:
    """Ten terms are added and the cycle happens; with nothing new, or the cursor lost, none does; and where the
    daemon is killed between growth and launch, one does."""
    flywheel.start("code", "daemon", "webserver")
    flywheel.looks(1, "nothing new since cycle1")
    flywheel.has([*FIRST, *MORE])
    eventually(lambda: flywheel.runs, "a run")
    eventually(lambda: flywheel.runs[0][1] in ("SUCCESS", "FAILURE"), "the run ends", within=300, every=1)
    first = [("cycle2", "SUCCESS")]
    assert flywheel.runs == first, flywheel.log("code")
    page = CycleFolder(flywheel.data, "cycle2").leaderboard(2).read_text()
    assert "KER" in page and "gate" in page
    tags = flywheel.instance.get_runs()[0].tags
    assert tags["flywheel/reason"].startswith("10 new terms since cycle1 (albumin, apixaban, ")
    assert tags["flywheel/cycle"] == "cycle2"

    flywheel.looks(1, "nothing new since cycle2")
    assert flywheel.ask(f"setSensorCursor(sensorSelector: {{{SENSOR}}})") == "Sensor"
    flywheel.looks(2, "nothing new since cycle2")
    assert any(said.startswith("the first look only records") for said in flywheel.said[:3])
    assert flywheel.runs == first

    flywheel.has([*FIRST, *MORE, *OTHERS], seconds_ago=60)
    partitions = flywheel.instance.get_dynamic_partitions
    eventually(lambda: "cycle3" in partitions("cycle"), "the partition", every=0.002)
    flywheel.kill("daemon")
    launched = ("STARTING", "STARTED", "SUCCESS")
    assert not [run for run in flywheel.runs if run[0] == "cycle3" and run[1] in launched]
    flywheel.start("daemon")
    eventually(lambda: ("cycle3", "STARTED") in flywheel.runs, "the run of cycle3")
    flywheel.looks(1, "")
    assert flywheel.runs == [*first, ("cycle3", "STARTED")]
    (run,) = flywheel.instance.get_runs(limit=1)
    assert flywheel.ask(f'terminateRun(runId: "{run.run_id}")') == "TerminateRunSuccess"
    eventually(lambda: flywheel.runs == [*first, ("cycle3", "CANCELED")], "the run is terminated")
