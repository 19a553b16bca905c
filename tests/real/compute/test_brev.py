"""The brev backend against a real sshd and rsync, and a `brev` that fails as the real one does.

How jobs end in general is `test_endings.py`; here is what only an instance that is rented can meet.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from flywheel.compute.costs import ConsentMissing, price_of
from flywheel.compute.job import ComputeJob, JobFailed, JobNotStarted
from flywheel.errors import FlywheelError
from loopback.brev_place import Place
from resources.compute.brev import BrevBackend
from resources.compute.brev_command import BrevError
from resources.compute.leases import Lease, Leases, TeardownFailed, sweep
from resources.compute.settings import Settings
from resources.compute.shipment import pack
from resources.compute.ssh import ConnectionLost, Host, RemoteJob

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        os.geteuid() != 0 or sys.platform != "linux", reason="starts sshd as root, reads /proc"
    ),
]

REPOSITORY = Path(__file__).parents[3]
KEY = "recognisable-key-51d7"


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Place(tmp_path_factory.mktemp("brev")) as place:
        yield place


@pytest.fixture
def place(shared_place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """With no switch set, no call noted and nothing running; this process has its variables."""
    for name, value in shared_place.variables().items():
        monkeypatch.setenv(name, value)
    assert left(shared_place, within=5) == []
    shutil.rmtree(shared_place.state.folder / "switches")
    (shared_place.state.folder / "switches").mkdir()
    for name in ("calls", "machines", "lists"):
        path = shared_place.state.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.rmtree(shared_place.root / "data", ignore_errors=True)
    return shared_place


def backend(place: Place, consent: str = "YES", **options: object) -> BrevBackend:
    data = place.root / "data"
    return BrevBackend.from_settings(
        Settings(
            work_root=data / "work",
            leases=Leases(data / "leases"),
            grace=1.0,
            consent=consent,
            options={"appears_within": 1, "ready_timeout": 30, "teardown_patience": 15, **options},
        )
    )


def shell(script: str, **fields: object) -> ComputeJob:
    return ComputeJob(**{"name": "test", "argv": ("sh", "-c", script), "timeout": 60.0, **fields})


def left(place: Place, within: float = 0.0) -> list[str]:
    """What is left of instances and of what ran on them, besides this process's own variables."""
    deadline = time.monotonic() + within
    while True:
        with place.state.instances() as instances:
            found = [f"instance {name} {each['status']}" for name, each in instances.items()]
        found += [command for machine in place.machines() for command in machine.commands()]
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(0.05)


def open_leases(place: Place) -> tuple[Lease, ...]:
    return Leases(place.root / "data" / "leases").all_open()


def check_nothing_is_left(place: Place) -> None:
    assert left(place) == []
    assert open_leases(place) == ()
    here = [each for each in children() if "sleep" not in each]
    assert here == [], "processes of this one"
    work = place.root / "data" / "work"
    assert [path.name for path in work.glob("*") if path.name != "lock"] == []


there_before: set[str] = set()
"""Children of this process that other tests in it left, such as Python's own tracker of shared memory."""


@pytest.fixture(autouse=True)
def only_what_begins_now() -> None:
    there_before.update(pids_of_children())


def pids_of_children() -> list[str]:
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


def children() -> list[str]:
    """Command lines of this process's children that a test here began, without the service behind `brev`."""
    found = []
    for pid in set(pids_of_children()) - there_before:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if not command.strip().endswith("service"):
            found.append(command)
    return found


def when(text: str, act: Callable[[], object]) -> tuple[list[str], Callable[[str], None]]:
    """Lines, and what collects them and acts on the first that starts with `text`."""
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if sum(each.startswith(text) for each in lines) == 1 and line.startswith(text):
            act()

    return lines, on_line


def interrupt() -> None:
    """As Ctrl+C does."""
    raise KeyboardInterrupt


# --- what a job meets -------------------------------------------------------------------------------


