"""The docker backend as far as it goes without an engine: options, words for what Docker says, lines."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flywheel.compute.job import ComputeJob, InputMissing
from flywheel.errors import FlywheelError, Problems
from resources.compute import backend_named
from resources.compute.docker import DockerBackend, DockerOptions
from resources.compute.docker_command import Attached, DockerError, LastWords, not_pulled, pull_progress
from resources.compute.leases import Leases, TeardownFailed
from resources.compute.settings import Settings


def settings(folder: Path, **options: Any) -> Settings:
    return Settings(work_root=folder / "work", leases=Leases(folder / "leases"), options=options)


def backend(folder: Path, **options: Any) -> DockerBackend:
    return DockerBackend.from_settings(settings(folder, **options))


@pytest.fixture
def client() -> None:
    """Docker's command line is no package of the project's."""
    if shutil.which("docker") is None:
        pytest.skip("the command `docker` is not here")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IMAGE", "GPUS", "SHM_SIZE", "PYTHON", "MOUNTS", "NETWORK", "USER", "HOST"):
        monkeypatch.delenv(f"FLYWHEEL_DOCKER_{name}", raising=False)


# --- options -----------------------------------------------------------------------------------------


def test_nothing_needs_to_be_said(tmp_path: Path) -> None:
    made = backend_named("docker")(settings(tmp_path))
    assert isinstance(made, DockerBackend)
    assert made.name == "docker"
    assert made.options == DockerOptions(image="nvcr.io/nvidia/nemo:25.11.01", gpus="auto", shm_size="8g")


def test_options_are_variables_too_and_what_is_given_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYWHEEL_DOCKER_IMAGE", "of the variable")
    monkeypatch.setenv("FLYWHEEL_DOCKER_GPUS", "none")
    monkeypatch.setenv("FLYWHEEL_DOCKER_MOUNTS", "/usr=/usr, /bin=/there")
    options = backend(tmp_path, image="given").options
    assert (options.image, options.gpus) == ("given", "none")
    assert options.folders == (("/usr", "/usr"), ("/bin", "/there"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"gpus": "2"}, "gpus: found '2', allowed are auto, all, none"),
        ({"mounts": "data=/data"}, "mounts: found data=/data, two absolute paths are needed: /here=/there"),
        ({"mounts": "/usr"}, "mounts: found /usr=, two absolute paths are needed: /here=/there"),
        ({"mounts": "/usr=/workspace"}, "mounts: /workspace is the job's own"),
        ({"mounts": "/no-such-folder=/data"}, "mounts: /no-such-folder: no such folder"),
        ({"image": ""}, "image: a value is needed"),
        ({"img": "x"}, "img: unknown; allowed are image, gpus"),
    ],
)
def test_options_that_cannot_be_right_are_named(tmp_path: Path, wrong: dict[str, str], said: str) -> None:
    with pytest.raises(Problems) as caught:
        backend(tmp_path, **wrong)
    assert said in str(caught.value)


# --- no engine ---------------------------------------------------------------------------------------


def test_without_the_command_it_says_that_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    nowhere = backend(tmp_path)
    with pytest.raises(DockerError, match="needs the command `docker`, which is not on the PATH"):
        nowhere.run(ComputeJob(name="test", argv=("true",), timeout=5), tmp_path / "out", lambda line: None)
    (finding,) = nowhere.readiness()
    assert (finding.what, finding.ok) == ("daemon", False)
    assert "install Docker" in finding.detail


@pytest.mark.usefixtures("client")
def test_without_an_engine_it_says_what_to_do(tmp_path: Path) -> None:
    absent = backend(tmp_path, host=f"unix://{tmp_path}/none.sock")
    job = ComputeJob(name="test", argv=("true",), timeout=5)
    with pytest.raises(FlywheelError) as caught:
        absent.run(job, tmp_path / "out", lambda line: None)
    message = str(caught.value)
    assert f"no Docker Engine answers at unix://{tmp_path}/none.sock" in message
    assert "systemctl start docker" in message
    assert "FLYWHEEL_DOCKER_HOST" in message
    assert absent.leases.all_open() == (), "nothing was made, so nothing is noted"
    with pytest.raises(DockerError):
        _ = absent.has_accelerator
    (finding,) = absent.readiness()
    assert (finding.what, finding.ok) == ("daemon", False)
    assert "systemctl start docker" in finding.detail


@pytest.mark.usefixtures("client")
def test_docker_host_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/of-the-variable.sock")
    (finding,) = backend(tmp_path).readiness()
    assert f"unix://{tmp_path}/of-the-variable.sock" in finding.detail


@pytest.mark.usefixtures("client")
def test_a_host_that_is_none_is_told_apart(tmp_path: Path) -> None:
    (finding,) = backend(tmp_path, host="ftp://nowhere").readiness()
    assert not finding.ok
    assert "ftp" in finding.detail


def test_inputs_are_looked_at_before_docker_is(tmp_path: Path) -> None:
    absent = backend(tmp_path, host=f"unix://{tmp_path}/none.sock")
    job = ComputeJob(name="test", argv=("true",), timeout=5, inputs={"a": tmp_path / "no-a"})
    with pytest.raises(InputMissing):
        absent.run(job, tmp_path / "out", lambda line: None)


@pytest.mark.usefixtures("client")
def test_a_teardown_without_an_engine_fails_loudly(tmp_path: Path) -> None:
    absent = DockerBackend(
        work_root=tmp_path / "work",
        leases=Leases(tmp_path / "leases"),
        options=DockerOptions(host=f"unix://{tmp_path}/none.sock"),
        pauses=(0.0, 0.0),
    )
    lease = absent.leases.open(backend="docker", resource="flywheel-test-1", job="test", lifetime=60)
    with pytest.raises(TeardownFailed, match=r"could not end 'flywheel-test-1'.*no Docker Engine answers"):
        absent.teardown(lease)


# --- what Docker says, in words ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "reason", "todo"),
    [
        pytest.param(
            "nvcr.io/nvidia/nemo:25.11.01",
            "unauthorized: authentication required",
            "`docker login nvcr.io` (user $oauthtoken, password: an NGC API key)",
            id="NGC without a login",
        ),
        pytest.param(
            "me/mine:1",
            "pull access denied for me/mine, repository does not exist or may require 'docker login'",
            "`docker login docker.io`",
            id="Docker Hub",
        ),
        pytest.param(
            "registry.example:5000/a/b@sha256:00",
            "403 Forbidden",
            "`docker login registry.example:5000`",
            id="own",
        ),
        pytest.param(
            "nvcr.io/nvidia/nemo:nope",
            "manifest for nvcr.io/nvidia/nemo:nope not found: manifest unknown",
            "`docker pull nvcr.io/nvidia/nemo:nope`, or name an image that is here in FLYWHEEL_DOCKER_IMAGE",
            id="no such tag",
        ),
        pytest.param(
            "nvcr.io/nvidia/nemo:25.11.01",
            "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
            "`docker system df`",
            id="disk full",
        ),
    ],
)
def test_a_pull_that_fails_says_what_to_do(image: str, reason: str, todo: str) -> None:
    message = str(not_pulled(image, f"Error response from daemon: {reason}"))
    assert message.startswith(f"the image {image} is not on this machine and could not be pulled: {reason}.")
    assert todo in message


ON_A_TERMINAL = (
    "25.11.01: Pulling from nvidia/nemo\r\n\r\n"
    "\x1b[1A\x1b[2K\r0123456789ab: Already exists \r\x1b[1B\r\n"
    "\x1b[1A\x1b[2K\rad7ece040b3c: Pulling fs layer \r\x1b[1B"
    "\x1b[1A\x1b[2K\rad7ece040b3c: Downloading  532.8kB/2GB\r\x1b[1B"
    "\x1b[1A\x1b[2K\rad7ece040b3c: Downloading [====>      ]  500.5MB/2GB\r\x1b[1B"
)
"""As `docker pull` writes to one, without a bar and with it."""
THE_REST = (
    "\x1b[1A\x1b[2K\rad7ece040b3c: Downloading     2GB/2GB\r\x1b[1B"
    "\x1b[1A\x1b[2K\rad7ece040b3c: Verifying Checksum \r\x1b[1B"
    "\x1b[1A\x1b[2K\rad7ece040b3c: Download complete \r\x1b[1B"
    "\x1b[1A\x1b[2K\rad7ece040b3c: Extracting  65.54kB/2GB\r\x1b[1B"
    "\x1b[1A\x1b[2K\rad7ece040b3c: Pull complete \r\x1b[1BDigest: sha256:00\r\n"
)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param("", "0 of 0 layers done, 0.00 GB fetched", id="nothing yet"),
        pytest.param(ON_A_TERMINAL, "1 of 2 layers done, 0.50 GB fetched", id="in the middle"),
        pytest.param(ON_A_TERMINAL + THE_REST, "2 of 2 layers done, 2.00 GB fetched", id="at the end"),
    ],
)
def test_a_pull_says_how_far_it_is(written: str, said: str) -> None:
    assert pull_progress(written.encode()) == said


def test_a_pull_may_be_seen_in_the_middle_of_a_line() -> None:
    written = (ON_A_TERMINAL + THE_REST).encode()
    for length in range(len(written)):
        assert re.fullmatch(
            r"[012] of [012] layers done, [012]\.\d\d GB fetched", pull_progress(written[:length])
        )


CUT_OFF = """#!/bin/sh
case "$*" in
    *inspect*) echo "Error: No such image" >&2; exit 1;;
    *info*) echo '{}';;
    *pull*) test -t 1 || exit 2; printf 'ad7ece040b3c: Downloading  1MB/2GB\\r\\033[1Bunexpected EOF\\n'; exit 1;;
