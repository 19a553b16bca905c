"""The program that runs a job where its backend cannot watch: real processes, real signals, real kills."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flywheel.compute.programs.runner import LOST, NOT_STARTED, Workspace

REPOSITORY = Path(__file__).parents[4]
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="rests on what only the Linux kernel offers")
RUNNER = [sys.executable, "-m", "flywheel.compute.programs.runner"]
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
PATIENCE = 15.0
STUBBORN = "import signal; [signal.signal(number, signal.SIG_IGN) for number in (1, 2, 15)]\n"
FAMILY = (
    "import os, subprocess, sys, time\n"
    "sleeper = 'import time; time.sleep(60)'\n"
    "near = subprocess.Popen([sys.executable, '-c', sleeper])\n"
    "far = subprocess.Popen([sys.executable, '-c', sleeper], start_new_session=True)\n"
    "print('pid', os.getpid(), near.pid, far.pid)\n"
)


def wait_for(ripe: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ripe():
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for {what}"
        time.sleep(0.01)


def running(pid: int) -> bool:
    """Whether the process exists and is more than a zombie."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: Iterable[int]) -> bool:
    return not any(running(pid) for pid in pids)


@dataclass
class Laid:
    """A job's workspace as a backend lays it, and the runner's three commands."""

    folder: Path
    stack: ExitStack

    @property
    def beside(self) -> Path:
        return self.folder / ".flywheel"

    def start(
        self, *options: str, stdin: int = subprocess.DEVNULL, cwd: Path | None = None, folder: str = ""
    ) -> subprocess.Popen[bytes]:
        """`run`, detached: its output goes to the file."""
        with (self.beside / "output").open("ab") as output:
            command = [*RUNNER, "run", folder or str(self.folder), *options]
            return self._process(command, stdin=stdin, stdout=output, stderr=output, cwd=cwd)

    def run(self, *options: str, **more: Any) -> int:
        """`run`, until it has ended: its status."""
        return self.start(*options, **more).wait(PATIENCE)

    def follow(self, offset: int = 0) -> subprocess.Popen[bytes]:
        return self._process([*RUNNER, "follow", str(self.folder), str(offset)], stdout=subprocess.PIPE)

    def stop(self) -> int:
        return subprocess.run([*RUNNER, "stop", self.folder], env=ENVIRONMENT, timeout=PATIENCE).returncode

    @property
    def output(self) -> str:
        return (self.beside / "output").read_text()

    @property
    def ending(self) -> dict[str, Any]:
        return json.loads((self.beside / "ending.json").read_text())

    @property
    def has_ended(self) -> bool:
        return (self.beside / "ending.json").exists()

    def pids(self) -> list[int]:
        """What the job says of its family, once it has."""
        wait_for(lambda: "pid " in self.output and self.output.endswith("\n"), f"pids in {self.output!r}")
        (line,) = (line for line in self.output.splitlines() if line.startswith("pid "))
        return [int(number) for number in line.split()[1:]]

    def _process(self, command: list[str], **more: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True, **more)
        self.stack.enter_context(process)
        self.stack.callback(process.kill)
        return process


Lay = Callable[..., Laid]


@pytest.fixture
def lay(tmp_path: Path) -> Iterator[Lay]:
    with ExitStack() as stack:

        def laid(*argv: str, files: Mapping[str, int] | None = None, **fields: Any) -> Laid:
            folder = tmp_path / "work space"
            (folder / ".flywheel").mkdir(parents=True)
            job = {"argv": argv, "timeout": 30.0, "grace": 0.3, "outputs": [], "files": files or {}, **fields}
            (folder / ".flywheel" / "job.json").write_text(json.dumps(job))
            return Laid(folder, stack)

        yield laid


def sh(script: str) -> tuple[str, str, str]:
    return ("sh", "-c", script)


def python(code: str) -> tuple[str, str, str]:
    return ("python", "-c", code)


