"""The docker backend against a real Docker Engine: what only it does; how jobs end is in `test_endings.py`."""

import gc
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flywheel.compute.job import ComputeJob, JobFailed, JobTimedOut
from flywheel.corpus.manifest import ManifestRow, write_manifest
from flywheel.files.atomic import read_jsonl
from flywheel.files.cycles import EvalFolder
from flywheel.recognisers.bases import find_base
from flywheel.recognisers.evaluation import transcribe
from flywheel.speech.audio_cache import render
from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer
from flywheel.speech.synthesizer import Utterance
from flywheel.speech.take import Take
from loopback.docker_engine import DockerEngine, docker_engine, why_not
from resources.compute.docker import DockerBackend, DockerOptions
from resources.compute.docker_command import DockerError
from resources.compute.leases import Leases, TeardownFailed, sweep
from resources.compute.local import LocalBackend

pytestmark = [pytest.mark.real, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

REPOSITORY = Path(__file__).parents[3]
KEY = "recognisable-key-71ad"
STRANGER = 54321
"""A user id that is nobody's."""


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="fw") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def engine(open_folder: Path) -> Iterator[DockerEngine]:
    with docker_engine(open_folder / "d") as started:
        yield started


@pytest.fixture
def backend(engine: DockerEngine, tmp_path: Path) -> DockerBackend:
    return DockerBackend(
        work_root=tmp_path / "work",
        leases=Leases(tmp_path / "leases"),
        options=DockerOptions(**engine.options),
        grace=1.0,
    )


