"""Every key of the Kubernetes values is one of the chart's, so that none is a typing error that Helm ignores."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.chart_keys import FREE, key_paths

REPOSITORY = Path(__file__).parents[2]
VALUES = REPOSITORY / "deploy" / "kubernetes" / "values.yaml"
LINES = (Path(__file__).with_name("chart_keys.txt")).read_text().splitlines()
CHART = frozenset(line.removeprefix("+ ") for line in LINES if line and not line.startswith("#"))


def known(path: str) -> bool:
    """Whether the chart has the key, or leaves free what is below one of its keys."""
    bare = path.removesuffix(FREE)
    free = (key.removesuffix(FREE) for key in CHART if key.endswith(FREE))
    return (
        bare in CHART
        or path in CHART
        or any(bare == key or bare.startswith((f"{key}.", f"{key}[")) for key in free)
    )


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return dict(yaml.safe_load(VALUES.read_text()))


def test_every_key_is_one_of_the_charts(values: dict[str, Any]) -> None:
    assert [path for path in key_paths(values) if not known(path)] == []


@pytest.mark.parametrize(
    "mistaken",
    [
        {"dagsterWebserver": {"servise": {"port": 80}}},
        {"dagster-user-deployments": {"deployments": [{"volumeMount": []}]}},
        {"runMonitoring": {"enabled": True}},
        {"dagsterDaemon": {"runMonitoring": {"poll_interval_seconds": 5}}},
    ],
)
def test_a_mistaken_key_is_found(mistaken: dict[str, Any]) -> None:
    assert [path for path in key_paths(mistaken) if not known(path)] != []


def test_paths_of_what_a_chart_offers() -> None:
    offered = {"a": {"b": 1, "c": {}, "d": None}, "e": [{"name": "x", "args": ["-f"]}], "f": []}
    assert list(key_paths(offered)) == ["a.b", "a.c.*", "a.d.*", "e[].name", "e[].args", "f.*"]


def test_no_secret_stands_in_the_values(values: dict[str, Any]) -> None:
    assert "postgresqlPassword" not in values["postgresql"]
    assert values["generatePostgresqlPasswordSecret"] is False
    deployment = values["dagster-user-deployments"]["deployments"][0]
    assert [each["name"] for each in deployment["env"]] == ["FLYWHEEL_DATA"]
    assert deployment["envSecrets"] == [{"name": "flywheel-keys"}]


def test_it_runs_as_the_images_user_and_writes_to_the_volume_alone(values: dict[str, Any]) -> None:
    deployment = values["dagster-user-deployments"]["deployments"][0]
    assert deployment["podSecurityContext"]["runAsUser"] == 10001
    assert deployment["securityContext"]["readOnlyRootFilesystem"] is True
    assert {mount["mountPath"] for mount in deployment["volumeMounts"]} == {"/data", "/tmp"}
