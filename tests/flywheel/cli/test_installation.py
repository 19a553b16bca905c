"""The commands of every package are found from a source tree that nobody installed, and from an installation."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flywheel.cli import all_commands

REPOSITORY = Path(__file__).parents[3]
PACKAGES = ("flywheel", "resources")
COMMANDS = [each.name for each in all_commands()]


def copied_to(folder: Path) -> None:
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.nemo")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)


def said_by(*command: str, packages: Path, cwd: Path) -> list[str]:
    """The names of the commands that `--help` lists, with the packages of that folder alone."""
    done = subprocess.run(
        [*command, "--help"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = (line.split() for line in done.stdout.splitlines() if line.startswith("  "))
    return [first for first, *_ in found if first in COMMANDS]


@pytest.fixture
def source_tree(tmp_path: Path) -> Iterator[Path]:
    """The repository's packages and its pyproject.toml, where nobody may write."""
    tree = tmp_path / "tree"
    tree.mkdir()
    copied_to(tree)
    shutil.copy(REPOSITORY / "pyproject.toml", tree)
    subprocess.run(["chmod", "-R", "a-w", str(tree)], check=True)
    yield tree
    subprocess.run(["chmod", "-R", "u+w", str(tree)], check=True)


def test_a_source_tree_that_nobody_may_write_to(source_tree: Path, tmp_path: Path) -> None:
    assert said_by(sys.executable, "-m", "flywheel", packages=source_tree, cwd=tmp_path) == COMMANDS


def test_packages_beside_their_metadata(tmp_path: Path) -> None:
    """As in the image: an installation that has metadata and no packages, and the packages without pyproject.toml."""
    build, packages = tmp_path / "build", tmp_path / "packages"
    build.mkdir()
    copied_to(packages)
    shutil.copy(REPOSITORY / "pyproject.toml", build)
    (build / "README.md").touch()
    for name in (*PACKAGES, "assets"):
        (build / name).mkdir()
    prepare = (
        "import sys; from setuptools.build_meta import prepare_metadata_for_build_wheel as p; p(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", prepare, str(packages)], cwd=build, check=True, capture_output=True)
    assert said_by(sys.executable, "-m", "flywheel", packages=packages, cwd=tmp_path) == COMMANDS


def test_the_command_is_the_module(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("flywheel")
    if not program.exists():
        pytest.skip(f"{program}: not there, this environment has no installation of the project")
    assert said_by(str(program), packages=REPOSITORY, cwd=tmp_path) == COMMANDS