@pytest.fixture(autouse=True)
def _nothing_is_left(engine: DockerEngine) -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while left := engine.containers():
        assert time.monotonic() < deadline, f"`docker ps -a` shows {left}"
        time.sleep(0.1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def shell(script: str, **fields: Any) -> ComputeJob:
    return ComputeJob(**{"name": "test", "argv": ("sh", "-c", script), "timeout": 30.0, **fields})


def python(code: str, **fields: Any) -> ComputeJob:
    return ComputeJob(**{"name": "test", "argv": ("python", "-c", code), "timeout": 30.0, **fields})


def options(backend: DockerBackend, **changes: str) -> DockerBackend:
    return replace(backend, options=replace(backend.options, **changes))


def ignore(_: str) -> None:
    """For jobs whose lines do not matter."""


def lines_of(backend: DockerBackend, job: ComputeJob, out: Path) -> list[str]:
    """What the job wrote, without the backend's own line."""
    lines: list[str] = []
    backend.run(job, out, lines.append)
    assert lines[0].startswith("container flywheel-test-")
    return lines[1:]


def written_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# --- the job's surroundings --------------------------------------------------------------------------


def test_lines_arrive_while_the_job_runs(backend: DockerBackend, out: Path) -> None:
    arrived: list[tuple[str, float]] = []
    backend.run(
        shell("echo one; sleep 1; echo two >&2; sleep 1; printf 'three '; echo and four"),
        out,
        lambda line: arrived.append((line, time.monotonic())),
    )
    (_, one), (_, two), (_, three) = arrived[1:]
    assert [line for line, _ in arrived[1:]] == ["one", "two", "three and four"]
    assert two - one == pytest.approx(1.0, abs=0.5)
    assert three - two == pytest.approx(1.0, abs=0.5)


def test_files_go_in_and_come_out(backend: DockerBackend, out: Path, tmp_path: Path) -> None:
    given = tmp_path / "words.txt"
    given.write_text("cefazolin\n")
    job = shell(
        # The link is one that only the job's own view of the workspace can follow.
        "pwd; tr a-z A-Z < data/in.txt > deep/upper.txt; ln -s /workspace/data/in.txt best",
        inputs={"data/in.txt": given},
        outputs=("deep/upper.txt", "best"),
    )
    lines: list[str] = []
    outcome = backend.run(job, out, lines.append)
    assert lines[1:] == ["/workspace"]
    assert outcome.outputs["deep/upper.txt"].read_text() == "CEFAZOLIN\n"
    assert outcome.outputs["best"].read_text() == "cefazolin\n"
    assert not outcome.outputs["best"].is_symlink()
    assert given.read_text() == "cefazolin\n"
    assert (outcome.cost_usd, outcome.billed_seconds) == (0.0, 0.0)
    assert [path.name for path in backend.work_root.iterdir()] == ["lock"]


def test_the_environment_is_the_containers_and_what_the_job_names(
    backend: DockerBackend, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUME_API_KEY", KEY)
    code = (
        "import os, pathlib, getpass, flywheel, tempfile\n"
        "for name in sorted(os.environ): print(name, os.environ[name], sep='=')\n"
        "pathlib.Path.home().joinpath('cache').write_text('writable'); tempfile.mkdtemp(); getpass.getuser()\n"
        "print(flywheel.__file__)"
    )
    *named, package = lines_of(backend, python(code, environment={"WANDB_MODE": "offline"}), out)
    found = dict(line.split("=", 1) for line in named)
    assert package == "/workspace/.flywheel/source/flywheel/__init__.py"
    assert KEY not in found.values()
    assert found["WANDB_MODE"] == "offline"
    assert (found["HOME"], found["TMPDIR"]) == ("/workspace/.flywheel/home", "/tmp")
    assert (found["CUDA_VISIBLE_DEVICES"], found["NVIDIA_VISIBLE_DEVICES"]) == ("", "void")


def test_the_images_own_python_path_stays(engine: DockerEngine, backend: DockerBackend, out: Path) -> None:
    changed = "flywheel-test:path"
    engine.docker("create", "--name", "base", backend.options.image, "x")
    engine.docker(
        "import", "--change", "ENV PYTHONPATH=/opt/NeMo", "-", changed, given=engine.docker("export", "base")
    )
    engine.docker("rm", "base")
    code = "import os; print(os.environ['PYTHONPATH'])"
    job = python(code, environment={"PYTHONPATH": "/mine"})
    assert lines_of(options(backend, image=changed), job, out) == [
        "/workspace/.flywheel/source:/mine:/opt/NeMo"
    ]


def test_mounted_folders_cannot_be_written(backend: DockerBackend, out: Path) -> None:
    assert lines_of(backend, shell("touch /usr/x 2>&1 | grep -o 'Read-only file system'"), out) == [
        "Read-only file system"
    ]


def test_a_job_has_a_network_only_where_it_asks_for_one(backend: DockerBackend, out: Path) -> None:
    interfaces = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort | tr '\\n' ' '"
    with_host = options(backend, network="host")
    own = subprocess.run(["sh", "-c", interfaces], capture_output=True, text=True, check=True).stdout.strip()
    assert lines_of(with_host, shell(interfaces), out) == ["lo"]
    assert lines_of(with_host, shell(interfaces, network=True), out) == [own]
    assert own != "lo"


def test_shared_memory_is_as_large_as_asked_for(backend: DockerBackend, out: Path) -> None:
    job = python("import os; found = os.statvfs('/dev/shm'); print(found.f_frsize * found.f_blocks)")
    assert lines_of(backend, job, out) == [str(8 * 2**30)]
    assert lines_of(options(backend, shm_size="64m"), job, out) == [str(64 * 2**20)]


def test_what_a_job_writes_belongs_to_the_user_who_runs_it(engine: DockerEngine, open_folder: Path) -> None:
    """The backend as another user than root, who owns a data folder and may talk to the engine."""
    data = open_folder / "of-a-stranger"
    data.mkdir()
    os.chown(data, STRANGER, STRANGER)
    socket = Path(engine.url.removeprefix("unix://"))
    socket.chmod(0o666)
    program = f"""
        import pathlib
        from flywheel.compute.job import ComputeJob
        from resources.compute.docker import DockerBackend, DockerOptions
        from resources.compute.leases import Leases
        data = pathlib.Path({str(data)!r})
        backend = DockerBackend(work_root=data / 'work', leases=Leases(data / 'leases'), keep_failed=True,
                                options=DockerOptions(**{dict(engine.options)!r}))
        script = 'id -u; id -g; mkdir -p sub; echo x > sub/o; echo x > ~/y; echo x > /tmp/z; test $0 = well'
        jobs = [ComputeJob(name='test', argv=('sh', '-c', script, word), timeout=30, outputs=('sub/o',))
                for word in ('well', 'ill')]
        backend.run(jobs[0], data / 'out', print)
        try:
            backend.run(jobs[1], data / 'out', print)
        except ValueError as error:
            print(error)
    """
    stranger = ("setpriv", "--reuid", str(STRANGER), "--regid", str(STRANGER), "--clear-groups")
    # This Python may be one that root alone can read.
    reads = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    done = subprocess.run(
        [*stranger, *reads, sys.executable, "-c", textwrap.dedent(program)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    socket.chmod(0o660)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines().count(str(STRANGER)) == 4, done.stdout
    assert "workspace kept in" in done.stdout
    owners = {path.lstat().st_uid for path in data.rglob("*")}
    assert owners == {STRANGER}
    names = {path.name for path in data.rglob("*")}
    assert {"o", "y", "ending.json"} <= names, "a kept workspace, what its job wrote at home, and an output"


# --- secrets -----------------------------------------------------------------------------------------


def test_a_key_reaches_the_job_and_no_file_line_or_command(
    engine: DockerEngine, backend: DockerBackend, out: Path, tmp_path: Path
) -> None:
    kept = replace(backend, keep_failed=True)
    commands: list[str] = []
    records: list[bytes] = []

    def look(line: str) -> None:
        if line == "it is there":
            records.append(engine.docker("inspect", *engine.docker("ps", "--quiet").decode().split()))
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                commands.append(process.read_bytes().decode(errors="replace"))
            except OSError:
                continue

    job = shell(
        'test -n "$HUME_API_KEY" && echo it is there; sleep 1; exit 1', environment={"HUME_API_KEY": KEY}
    )
    with pytest.raises(JobFailed) as caught:
        kept.run(job, out, look)
    assert "it is there" in str(caught.value)
    assert KEY not in str(caught.value)
    assert not any(KEY in command for command in commands)
    assert any("flywheel.compute.programs.runner" in command for command in commands)
    assert len(records) == 1 and KEY.encode() not in records[0]
    assert (tmp_path / "work").exists() and list((tmp_path / "leases" / "closed").iterdir())
    assert KEY.encode() not in written_below(tmp_path)
    left = written_below(engine.root / "data" / "containers") + (engine.root / "log").read_bytes()
    assert KEY.encode() not in left


def test_lines_are_not_kept_by_the_engine(engine: DockerEngine, backend: DockerBackend, out: Path) -> None:
    found: list[bytes] = []
    backend.run(
        shell(f"echo {KEY[:10]}-line; sleep 0.5; echo end"),
        out,
        lambda line: found.append(written_below(engine.root / "data" / "containers")),
    )
    assert f"{KEY[:10]}-line\n".encode() not in found[-1], "only the command itself is there"


# --- endings -----------------------------------------------------------------------------------------


@contextmanager
def interrupted_after(seconds: float, times: int = 1) -> Iterator[None]:
    """KeyboardInterrupt in this thread after so long, wherever it is, and again every 20 ms."""
    left = times

    def interrupt(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            signal.setitimer(signal.ITIMER_REAL, 0)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    # One that comes while Python collects garbage is swallowed by Python: that is not what is tried here.
    gc.collect()
    gc.disable()
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.02)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.enable()
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("hundredths", [1, 3, 5, 7, 9, 11, 13, 16, 20, 25, 30, 40])
def test_an_interrupt_at_any_moment_leaves_nothing(
    engine: DockerEngine, backend: DockerBackend, out: Path, hundredths: int
) -> None:
    with pytest.raises(KeyboardInterrupt), interrupted_after(hundredths / 100):
        backend.run(shell("sleep 60"), out, ignore)
    assert engine.containers() == []
    assert backend.leases.all_open() == ()
    assert not any(path.is_dir() for path in backend.work_root.glob("*"))


@pytest.mark.parametrize("hundredths", [4, 8, 15, 35])
def test_interrupted_again_and_again_nothing_is_left_without_a_lease(
    engine: DockerEngine, backend: DockerBackend, out: Path, hundredths: int
) -> None:
    # Cut while it removes a folder, the standard library may close a descriptor twice.
    with pytest.raises((KeyboardInterrupt, OSError)), interrupted_after(hundredths / 100, times=4):
        backend.run(shell("sleep 60"), out, ignore)
    leased = {lease.resource for lease in backend.leases.all_open()}
    assert {each.split()[0].strip("/") for each in engine.containers()} <= leased
    time.sleep(0.5)  # what was asked of the engine and not waited for
    assert not sweep(backend.leases, lambda _: backend, everything=True).failed
    assert engine.containers() == []
    backend.run(shell("true"), out, ignore)
    assert not any(path.is_dir() for path in backend.work_root.glob("*"))


def test_what_on_line_raises_stops_the_job(engine: DockerEngine, backend: DockerBackend, out: Path) -> None:
    def stop(line: str) -> None:
        if line == "started":
            raise RuntimeError("enough")

    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="enough"):
        backend.run(shell("echo started; sleep 60"), out, stop)
    assert engine.containers() == []
    assert time.monotonic() - begun < 10


def test_a_job_has_its_grace(backend: DockerBackend, out: Path) -> None:
    """TERM is heeded, and what a job says after it is still heard."""
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), print('saving'), sys.exit()))\n"
        "print('started'); time.sleep(60)"
    )
    with pytest.raises(JobTimedOut) as caught:
        backend.run(python(code, timeout=1.0), out, ignore)
    assert caught.value.last_lines == ("started", "saving")


