"""The local backend against real processes, real signals and real kills."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from flywheel.compute.job import (
    ComputeBackend,
    ComputeJob,
    InputMissing,
    JobFailed,
    JobNotStarted,
    JobTimedOut,
    OutputMissing,
)
from flywheel.corpus.audio_headers import AudioError
from flywheel.corpus.manifest import ManifestRow, read_manifest, write_manifest
from flywheel.errors import FlywheelError
from resources.compute import BACKENDS, backend_named
from resources.compute.leases import Leases
from resources.compute.local import LocalBackend
from resources.compute.settings import Settings

REPOSITORY = Path(__file__).parents[3]
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="rests on what only the Linux kernel offers")
STUBBORN = (
    "import signal; [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)]"
)


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(work_root=tmp_path / "work", grace=0.5)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def shell(script: str, **fields: object) -> ComputeJob:
    return ComputeJob(**{"name": "test", "argv": ("sh", "-c", script), "timeout": 30.0, **fields})


def python(code: str, **fields: object) -> ComputeJob:
    return ComputeJob(**{"name": "test", "argv": ("python", "-c", code), "timeout": 30.0, **fields})


def ignore(_: str) -> None:
    """For jobs whose lines do not matter."""


def lines_of(backend: LocalBackend, job: ComputeJob, out: Path) -> list[str]:
    lines: list[str] = []
    backend.run(job, out, lines.append)
    return lines


def running(pid: int) -> bool:
    """Whether the process exists and is more than a zombie."""
    status = Path(f"/proc/{pid}/stat")
    if status.parent.parent.joinpath("self").exists():
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pids: Iterable[int], within: float = 0.0) -> bool:
    deadline = time.monotonic() + within
    left = [pid for pid in pids if running(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [pid for pid in left if running(pid)]
    return not left


def pids_in(lines: Iterable[str]) -> list[int]:
    return [int(line.removeprefix("pid ")) for line in lines if line.startswith("pid ")]


def workspaces(backend: LocalBackend) -> list[str]:
    return sorted(path.name for path in backend.work_root.glob("*") if path.name != "lock")


def swept(backend: LocalBackend, out: Path, within: float = 5.0) -> bool:
    """Whether runs of other jobs remove all workspaces, once the supervisors that use them are gone."""
    deadline = time.monotonic() + within
    backend.run(shell("true"), out, ignore)
    while workspaces(backend) and time.monotonic() < deadline:
        time.sleep(0.05)
        backend.run(shell("true"), out, ignore)
    return not workspaces(backend)


# --- files -------------------------------------------------------------------------------------------


def test_inputs_are_there_and_outputs_come_back(backend: LocalBackend, out: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("cefazolin\n")
    job = shell(
        "ls -R . && tr a-z A-Z < data/in.txt > upper.txt && cp data/in.txt deep/er/copy.txt && touch other",
        inputs={"data/in.txt": words},
        outputs=("upper.txt", "deep/er/copy.txt"),
    )
    outcome = backend.run(job, out, ignore)
    assert outcome.exit_code == 0
    assert dict(outcome.outputs) == {
        "upper.txt": out / "upper.txt",
        "deep/er/copy.txt": out / "deep" / "er" / "copy.txt",
    }
    assert outcome.outputs["upper.txt"].read_text() == "CEFAZOLIN\n"
    assert outcome.outputs["deep/er/copy.txt"].read_text() == "cefazolin\n"
    assert sorted(path.name for path in out.iterdir()) == ["deep", "upper.txt"], "only what the job names"
    assert words.read_text() == "cefazolin\n"
    assert workspaces(backend) == []


def test_every_job_has_a_fresh_workspace(backend: LocalBackend, out: Path) -> None:
    for _ in range(2):
        assert lines_of(backend, shell("ls -A; touch left-behind"), out) == []


def test_a_relative_work_root_and_relative_inputs_work(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("here\n")
    backend = LocalBackend(work_root=Path("work"))
    outcome = backend.run(
        shell("cat in.txt > o", inputs={"in.txt": Path("in.txt")}, outputs=("o",)), Path("res"), ignore
    )
    assert outcome.outputs["o"].read_text() == "here\n"


def test_missing_inputs_are_all_named_and_nothing_starts(
    backend: LocalBackend, out: Path, tmp_path: Path
) -> None:
    job = shell(
        f"touch {tmp_path}/started",
        inputs={"a": tmp_path / "no-a", "b": tmp_path},
        manifests={"m.jsonl": tmp_path / "no-m"},
    )
    with pytest.raises(InputMissing) as caught:
        backend.run(job, out, ignore)
    assert set(caught.value.missing) == {"a", "b", "m.jsonl"}
    assert not (tmp_path / "started").exists()


def test_missing_outputs_are_all_named_and_none_is_taken(backend: LocalBackend, out: Path) -> None:
    out.mkdir()
    (out / "a").write_text("of the last run")
    job = shell("echo new > a; mkdir c; echo almost there", outputs=("a", "b", "c"))
    with pytest.raises(OutputMissing) as caught:
        backend.run(job, out, ignore)
    assert caught.value.missing == ("b", "c")
    assert "did not leave b, c" in str(caught.value)
    assert "almost there" in str(caught.value)
    assert (out / "a").read_text() == "of the last run"


def test_a_failed_job_leaves_the_outputs_of_the_last_run(backend: LocalBackend, out: Path) -> None:
    out.mkdir()
    (out / "a").write_text("of the last run")
    with pytest.raises(JobFailed):
        backend.run(shell("echo new > a; exit 1", outputs=("a",)), out, ignore)
    assert (out / "a").read_text() == "of the last run"
    assert [path.name for path in out.iterdir()] == ["a"]


def test_an_output_that_links_to_an_input_is_copied(backend: LocalBackend, out: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_text("weights")
    job = shell("ln -s in/model best", inputs={"in/model": model}, outputs=("best",))
    best = backend.run(job, out, ignore).outputs["best"]
    assert best.read_text() == "weights"
    assert not best.is_symlink()
    assert model.read_text() == "weights"


def test_outputs_cross_file_systems(out: Path, tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    work_root = elsewhere / f"flywheel-test-{os.getpid()}"
    try:
        backend = LocalBackend(work_root=work_root)
        outcome = backend.run(shell("echo far > o", outputs=("o",)), out, ignore)
        assert outcome.outputs["o"].read_text() == "far\n"
        assert [path.name for path in out.iterdir()] == ["o"]
    finally:
        (work_root / "lock").unlink()
        work_root.rmdir()


def test_a_failed_jobs_workspace_is_kept_on_request(out: Path, tmp_path: Path) -> None:
    backend = LocalBackend(work_root=tmp_path / "work", keep_failed=True)
    with pytest.raises(JobFailed) as caught:
        backend.run(shell("echo half > partial; exit 1"), out, ignore)
    (name,) = workspaces(backend)
    kept = backend.work_root / name
    assert f"workspace kept in {kept}" in str(caught.value)
    backend.run(shell("true"), out, ignore)
    assert (kept / "partial").read_text() == "half\n", "the next run's sweep leaves it alone"
    assert workspaces(backend) == [name], "the workspace of a job that ended well is not kept"


# --- manifests ---------------------------------------------------------------------------------------


def write_wav(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"\1\0" * round(seconds * 16000))


def row(name: str, audio: str) -> ManifestRow:
    return ManifestRow(
        id=name,
        audio_filepath=audio,
        text="the weather is fine",
        duration=0.5,
        sampling_rate=16000,
        ipa_source="espeak_g2p",
        voice_id="espeak:en-us+m1",
        noise_level="clean",
        synthesis_group=name,
    )


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two rows, one whose path starts at the manifest and one that is absolute."""
    write_wav(tmp_path / "corpus" / "speech" / "one.wav", 0.5)
    write_wav(tmp_path / "cache" / "two.wav", 0.5)
    path = tmp_path / "corpus" / "manifest.jsonl"
    write_manifest(path, [row("one", "speech/one.wav"), row("two", str(tmp_path / "cache" / "two.wav"))])
    return path