# --- endings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "fields", "status", "ending"),
    [
        pytest.param(sh("true"), {}, 0, {"exit_code": 0}, id="ends well"),
        pytest.param(sh("exit 3"), {}, 3, {"exit_code": 3}, id="fails"),
        pytest.param(sh("exit 137"), {}, 137, {"exit_code": 137}, id="an exit code like a signal's"),
        pytest.param(sh("kill -9 $$"), {}, 137, {"exit_code": -9}, id="killed"),
        pytest.param(sh("kill -TERM $$"), {}, 143, {"exit_code": -15}, id="terminated"),
        pytest.param(
            sh("exec sleep 60"),
            {"timeout": 0.3},
            143,
            {"exit_code": -15, "stopped": "time-out"},
            id="takes too long",
        ),
        pytest.param(
            python(f"{STUBBORN}import time; time.sleep(60)"),
            {"timeout": 0.5},
            137,
            {"exit_code": -9, "stopped": "time-out"},
            id="takes too long and ignores TERM",
        ),
        pytest.param(
            ("no-such-command", "x"),
            {},
            NOT_STARTED,
            {"exit_code": None, "error": "No such file or directory: no-such-command"},
            id="no such command",
        ),
        pytest.param(
            ("/dev/null",),
            {},
            NOT_STARTED,
            {"exit_code": None, "error": "Permission denied: /dev/null"},
            id="not a program",
        ),
    ],
)
def test_how_it_ended_is_noted_and_is_its_status(
    lay: Lay, argv: tuple[str, ...], fields: dict[str, Any], status: int, ending: dict[str, Any]
) -> None:
    job = lay(*argv, **fields)
    assert job.run() == status
    seconds = job.ending["seconds"]
    assert job.ending == {"stopped": None, "error": None, "problems": [], "seconds": seconds, **ending}
    assert fields.get("timeout", 0.0) <= seconds < 5
    assert not list(job.beside.glob("*.part"))


def test_seconds_are_those_of_the_command(lay: Lay) -> None:
    job = lay(*sh("sleep 0.3"))
    job.run()
    assert 0.3 <= job.ending["seconds"] < 3


def test_the_command_starts_in_the_folder_its_lines_are_the_output(lay: Lay) -> None:
    job = lay(*sh("pwd; echo err >&2; cat; echo not ended | tr -d '\\n'"))
    job.run()
    assert job.output == f"{job.folder}\nerr\nnot ended"


def test_python_is_the_runners_own_and_knows_flywheel(lay: Lay) -> None:
    job = lay(*python("import flywheel, sys; print(sys.executable)"))
    job.run()
    assert job.output == f"{sys.executable}\n"


def test_a_relative_folder_is_as_good(lay: Lay) -> None:
    job = lay(*sh("echo here > deep/out"), outputs=["deep/out"])
    assert job.run(cwd=job.folder.parent, folder=job.folder.name) == 0
    assert job.ending["exit_code"] == 0
    assert (job.folder / "deep" / "out").read_text() == "here\n"


def test_folders_of_outputs_are_there_before_the_command_starts(lay: Lay) -> None:
    job = lay(*sh("echo x > deep/er/out && echo y > top"), outputs=["deep/er/out", "top"])
    assert job.run() == 0


@pytest.mark.parametrize(
    ("target", "found"),
    [
        pytest.param("real", "content", id="to a file"),
        pytest.param("nowhere", None, id="to nothing"),
        pytest.param("out", None, id="to itself"),
    ],
)
def test_an_output_that_is_a_link_is_made_a_file(lay: Lay, target: str, found: str | None) -> None:
    """Where the folder is seen from outside under another name, an absolute link leads elsewhere."""
    job = lay(*sh(f'printf content > real; ln -s "$PWD/{target}" out'), outputs=["out"])
    assert job.run() == 0
    out = job.folder / "out"
    assert not out.is_symlink()
    assert (out.read_text() if out.exists() else None) == found


