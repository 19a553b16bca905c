"""The compose files, read by Compose itself; no image is pulled or built here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopback import apt

REPOSITORY = Path(__file__).parents[3]
_PACKAGE = "docker-compose"


def why_not() -> str | None:
    """Why there is no Compose here and none can be installed; None where there is one or can be."""
    if _command() is not None:
        return None
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return "there is no Compose, and only root on Debian can install it"
    return None


def _command() -> list[str] | None:
    """Docker's plugin, or Debian's `docker-compose`."""
    if shutil.which("docker"):
        plugin = ["docker", "compose"]
        if subprocess.run([*plugin, "version"], capture_output=True).returncode == 0:
            return plugin
    return [_PACKAGE] if shutil.which(_PACKAGE) else None


_REASON = why_not()
pytestmark = [pytest.mark.real, pytest.mark.skipif(_REASON is not None, reason=str(_REASON))]


@pytest.fixture(scope="module")
def compose() -> list[str]:
    if _command() is None:
        apt.install(_PACKAGE)
    found = _command()
    assert found is not None
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder as one has it after the steps in the head of the compose file, before the password is filled in."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(REPOSITORY / "docker-compose.yml", tmp_path)
    shutil.copy(REPOSITORY / "deploy" / "docker-compose.gpu.yml", tmp_path / "deploy")
    shutil.copy(REPOSITORY / "deploy" / "flywheel.env.example", tmp_path / "deploy" / "flywheel.env")
    (tmp_path / ".env").symlink_to("deploy/flywheel.env")
    return tmp_path


def fill_in(place: Path, **values: str) -> None:
    """Give the variables of `deploy/flywheel.env` values, as a person does."""
    file = place / "deploy" / "flywheel.env"
    lines = [
        line for line in file.read_text().splitlines() if line.lstrip("#").partition("=")[0] not in values
    ]
    file.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items())]) + "\n")


def config(compose: list[str], place: Path, *files: str) -> subprocess.CompletedProcess[str]:
    named = [part for file in files for part in ("--file", file)]
    prefixes = ("FLYWHEEL_", "POSTGRES_", "COMPOSE_", "PIP_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return subprocess.run([*compose, *named, "config"], cwd=place, env=kept, capture_output=True, text=True)


def services(compose: list[str], place: Path, *files: str) -> Mapping[str, Any]:
    done = config(compose, place, *files)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


def published(service: Mapping[str, Any]) -> str:
    """Address and port of the only published port, which versions of Compose write differently."""
    (port,) = service["ports"]
    return (
        port.partition("/")[0]
        if isinstance(port, str)
        else f"{port['host_ip']}:{port['published']}:{port['target']}"
    )


def test_without_a_password_it_is_refused_and_says_where_it_belongs(compose: list[str], place: Path) -> None:
    done = config(compose, place)
    assert done.returncode != 0
    assert "set it in deploy/flywheel.env" in done.stderr


def test_with_one_it_is_valid_and_the_webserver_listens_on_loopback(compose: list[str], place: Path) -> None:
    fill_in(place, POSTGRES_PASSWORD="given")
    found = services(compose, place)
    assert set(found) == {"postgres", "code", "webserver", "daemon"}
    assert published(found["webserver"]) == "127.0.0.1:3000:3000"
    assert [name for name, service in found.items() if service.get("ports")] == ["webserver"]
    given = {name: service["environment"]["POSTGRES_PASSWORD"] for name, service in found.items()}
    assert given == dict.fromkeys(found, "given")


def test_the_webserver_listens_elsewhere_only_when_told(compose: list[str], place: Path) -> None:
    fill_in(place, POSTGRES_PASSWORD="given", FLYWHEEL_WEB_BIND="10.1.2.3:8080")
    assert published(services(compose, place)["webserver"]) == "10.1.2.3:8080:3000"


def test_keys_reach_the_code_server_alone(compose: list[str], place: Path) -> None:
    fill_in(place, POSTGRES_PASSWORD="given", HUME_API_KEY="of-hume", FLYWHEEL_BUCKET="ours")
    found = services(compose, place)
    assert found["code"]["environment"]["HUME_API_KEY"] == "of-hume"
    assert found["code"]["environment"]["FLYWHEEL_BUCKET"] == "ours"
    assert [name for name, service in found.items() if "of-hume" in str(service)] == ["code"]


def test_the_gpu_goes_to_the_code_server_alone(compose: list[str], place: Path) -> None:
    fill_in(place, POSTGRES_PASSWORD="given")
    found = services(compose, place, "docker-compose.yml", "deploy/docker-compose.gpu.yml")
    (device,) = found["code"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]
    assert [name for name, service in found.items() if "nvidia" in str(service)] == ["code"]
