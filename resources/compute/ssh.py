"""A job on another machine, by plain ssh and rsync: brought there, started detached, followed, brought back.

The job is detached from its connection and writes its lines to a file there (see `compute.programs.runner`), so a
connection may break at any moment: what was under way is done again, and lines go on behind the last byte read.
"""

import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Final

from flywheel.compute.job import ComputeJob, JobError, JobNotStarted, Seconds
from flywheel.compute.programs.runner import LOST
from flywheel.errors import FlywheelError
from resources.compute.commands import Ended, RunningCommand, run_command
from resources.compute.shipment import FOLDER, Ending, StageInFailed, runner_environment

__all__ = ["ConnectionLost", "Container", "Host", "RemoteJob", "end_job"]

Say = Callable[[str], None]

_CONNECTION: Final = 255
"""The status of ssh where the connection failed, rather than the command."""
_BROKEN_TRANSFER: Final = (10, 12, 30, 35, _CONNECTION)
"""Those of rsync: socket, protocol stream, time-outs, and ssh's own."""
_PARTLY: Final = 23
"""That of rsync where some files could not be copied."""
_QUICK: Final[Seconds] = 60.0
_TRANSFER: Final[Seconds] = 6 * 3600.0
_PULL: Final[Seconds] = 2 * 3600.0
_START_WITHIN: Final = 60
_LONGEST_PAUSE: Final[Seconds] = 20.0
_BEYOND: Final[Seconds] = 600.0
"""How much longer than its time-out a job may take to end before it is given up."""
_OPTIONS: Final[Mapping[str, str]] = {
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "LogLevel": "ERROR",
    # What the configuration that is written for people's shells sets: a shared connection would outlive us, the
    # agent's keys are not for a rented machine, and a terminal or a command of its own would spoil the bytes.
    "ControlMaster": "no",
    "ControlPath": "none",
    "ForwardAgent": "no",
    "AddKeysToAgent": "no",
    "ClearAllForwardings": "yes",
    "RequestTTY": "no",
    "RemoteCommand": "none",
}