def test_a_manifest_is_rewritten_for_the_job_and_the_original_stays(
    backend: LocalBackend, out: Path, tmp_path: Path, manifest: Path
) -> None:
    before = manifest.read_bytes()
    job = shell(
        "test ! -L in/rows.jsonl && cp in/rows.jsonl seen.jsonl",
        manifests={"in/rows.jsonl": manifest},
        outputs=("seen.jsonl",),
    )
    seen = read_manifest(backend.run(job, out, ignore).outputs["seen.jsonl"])
    assert [one.audio_filepath for one in seen] == [
        str(tmp_path / "corpus" / "speech" / "one.wav"),
        str(tmp_path / "cache" / "two.wav"),
    ]
    assert [one.id for one in seen] == ["one", "two"]
    assert manifest.read_bytes() == before


def test_audio_that_is_not_there_stops_the_job_before_it_starts(
    backend: LocalBackend, out: Path, tmp_path: Path, manifest: Path
) -> None:
    (tmp_path / "cache" / "two.wav").unlink()
    job = shell(f"touch {tmp_path}/started", manifests={"rows.jsonl": manifest})
    with pytest.raises(AudioError, match=r"two\.wav"):
        backend.run(job, out, ignore)
    assert not (tmp_path / "started").exists()
    assert workspaces(backend) == []