def test_a_job_without_a_hitch(place: Place, tmp_path: Path) -> None:
    """Files there and back, the switch set first, the cost told, the key nowhere but in the job."""
    given = tmp_path / "words.txt"
    given.write_text("cefazolin\n")
    script = 'tr a-z A-Z < in/words.txt > out/upper.txt; echo "key ${#KEY} $CUDA_VISIBLE_DEVICES."; sleep 1'
    job = shell(script, inputs={"in/words.txt": given}, outputs=("out/upper.txt",), environment={"KEY": KEY})
    lines: list[str] = []
    modes: list[int] = []
    seen, ended = CommandLines(), threading.Event()
    watcher = threading.Thread(target=seen.watch, args=(ended,))
    watcher.start()

    def on_line(line: str) -> None:
        lines.append(line)
        if line.startswith("brev: starting the job"):
            (environment,) = place.root.glob("brev/machines/*/home/*/.flywheel/environment")
            modes.append(stat.S_IMODE(environment.stat().st_mode))
            assert KEY in environment.read_text()

    try:
        outcome = backend(place).run(job, tmp_path / "out", on_line)
    finally:
        ended.set()
        watcher.join()
    assert outcome.outputs["out/upper.txt"].read_text() == "CEFAZOLIN\n"
    assert f"key {len(KEY)} ." in lines, "the key is there, no GPU is visible"
    assert modes == [0o600]
    assert 1 <= outcome.seconds < outcome.billed_seconds
    assert outcome.cost_usd == pytest.approx(price_of("brev", "L40S").cost(outcome.billed_seconds))

    (create,) = place.calls("create")
    name = create[1]
    assert create == ["create", name, "-g", "L40S", "--min-disk", "200", "-d"]
    assert place.calls("delete") == [["delete", name]]
    (closed,) = (place.root / "data" / "leases" / "closed").iterdir()
    assert json.loads(closed.read_text())["resource"] == name
    (machine,) = place.machines()
    assert machine.calls == ["sudo -n shutdown -h +61"], "time-out and an hour"

    assert seen.programs >= {"brev", "ssh", "rsync"}, "the watch saw what was called"
    assert seen.with_key == []
    assert KEY not in "".join(lines)
    written = [path for path in place.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    check_nothing_is_left(place)


class CommandLines:
    """The command lines of all processes, looked at again and again."""

    def __init__(self) -> None:
        self.with_key: list[bytes] = []
        self.programs: set[str] = set()

    def watch(self, ended: threading.Event) -> None:
        while not ended.wait(0.005):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = file.read_bytes()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                self.programs.update(Path(os.fsdecode(word)).name for word in words.split(b"\0"))
                if KEY.encode() in words:
                    self.with_key.append(words)


@pytest.mark.parametrize(
    ("switches", "deletes"),
    [
        pytest.param(
            {"slow_create": "1.5", "silent_create": "", "delete_fails": "1"},
            2,
            id="slow and silent create, delete fails once",
        ),
        pytest.param({"hanging_create": "", "null_list": ""}, 1, id="create never answers, null lists"),
    ],
)
def test_the_ways_of_brev(place: Place, tmp_path: Path, switches: dict[str, str], deletes: int) -> None:
    for switch, value in switches.items():
        place.set(switch, value)
    outcome = backend(place).run(shell("echo done > out", outputs=("out",)), tmp_path, print)
    assert outcome.outputs["out"].read_text() == "done\n"
    assert len(place.calls("create")) == 1
    assert len(place.calls("delete")) >= deletes
    check_nothing_is_left(place)


@pytest.mark.parametrize(
    ("switch", "value", "options", "said"),
    [
        pytest.param("quota", "", {}, "quota exceeded for L40S", id="quota"),
        pytest.param(
            "never_healthy", "", {"ready_timeout": 2}, "after 2 s: status UNHEALTHY", id="unhealthy"
        ),
        pytest.param(
            "never_built", "", {"ready_timeout": 2}, "build BUILDING, shell NOT READY", id="unbuilt"
        ),
        pytest.param("create_failed", "", {}, "cannot become ready: status FAILURE", id="failure"),
        pytest.param(
            "late_create", "3", {"appears_within": 6}, "context deadline exceeded", id="late create"
        ),
        pytest.param(
            "", "", {"ready_timeout": 3, "ssh_config": "/dev/null"}, "ssh did not reach", id="no ssh"
        ),
    ],
)
def test_an_instance_that_cannot_be_used(
    place: Place, tmp_path: Path, switch: str, value: str, options: dict[str, object], said: str
) -> None:
    if switch:
        place.set(switch, value)
    with pytest.raises(BrevError, match=said):
        backend(place, **options).run(shell("echo ran"), tmp_path, print)
    assert bool(place.calls("delete")) == (switch != "quota")
    check_nothing_is_left(place)


@pytest.mark.parametrize(
    ("switch", "consent", "options", "kind", "said"),
    [
        pytest.param("logged_out", "YES", {}, BrevError, "not logged in.*`brev login`", id="logged out"),
        pytest.param(
            "", "", {}, ConsentMissing, r"L40S at \$1.50 an hour.*Nothing was started", id="consent"
        ),
        pytest.param("", "YES", {"gpu": "B300"}, FlywheelError, "no price for brev 'B300'", id="price"),
        pytest.param("", "YES", {"command": "brew"}, FlywheelError, "'brew' is not on PATH", id="command"),
        pytest.param("", "YES", {"instance": "mine"}, BrevError, "lists no instance 'mine'", id="instance"),
    ],
)
def test_nothing_is_asked_for(
    place: Place,
    tmp_path: Path,
    switch: str,
    consent: str,
    options: dict[str, object],
    kind: type[Exception],
    said: str,
) -> None:
    if switch:
        place.set(switch)
    with pytest.raises(kind, match=said):
        backend(place, consent, **options).run(shell("true"), tmp_path, print)
    assert place.calls("create") == []
    assert not (place.root / "data" / "leases").exists(), "no lease for what was never asked for"
    check_nothing_is_left(place)


def test_a_python_that_is_not_there(place: Place, tmp_path: Path) -> None:
    with pytest.raises(JobNotStarted, match="no-such-python"):
        backend(place, python="no-such-python").run(shell("true"), tmp_path, print)
    check_nothing_is_left(place)


# --- lost connections -------------------------------------------------------------------------------


def test_a_lost_connection_is_joined_again(place: Place, tmp_path: Path) -> None:
    """Twice, in the middle of many lines: the command runs once, no line is lost or doubled."""
    runs = tmp_path / "runs"
    script = (
        f"echo run >> {runs}; seq -f 'a %g é' 20000; sleep 1.5; "
        "seq -f 'b %g é' 20000; sleep 1.5; seq -f 'c %g é' 3; echo done > out"
    )
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if line in ("a 5000 é", "b 5000 é"):
            assert place.cut_connection() is None

    backend(place).run(shell(script, outputs=("out",)), tmp_path, on_line)
    sent = (("a", 20000), ("b", 20000), ("c", 3))
    expected = [f"{letter} {number} é" for letter, count in sent for number in range(1, count + 1)]
    assert [line for line in lines if not line.startswith("brev: ")] == expected
    assert sum("was lost" in line and "trying again in" in line for line in lines) == 2
    assert runs.read_text() == "run\n"
    check_nothing_is_left(place)


def test_an_instance_that_is_taken_away(place: Place, tmp_path: Path) -> None:
    """By its own shutdown, or by somebody else: not waited for."""

    def take_away() -> None:
        with place.state.instances() as instances:
            for each in instances.values():
                each |= {"status": "STOPPING", "since": time.time()}

    lines, on_line = when("started", take_away)
    with pytest.raises(ConnectionLost, match="status STOP"):
        backend(place).run(shell("echo started; sleep 600"), tmp_path, on_line)
    assert lines[-1].startswith("brev: flywheel-") and "is deleted" in lines[-1]
    check_nothing_is_left(place)


def test_a_job_is_started_once_and_one_that_has_ended_not_again(place: Place, tmp_path: Path) -> None:
    machine = place.state.machine("by-hand")
    machine.power_on()
    try:
        config = tmp_path / "config"
        config.write_text(
            f"Host by-hand\n Hostname 127.0.0.1\n Port {machine.port}\n User root\n IdentityFile {machine.key}\n"
            " StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n"
        )
        root = PurePosixPath(machine.home / "job")
        job = shell("echo run >> ../runs; echo line")
        packed = tmp_path / "packed"
        packed.mkdir()
        pack(job, packed, root, grace=1.0)
        remote = RemoteJob(
            job=job, host=Host(name="by-hand", config=str(config)), root=root, python=sys.executable
        )
        remote.upload(packed, print)
        for turn in range(2):
            remote.give(b"{}", print) if turn == 0 else None
            remote.start(print)
            assert b"".join(remote.follow(print)) == b"line\n"
        ending = remote.ending(print)
        assert ending is not None
        assert ending.exit_code == 0
        assert (machine.home / "runs").read_text() == "run\n"
    finally:
        machine.power_off()


# --- teardown ---------------------------------------------------------------------------------------


def test_a_delete_that_always_fails_is_shouted_and_swept_later(place: Place, tmp_path: Path) -> None:
    """Together with the failure of the job before it."""
    place.set("delete_fails", "always")
    with pytest.raises(TeardownFailed) as caught:
        backend(place, teardown_patience=2).run(shell("echo why; exit 3"), tmp_path, print)
    said = str(caught.value)
    assert "MAY STILL BE RUNNING AND COSTING MONEY" in said
    assert "internal server error" in said
    assert "JobFailed: job test failed: exit code 3" in said
    assert isinstance(caught.value.__cause__, JobFailed)
    (lease,) = open_leases(place)
    assert left(place)

    (place.state.folder / "switches" / "delete_fails").unlink()
    done = sweep(Leases(place.root / "data" / "leases"), lambda name: backend(place), everything=True)
    assert [swept.id for swept, _ in done.closed] == [lease.id]
    check_nothing_is_left(place)


@pytest.mark.parametrize("at", ["brev: brev create", "brev: uploading"])
def test_an_interrupt_at_any_time(place: Place, tmp_path: Path, at: str) -> None:
    _, on_line = when(at, interrupt)
    with pytest.raises(KeyboardInterrupt):
        backend(place).run(shell("echo started; sleep 600"), tmp_path, on_line)
    check_nothing_is_left(place)


PROGRAM = """
import sys
from pathlib import Path
from flywheel.compute.job import ComputeJob
from resources.compute.resource import Compute
from resources.data_folder import DataFolder

job = ComputeJob(name="test", argv=("sh", "-c", "echo started; sleep 600"), timeout=60)
Compute(data=DataFolder()).connect().run(job, Path("out"), lambda line: print(line, flush=True))
"""


@pytest.fixture
def process(place: Place, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A fresh process that runs a long job; it takes a second to import, in which switches can be set."""
    started = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    yield started
    started.kill()
    started.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"no {text!r}")


def test_killed_while_create_is_under_way(place: Place, process: subprocess.Popen[str]) -> None:
    """The lease is older than the creation; the command that creates does not outlive its process."""
    place.set("slow_create", "2")
    read_until(process, "brev create")
    deadline = time.monotonic() + 10
    while not place.calls("create") and time.monotonic() < deadline:
        time.sleep(0.02)
    (lease,) = open_leases(place)
    assert lease.resource == place.calls("create")[0][1]
    process.kill()
    process.wait()
    done = sweep(Leases(place.root / "data" / "leases"), lambda name: backend(place))
    assert [swept.id for swept, _ in done.closed] == [lease.id]
    time.sleep(1.5)
    assert left(place) == []
    assert open_leases(place) == ()


def test_a_second_interrupt_leaves_the_lease_to_the_sweep(
    place: Place, process: subprocess.Popen[str]
) -> None:
    place.set("delete_fails", "always")
    read_until(process, "started")
    process.send_signal(signal.SIGINT)
    read_until(process, ": delete")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) != 0
    assert len(open_leases(place)) == 1
    (place.state.folder / "switches" / "delete_fails").unlink()
    sweep(Leases(place.root / "data" / "leases"), lambda name: backend(place))
    check_nothing_is_left(place)


# --- an instance of one's own -----------------------------------------------------------------------


def test_an_instance_of_ones_own(place: Place, tmp_path: Path) -> None:
    """Kept: used where it runs, and left as it was. Stopped by default; started again where it was stopped."""
    subprocess.run(["brev", "create", "mine", "-g", "L40S", "--min-disk", "200", "-d"], check=True)
    job = shell("echo key ${#KEY}; echo done > out", outputs=("out",), environment={"KEY": KEY})
    machine = place.state.machine("mine")

    def status() -> str:
        with place.state.instances() as instances:
            return str(instances["mine"]["status"])

    while status() != "RUNNING":
        time.sleep(0.05)
    backend(place, instance="mine", after="keep").run(job, tmp_path, print)
    assert status() == "RUNNING"
    assert machine.calls == ["sudo -n shutdown -h +61", "sudo -n shutdown -c"]
    assert list(machine.home.glob("flywheel-*")) == []
    assert not any("runner" in command for command in machine.commands())
    assert open_leases(place) == ()

    backend(place, instance="mine").run(job, tmp_path, print)
    assert status() == "STOPPED"
    assert list(machine.home.glob("flywheel-*")) == [], "nor the variables on its disk"

    Leases(place.root / "data" / "leases").open(backend="brev", resource="mine", job="other", lifetime=60)
    with pytest.raises(FlywheelError, match="'mine' is used by job other"):
        backend(place, instance="mine").run(job, tmp_path, print)
    for lease in open_leases(place):
        Leases(place.root / "data" / "leases").close(lease)

    backend(place, instance="mine", after="delete").run(job, tmp_path, print)
    assert len(place.calls("start")) == 1
    assert len(place.calls("create")) == 1, "the one above"
    check_nothing_is_left(place)


def test_a_job_that_is_interrupted_on_a_kept_instance_ends_there(place: Place, tmp_path: Path) -> None:
    subprocess.run(["brev", "create", "mine", "-g", "L40S", "--min-disk", "200", "-d"], check=True)
    _, on_line = when("started", interrupt)
    with pytest.raises(KeyboardInterrupt):
        backend(place, instance="mine", after="keep").run(shell("echo started; sleep 600"), tmp_path, on_line)
    machine = place.state.machine("mine")
    assert not any("sleep 600" in command for command in machine.commands())
    assert list(machine.home.glob("flywheel-*")) == []
    subprocess.run(["brev", "delete", "mine"], check=True)
    assert left(place, within=5) == []


# --- in a container ---------------------------------------------------------------------------------

DOCKER = """#!/bin/sh
# Notes what it is asked for, and runs a container's command beside it, with the workspace at its real place.
printf '%s\\n' "$*" >> {calls}
case "$1" in
    image) exit 1 ;;
    pull) echo "pulled $2" ;;
    inspect) exit 0 ;;
    run)
        for word in "$@"; do
            case "$word" in *:/workspace) at=${{word%:/workspace}} ;; esac
            script=$word
        done
        nohup setsid sh -c "$(printf %s "$script" | sed "s#/workspace#$at#g; s#exec env#exec env PATH=$PATH#")" \\
            > /dev/null 2>&1 < /dev/null & ;;