class ConnectionLost(FlywheelError):
    """A machine that could not be reached again."""

    def __init__(self, host: str, doing: str, reason: str) -> None:
        super().__init__(f"{host} cannot be reached any more while {doing}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine that ssh knows by `name`.

    Args:
        name: an alias of ssh's configuration.
        config: a configuration file instead of ssh's own.
        patience: for how many seconds a lost connection is tried again.
        why_gone: asked between the attempts; a reason ends them. None where the machine should be there.
    """

    name: str
    config: str = ""
    patience: Seconds = 900.0
    why_gone: Callable[[], str | None] = lambda: None

    @property
    def _ssh(self) -> list[str]:
        options = [word for name, value in _OPTIONS.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", *(["-F", self.config] if self.config else []), *options]

    def command(self, script: str) -> list[str]:
        """The command line that runs a POSIX shell script there. Anybody can read it: no keys."""
        # sh, whatever the user's own shell is.
        return [*self._ssh, self.name, shlex.join(["sh", "-c", script])]

    def once(self, script: str, *, timeout: Seconds = _QUICK) -> Ended:
        """Run a script there, in one attempt."""
        return run_command(self.command(script), timeout=timeout)

    def run(self, script: str, doing: str, say: Say, *, timeout: Seconds = _QUICK) -> Ended:
        """Run a script there that may be repeated; raises `ConnectionLost` in the end."""
        attempt = self.command(script)
        return self._persist(
            lambda: run_command(attempt, timeout=timeout, progress=_progress(say, doing)), doing, say
        )

    def send(self, content: bytes, script: str, doing: str, say: Say) -> Ended:
        """Run a script there that reads `content` from its standard input, which no command line shows."""

        def attempt() -> Ended:
            try:
                done = subprocess.run(
                    self.command(script),
                    input=content,
                    capture_output=True,
                    timeout=_QUICK,
                    start_new_session=True,
                )
            except subprocess.TimeoutExpired:
                return Ended(_CONNECTION, b"", f"no end after {_QUICK:g} s".encode())
            return Ended(done.returncode, done.stdout, done.stderr)

        return self._persist(attempt, doing, say)

    def copy(self, arguments: Sequence[str], source: str, target: str, doing: str, say: Say) -> Ended:
        """`rsync` with `arguments`; what is there already is not sent again after a broken connection."""
        command = ["rsync", "-rltp", "--partial", "--info=progress2", "--protect-args"]
        command += [*arguments, "-e", shlex.join(self._ssh), source, target]
        return self._persist(
            lambda: run_command(command, timeout=_TRANSFER, progress=_progress(say, doing)),
            doing,
            say,
            broken=_BROKEN_TRANSFER,
        )

    def pauses(self, doing: str, say: Say) -> "Pauses":
        """The growing pauses between attempts to reach it again."""
        return Pauses(self, doing, say)

    def _persist(
        self,
        attempt: Callable[[], Ended],
        doing: str,
        say: Say,
        *,
        broken: Sequence[int] = (_CONNECTION,),
    ) -> Ended:
        pauses = self.pauses(doing, say)
        while True:
            done = attempt()
            # A full disk there breaks rsync's connection as well, and trying again does not help.
            if done.exit_code not in broken or b"No space left" in done.errors:
                return done
            pauses.take(done.words)


class Pauses:
    """The pauses of one lost connection: growing, announced, and at last an error."""

    def __init__(self, host: Host, doing: str, say: Say) -> None:
        self._host = host
        self._doing = doing
        self._say = say
        self.reset()

    def reset(self) -> None:
        """The connection is there again."""
        self._lost_at: float | None = None
        self._pause = 1.0

    def take(self, words: str) -> None:
        """Wait before the next attempt; raises `ConnectionLost` where there shall be none."""
        now = time.monotonic()
        self._lost_at = now if self._lost_at is None else self._lost_at
        if reason := self._host.why_gone():
            raise ConnectionLost(self._host.name, self._doing, f"{reason} ({words})")
        if now - self._lost_at >= self._host.patience:
            raise ConnectionLost(self._host.name, self._doing, f"{words}, for {now - self._lost_at:.0f} s")
        self._say(
            f"the connection to {self._host.name} was lost while {self._doing} ({words}); "
            f"trying again in {self._pause:g} s"
        )
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


def _progress(say: Say, doing: str) -> Say:
    return lambda how_far: say(f"{doing}: {how_far}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The container that a job runs in on its machine.

    Args:
        image: e.g. ``nvcr.io/nvidia/nemo:25.11.01``.
        name: of the container.
        gpus, network: whether it has them.
    """

    image: str
    name: str
    gpus: bool
    network: bool

    seen_at: ClassVar[PurePosixPath] = PurePosixPath("/workspace")

    def run(self, root: PurePosixPath, runner: str, output: PurePosixPath) -> str:
        """The command that starts `runner` in it, detached, with the folder `root` of the machine as its workspace."""
        home = self.seen_at / FOLDER / "home"
        words = ["docker", "run", "--detach", "--rm", "--name", self.name]
        words += ["--gpus", "all"] if self.gpus else []
        words += [] if self.network else ["--network", "none"]
        words += ["--shm-size", "8g", "--volume", f"{root}:{self.seen_at}", "--workdir", str(self.seen_at)]
        # The machine's user is unknown in the container: it has no home there, and no name.
        words += ["--env", f"HOME={home}", "--env", "USER=flywheel"]
        started = shlex.join([self.image, "sh", "-c", f"exec {runner} >> {shlex.quote(str(output))} 2>&1"])
        return f'{shlex.join(words)} --user "$(id -u):$(id -g)" {started} > /dev/null'


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteJob:
    """A job in the folder `root` of a machine.

    Args:
        job: what to run.
        host: where.
        root: the workspace's absolute path there.
        python: what runs the job: the machine's own Python, 3.11 or later, or the container's.
        container: where it does not run on the machine itself.
    """

    job: ComputeJob
    host: Host
    root: PurePosixPath
    python: str
    container: Container | None = None

    @property
    def seen_at(self) -> PurePosixPath:
        """Where the job sees its workspace."""
        return self.container.seen_at if self.container else self.root

    @property
    def python_there(self) -> str:
        """The machine's own Python. Beside a container `python3` is all that is sure, and enough to follow a job."""
        return "python3" if self.container else self.python

    def prepare(self, say: Say) -> None:
        """Have the container's image there; raises `StageInFailed`."""
        if self.container is None:
            return
        image = shlex.quote(self.container.image)
        pull = f"docker image inspect {image} > /dev/null 2>&1 || docker pull {image}"
        done = self.host.run(pull, f"pulling {self.container.image}", say, timeout=_PULL)
        if done.exit_code != 0:
            raise StageInFailed(self.job, f"docker pull {self.container.image}: {done.words}")

    def upload(self, packed: Path, say: Say) -> None:
        """Bring a packed workspace there; raises `StageInFailed`."""
        sizes = [path.stat().st_size for path in packed.rglob("*") if path.is_file()]
        size = f"{sum(sizes) / 1e6:.1f} MB"
        say(f"uploading {len(sizes)} files, {size}, to {self.host.name}")
        # In blocks of 4 KiB, as disks give them away.
        self._make_room(sum(-(-each // 4096) * 4 for each in sizes), say)
        target = f"{self.host.name}:{self.root}/"
        done = self.host.copy([], f"{packed}/", target, f"uploading {size}", say)
        if done.exit_code != 0:
            raise StageInFailed(self.job, f"rsync to {self.host.name}: {done.words}")

    def _make_room(self, needed_kib: int, say: Say) -> None:
        """Make the workspace's folder, and look at the disk: rsync may lose its words about a full one."""
        script = f"umask 077; mkdir -p {self._at()} && df -Pk {self._at()} | tail -n 1"
        done = self.host.run(script, "making the workspace", say)
        if done.exit_code != 0:
            raise StageInFailed(self.job, done.words)
        # Filesystem, blocks, used, available, capacity, where.
        columns = done.output.decode("utf-8", "replace").split()
        if len(columns) >= 6 and columns[3].isdigit() and int(columns[3]) < needed_kib:
            raise StageInFailed(
                self.job,
                f"no space left on {self.host.name}: {self.root} has {int(columns[3]) / 1024:.1f} MiB, "
                f"{needed_kib / 1024:.1f} MiB are needed; use a machine with a larger disk",
            )

    def give(self, environment: bytes, say: Say) -> None:
        """Write the job's variables, a JSON object, to a file that only its owner can read; raises `StageInFailed`."""
        file = self._at(FOLDER, "environment")
        script = f"umask 077; cat > {file}.part && mv {file}.part {file}"
        done = self.host.send(environment, script, "sending the job's variables", say)
        if done.exit_code != 0:
            raise StageInFailed(self.job, done.words)

    def start(self, say: Say) -> None:
        """Start the runner, detached; returns when it has begun. Raises `JobNotStarted`."""
        waits = self._at(FOLDER, "environment")
        launch, alive = self._launch()
        # One of several attempts makes the folder `begun`. The runner has begun when it took its variables away.
        script = f"""
            mkdir -p {self._at(FOLDER, "home")}
            if mkdir {self._at(FOLDER, "begun")} 2> /dev/null; then {launch}; fi
            n=0
            while [ -e {waits} ] && [ $n -lt {10 * _START_WITHIN} ] && {alive}; do sleep 0.1; n=$((n + 1)); done
            [ ! -e {waits} ] || sleep 1
            [ ! -e {waits} ] || {{ tail -n 5 {self._at(FOLDER, "output")} >&2; exit 1; }}"""
        done = self.host.run(script, "starting the job", say, timeout=_START_WITHIN + _QUICK)
        if done.exit_code != 0:
            raise JobNotStarted(self.job, done.words)

    def follow(self, say: Say) -> Iterator[bytes]:
        """What the job writes, as it comes, until it has ended; raises `JobError` where that cannot be told.

        After a lost connection it goes on behind the last byte that came.
        """
        offset = 0
        latest = time.monotonic() + self.job.timeout + _BEYOND
        pauses = self.host.pauses(f"job {self.job.name} runs there", say)
        while True:
            command = self.host.command(self._runner("follow", str(offset)))
            with RunningCommand(command, timeout=max(_QUICK, latest - time.monotonic())) as running:
                while not running.finished:
                    if data := running.read(1.0):
                        pauses.reset()
                        offset += len(data)
                        yield data
                done = running.ended()
            if done.exit_code in (0, LOST):
                return
            if done.exit_code != _CONNECTION:
                raise JobError(f"job {self.job.name} could not be followed on {self.host.name}: {done.words}")
            pauses.take(done.words)
            say(f"joining job {self.job.name} on {self.host.name} again, behind byte {offset} of its lines")

    def ending(self, say: Say) -> Ending | None:
        """How it ended; None where the runner did not say."""
        file = self._at(FOLDER, "ending.json")
        done = self.host.run(f"[ ! -e {file} ] || cat {file}", "asking how the job ended", say)
        if done.exit_code != 0:
            raise JobError(f"job {self.job.name}: how it ended cannot be read: {done.words}")
        return Ending.from_json(done.output) if done.output.strip() else None

    def download(self, to: Path, say: Say) -> None:
        """Bring those outputs that are there into the folder `to`; raises `JobError` where that fails."""
        to.mkdir(parents=True, exist_ok=True)
        names = to.with_name(f"{to.name}.names")
        names.write_bytes(b"".join(name.encode() + b"\0" for name in self.job.outputs))
        arguments = ["--copy-links", "--ignore-missing-args", "--from0", f"--files-from={names}"]
        source = f"{self.host.name}:{self.root}/"
        done = self.host.copy(arguments, source, f"{to}/", "bringing the outputs back", say)
        some_missing = any(not (to / name).is_file() for name in self.job.outputs)
        # Links that lead nowhere are missing outputs, which is for the caller to say.
        if done.exit_code != 0 and not (done.exit_code == _PARTLY and some_missing):
            raise JobError(f"job {self.job.name}: its outputs could not be brought back: {done.words}")

    def _at(self, *below: str) -> str:
        return shlex.quote(str(self.root.joinpath(*below)))

    def _runner(self, asked: str, *arguments: str) -> str:
        return _runner(self.python_there, self.root, asked, *arguments)

    def _launch(self) -> tuple[str, str]:
        """Shell commands that start the runner, detached, and that tell whether it is still there."""
        runner = _runner(self.python, self.seen_at, "run")
        if self.container:
            output = self.seen_at / FOLDER / "output"
            there = f"docker inspect {shlex.quote(self.container.name)} > /dev/null 2>&1"
            return self.container.run(self.root, runner, output), there
        pid = self._at(FOLDER, "begun", "pid")
        started = f"nohup setsid {runner} >> {self._at(FOLDER, 'output')} 2>&1 < /dev/null & echo $! > {pid}"
        return started, f'kill -0 "$(cat {pid})" 2> /dev/null'


def end_job(
    host: Host, root: PurePosixPath, *, python: str, container: str, within: Seconds, remove: bool
) -> str | None:
    """End the job in the folder `root` of a machine if it runs, in one attempt; with `remove` the folder goes, too.

    Returns why that failed, None where it did not. `container` is the name of its container, empty without one.
    """
    folder = shlex.quote(str(root))
    steps = [f"[ ! -d {folder} ] || {_runner(python, root, 'stop')} > /dev/null 2>&1"]
    if container:
        steps.append(f"docker rm -f {shlex.quote(container)} > /dev/null 2>&1")
    steps.append(f"rm -rf {folder}" if remove else "true")
    done = host.once("; ".join(steps), timeout=within)
    return None if done.exit_code == 0 else done.words


def _runner(python: str, root: PurePosixPath, asked: str, *arguments: str) -> str:
    variables = [f"{name}={value}" for name, value in runner_environment(root).items()]
    return shlex.join(
        ["env", *variables, python, "-m", "flywheel.compute.programs.runner", asked, str(root), *arguments]
    )
