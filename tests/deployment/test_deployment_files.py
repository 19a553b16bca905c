"""Dockerfile, compose file and instance: they fit each other and the code, and hold no key."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

from resources.compute.brev_options import BrevOptions
from resources.compute.docker_container import DockerOptions
from resources.compute.modal_options import ModalOptions
from resources.deployment import CodeServerRunLauncher
from tests.deployment.dockerfile import of, stages

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
OPTIONS = {"docker": DockerOptions, "brev": BrevOptions, "modal": ModalOptions}
SET_BY_THE_IMAGE = {"FLYWHEEL_DATA"}
_VARIABLE = re.compile(r"FLYWHEEL_[A-Z0-9_]*[A-Z0-9]|(HUME|DICTIONARY|WANDB)_API_KEY")
OURS = ("code", "webserver", "daemon")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text()))


def variables_in_code() -> Iterator[str]:
    """Names of variables that stand in the code as a text of their own."""
    for package in ("flywheel", "resources", "assets"):
        for file in (REPOSITORY / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                text = node.value if isinstance(node, ast.Constant) else None
                if isinstance(text, str) and _VARIABLE.fullmatch(text):
                    yield text


def example() -> dict[str, str]:
    """The example's variables, those behind a # too."""
    lines = (DEPLOY / "flywheel.env.example").read_text().splitlines()
    found = [re.fullmatch(r"#?([A-Z][A-Z0-9_]*)=(.*)", line) for line in lines]
    return {match[1]: match[2] for match in found if match}


def test_the_example_lists_every_variable_that_the_code_reads() -> None:
    options = {
        f"FLYWHEEL_{name}_{field.name}".upper() for name, each in OPTIONS.items() for field in fields(each)
    }
    needed = {*variables_in_code(), *options} - SET_BY_THE_IMAGE
    assert needed - set(example()) == set()


def test_the_example_holds_no_key_and_only_the_password_is_asked_for() -> None:
    keys = {name: value for name, value in example().items() if re.search("KEY|TOKEN|SECRET|PASSWORD", name)}
    assert keys == dict.fromkeys(keys, "")
    asked = [
        line for line in (DEPLOY / "flywheel.env.example").read_text().splitlines() if line[:1].isalpha()
    ]
    assert asked == ["POSTGRES_PASSWORD="]


def test_git_ignores_the_filled_in_file() -> None:
    asked = ["git", "check-ignore", "--quiet", "deploy/flywheel.env"]
    assert subprocess.run(asked, cwd=REPOSITORY).returncode == 0


def test_dagster_takes_the_deployed_instances_settings() -> None:
    instance = InstanceRef.from_dir(str(DEPLOY))
    assert instance.run_launcher.__class__ is CodeServerRunLauncher
    assert instance.storage_data is not None
    assert instance.storage_data.class_name == "DagsterPostgresStorage"
    settings = instance.settings
    assert settings["run_monitoring"]["enabled"] is True
    assert settings["concurrency"]["pools"] == {"granularity": "op", "default_limit": 1}
    assert settings["telemetry"]["enabled"] is False


def test_what_the_instance_asks_of_the_environment_is_there(compose: dict[str, Any]) -> None:
    asked = set(re.findall(r"\{env: (\w+)\}", (DEPLOY / "dagster.yaml").read_text()))
    image = set(re.findall(r"(\w+)=", of(stages()[-1], "ENV")[0]))
    for name in OURS:
        given = compose["services"][name]["environment"]
        assert asked - image - set(given | given.get("<<", {})) == set(), name


def test_the_workspace_names_the_code_server(compose: dict[str, Any]) -> None:
    (entry,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    code = compose["services"][entry["grpc_server"]["host"]]
    assert str(entry["grpc_server"]["port"]) == code["command"][code["command"].index("--port") + 1]


@pytest.mark.parametrize("name", ["postgres", *OURS])
def test_no_service_is_root_or_may_become_it_or_writes_where_it_need_not(
    compose: dict[str, Any], name: str
) -> None:
    service = compose["services"][name]
    assert service["user"].split(":")[0] not in ("0", "root")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["logging"]["options"]["max-size"] == "10m"
    assert not [volume for volume in service["volumes"] if volume.partition(":")[0] not in compose["volumes"]]


def test_nothing_that_asks_for_no_password_is_reached_from_outside(compose: dict[str, Any]) -> None:
    assert compose["networks"]["inside"]["internal"] is True
    networks = {name: service["networks"] for name, service in compose["services"].items()}
    assert networks["postgres"] == ["inside"]
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["webserver"]


def test_the_images_user_is_the_compose_files(compose: dict[str, Any]) -> None:
    (user,) = of(stages()[-1], "USER")
    assert {compose["services"][name]["user"] for name in OURS} == {user}


def test_the_image_installs_what_the_makefile_installs() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    (torch,) = (line for line in project["dependencies"] if line.startswith("torch"))
    commands = [rest for rest in of(stages()[0], "RUN") if "pip install" in rest]
    assert [command.partition("pip install ")[2] for command in commands] == [
        f'--constraint constraints.txt ${{TORCH_INDEX:+--no-deps --index-url "$TORCH_INDEX"}} {torch}',
        '--constraint constraints.txt ".[${EXTRAS}]"',
    ]
    made = (REPOSITORY / "Makefile").read_text()
    assert f"$(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX)) {torch}" in made
    (extras,) = (rest.partition("=")[2] for rest in of(stages()[0], "ARG") if rest.startswith("EXTRAS"))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_every_base_image_is_pinned_by_a_tag() -> None:
    for stage in stages():
        (base,) = of(stage, "FROM")
        assert re.fullmatch(r"python:3\.11-slim-bookworm( AS environment)?", base)


def test_what_is_copied_is_there_and_let_through() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        source
        for stage in stages()
        for rest in of(stage, "COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == let_through
    assert [source for source in copied if not (REPOSITORY / source).exists()] == []