esac
"""


def test_the_container(place: Place, tmp_path: Path) -> None:
    """The engine itself is tested elsewhere; here it counts what it is told."""
    calls = tmp_path / "docker-calls"

    def install() -> None:
        (machine,) = place.machines()
        docker = machine.programs / "docker"
        docker.write_text(DOCKER.format(calls=calls))
        docker.chmod(0o755)

    given = tmp_path / "in.txt"
    given.write_text("given\n")
    job = shell("cp in.txt out.txt", inputs={"in.txt": given}, outputs=("out.txt",), accelerator=True)
    _, on_line = when("brev: uploading", install)
    image = "nvcr.io/nvidia/nemo:25.11.01"
    backend(place, image=image, python=sys.executable).run(job, tmp_path / "out", on_line)
    inspected, pulled, run, *_ = calls.read_text().splitlines()
    assert inspected == f"image inspect {image}"
    assert pulled == f"pull {image}"
    name = run.split("--name ")[1].split()[0]
    root = place.machines()[0].home / name
    assert run == (
        f"run --detach --rm --name {name} --gpus all --network none --shm-size 8g "
        f"--volume {root}:/workspace --workdir /workspace --env HOME=/workspace/.flywheel/home "
        "--env USER=flywheel --user 0:0 "
        f"{image} sh -c exec env PYTHONPATH=/workspace/.flywheel/source PYTHONUNBUFFERED=1 "
        f"PYTHONDONTWRITEBYTECODE=1 {sys.executable} -m flywheel.compute.programs.runner run /workspace "
        ">> /workspace/.flywheel/output 2>&1"
    )
    assert (tmp_path / "out" / "out.txt").read_text() == "given\n"
    check_nothing_is_left(place)


# --- the doctor -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("switch", "consent", "options", "lacking", "said"),
    [
        pytest.param("", "YES", {}, set(), "Current Version: v0.6.327", id="all there"),
        pytest.param("", "", {}, {"consent"}, "FLYWHEEL_CONSENT_TO_COST=YES", id="no consent"),
        pytest.param("logged_out", "YES", {}, {"login"}, "brev login", id="no login"),
        pytest.param("", "YES", {"gpu": "B300"}, {"price"}, "known are L40S", id="no price"),
        pytest.param("", "YES", {"command": "brew"}, {"command", "login"}, "not on PATH", id="no command"),
    ],
)
def test_readiness(
    place: Place, switch: str, consent: str, options: dict[str, object], lacking: set[str], said: str
) -> None:
    if switch:
        place.set(switch)
    findings = backend(place, consent, **options).readiness()
    assert {each.what for each in findings} == {"command", "login", "ssh", "rsync", "price", "consent"}
    assert {each.what for each in findings if not each.ok} == lacking
    assert said in " ".join(each.detail for each in findings if each.ok != bool(lacking))
    assert place.calls("create") == []