def test_a_killed_holder_leaves_no_container(engine: DockerEngine, backend: DockerBackend, out: Path) -> None:
    """No sweep is needed: the end of its input ends the job, and the container removes itself."""
    program = f"""
        import pathlib
        from flywheel.compute.job import ComputeJob
        from resources.compute.docker import DockerBackend, DockerOptions
        from resources.compute.leases import Leases
        data = pathlib.Path({str(out.parent)!r})
        backend = DockerBackend(work_root=data / 'work', leases=Leases(data / 'leases'), grace=1.0,
                                options=DockerOptions(**{dict(engine.options)!r}))
        backend.run(ComputeJob(name='test', argv=('sh', '-c', 'echo started; sleep 60'), timeout=90), data / 'out',
                    lambda line: print(line, flush=True))
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    while holder.stdout.readline() != "started\n":
        assert holder.poll() is None
    assert len(engine.containers()) == 1
    holder.kill()
    holder.wait()
    deadline = time.monotonic() + 8
    while engine.containers():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (lease,) = backend.leases.all_open()
    done = sweep(backend.leases, lambda name: backend)
    assert [(swept.id, reason) for swept, reason in done.closed] == [
        (lease.id, f"the process {holder.pid} that held it has ended")
    ]


def test_a_container_that_was_never_started_is_found_by_its_lease(
    engine: DockerEngine, backend: DockerBackend
) -> None:
    """Also by a sweep that knows nothing of the engine but what the lease says."""
    name = "flywheel-test-0a1b2c3d"
    lease = backend.leases.open(
        backend="docker", resource=name, job="test", lifetime=-1, details={"host": engine.url}
    )
    engine.docker("create", "--name", name, backend.options.image, "true")
    assert len(engine.containers()) == 1
    elsewhere = replace(backend, options=DockerOptions(), pauses=())
    assert len(sweep(backend.leases, lambda _: elsewhere).closed) == 1
    assert engine.containers() == []
    elsewhere.teardown(lease)


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        pytest.param(
            ("rm", "--force"),
            "docker: the container was sent signal 9",
            id="removed",
        ),
        pytest.param(
            ("update", "--memory", "48m", "--memory-swap", "48m"),
            "docker: the container ran out of memory (OOMKilled)",
            id="out of memory",
        ),
    ],
)
def test_a_container_that_is_killed_says_why(
    engine: DockerEngine, backend: DockerBackend, out: Path, happens: Sequence[str], said: str
) -> None:
    def meddle(line: str) -> None:
        if line == "started":
            (container,) = engine.docker("ps", "--quiet").decode().split()
            engine.docker(*happens, container)

    code = "import time\nprint('started'); time.sleep(1)\nheld = [b'x' * 10**7 for _ in range(40)]\ntime.sleep(20)"
    with pytest.raises(JobFailed) as caught:
        backend.run(python(code), out, meddle)
    assert caught.value.exit_code == -signal.SIGKILL
    assert caught.value.last_lines[0] == "started"
    assert said in caught.value.last_lines


def test_an_engine_that_goes_away_for_good_is_shouted_and_swept_later(
    engine: DockerEngine, backend: DockerBackend, out: Path
) -> None:
    def stop(line: str) -> None:
        if line == "started":
            engine.stop(signal.SIGKILL)

    hasty = replace(backend, pauses=(0.1, 0.1))
    try:
        with pytest.raises(TeardownFailed) as caught:
            hasty.run(shell("echo started; sleep 60"), out, stop)
        message = str(caught.value)
        assert "IT MAY STILL BE RUNNING" in message
        assert "no Docker Engine answers" in message
        assert "Before that: job test failed" in message
        assert "the connection to the engine was lost" in message
        assert isinstance(caught.value.__cause__, JobFailed)
        (lease,) = backend.leases.all_open()
        assert len(sweep(backend.leases, lambda _: hasty, everything=True).failed) == 1
    finally:
        engine.start()
    assert [each for each, _ in sweep(backend.leases, lambda _: backend, everything=True).closed] == [lease]
    assert backend.leases.all_open() == ()


def test_an_interrupt_stays_one_although_the_engine_is_gone(
    engine: DockerEngine, backend: DockerBackend, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(line: str) -> None:
        if line == "started":
            engine.stop(signal.SIGKILL)
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            replace(backend, pauses=()).run(shell("echo started; sleep 60"), out, stop)
    finally:
        engine.start()
    assert "IT MAY STILL BE RUNNING" in caught.value.__notes__[0]
    assert "IT MAY STILL BE RUNNING" in caplog.text
    assert len(sweep(backend.leases, lambda _: backend, everything=True).closed) == 1


# --- what Docker refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "fields", "said"),
    [
        pytest.param(
            {"python": "no-such-python"},
            {},
            "FLYWHEEL_DOCKER_PYTHON names the image's Python, 3.11 or later",
            id="no Python of that name",
        ),
        pytest.param(
            {"python": "/no/such/python"},
            {},
            "FLYWHEEL_DOCKER_PYTHON names the image's Python, 3.11 or later",
            id="no Python there",
        ),
        pytest.param(
            {"gpus": "all"},
            {"accelerator": True},
            "install NVIDIA's container toolkit, or set FLYWHEEL_DOCKER_GPUS=none",
            id="no toolkit",
        ),
        pytest.param(
            {"shm_size": "lots"},
            {},
            "FLYWHEEL_DOCKER_SHM_SIZE is a number and a unit",
            id="no size",
        ),
        pytest.param(
            {"network": "no-such-net"},
            {"network": True},
            "FLYWHEEL_DOCKER_NETWORK names one of `docker network ls`",
            id="no such network",
        ),
    ],
)
def test_a_refusal_says_what_to_do(
    backend: DockerBackend, out: Path, wrong: dict[str, str], fields: dict[str, bool], said: str
) -> None:
    begun = time.monotonic()
    with pytest.raises(DockerError, match=re.escape(said)):
        options(backend, **wrong).run(shell("true", **fields), out, ignore)
    assert backend.leases.all_open() == ()
    assert time.monotonic() - begun < 8


def test_jobs_that_want_no_gpu_are_not_asked_to_have_one(backend: DockerBackend, out: Path) -> None:
    assert lines_of(options(backend, gpus="all"), shell("echo ran"), out) == ["ran"]


# --- images ------------------------------------------------------------------------------------------


class Registry(BaseHTTPRequestHandler):
    """A registry on loopback with one image, which it hands out slowly; others it denies, as real ones do."""

    protocol_version = "HTTP/1.1"
    pause = 0.05

    def do_GET(self) -> None:
        content, kind = self.server.content.get(self.path, (None, ""))  # type: ignore[attr-defined]
        if self.path == "/v2/":
            self._answer(200, b"{}", "application/json")
        elif content is not None:
            self._answer(200, content, kind)
        elif "/private/" in self.path:
            denied = {"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}
            self._answer(403, json.dumps(denied).encode(), "application/json")
        else:
            unknown = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            self._answer(404, json.dumps(unknown).encode(), "application/json")

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", digest(content))
        self.end_headers()
        if self.command == "HEAD":
            return
        for start in range(0, len(content), 100_000):
            self.wfile.write(content[start : start + 100_000])
            if len(content) > 100_000:
                time.sleep(self.pause)

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """Where it listens; it has ``flywheel/nemo:1``."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("weights")
        noise = os.urandom(4_000_000)
        entry.size = len(noise)
        archive.addfile(entry, io.BytesIO(noise))
    layer = packed.getvalue()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    ).encode()
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(config),
                "digest": digest(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar",
                    "size": len(layer),
                    "digest": digest(layer),
                }
            ],
        }
    ).encode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    server.content = {  # type: ignore[attr-defined]
        "/v2/flywheel/nemo/manifests/1": (manifest, kind),
        f"/v2/flywheel/nemo/manifests/{digest(manifest)}": (manifest, kind),
        f"/v2/flywheel/nemo/blobs/{digest(config)}": (config, "application/octet-stream"),
        f"/v2/flywheel/nemo/blobs/{digest(layer)}": (layer, "application/octet-stream"),
    }
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_image_that_is_not_here_is_pulled_with_progress(
    backend: DockerBackend, out: Path, registry: str
) -> None:
    pulling = options(replace(backend, progress_every=0.3), image=f"{registry}/flywheel/nemo:1")
    missing = [finding for finding in pulling.readiness() if not finding.ok]
    assert [finding.what for finding in missing if finding.what != "disk"] == ["image"]
    lines: list[str] = []
    # The image holds no folder but what is mounted into it.
    pulling.run(shell("true"), out, lines.append)
    assert lines[0] == f"pulling {registry}/flywheel/nemo:1: it is not on this machine yet"
    fetched = [re.search(r"(\d) of 1 layers done, (\d\.\d\d) GB", line) for line in lines]
    assert len([found for found in fetched if found]) >= 3, lines
    assert any(line.startswith("pulled ") for line in lines)
    again: list[str] = []
    pulling.run(shell("true"), out, again.append)
    assert len(again) == 1, "it is pulled once"


