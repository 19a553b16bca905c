"""The backend modal against the service on loopback, which really stores, runs and fails."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flywheel.compute.job import ComputeJob, JobFailed, JobNotStarted, JobTimedOut, OutputMissing
from flywheel.errors import FlywheelError
from loopback.modal_place import Place
from loopback.modal_servicer import Faults, Sandbox
from resources.compute.leases import Leases, TeardownFailed, sweep
from resources.compute.modal import ModalBackend, ModalOptions
from resources.compute.shipment import StageInFailed

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        os.geteuid() != 0 or sys.platform != "linux",
        reason="its sandboxes are namespaces, which only root makes",
    ),
]

REPOSITORY = Path(__file__).parents[3]
KEY = "recognisable-key-41d7"
SHORT = {"teardown_pauses": (0.05, 0.05), "commit_patience": 3.0, "join_patience": 6.0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Place(tmp_path_factory.mktemp("modal")) as made:
        yield made


@pytest.fixture
def backend(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModalBackend]:
    """A backend on a service without faults; at the end nothing may be left, and no key was written."""
    for name, value in place.variables().items():
        monkeypatch.setenv(name, value)
    place.service.answers.faults = Faults()
    place.service.answers.sandboxes.clear()
    place.service.answers.calls.clear()
    yield ModalBackend(
        options=ModalOptions(python=sys.executable, start_timeout=20),
        work_root=tmp_path / "work",
        leases=Leases(tmp_path / "leases"),
        grace=0.5,
        consent="YES",
        **SHORT,
    )
    place.service.answers.faults = Faults()
    assert gone(place), place.left()
    assert Leases(tmp_path / "leases").all_open() == ()
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        assert KEY.encode() not in file.read_bytes(), file


def gone(place: Place, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while place.left() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not place.left()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def shell(script: str, **fields: object) -> ComputeJob:
    return ComputeJob(**{"name": "test", "argv": ("sh", "-c", script), "timeout": 30.0, **fields})


def ignore(_: str) -> None:
    """For jobs whose lines do not matter."""


def only_sandbox(place: Place) -> Sandbox:
    (sandbox,) = place.service.answers.sandboxes.values()
    return sandbox


# --- success -----------------------------------------------------------------------------------------


def test_a_job_runs_over_its_files_and_brings_its_outputs(
    backend: ModalBackend, place: Place, out: Path, tmp_path: Path
) -> None:
    words, large = tmp_path / "words.txt", tmp_path / "large"
    words.write_text("cefazolin\n")
    # More than one piece of a volume, ending in zeros, which the service may leave out.
    large.write_bytes(os.urandom(9_000_000) + bytes(1000))
    job = shell(
        "pwd; cat words.txt; echo wrong >&2; cp large deep/copy; echo $FLAVOUR > flavour",
        inputs={"words.txt": words, "large": large},
        outputs=("deep/copy", "flavour"),
        environment={"SECRET_KEY": KEY, "FLAVOUR": "sour"},
        accelerator=True,
    )
    lines: list[str] = []
    outcome = backend.run(job, out, lines.append)
    assert [line for line in lines if not line.startswith("modal: ")] == ["/workspace", "cefazolin", "wrong"]
    assert outcome.outputs["deep/copy"].read_bytes() == large.read_bytes()
    assert (out / "flavour").read_text() == "sour\n"
    assert sorted(path.name for path in out.iterdir()) == ["deep", "flavour"]
    assert outcome.exit_code == 0 and outcome.seconds > 0
    assert outcome.seconds <= outcome.billed_seconds < 20
    assert outcome.cost_usd == pytest.approx(outcome.billed_seconds * backend.price(job).usd_per_hour / 3600)
    assert not any(KEY in line for line in lines)


def test_the_sandbox_is_what_was_asked_for(backend: ModalBackend, place: Place, out: Path) -> None:
    backend.run(shell("true", accelerator=True, environment={"SECRET_KEY": KEY}), out, ignore)
    definition = only_sandbox(place).definition
    assert definition.resources.gpu_config.gpu_type == "L40S"
    assert definition.resources.milli_cpu == 4000
    assert definition.resources.memory_mb == 16384
    assert definition.timeout_secs == 111, "30 s, the grace, a minute and the start"
    (closed,) = (backend.leases.folder / "closed").glob("*.json")
    assert definition.name in closed.read_text()
    assert definition.name.startswith("flywheel-test-")
    assert only_sandbox(place).tags == {"flywheel": definition.name}
    assert KEY not in str(definition)
    assert "FROM nvcr.io/nvidia/nemo:25.11.01" in place.service.answers.images[-1]


def test_files_are_looked_at_in_the_volume_before_a_sandbox_is_asked_for(
    backend: ModalBackend, place: Place, out: Path
) -> None:
    backend.run(shell("true"), out, ignore)
    calls = place.service.answers.calls
    order = [calls.index(name) for name in ("VolumePutFiles", "VolumeListFiles", "SandboxCreate")]
    assert order == sorted(order)


def test_a_job_that_uses_no_gpu_gets_and_pays_for_none(
    backend: ModalBackend, place: Place, out: Path
) -> None:
    lines: list[str] = []
    job = shell("echo devices=[$CUDA_VISIBLE_DEVICES]")
    backend.run(job, out, lines.append)
    assert "devices=[]" in lines
    assert not only_sandbox(place).definition.resources.gpu_config.gpu_type
    assert backend.price(job).usd_per_hour < backend.price(replace(job, accelerator=True)).usd_per_hour


@pytest.mark.parametrize("network", [False, True], ids=["not needed", "needed"])
def test_a_network_only_for_jobs_that_need_it(backend: ModalBackend, out: Path, network: bool) -> None:
    lines: list[str] = []
    backend.run(shell("readlink /proc/self/ns/net", network=network), out, lines.append)
    assert (str(Path("/proc/self/ns/net").readlink()) in lines) == network


def test_lines_come_while_the_job_runs(backend: ModalBackend, out: Path) -> None:
    came: dict[str, float] = {}
    job = shell("echo first; sleep 1.5; echo last")
    backend.run(job, out, lambda line: came.update({line: time.monotonic()}))
    assert came["last"] - came["first"] > 1.0


def test_a_registry_login_is_named_not_carried(backend: ModalBackend, place: Place, out: Path) -> None:
    place.service.answers.named_secrets["ngc"] = ["REGISTRY_USERNAME", "REGISTRY_PASSWORD"]
    backend.run(shell("true"), out, ignore)
    with_login = replace(backend, options=replace(backend.options, registry_secret="ngc"))
    with_login.run(shell("true"), out, ignore)
    wrong = replace(backend, options=replace(backend.options, registry_secret="absent"))
    with pytest.raises(FlywheelError, match="'absent' not found"):
        wrong.run(shell("true"), out, ignore)


# --- endings of the job ------------------------------------------------------------------------------


def test_a_failing_command(backend: ModalBackend, out: Path) -> None:
    with pytest.raises(JobFailed, match="exit code 3") as caught:
        backend.run(shell("echo why; exit 3", outputs=("o",)), out, ignore)
    assert caught.value.last_lines == ("why",)
    assert not out.exists()


def test_a_time_out(backend: ModalBackend, out: Path) -> None:
    with pytest.raises(JobTimedOut, match="time-out of 1 s"):
        backend.run(shell("echo up; sleep 60", timeout=1.0), out, ignore)


def test_the_sandbox_ends_itself_where_the_runner_cannot(backend: ModalBackend, out: Path) -> None:
    """The dead man's switch is the service's own time-out."""
    options = replace(backend.options, start_timeout=1.5)
    short = replace(backend, options=options, commit_patience=0.3, beside_job=-29.5)
    with pytest.raises(JobTimedOut):
        short.run(shell("sleep 60"), out, ignore)


def test_a_command_that_does_not_exist(backend: ModalBackend, out: Path) -> None:
    job = ComputeJob(name="test", argv=("no-such-command",), timeout=30)
    with pytest.raises(JobNotStarted, match="No such file or directory: no-such-command"):
        backend.run(job, out, ignore)


def test_an_image_without_the_python(backend: ModalBackend, out: Path) -> None:
    other = replace(backend, options=replace(backend.options, python="no-python"))
    with pytest.raises(JobNotStarted, match="FLYWHEEL_MODAL_PYTHON=no-python"):
        other.run(shell("true"), out, ignore)


def test_an_output_that_is_missing(backend: ModalBackend, out: Path) -> None:
    with pytest.raises(OutputMissing) as caught:
        backend.run(shell("echo a > a", outputs=("a", "b")), out, ignore)
    assert caught.value.missing == ("b",)
    assert not out.exists(), "none of the others was taken over"


def test_a_sandbox_that_is_ended_from_outside(backend: ModalBackend, place: Place, out: Path) -> None:
    def end_it(line: str) -> None:
        if line == "up":
            place.service.end_all()

    with pytest.raises(JobFailed, match="ended from outside before the runner could note") as caught:
        replace(backend, commit_patience=0.3).run(shell("echo up; sleep 60"), out, end_it)
    assert caught.value.exit_code is None


# --- what the service refuses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "raised", "said"),
    [
        pytest.param(
            {"refuse_create": "GPU limit of 0 L40S reached"},
            FlywheelError,
            r"a limit is reached: GPU limit of 0 L40S reached.*FLYWHEEL_MODAL_GPU",
            id="quota",
        ),
        pytest.param(
            {"never_start": True},
            FlywheelError,
            "no sandbox with no GPU within 2 s: none is free",
            id="never starts",
        ),
        pytest.param(
            {"build_fails": True}, FlywheelError, "manifest unknown.*FLYWHEEL_MODAL_IMAGE", id="image"
        ),
        pytest.param({"volume_loses": "words"}, StageInFailed, "words: 5 bytes.* 6 were sent", id="file cut"),
        pytest.param(
            {"lose_create_answer": True}, FlywheelError, "no answer: upstream connect error", id="answer lost"
        ),
    ],
)
def test_what_the_service_refuses(
    backend: ModalBackend,
    place: Place,
    out: Path,
    tmp_path: Path,
    faults: dict[str, Any],
    raised: type[FlywheelError],
    said: str,
) -> None:
    place.service.answers.faults = Faults(**faults)
    (tmp_path / "words").write_text("words\n")
    patient = replace(backend, options=replace(backend.options, start_timeout=2))
    with pytest.raises(raised, match=said):
        patient.run(shell("sleep 60", inputs={"words": tmp_path / "words"}), out, ignore)
    assert gone(place)


def test_a_token_that_is_refused(backend: ModalBackend, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    monkeypatch.setenv("MODAL_TOKEN_SECRET", KEY)
    with pytest.raises(FlywheelError, match=r"refused the token.*modal token new") as caught:
        backend.run(shell("true"), out, ignore)
    assert KEY not in str(caught.value)
    assert not backend.leases.folder.exists(), "nothing was made"
    assert [each.what for each in backend.readiness() if not each.ok] == ["token"]


def test_a_volume_that_is_full(
    backend: ModalBackend, place: Place, monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    for name, value in dict(place.full_disk()).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StageInFailed, match="storage limit exceeded"):
        backend.run(shell("true"), out, ignore)
    assert place.service.answers.sandboxes == {}, "no machine was asked for"


# --- teardown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["terminate_fails", "delete_volume_fails"])
def test_a_teardown_that_fails_once_is_tried_again(
    backend: ModalBackend, place: Place, out: Path, fault: str
) -> None:
    setattr(place.service.answers.faults, fault, 1)
    with pytest.raises(KeyboardInterrupt):
        backend.run(shell("echo up; sleep 60"), out, interrupt_at("up"))
    assert gone(place)
    assert backend.leases.all_open() == ()


def test_a_teardown_that_fails_is_shouted_and_left_to_the_sweep(
    backend: ModalBackend, place: Place, out: Path
) -> None:
    place.service.answers.faults.terminate_fails = -1

    def stop(line: str) -> None:
        if line == "up":
            raise FlywheelError("the log is full")

    with pytest.raises(TeardownFailed) as caught:
        backend.run(shell("echo up; sleep 60"), out, stop)
    assert "MAY STILL BE RUNNING" in str(caught.value)
    assert "sandbox could not be reached" in str(caught.value)
    assert "the log is full" in str(caught.value)
    assert isinstance(caught.value.__cause__, FlywheelError)
    (lease,) = backend.leases.all_open()
    assert lease.details["sandbox"] in place.service.running()

    failing = sweep(backend.leases, lambda name: backend, everything=True)
    assert len(failing.failed) == 1 and backend.leases.all_open() == (lease,)
    place.service.answers.faults.terminate_fails = 0
    done = sweep(backend.leases, lambda name: backend, everything=True)
    assert [closed for closed, _ in done.closed] == [lease]


def test_ending_what_is_gone_changes_nothing(backend: ModalBackend, out: Path) -> None:
    lease = backend.leases.open(
        backend="modal", resource="flywheel-x-1", job="x", lifetime=1, details={"app": "never-made"}
    )
    for _ in range(2):
        backend.teardown(lease)
    backend.leases.close(lease)


def interrupt_at(word: str) -> Any:
    def on_line(line: str) -> None:
        if line == word:
            raise KeyboardInterrupt

    return on_line


PROGRAM = """
import sys
from flywheel.compute.job import ComputeJob
from resources.compute.resource import Compute
from resources.data_folder import DataFolder
from pathlib import Path

