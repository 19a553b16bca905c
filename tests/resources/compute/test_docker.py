"""The docker backend as far as it goes without an engine: options, words for what Docker says, lines in frames."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flywheel.compute.job import ComputeJob, InputMissing
from flywheel.errors import FlywheelError, Problems
from resources.compute import backend_named
from resources.compute.docker import DockerBackend, DockerOptions
from resources.compute.docker_container import Lines
from resources.compute.docker_service import DockerError, LastWords, _not_pulled, _progress
from resources.compute.leases import Leases, TeardownFailed
from resources.compute.settings import Settings

REPOSITORY = Path(__file__).parents[3]


def settings(folder: Path, **options: Any) -> Settings:
    return Settings(work_root=folder / "work", leases=Leases(folder / "leases"), options=options)


def backend(folder: Path, **options: Any) -> DockerBackend:
    return DockerBackend.from_settings(settings(folder, **options))


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


def test_definitions_do_not_wait_for_dockers_package() -> None:
    code = "import sys, resources.compute.docker; print('docker' in sys.modules, 'requests' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


# --- no engine ---------------------------------------------------------------------------------------


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


def test_docker_host_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/of-the-variable.sock")
    (finding,) = backend(tmp_path).readiness()
    assert f"unix://{tmp_path}/of-the-variable.sock" in finding.detail


def test_a_host_that_is_none_is_told_apart(tmp_path: Path) -> None:
    (finding,) = backend(tmp_path, host="ftp://nowhere").readiness()
    assert not finding.ok
    assert "ftp" in finding.detail


def test_inputs_are_looked_at_before_docker_is(tmp_path: Path) -> None:
    absent = backend(tmp_path, host=f"unix://{tmp_path}/none.sock")
    job = ComputeJob(name="test", argv=("true",), timeout=5, inputs={"a": tmp_path / "no-a"})
    with pytest.raises(InputMissing):
        absent.run(job, tmp_path / "out", lambda line: None)


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
    message = str(_not_pulled(image, reason))
    assert message.startswith(f"the image {image} is not on this machine and could not be pulled: {reason}.")
    assert todo in message


def test_a_pull_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.compute.docker_service._PROGRESS", 0.0)
    events = [
        {"status": "Pulling from nvidia/nemo", "id": "25.11.01"},
        {"status": "Already exists", "id": "a", "progressDetail": {}},
        {
            "status": "Downloading",
            "id": "b",
            "progressDetail": {"current": 500_000_000, "total": 2_000_000_000},
        },
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 2_000_000_000}},
        {"status": "Extracting", "id": "b", "progressDetail": {"current": 1_000}},
        {"status": "Pull complete", "id": "b", "progressDetail": {}},
        {"status": "Digest: sha256:00"},
    ]
    lines = list(_progress("nemo", lambda: events))
    assert "pulling nemo: 1 of 2 layers done, 0.50 GB fetched" in lines
    assert lines[-1] == "pulling nemo: 2 of 2 layers done, 2.00 GB fetched"


def test_an_error_in_the_middle_of_a_pull_is_one() -> None:
    events = [{"status": "Downloading", "id": "b"}, {"errorDetail": {}, "error": "unexpected EOF"}]
    with pytest.raises(DockerError, match="could not be pulled: unexpected EOF"):
        list(_progress("nemo", lambda: events))


def event(action: str, **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"Attributes": attributes}}


@pytest.mark.parametrize(
    ("events", "exit_code", "lines"),
    [
        pytest.param([], None, (), id="forgotten"),
        pytest.param([event("create"), event("start"), event("die", exitCode="3")], 3, (), id="an exit code"),
        pytest.param(
            [event("oom"), event("oom"), event("die", exitCode="137"), event("destroy")],
            -9,
            ("docker: the container ran out of memory (OOMKilled)",),
            id="out of memory",
        ),
        pytest.param(
            [event("kill", signal="9"), event("die", exitCode="137")],
            -9,
            ("docker: the container was sent signal 9",),
            id="removed by somebody",
        ),
    ],
)
def test_last_words(events: list[dict[str, Any]], exit_code: int | None, lines: tuple[str, ...]) -> None:
    assert LastWords.of(events) == LastWords(exit_code, lines)


# --- lines -------------------------------------------------------------------------------------------


def frame(stream: int, content: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(content).to_bytes(4, "big") + content


WRITTEN = (
    frame(1, b"one\ntw") + frame(2, b"a warn") + frame(1, b"o\n") + frame(2, b"ing\n") + frame(1, b"rest")
)


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_lines_are_whole_however_the_bytes_arrive(size: int) -> None:
    lines = Lines()
    found = []
    for start in range(0, len(WRITTEN), size):
        found += lines.feed(WRITTEN[start : start + size])
    assert found == ["one", "two", "a warning"]
    assert lines.close() == ["rest"]


def test_a_character_may_lie_across_frames() -> None:
    lines = Lines()
    accented = "µg".encode()
    assert lines.feed(frame(1, accented[:1]) + frame(1, accented[1:] + b"\n")) == ["µg"]
