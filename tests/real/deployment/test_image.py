"""The Dockerfile's last stage, step by step, in a clean Debian.

Base images come from a registry, so Debian's own files stand for Python's image, and an environment without packages
for the first stage, whose two installations are the Makefile's.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import apt
from tests.deployment.dockerfile import Instruction, of, stages

REPOSITORY = Path(__file__).parents[3]
STAGE = stages()[-1]
_PATIENCE = 20.0
_RUNNING = "import time; print('runs', flush=True); time.sleep(600)"


def why_not() -> str | None:
    """Why there can be no clean Debian here; None where there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a clean Debian is made and entered by root on Linux"
    if shutil.which("apt-get") is None:
        return "there is no apt-get to install mmdebstrap"
    return None


_REASON = why_not()
pytestmark = [pytest.mark.real, pytest.mark.skipif(_REASON is not None, reason=str(_REASON))]


def environment() -> dict[str, str]:
    """What the last stage's ENV sets."""
    (line,) = of(STAGE, "ENV")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return dict(part.replace("$PATH", path).split("=", 1) for part in shlex.split(line))


def inside(
    root: Path, *command: str, user: str = "0:0", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in the file system, as `docker run` does without its isolation."""
    entered = ["chroot", f"--userspec={user}", str(root), *command]
    given = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", **variables}
    return subprocess.run(entered, env=given, capture_output=True, text=True)


def carry_out(root: Path, instruction: Instruction) -> None:
    """RUN as root; COPY from the repository, or from the first stage, of which there is only an empty environment."""
    if instruction.name == "RUN":
        done = inside(root, "sh", "-c", instruction.rest)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    elif instruction.name == "COPY" and instruction.rest.startswith("--from=environment"):
        done = inside(root, "python3", "-m", "venv", "--without-pip", instruction.rest.split()[-1])
        assert done.returncode == 0, done.stderr
    elif instruction.name == "COPY":
        *sources, target = instruction.rest.split()
        for source in (REPOSITORY / name for name in sources):
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(source, root / target.lstrip("/"), ignore=ignored)
            else:
                (root / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, root / target.lstrip("/"))


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """A Debian in which every step of the last stage was carried out."""
    if shutil.which("mmdebstrap") is None:
        apt.install("mmdebstrap")
    root = Path(tempfile.mkdtemp(prefix="flywheel-image-"))
    # Its user, too, has to find the way in.
    root.chmod(0o755)
    try:
        quickly = ("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/doc/*")
        made = ["mmdebstrap", "--variant=apt", "--include=python3", *quickly, "bookworm", str(root)]
        done = subprocess.run(made, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        for instruction in STAGE:
            carry_out(root, instruction)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def as_user(image: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a container of the image does: its user, its variables."""
    return inside(image, *command, user=of(STAGE, "USER")[0], **environment())


def test_the_user_writes_to_the_data_and_to_nothing_of_the_image(image: Path) -> None:
    assert as_user(image, "id", "-u").stdout == "10001\n"
    assert as_user(image, "sh", "-c", "touch /data/file $HOME/file $DAGSTER_FILES/file").returncode == 0
    writable = as_user(
        image, "sh", "-c", "find /opt /usr /etc -writable -not -type l -not -path '/etc/*/null'"
    )
    assert writable.stdout == ""


def test_the_packages_are_found_and_compiled(image: Path) -> None:
    found = as_user(
        image, "python", "-c", "import flywheel.files.cycles; print(flywheel.files.cycles.__cached__)"
    )
    assert found.stdout.startswith("/opt/app/flywheel/files/__pycache__/cycles."), found.stderr
    assert (image / found.stdout.strip().lstrip("/")).is_file()
    named = as_user(image, "python", "-c", "import importlib.util as u; print(u.find_spec('assets').origin)")
    assert named.stdout == "/opt/app/assets/__init__.py\n"


def test_the_files_of_the_model_and_of_dagster_are_there_and_nothing_else_of_the_repository(
    image: Path,
) -> None:
    assert list((image / "opt" / "app" / "flywheel" / "files" / "bundled").glob("*.nemo"))
    assert sorted(path.name for path in (image / "opt" / "dagster").iterdir()) == [
        "dagster.yaml",
        "workspace.yaml",
    ]
    assert sorted(path.name for path in (image / "opt" / "app").iterdir()) == [
        "assets",
        "flywheel",
        "resources",
    ]


def test_what_the_backend_brev_needs_is_there(image: Path) -> None:
    for program in ("ssh", "rsync", "tini"):
        assert as_user(image, "sh", "-c", f"command -v {program}").returncode == 0, program


def test_term_reaches_every_process_of_the_container(image: Path) -> None:
    """A run's process is a child of the code server's: the entry point has to reach both."""
    (entry,) = of(STAGE, "ENTRYPOINT")
    start = [part.strip('", []') for part in entry.split(",")]
    script = f"trap 'wait; exit 7' TERM; python -c \"{_RUNNING}\" & wait"
    process = subprocess.Popen(
        ["chroot", f"--userspec={of(STAGE, 'USER')[0]}", str(image), *start, "sh", "-c", script],
        env={**environment(), "TINI_SUBREAPER": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    os.kill(process.pid, signal.SIGTERM)
    # Only when its child has ended, too, does the shell that waits for it.
    assert process.wait(_PATIENCE) == 7
    assert process.stdout.read() == ""