# --- files and variables ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        pytest.param({"in.txt": 5, "deep/er.txt": 5}, [], id="whole"),
        pytest.param({"in.txt": 9}, ["in.txt: 5 bytes are there, 9 were sent"], id="cut"),
        pytest.param({"in.txt": 0}, ["in.txt: 5 bytes are there, 0 were sent"], id="of another job"),
        pytest.param({"no.txt": 5}, ["no.txt: is not there"], id="missing"),
        pytest.param({"deep": 5}, ["deep: is not there"], id="a folder instead"),
        pytest.param(
            {"no.txt": 5, "in.txt": 4, "deep/er.txt": 5},
            ["no.txt: is not there", "in.txt: 5 bytes are there, 4 were sent"],
            id="two of three",
        ),
    ],
)
def test_every_file_is_looked_at_before_the_command_starts(
    lay: Lay, files: dict[str, int], problems: list[str]
) -> None:
    job = lay(*sh("touch started"), files=files)
    (job.folder / "deep").mkdir()
    for name in ("in.txt", "deep/er.txt"):
        (job.folder / name).write_text("12345")
    assert job.run() == (NOT_STARTED if problems else 0)
    assert job.ending["problems"] == problems
    assert (job.folder / "started").exists() == (not problems)


def test_variables_are_seen_by_the_job_and_nowhere_else(lay: Lay) -> None:
    code = (
        "import os; print(os.environ['API_KEY'] == 's3' + 'cret', os.environ['PYTHONUNBUFFERED'],\n"
        "os.path.exists('.flywheel/environment'), b's3' + b'cret' in open('/proc/self/cmdline', 'rb').read())"
    )
    job = lay(*python(code))
    (job.beside / "environment").write_text(json.dumps({"API_KEY": "s3cret"}))
    assert job.run() == 0
    assert job.output == "True 1 False False\n"
    for path in filter(Path.is_file, job.folder.rglob("*")):
        assert "s3cret" not in path.read_text(), path


@pytest.mark.parametrize(
    ("fields", "earlier"),
    [
        pytest.param({"files": {"no.txt": 5}}, False, id="a file is missing"),
        pytest.param({"argv": ["no-such-command"]}, False, id="no such command"),
        pytest.param({}, True, id="it has finished before"),
    ],
)
def test_variables_are_removed_even_if_the_command_does_not_start(
    lay: Lay, fields: dict[str, Any], earlier: bool
) -> None:
    job = lay(**{"argv": sh("true"), **fields})
    if earlier:
        job.run()
    (job.beside / "environment").write_text(json.dumps({"API_KEY": "s3cret"}))
    assert job.run() == NOT_STARTED
    assert not (job.beside / "environment").exists()


def test_what_the_job_names_wins(lay: Lay) -> None:
    job = lay(*sh("echo $PYTHONUNBUFFERED $LANG"))
    (job.beside / "environment").write_text(json.dumps({"PYTHONUNBUFFERED": "", "LANG": "C.UTF-8"}))
    job.run()
    assert job.output.split() == ["C.UTF-8"]


# --- once only ----------------------------------------------------------------------------------------


def test_a_job_that_has_finished_is_not_run_again(lay: Lay) -> None:
    job = lay(*sh("echo ran >> count; exit 3"))
    assert job.run() == 3
    ending = job.ending
    assert job.run() == NOT_STARTED
    assert "not started again" in job.output
    assert job.ending == ending
    assert (job.folder / "count").read_text() == "ran\n"


def test_a_job_that_runs_is_not_run_again(lay: Lay) -> None:
    job = lay(*sh("echo ran >> count; while [ ! -e go ]; do sleep 0.02; done"))
    first = job.start()
    wait_for((job.folder / "count").exists, "the job to start")
    # Variables that are sent once more belong to whoever sent them: the first runner has its own.
    assert job.run() == NOT_STARTED
    assert not job.has_ended
    (job.folder / "go").touch()
    assert first.wait(PATIENCE) == 0
    assert (job.folder / "count").read_text() == "ran\n"


def test_who_looks_whether_a_runner_lives_does_not_keep_it_from_starting(lay: Lay) -> None:
    """The look takes the lock for an instant; here for a long one."""
    job = lay(*sh("true"))
    look = Workspace(job.folder).taken()
    assert look is not None
    runner = job.start()
    time.sleep(0.25)
    os.close(look)
    assert runner.wait(PATIENCE) == 0, job.output


