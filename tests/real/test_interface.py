"""The UI as a person uses it: Dagster's own webserver and daemon, and a browser that clicks and reads."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from loopback.processes import processes_of
from tests.real.chromium import browser
from tests.real.loop_place import REPOSITORY, Place

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes through /proc"),
]

__all__ = ["browser"]

SEED = "term,entity_category\ncefazolin,drug\nferritin,lab\nbronchoscopy,procedure\n"
CLOSED = "ops: {gate: {config: {minimum_rows: 100000}}, boosted_eval: {config: {enabled: false}}}"
"""A gate that stays closed: what follows takes minutes, and is shown elsewhere."""
LOADED = (
    "{workspaceOrError {... on Workspace {locationEntries {loadStatus locationOrLoadError {__typename}}}}}"
)
RUNS = "{runsOrError {... on Runs {results {runId status tags {key value}}}}}"
PATIENCE = 120_000.0
"""Milliseconds in which a cycle with a closed gate ends, also on a machine that does other things."""


@dataclass
class Ui:
    """A webserver and a daemon for a place of their own."""

    place: Place
    port: int
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONWARNINGS": "ignore",
            "DAGSTER_HOME": str(self.place.root),
            "FLYWHEEL_DATA": str(self.place.data),
            "FLYWHEEL_SEED": str(self.place.root / "seed.csv"),
            "FLYWHEEL_GENERAL": str(self.place.root / "general.csv"),
        }

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command line of Dagster's, waited for."""
        program = str(Path(sys.executable).parent / words[0])
        return subprocess.run(
            [program, *words[1:]], cwd=self.place.root, env=self.environment, capture_output=True, text=True
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A program that goes on, on two of this machine's cores; its lines go to a log of its name."""
        with (self.place.root / f"{words[0]}.log").open("ab") as log:
            program = str(Path(sys.executable).parent / words[0])
            process = subprocess.Popen(
                [program, *words[1:]], cwd=self.place.root, env=self.environment, stdout=log, stderr=log
            )
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(process.pid))[:2])
        self.started.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait(timeout=60)
        self.started.remove(process)

    def serve(self) -> None:
        """Start the webserver; wait until it answers that the code location is loaded."""
        deadline = time.monotonic() + 60
        server = self.start(
            "dagster-webserver",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--workspace",
            "workspace.yaml",
        )
        while not self.is_loaded():
            said = (self.place.root / "dagster-webserver.log").read_text()[-3000:]
            assert server.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    def is_loaded(self) -> bool:
        try:
            entries = self.ask(LOADED)["workspaceOrError"]["locationEntries"]
        except (urllib.error.URLError, ConnectionError):
            return False
        if not entries or entries[0]["loadStatus"] != "LOADED":
            return False
        assert entries[0]["locationOrLoadError"]["__typename"] == "RepositoryLocation"
        return True

    def ask(self, query: str) -> dict[str, Any]:
        """What the webserver answers, as it does to its own pages."""
        request = urllib.request.Request(
            f"{self.url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer)["data"])

    def runs(self) -> list[tuple[str, dict[str, str]]]:
        """Status and tags of every run, the latest first."""
        results = self.ask(RUNS)["runsOrError"]["results"]
        return [(run["status"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in results]


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """Nothing is served yet. All that is started here ends here."""
    place = Place(tmp_path_factory.mktemp("interface"), seed=SEED)
    (place.root / "workspace.yaml").write_text((REPOSITORY / "workspace.yaml").read_text())
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = int(listening.getsockname()[1])
    ui = Ui(place, port)
    yield ui
    for process in [*ui.started]:
        ui.stop(process)
    deadline = time.monotonic() + 20
    while left := processes_of(place.root):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.fixture(scope="module")
def served(ui: Ui) -> Ui:
    """With the daemon, which takes queued runs."""
    ui.serve()
    ui.start("dagster-daemon", "run", "--workspace", "workspace.yaml")
    return ui


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`SCREENSHOTS=docs/screenshots pytest ...` keeps what was seen."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    yield page
    page.close()


def test_the_definitions_are_valid(ui: Ui) -> None:
    done = ui.command("dagster", "definitions", "validate", "-w", "workspace.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "All code locations passed validation" in done.stdout


@pytest.fixture(scope="module")
def by_button(served: Ui, page: Page, screenshots: Path) -> Ui:
    """After cycle1, started from the job's button, configured there, and watched until it ended."""
    page.goto(served.url)
    page.get_by_role("link", name="Lineage").click()
    for group in ("corpus", "evaluation", "training", "decision"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    picture(page, screenshots / "lineage.png")

    page.get_by_role("link", name="Jobs").click()
    page.get_by_role("link", name="flywheel_cycle").click()
    expect(page.get_by_text("One whole cycle: terms become speech")).to_be_visible()
    page.get_by_role("button", name="Materialize all").click()
    dialog = page.get_by_role("dialog").filter(has_text="Launch runs to materialize")
    add_and_choose(page, dialog, "cycle1")
    configure(page, dialog, CLOSED)
    picture(page, screenshots / "launch.png")
    dialog.get_by_role("button", name="Launch 1 run").click()
    expect(dialog).to_be_hidden()

    watch_newest_run(page)
    expect(page.get_by_text("Executing (1)")).to_be_visible()
    picture(page, screenshots / "run.png")
    run = page.url
    # What moves on this page takes a core as long as it is open, and the cycle needs two.
    page.goto("about:blank")
    deadline = time.monotonic() + PATIENCE / 1000
    while served.runs()[0][0] == "STARTED":
        assert time.monotonic() < deadline, served.runs()
        time.sleep(0.5)
    page.goto(run)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    return served


def test_a_cycle_that_the_button_started_can_be_told_by_its_tags(by_button: Ui) -> None:
    ((status, tags),) = by_button.runs()
    assert status == "SUCCESS"
    assert (tags["flywheel/cycle"], tags["flywheel/outcome"]) == ("cycle1", "gate closed")


def test_the_leaderboard_is_read_on_its_page(by_button: Ui, page: Page, screenshots: Path) -> None:
    open_asset(page, by_button, "leaderboard")
    verdict = "Nothing was trained: the gate is closed. The recogniser misses"
    expect(page.get_by_text(verdict).first).to_be_visible()
    code = page.get_by_role("link", name="Open leaderboard.py")
    expect(code).to_have_attribute("href", re.compile(r"^vscode://file/.*/assets/leaderboard\.py:\d+$"))
    picture(page, screenshots / "leaderboard_asset.png")
    page.get_by_text("[Show Markdown]").click()
    shown = page.get_by_role("dialog")
    expect(shown.get_by_text(verdict).first).to_be_visible()
    table = shown.locator("table").first
    expect(table.get_by_role("row").filter(has_text="WER")).to_contain_text("%")
    expect(table.get_by_role("row").filter(has_text="KER, drug only")).to_contain_text("12 needed")
    figure = shown.locator("img").first
    expect(figure).to_be_visible()
    assert figure.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    shown.get_by_text(verdict).first.scroll_into_view_if_needed()
    picture(page, screenshots / "leaderboard.png")


@pytest.mark.parametrize(
    ("asset", "answer"),
    [
        ("term_seed", r"^terms\s.*\s3\s"),
        ("audition_page", r"^advice\s.*3 pronunciations: 3 not judged"),
        ("baseline_eval", r"^answer\s.*KER \d+\.\d % \[.*; WER .*; general WER "),
        ("gate_decision", r"^open\s.*\sfalse\s.*The recogniser misses"),
        ("history", r"^headline\s.*Cycle 1: nothing was trained"),
    ],
)
def test_an_assets_page_begins_with_its_answer(
    by_button: Ui, page: Page, screenshots: Path, asset: str, answer: str
) -> None:
    open_asset(page, by_button, asset)
    entries = page.locator("table").first.locator("tbody").first
    expect(entries).to_have_text(re.compile(answer, re.DOTALL), use_inner_text=True)
    picture(page, screenshots / f"{asset}.png")


def test_the_figure_of_the_history_is_shown(by_button: Ui, page: Page, screenshots: Path) -> None:
    open_asset(page, by_button, "history")
    page.get_by_text("[Show Markdown]").first.click()
    figure = page.get_by_role("dialog").locator("img")
    expect(figure).to_be_visible()
    assert figure.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    picture(page, screenshots / "history_figure.png")


def test_the_graph_shows_what_an_asset_is_made_of(by_button: Ui, page: Page, screenshots: Path) -> None:
    page.goto(f"{by_button.url}/assets/split?view=lineage&lineageScope=neighbors&lineageDepth=4")
    for asset in (
        "sentences",
        "speech",
        "manifest",
        "split",
        "baseline_eval",
        "gate_decision",
        "leaderboard",
    ):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible()
    picture(page, screenshots / "graph.png")


def test_runs_are_found_by_their_cycle(by_button: Ui, page: Page, screenshots: Path) -> None:
    page.goto(f"{by_button.url}/runs?q%5B0%5D=tag%3Aflywheel%2Fcycle%3Dcycle1")
    expect(page.get_by_text("flywheel/outcome: gate closed")).to_be_visible()
    picture(page, screenshots / "runs.png")
    page.goto(f"{by_button.url}/runs?q%5B0%5D=tag%3Aflywheel%2Fcycle%3Dcycle7")
    expect(page.get_by_text("No matching runs")).to_be_visible()


def test_a_run_from_the_command_line_is_terminated_by_the_button(
    served: Ui, page: Page, screenshots: Path
) -> None:
    launched = served.command(
        *("dagster", "job", "launch", "-w", "workspace.yaml", "-l", "flywheel", "-j", "flywheel_cycle"),
        *("--tags", json.dumps({"dagster/partition": "cycle2"})),
    )
    assert launched.returncode == 0, launched.stderr[-3000:]
    page.goto(f"{served.url}/runs")
    watch_newest_run(page)
    expect(page.get_by_text("loading NeMo").first).to_be_visible(timeout=PATIENCE)
    assert job_processes(served)
    page.get_by_role("button", name="Terminate").click()
    picture(page, screenshots / "terminate.png")
    page.get_by_role("dialog").get_by_role("button", name="Terminate 1 run").click()
    expect(page.get_by_text("Canceled", exact=True).first).to_be_visible(timeout=60_000)
    picture(page, screenshots / "canceled.png")
    status, tags = served.runs()[0]
    assert (status, tags["flywheel/cycle"]) == ("CANCELED", "cycle2")
    deadline = time.monotonic() + 20
    while job_processes(served):
        assert time.monotonic() < deadline, job_processes(served)
        time.sleep(0.2)
    assert [path.name for path in (served.place.data / "work").iterdir()] == ["lock"]
    assert not (served.place.data / "cycles" / "cycle2" / "baseline" / "scores.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("dagster", "asset", "materialize", "-m", "assets.definitions", "--select", "term_seed"),
        ("dg", "launch", "-m", "assets.definitions", "--assets", "term_seed"),
    ],
    ids=["dagster asset materialize", "dg launch"],
)
def test_it_is_started_from_the_command_line_and_found_in_the_ui(served: Ui, words: Sequence[str]) -> None:
    cycle = f"cycle{len(served.runs()) + 10}"
    done = served.command(*words, "--partition", cycle)
    assert done.returncode == 0, done.stderr[-3000:]
    status, tags = served.runs()[0]
    assert (status, tags["flywheel/cycle"]) == ("SUCCESS", cycle)


def add_and_choose(page: Page, dialog: Locator, cycle: str) -> None:
    """A cycle that nobody has run yet is added first. Then it is chosen, unless the dialog has done that: it does so
    as often as not."""
    dialog.get_by_text("Add a partition").click()
    adding = page.get_by_role("dialog").filter(has_text="Partition name")
    adding.get_by_placeholder("name").fill(cycle)
    adding.get_by_role("button", name="Save").click()
    expect(adding).to_be_hidden()
    chosen = dialog.get_by_text("1 partition", exact=True)
    nothing = dialog.get_by_text("Select a partition or create one")
    for _attempt in range(5):
        page.wait_for_timeout(1000)
        if nothing.is_visible():
            nothing.click()
            page.get_by_role("menuitem", name=cycle).first.click()
            page.keyboard.press("Escape")
        elif chosen.is_visible():
            return
    expect(chosen).to_be_visible()


def configure(page: Page, dialog: Locator, configuration: str) -> None:
    dialog.get_by_text("Config", exact=True).click()
    dialog.get_by_role("button", name="Add config").click()
    editor = page.get_by_role("dialog").filter(has_text="Config Editor")
    editor.locator(".CodeMirror").first.click()
    page.keyboard.insert_text(configuration)
    expect(editor.get_by_text("No errors")).to_be_visible()
    editor.get_by_role("button", name="Save config").click()
    expect(editor).to_be_hidden()
    expect(dialog.get_by_text("Config saved")).to_be_visible()


def picture(page: Page, file: Path) -> None:
    """What is seen once nothing moves any more."""
    page.screenshot(path=file, animations="disabled")


def watch_newest_run(page: Page) -> None:
    page.get_by_role("link", name="Runs").first.click()
    page.get_by_role("link", name="View", exact=True).first.click()
    page.wait_for_url("**/runs/*-*")


def open_asset(page: Page, ui: Ui, asset: str) -> None:
    page.goto(f"{ui.url}/assets/{asset}?partition=cycle1")
    expect(page.get_by_text("Latest materialization")).to_be_visible()


def job_processes(ui: Ui) -> list[str]:
    """Processes of compute jobs: they work in a workspace of their own."""
    return [each for each in processes_of(ui.place.root / "data" / "work") if "programs" in each]