def test_a_broken_manifest_stops_the_job_before_it_starts(
    backend: LocalBackend, out: Path, tmp_path: Path, manifest: Path
) -> None:
    manifest.write_text('{"id": "one"}\n')
    job = shell(f"touch {tmp_path}/started", manifests={"rows.jsonl": manifest})
    with pytest.raises(FlywheelError, match=r"manifest\.jsonl"):
        backend.run(job, out, ignore)
    assert not (tmp_path / "started").exists()


# --- the job's surroundings --------------------------------------------------------------------------


def environment_of(backend: LocalBackend, out: Path, **fields: object) -> dict[str, str]:
    job = python("import os\nfor name in os.environ: print(name, os.environ[name], sep='=')", **fields)
    return dict(line.split("=", 1) for line in lines_of(backend, job, out))


def test_nothing_of_our_environment_leaks(
    backend: LocalBackend, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "HUME_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "PYTHONSTARTUP",
        "LD_LIBRARY_PATH",
        "OMP_NUM_THREADS",
    ):
        monkeypatch.setenv(name, "s3cret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    found = environment_of(backend, out, environment={"WANDB_MODE": "offline"})
    # LC_CTYPE is what Python itself sets where the locale is C.
    assert set(found) - {"LC_CTYPE"} == {
        *("PATH", "HOME", "LANG", "TMPDIR"),
        *("PYTHONUNBUFFERED", "PYTHONPATH", "CUDA_VISIBLE_DEVICES"),
        "WANDB_MODE",
    }
    assert "s3cret" not in found.values()
    assert found["WANDB_MODE"] == "offline"
    assert found["HOME"] == os.environ["HOME"]


@ON_LINUX
def test_no_process_of_the_job_holds_our_environment(
    backend: LocalBackend, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor's environment can be read by the job, so it must be as clean."""
    monkeypatch.setenv("HUME_API_KEY", "s3cret")
    code = "import os; print(open(f'/proc/{os.getppid()}/environ').read().count('s3cret'))"
    assert lines_of(backend, python(code), out) == ["0"]


def test_what_the_job_names_wins(backend: LocalBackend, out: Path) -> None:
    named = {"HOME": "/nowhere", "PYTHONUNBUFFERED": "", "PYTHONPATH": "/mine", "OMP_NUM_THREADS": "1"}
    found = environment_of(backend, out, environment=named)
    assert found["HOME"] == "/nowhere"
    assert found["OMP_NUM_THREADS"] == "1"
    assert found["PYTHONPATH"].split(os.pathsep)[-1] == "/mine"


@pytest.mark.parametrize(
    ("ours", "accelerator", "seen"),
    [
        pytest.param("1", True, "1", id="GPUs we were given"),
        pytest.param("1", False, "", id="none wanted"),
        pytest.param(None, True, None, id="all of them"),
    ],
)
def test_gpus_are_visible_to_jobs_that_want_them(
    backend: LocalBackend,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    ours: str | None,
    accelerator: bool,
    seen: str | None,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if ours is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ours)
    assert environment_of(backend, out, accelerator=accelerator).get("CUDA_VISIBLE_DEVICES") == seen


def test_python_is_our_interpreter_and_knows_flywheel(backend: LocalBackend, out: Path) -> None:
    code = "import sys; from flywheel.files import cycles; print(sys.executable); print(cycles.cycle_number('cycle3'))"
    assert lines_of(backend, python(code), out) == [sys.executable, "3"]
    module = ComputeJob(name="test", argv=("python", "-m", "flywheel.files.cycles"), timeout=30)
    assert lines_of(backend, module, out) == []


def test_the_temporary_folder_is_the_jobs_own_short_and_removed(backend: LocalBackend, out: Path) -> None:
    code = "import os, tempfile; print(tempfile.mkdtemp()); print(oct(os.stat(os.environ['TMPDIR']).st_mode))"
    folder, mode = lines_of(backend, python(code), out)
    assert stat.S_IMODE(int(mode, 8)) == 0o700
    assert not Path(folder).parent.exists()
    assert len(folder) < 70, "room for the name of a socket, of which the kernel takes 107 characters"


def test_standard_input_is_empty(backend: LocalBackend, out: Path) -> None:
    assert lines_of(backend, shell("cat; echo done"), out) == ["done"]


def test_an_input_can_be_the_command(backend: LocalBackend, out: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\necho ran with $1\n")
    script.chmod(0o755)
    job = ComputeJob(name="test", argv=("./run.sh", "a b;c"), timeout=30, inputs={"run.sh": script})
    assert lines_of(backend, job, out) == ["ran with a b;c"]


# --- lines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["\\n", "\\r"])
def test_lines_arrive_while_the_job_runs_in_the_calling_thread(
    backend: LocalBackend, out: Path, tmp_path: Path, ending: str
) -> None:
    """The job waits for an answer to its line: it ends well only if the line was delivered meanwhile."""
    answer = tmp_path / "answer"
    threads: list[threading.Thread] = []

    def reply(line: str) -> None:
        assert line == "50%"
        threads.append(threading.current_thread())
        answer.touch()

    code = (
        f"import pathlib, time\nprint('50%', end='{ending}')\n"
        f"while not pathlib.Path({str(answer)!r}).exists(): time.sleep(0.01)"
    )
    backend.run(python(code, timeout=10), out, reply)
    assert threads == [threading.current_thread()]


def test_both_streams_in_the_order_they_were_written(backend: LocalBackend, out: Path) -> None:
    script = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf 'not ended'"
    expected = [f"{stream} {i}" for i in (1, 2, 3) for stream in ("out", "err")]
    assert lines_of(backend, shell(script), out) == [*expected, "not ended"]


def test_a_hundred_thousand_lines_are_complete(backend: LocalBackend, out: Path) -> None:
    lines = lines_of(backend, python("print(*range(100_000), sep='\\n')"), out)
    assert lines == [str(number) for number in range(100_000)]


def test_a_slow_log_does_not_slow_the_job(backend: LocalBackend, out: Path, tmp_path: Path) -> None:
    """The log is stuck at the first line until the job has written its last."""
    done = tmp_path / "done"

    def stuck(line: str) -> None:
        deadline = time.monotonic() + 10
        while line == "0" and not done.exists():
            assert time.monotonic() < deadline, "the job waits for its log"
            time.sleep(0.01)

    code = f"print(*range(100_000), sep='\\n', flush=True); open({str(done)!r}, 'w').close()"
    backend.run(python(code), out, stuck)


# --- endings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "exit_code", "said"),
    [
        pytest.param("echo why; exit 3", 3, "exit code 3", id="exit code"),
        pytest.param("exit 137", 137, "exit code 137", id="an exit code like a signal's"),
        pytest.param("echo why; kill -9 $$", -9, "ended by SIGKILL", id="killed"),
        pytest.param("kill -TERM $$", -15, "ended by SIGTERM", id="terminated"),
        pytest.param("kill -SEGV $$", -11, "ended by SIGSEGV", id="crashed"),
    ],
)
def test_a_failing_command(backend: LocalBackend, out: Path, script: str, exit_code: int, said: str) -> None:
    with pytest.raises(JobFailed) as caught:
        backend.run(shell(script), out, ignore)
    assert caught.value.exit_code == exit_code
    assert said in str(caught.value)
    assert ("    why" in str(caught.value)) == ("why" in script)
    assert workspaces(backend) == []


def test_an_error_carries_the_last_twenty_lines(backend: LocalBackend, out: Path) -> None:
    with pytest.raises(JobFailed) as caught:
        backend.run(shell("seq 50; exit 1"), out, ignore)
    assert caught.value.last_lines == tuple(str(number) for number in range(31, 51))


def test_a_command_that_does_not_exist(backend: LocalBackend, out: Path) -> None:
    job = ComputeJob(name="test", argv=("no-such-command", "x"), timeout=30)
    with pytest.raises(JobNotStarted, match="No such file or directory: no-such-command"):
        backend.run(job, out, ignore)


def test_the_jobs_seconds_do_not_count_the_staging(backend: LocalBackend, out: Path) -> None:
    outcome = backend.run(shell("sleep 0.3"), out, ignore)
    assert 0.3 <= outcome.seconds < 2
    assert outcome.started_at.utcoffset() is not None


FAMILY = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print('pid', os.getpid()); print('pid', child.pid); print('ready')\n"
)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(f"{FAMILY}time.sleep(60)", id="obeys TERM"),
        pytest.param(f"{STUBBORN}\n{FAMILY}time.sleep(60)", id="ignores TERM"),
    ],
)
def test_a_time_out_ends_the_job_and_its_children(backend: LocalBackend, out: Path, code: str) -> None:
    lines: list[str] = []
    begun = time.monotonic()
    with pytest.raises(JobTimedOut) as caught:
        backend.run(python(code, timeout=2.0), out, lines.append)
    assert time.monotonic() - begun >= 2.0
    assert "time-out of 2 s" in str(caught.value)
    assert len(pids_in(lines)) == 2
    assert gone(pids_in(lines))
    assert workspaces(backend) == []