# --- stopping -----------------------------------------------------------------------------------------


def test_stop_returns_when_nothing_is_left(lay: Lay) -> None:
    """Of a job that ignores TERM, and of what it started."""
    job = lay(*python(f"{STUBBORN}{FAMILY}time.sleep(60)"))
    runner = job.start()
    pids = job.pids()
    assert job.stop() == 0
    assert gone(pids)
    assert job.ending["stopped"] == "request"
    assert job.ending["exit_code"] == -9
    runner.wait(PATIENCE)


def test_a_job_may_tidy_up_within_its_grace(lay: Lay) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), print('tidied'), sys.exit(0)))\n"
        "print('pid 1')\ntime.sleep(60)"
    )
    # No longer than the job needs: waiting for this would not end before the test is ended.
    job = lay(*python(code), grace=3600.0)
    job.start()
    job.pids()
    assert job.stop() == 0
    assert job.output.endswith("tidied\n")
    assert (job.ending["exit_code"], job.ending["stopped"]) == (0, "request")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda each: each.name)
def test_a_signal_to_the_runner_stops_the_job(lay: Lay, number: signal.Signals) -> None:
    job = lay(*python(f"{FAMILY}time.sleep(60)"))
    runner = job.start()
    pids = job.pids()
    runner.send_signal(number)
    assert runner.wait(PATIENCE) == 143
    assert gone(pids)
    assert job.ending["stopped"] == "request"


def test_a_job_ends_with_its_lifeline(lay: Lay) -> None:
    job = lay(*python(f"{FAMILY}time.sleep(60)"))
    runner = job.start("--lifeline", stdin=subprocess.PIPE)
    assert runner.stdin is not None
    runner.stdin.write(b"{}\n")
    runner.stdin.flush()
    pids = job.pids()
    assert not gone(pids)
    runner.stdin.close()
    assert runner.wait(PATIENCE) == 143
    assert gone(pids)
    assert job.ending["stopped"] == "request"


def test_a_lifeline_begins_with_variables(lay: Lay) -> None:
    """They are nowhere else, and win over those in the file."""
    job = lay(*sh("echo $WORD $OTHER"))
    (job.beside / "environment").write_text(json.dumps({"WORD": "of the file", "OTHER": "kept"}))
    runner = job.start("--lifeline", stdin=subprocess.PIPE)
    assert runner.stdin is not None
    runner.stdin.write(json.dumps({"WORD": "sent\nin two lines"}).encode() + b"\n")
    runner.stdin.flush()
    assert runner.wait(PATIENCE) == 0
    assert job.output == "sent in two lines kept\n"


@pytest.mark.parametrize("sent", [b"", b'{"WORD": '], ids=["nothing", "a part"])
def test_a_lifeline_that_ends_before_the_variables_came_starts_nothing(lay: Lay, sent: bytes) -> None:
    job = lay(*sh("touch started"))
    runner = job.start("--lifeline", stdin=subprocess.PIPE)
    assert runner.stdin is not None
    runner.stdin.write(sent)
    runner.stdin.close()
    assert runner.wait(PATIENCE) == NOT_STARTED
    assert job.ending["stopped"] == "request"
    assert not (job.folder / "started").exists()


def test_without_a_lifeline_standard_input_may_end(lay: Lay) -> None:
    job = lay(*sh("sleep 0.3; exit 4"))
    assert job.run(stdin=subprocess.DEVNULL) == 4
    assert job.ending["stopped"] is None


def test_a_stop_that_comes_before_the_start_holds(lay: Lay) -> None:
    """Its backend gave it up while the machine was still starting it."""
    job = lay(*sh("touch started"))
    assert job.stop() == LOST
    assert job.run() == NOT_STARTED
    assert job.ending["stopped"] == "request"
    assert not (job.folder / "started").exists()


def test_stopping_what_has_ended_changes_nothing(lay: Lay) -> None:
    job = lay(*sh("exit 3"))
    job.run()
    ending = job.ending
    assert job.stop() == 0
    assert job.ending == ending