esac
"""
"""A command `docker` whose pull ends in the middle; it wants a terminal for that."""


def test_an_error_in_the_middle_of_a_pull_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(CUT_OFF)
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    job = ComputeJob(name="test", argv=("true",), timeout=5)
    with pytest.raises(
        DockerError, match=r"nemo:1 is not on this machine and could not be pulled: unexpected EOF\."
    ):
        backend(tmp_path, image="nemo:1", host="unix:///none").run(job, tmp_path / "out", lambda line: None)


def event(action: str, **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"Attributes": attributes}}


@pytest.mark.parametrize(
    ("events", "started", "exit_code", "lines"),
    [
        pytest.param([], False, None, (), id="forgotten"),
        pytest.param([event("create"), event("destroy")], False, None, (), id="refused"),
        pytest.param(
            [event("create"), event("start"), event("die", exitCode="3")], True, 3, (), id="an exit code"
        ),
        pytest.param(
            [event("start"), event("oom"), event("oom"), event("die", exitCode="137"), event("destroy")],
            True,
            -9,
            ("docker: the container ran out of memory (OOMKilled)",),
            id="out of memory",
        ),
        pytest.param(
            [event("start"), event("kill", signal="9"), event("die", exitCode="137")],
            True,
            -9,
            ("docker: the container was sent signal 9",),
            id="removed by somebody",
        ),
    ],
)
def test_last_words(
    events: list[dict[str, Any]], started: bool, exit_code: int | None, lines: tuple[str, ...]
) -> None:
    assert LastWords.of(events) == LastWords(started, exit_code, lines)


# --- lines -------------------------------------------------------------------------------------------


@contextmanager
def attached(script: str, first: bytes = b"") -> Iterator[Attached]:
    """A command as `docker start --attach --interactive` is one."""
    made = Attached(["sh", "-c", script], first)
    try:
        yield made
    finally:
        made.close()


def all_of(made: Attached) -> list[str]:
    found: list[str] = []
    while not made.ended:
        found += made.lines(10.0) or []
    return found


def test_lines_are_whole_however_the_bytes_arrive() -> None:
    """Those of standard output and of standard error do not cut each other."""
    pause = "; sleep 0.1; "
    written = ("printf 'one\\ntw'", "printf 'a warn' >&2", "echo o", "echo ing >&2", "printf rest")
    with attached(pause.join(written)) as made:
        assert all_of(made) == ["one", "two", "a warning", "rest"]


def test_a_character_may_lie_across_reads() -> None:
    with attached(r"printf '\302'; sleep 0.2; printf '\265g\n'") as made:
        assert all_of(made) == ["µg"]


def test_silence_is_told_from_half_a_line() -> None:
    with attached("printf half; read -r word; echo") as made:
        assert made.lines(10.0) == []
        assert made.lines(0.1) is None
        made.end_input()
        assert all_of(made) == ["half"]


def test_the_input_begins_with_what_is_given_and_stays_open_until_it_is_ended() -> None:
    with attached("read -r first; echo $first; cat; echo ended", b"words\n") as made:
        assert made.lines(10.0) == ["words"]
        assert made.lines(0.1) is None
        made.end_input()
        assert all_of(made) == ["ended"]