def test_a_job_may_tidy_up_within_the_grace_and_is_still_timed_out(out: Path, tmp_path: Path) -> None:
    # No longer than the job needs: waiting for this would not end before the test is ended.
    backend = LocalBackend(work_root=tmp_path / "work", grace=3600)
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), print('tidied'), sys.exit(0)))\n"
        "print('up')\ntime.sleep(60)"
    )
    with pytest.raises(JobTimedOut) as caught:
        backend.run(python(code, timeout=1.5), out, ignore)
    assert caught.value.last_lines == ("up", "tidied")


@pytest.mark.parametrize(
    "session",
    [
        pytest.param("False", id="in the job's group"),
        pytest.param("True", id="in a session of its own", marks=ON_LINUX),
    ],
)
@pytest.mark.parametrize("trap", ["", STUBBORN + "; "], ids=["obeys TERM", "ignores TERM"])
def test_what_a_job_leaves_running_is_ended(
    backend: LocalBackend, out: Path, session: str, trap: str
) -> None:
    """The job ends well; its child lives on, and holds the job's output open."""
    code = (
        "import subprocess, sys\n"
        f"code = '{trap}import os, time; print(\"pid\", os.getpid(), flush=True); time.sleep(3600)'\n"
        "child = subprocess.Popen([sys.executable, '-c', code], "
        f"start_new_session={session}, stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), end='')"
    )
    lines: list[str] = []
    outcome = backend.run(python(code), out, lines.append)
    assert outcome.exit_code == 0
    assert len(pids_in(lines)) == 1
    assert gone(pids_in(lines))