@ON_LINUX
@pytest.mark.parametrize("trap", ["", STUBBORN], ids=["obeys TERM", "ignores TERM"])
def test_what_a_job_leaves_running_is_ended(lay: Lay, trap: str) -> None:
    """Also a process in a session of its own, whose parent has ended; and nothing of it counts."""
    sleeper = f"{trap}print('pid', __import__('os').getpid(), flush=True); __import__('time').sleep(60)"
    code = (
        "import subprocess, sys\n"
        f"far = subprocess.Popen([sys.executable, '-c', {sleeper!r}], start_new_session=True, "
        "stdout=subprocess.PIPE, text=True)\n"
        "print(far.stdout.readline(), end='')"
    )
    job = lay(*python(code))
    assert job.run() == 0
    assert gone(job.pids())
    assert (job.ending["exit_code"], job.ending["stopped"]) == (0, None)


@ON_LINUX
def test_a_killed_runner_takes_its_job_along_and_is_said_to_be_lost(lay: Lay) -> None:
    job = lay(*python("import os, time; print('pid', os.getpid()); time.sleep(60)"))
    runner = job.start()
    pids = job.pids()
    follower = job.follow()
    runner.kill()
    said, _ = follower.communicate(timeout=PATIENCE)
    assert follower.returncode == LOST
    assert said.decode() == job.output
    assert job.stop() == LOST
    assert not job.has_ended
    wait_for(lambda: gone(pids), "the job to end with its runner")


# --- following ----------------------------------------------------------------------------------------


def test_output_is_followed_while_it_grows_and_to_its_end(lay: Lay) -> None:
    """The job waits for an answer to its line: it ends only if the line was delivered meanwhile."""
    job = lay(*sh("echo 50%; while [ ! -e answer ]; do sleep 0.02; done; seq 20000; printf last"))
    job.start()
    wait_for(lambda: job.output, "the first line")
    follower = job.follow()
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"50%\n"
    assert not job.has_ended
    (job.folder / "answer").touch()
    rest = follower.stdout.read()
    assert follower.wait(PATIENCE) == 0
    assert job.has_ended
    assert rest.decode() == "".join(f"{number}\n" for number in range(1, 20001)) + "last"


def test_after_a_lost_connection_nothing_is_lost_and_nothing_comes_twice(lay: Lay) -> None:
    """Followers are killed in the middle; each next one goes on behind the last byte that came."""
    code = (
        "import sys, time\n"
        "for number in range(400):\n"
        "    sys.stdout.buffer.write(b'%d \\xff\\xe2\\x82 \\r' % number * 20); sys.stdout.flush(); time.sleep(.002)"
    )
    job = lay(*python(code))
    job.start()
    wait_for(lambda: job.beside.joinpath("lock").exists(), "the runner")
    heard = b""
    for pieces in (1, 3, 7):
        follower = job.follow(len(heard))
        assert follower.stdout is not None
        for _ in range(pieces):
            heard += os.read(follower.stdout.fileno(), 997)
        follower.kill()
        follower.communicate()
    last = job.follow(len(heard))
    heard += last.communicate(timeout=PATIENCE)[0]
    assert last.returncode == 0
    assert heard == (job.beside / "output").read_bytes()
    assert heard == b"".join(b"%d \xff\xe2\x82 \r" % number * 20 for number in range(400))


@pytest.mark.parametrize(
    ("offset", "said"),
    [
        pytest.param(0, b"one\ntwo\n", id="from the beginning"),
        pytest.param(4, b"two\n", id="from the middle"),
        pytest.param(8, b"", id="from the end"),
    ],
)
def test_what_has_ended_can_still_be_followed(lay: Lay, offset: int, said: bytes) -> None:
    job = lay(*sh("echo one; echo two; exit 3"))
    job.run()
    follower = job.follow(offset)
    assert follower.communicate(timeout=PATIENCE)[0] == said
    assert follower.returncode == 0, "the status says that there is an ending, not which"


def test_what_was_never_started_is_lost(lay: Lay) -> None:
    job = lay(*sh("true"))
    assert job.follow().wait(PATIENCE) == LOST