@pytest.mark.parametrize(
    ("image", "said"),
    [
        pytest.param(
            "private/nemo:1", r"denied.* To do: log in first: `docker login 127\.0\.0\.1:\d+`", id="denied"
        ),
        pytest.param(
            "flywheel/nemo:2", r"To do: try `docker pull 127.*FLYWHEEL_DOCKER_IMAGE", id="no such tag"
        ),
    ],
)
def test_an_image_that_cannot_be_pulled(
    backend: DockerBackend, out: Path, registry: str, image: str, said: str
) -> None:
    with pytest.raises(DockerError, match=said) as caught:
        options(backend, image=f"{registry}/{image}").run(shell("true"), out, ignore)
    assert f"the image {registry}/{image} is not on this machine and could not be pulled" in str(caught.value)
    assert backend.leases.all_open() == ()


def test_readiness(engine: DockerEngine, backend: DockerBackend) -> None:
    found = {finding.what: finding for finding in backend.readiness()}
    assert list(found) == ["daemon", "image", "GPU", "disk"]
    assert found["daemon"].ok and engine.url in found["daemon"].detail
    assert found["image"].ok and backend.options.image in found["image"].detail
    assert f"GB free in {engine.root}/data" in found["disk"].detail


# --- real transcription ------------------------------------------------------------------------------