class LogIsFullError(Exception):
    """Something that a caller's `on_line` may raise."""


@pytest.mark.parametrize("raised", [LogIsFullError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("trap", ["", STUBBORN + "\n"], ids=["obeys TERM", "ignores TERM"])
def test_what_on_line_raises_ends_the_job_and_is_raised(
    backend: LocalBackend, out: Path, raised: type[BaseException], trap: str
) -> None:
    lines: list[str] = []

    def fail(line: str) -> None:
        lines.append(line)
        if line == "ready":
            raise raised

    chatter = "while True: print('x' * 1000)"
    with pytest.raises(raised):
        backend.run(python(f"{trap}{FAMILY}{chatter}"), out, fail)
    assert len(pids_in(lines)) == 2
    assert gone(pids_in(lines))
    assert workspaces(backend) == []


# --- the backend's own process is stopped or killed ---------------------------------------------------

PARENT = """
import sys
from pathlib import Path
from flywheel.compute.job import ComputeJob
from resources.compute.leases import Leases
from resources.compute.local import LocalBackend
from resources.compute.settings import Settings

backend = LocalBackend(work_root=Path(sys.argv[1]), grace=float(sys.argv[4]))
job = ComputeJob(name="test", argv=("python", "-c", sys.argv[2]), timeout=60, outputs=("model",))
try:
    backend.run(job, Path(sys.argv[3]), lambda line: print(line, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def backend_process(program: str, backend: LocalBackend, code: str, out: Path) -> subprocess.Popen[str]:
    """A process that runs `code` as a job on a backend like `backend`, and prints the job's lines."""
    return subprocess.Popen(
        [sys.executable, "-c", program, backend.work_root, code, out, str(backend.grace)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


@pytest.mark.parametrize(
    ("number", "trap"),
    [
        pytest.param(signal.SIGINT, "", id="interrupted, the job obeys TERM"),
        pytest.param(signal.SIGINT, STUBBORN + "\n", id="interrupted, the job ignores TERM and INT"),
        pytest.param(signal.SIGTERM, "", id="terminated, the job obeys TERM"),
        pytest.param(signal.SIGKILL, "", id="killed, the job obeys TERM"),
        pytest.param(signal.SIGKILL, STUBBORN + "\n", id="killed, the job ignores TERM and INT"),
    ],
)
def test_no_job_outlives_its_backends_process(
    backend: LocalBackend, out: Path, number: signal.Signals, trap: str
) -> None:
    code = (
        f"{trap}{FAMILY}open('model', 'w').write('half')\n"
        "print('pid', os.getppid())\nprint(os.environ['TMPDIR'])\ntime.sleep(60)"
    )
    parent = backend_process(PARENT, backend, code, out)
    lines = read_lines(parent, 5)
    pids, temporary = pids_in(lines), Path(lines[-1])
    assert len(pids) == 3
    assert temporary.is_dir()
    assert not gone(pids)
    parent.send_signal(number)
    parent.wait(20)
    assert gone(pids, within=5), "the job, its child and the supervisor"
    said, _ = parent.communicate()
    assert not (out / "model").exists()

    if number == signal.SIGINT:
        assert said == "interrupted\n"
    else:
        assert len(workspaces(backend)) == 2, "a workspace and its lock, for the next run to find"
        assert swept(backend, out)
    assert workspaces(backend) == []
    assert not temporary.exists()


FORKING_PARENT = PARENT.replace(
    "print(line, flush=True)", "print(fork() if line == 'fork' else line, flush=True)"
)
FORKING_PARENT = f"""
import os, time
def fork():
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    return f"pid {{pid}}"
{FORKING_PARENT}"""


@ON_LINUX
def test_a_fork_of_the_killed_process_does_not_keep_the_job_alive(backend: LocalBackend, out: Path) -> None:
    """The fork holds copies of every descriptor, so nothing closes when the process dies."""
    parent = backend_process(FORKING_PARENT, backend, f"{FAMILY}print('fork')\ntime.sleep(60)", out)
    *family, fork = pids_in(read_lines(parent, 4))
    try:
        parent.kill()
        parent.wait(20)
        assert running(fork)
        assert gone(family, within=5)
    finally:
        os.kill(fork, signal.SIGKILL)
        parent.communicate()
    assert swept(backend, out)


def test_a_workspace_is_not_swept_while_the_job_of_a_killed_process_is_being_ended(
    backend: LocalBackend, out: Path, tmp_path: Path
) -> None:
    """The job takes its time to tidy up after TERM; meanwhile the next run comes."""
    patient = replace(backend, grace=30.0)
    code = (
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: open('termed', 'w').close())\n"
        "print('pid', os.getpid())\n"
        f"while not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.01)"
    )
    parent = backend_process(PARENT, patient, code, out)
    pids = pids_in(read_lines(parent, 1))
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while not list(backend.work_root.glob("*/termed")) and time.monotonic() < deadline:
        time.sleep(0.01)
    backend.run(shell("true"), out, ignore)
    assert running(*pids)
    assert len(list(backend.work_root.glob("*/termed"))) == 1
    (tmp_path / "go").touch()
    assert gone(pids, within=5)
    assert swept(backend, out)


def test_a_job_survives_the_sweep_of_a_neighbour(backend: LocalBackend, out: Path) -> None:
    """While one job runs, another starts and ends in the same work root."""

    def neighbour(line: str) -> None:
        if line == "ready":
            backend.run(shell("echo b > b", outputs=("b",)), out, ignore)

    code = "import time; open('a', 'w').write('a'); print('ready'); time.sleep(0.5); open('a').read()"
    outcome = backend.run(python(code, outputs=("a",)), out, neighbour)
    assert outcome.outputs["a"].read_text() == "a"
    assert (out / "b").read_text() == "b\n"


def test_a_sweep_removes_nothing_that_a_lock_file_merely_names(
    backend: LocalBackend, out: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    backend.work_root.mkdir()
    (backend.work_root / "test-0.lock").write_text(str(precious))
    (backend.work_root / "notes").mkdir()
    backend.run(shell("true"), out, ignore)
    assert precious.is_dir()
    assert workspaces(backend) == ["notes"], "a folder without a lock is nobody's to remove"


@ON_LINUX
def test_a_killed_supervisor_ends_the_job(backend: LocalBackend, out: Path) -> None:
    lines: list[str] = []
    code = f"{STUBBORN}\n{FAMILY}os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)"
    with pytest.raises(JobFailed, match="exit status is unknown"):
        backend.run(python(code), out, lines.append)
    assert len(pids_in(lines)) == 2
    assert gone(pids_in(lines), within=2)
    assert workspaces(backend) == []


def test_a_supervisor_asked_to_stop_from_outside_fails_the_job(backend: LocalBackend, out: Path) -> None:
    """Even if the job then tidies up and ends with 0: nobody knows how far it had come."""
    code = (
        "import os, signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "os.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(60)"
    )
    with pytest.raises(JobFailed, match="stopped from outside"):
        backend.run(python(code), out, ignore)


def test_a_stuck_supervisor_is_given_up(backend: LocalBackend, out: Path) -> None:
    backend = replace(backend, supervisor_margin=0.5)
    lines: list[str] = []
    code = f"{FAMILY}import signal; os.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(60)"
    with pytest.raises(JobFailed, match="exit status is unknown"):
        backend.run(python(code, timeout=2), out, lines.append)
    assert len(pids_in(lines)) == 2
    assert gone(pids_in(lines), within=2)


def test_no_descriptor_and_no_thread_is_left(backend: LocalBackend, out: Path) -> None:
    def tries(job: ComputeJob) -> Callable[[], None]:
        def run() -> None:
            try:
                backend.run(job, out, ignore)
            except FlywheelError:
                return

        return run

    runs = [
        tries(shell("true")),
        tries(shell("exit 1")),
        tries(ComputeJob(name="x", argv=("no",), timeout=1)),
    ]
    for run in runs:
        run()
    folder = Path("/dev/fd")
    before = len(list(folder.iterdir())), threading.active_count()
    for run in runs * 3:
        run()
    assert (len(list(folder.iterdir())), threading.active_count()) == before


# --- the choice --------------------------------------------------------------------------------------


def test_a_backend_is_chosen_by_name(tmp_path: Path) -> None:
    settings = Settings(work_root=tmp_path, leases=Leases(tmp_path / "leases"))
    backend: ComputeBackend = backend_named("local")(settings)
    assert isinstance(backend, LocalBackend)
    assert {backend_named(name)(settings).name for name in BACKENDS} == set(BACKENDS)


@pytest.mark.parametrize("name", ["", "Local", "dcoker"])
def test_a_wrong_name_lists_the_right_ones(name: str) -> None:
    with pytest.raises(FlywheelError) as caught:
        backend_named(name)
    assert repr(name) in str(caught.value)
    for known in BACKENDS:
        assert known in str(caught.value)


def test_the_same_job_gives_the_same_bytes(backend: LocalBackend, out: Path, manifest: Path) -> None:
    job = shell("cat rows.jsonl > o", manifests={"rows.jsonl": manifest}, outputs=("o",))
    digests = {
        hashlib.sha256(backend.run(job, out / str(turn), ignore).outputs["o"].read_bytes()).hexdigest()
        for turn in range(2)
    }
    assert len(digests) == 1