job = ComputeJob(name="test", argv=("sh", "-c", sys.argv[1]), timeout=60)
try:
    Compute(data=DataFolder()).connect().run(job, Path(sys.argv[2]), lambda line: print(line, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def process(place: Place, data: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, "echo up; sleep 60", str(out)],
        env={**os.environ, **place.variables(), "FLYWHEEL_DATA": str(data), "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )


def read_until(started: subprocess.Popen[str], start: str) -> str:
    assert started.stdout is not None
    return next(line for line in started.stdout if line.startswith(start))


@pytest.mark.parametrize(
    ("at", "takes"),
    [
        pytest.param("up", 0.0, id="while it runs"),
        pytest.param("modal: waiting for a sandbox", 2.0, id="while the sandbox is made"),
    ],
)
def test_an_interrupt_leaves_nothing(
    backend: ModalBackend, place: Place, tmp_path: Path, out: Path, at: str, takes: float
) -> None:
    place.service.answers.faults.create_takes = takes
    started = process(place, tmp_path / "data", out)
    read_until(started, at)
    time.sleep(0.2)
    started.send_signal(signal.SIGINT)
    said, _ = started.communicate(timeout=20)
    assert said.splitlines()[-1] == "interrupted"
    assert Leases(tmp_path / "data" / "leases").all_open() == ()
    assert gone(place)


def test_what_a_killed_process_left_is_swept(
    backend: ModalBackend, place: Place, tmp_path: Path, out: Path
) -> None:
    started = process(place, tmp_path / "data", out)
    read_until(started, "up")
    started.kill()
    started.communicate(timeout=20)
    leases = Leases(tmp_path / "data" / "leases")
    assert len(leases.all_open()) == 1
    assert len(place.service.running()) == 1
    done = sweep(leases, lambda name: backend)
    assert [reason for _, reason in done.closed] == [f"the process {started.pid} that held it has ended"]
    assert gone(place)


# --- a connection that is lost -----------------------------------------------------------------------

COUNT = "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.2; done; echo result > o"
COUNTED = [f"line {number}" for number in range(1, 9)]


@pytest.mark.parametrize("deaf", [0.0, 2.0], ids=["for a moment", "for seconds"])
def test_a_job_survives_a_lost_connection(
    backend: ModalBackend, place: Place, out: Path, deaf: float
) -> None:
    lines: list[str] = []

    def cut(line: str) -> None:
        lines.append(line)
        if line == "line 3":
            place.service.cut(deaf)

    outcome = backend.run(shell(COUNT, outputs=("o",)), out, cut)
    assert outcome.outputs["o"].read_text() == "result\n"
    assert [line for line in lines if not line.startswith("modal: ")] == COUNTED, "each line once, in order"
    if deaf:
        assert any("trying again" in line for line in lines)


def test_where_the_output_cannot_be_joined_again_a_line_says_so(
    backend: ModalBackend, place: Place, out: Path
) -> None:
    lines: list[str] = []

    def cut(line: str) -> None:
        lines.append(line)
        if line == "line 3" and not place.service.answers.faults.forgets:
            place.service.answers.faults.forgets = 2
            place.service.cut(2.0)

    backend.run(shell(COUNT), out, cut)
    assert lines[-1] == "modal: where the connection broke, lines of the job may be missing or twice"
    assert "line 8" in lines


def test_a_connection_that_stays_lost_ends_in_an_open_lease(
    backend: ModalBackend, place: Place, out: Path
) -> None:
    def cut(line: str) -> None:
        if line == "up":
            place.service.cut(25.0)

    hasty = replace(backend, join_patience=0.5)
    with pytest.raises(TeardownFailed, match="MAY STILL BE RUNNING") as caught:
        hasty.run(shell("echo up; sleep 60"), out, cut)
    assert "the job is given up" in str(caught.value)
    assert len(backend.leases.all_open()) == 1
    place.service.cut(0.0)
    done = sweep(backend.leases, lambda name: backend, everything=True)
    assert len(done.closed) == 1


FORKING = PROGRAM.replace(
    "try:",
    "compute = Compute(data=DataFolder()).connect()\ncompute.readiness()\nimport os\n"
    "child = os.fork()\nif child:\n    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\ntry:",
)


def test_a_fork_of_a_process_that_has_used_the_service_can_run_jobs(
    backend: ModalBackend, place: Place, tmp_path: Path, out: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, "echo forked", str(out)],
        env={**os.environ, **place.variables(), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    assert "forked" in done.stdout.splitlines()


def test_no_thread_is_left(backend: ModalBackend, out: Path) -> None:
    backend.run(shell("true"), out, ignore)
    before = threading.active_count()
    backend.run(shell("true"), out, ignore)
    assert "modal-calls" not in {thread.name for thread in threading.enumerate()}
    assert threading.active_count() <= before