def spoken(folder: Path) -> EvalFolder:
    """Ten rows, spoken, as an evaluation has them."""
    engine = EspeakSynthesizer()
    texts = [
        f"give {dose} milligrams of {drug} now"
        for dose, drug in enumerate(
            ("cefazolin", "metoprolol", "apixaban", "furosemide", "ferritin"), start=2
        )
    ]
    takes = [Take(Utterance(text, voice)) for text in texts for voice in SEEN_VOICES[:2]]
    seconds = render(takes, folder / "speech", engine, workers=1).seconds
    evaluation = EvalFolder(folder / "eval")
    rows = [
        ManifestRow(
            id=take.key(engine),
            audio_filepath=str(take.path(folder / "speech", engine)),
            text=take.utterance.text,
            duration=seconds[take],
            sampling_rate=16000,
            ipa_source="espeak_g2p",
            voice_id=take.utterance.voice.voice_id,
            noise_level="clean",
            synthesis_group=take.synthesis_group(engine),
        )
        for take in takes
    ]
    write_manifest(evaluation.rows, rows)
    return evaluation


def test_the_same_job_gives_the_same_bytes_on_local_and_docker(
    backend: DockerBackend, tmp_path: Path
) -> None:
    base = find_base("bundled")
    heard: dict[str, bytes] = {}
    for place in (LocalBackend(work_root=tmp_path / "local"), backend):
        evaluation = spoken(tmp_path / place.name)
        lines: list[str] = []
        transcribe(base, evaluation, place, lines.append, timeout=240)
        assert any("transcribed 10 of 10 rows" in line for line in lines)
        heard[place.name] = evaluation.hyps.read_bytes()
        rows = read_jsonl(evaluation.hyps)
        assert len(rows) == 10 and all(row["pred_text"] for row in rows)
    assert heard["docker"] == heard["local"]
