"""The whole loop with transcription and training in containers of a real Docker Engine."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flywheel.files.atomic import read_json
from loopback.docker_place import Place as Docker
from resources.compute.leases import Leases
from tests.real.loop_place import REDUCED, REPOSITORY, Place, Turned

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="installs and starts a Docker Engine"),
]


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """A Docker Engine of this module's own."""
    with Docker(tmp_path_factory.mktemp("do")) as place:
        yield place


def test_the_loop_turns_in_containers_and_hears_the_same(
    docker: Docker, turned: Turned, tmp_path: Path
) -> None:
    variables = {name: value for name, value in docker.variables().items() if name != "FLYWHEEL_DATA"}
    place = Place(tmp_path / "place", variables=variables)
    ran = place.run()
    assert ran.exit_code == 0, ran.lines[-6000:]

    for evaluation in ("baseline", "next"):
        assert read_json(place.cycle / evaluation / "transcription.json")["backend"] == "docker"
    info = read_json(place.cycle / "training_run_info.json")
    assert (info["backend"], info["cost_usd"]) == ("docker", 0.0)
    assert info["rows_seen"]["train"] == len((place.cycle / "train.jsonl").read_text().splitlines())
    assert "adapted_model: epoch 1 done" in ran.lines, "lines of the container reach the log"

    heard = "cycles/cycle1/baseline/offline_hyps.jsonl"
    assert place.contents()[heard] == turned.contents[heard], "the same bytes as on this machine"
    assert sorted(name for name in place.contents() if "/" not in name) == []
    ours = {name for name in turned.contents if name.startswith("cycles/")}
    theirs = {name for name in place.contents() if name.startswith("cycles/")}
    assert theirs == ours, "the same files in the cycle's folder"

    assert docker.left() == []
    assert Leases(place.data / "leases").all_open() == ()
    owners = {path.stat().st_uid for path in place.data.rglob("*")}
    assert owners == {os.getuid()}


def test_one_asset_alone_can_run_elsewhere(docker: Docker, turned: Turned, tmp_path: Path) -> None:
    variables = {
        name: value
        for name, value in docker.variables().items()
        if name not in ("FLYWHEEL_DATA", "FLYWHEEL_COMPUTE")
    }
    place = Place(tmp_path / "copy", variables=variables)
    for relative, content in turned.contents.items():
        if not relative.startswith("speech/"):
            target = place.data / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    (place.cycle / "baseline" / "transcription.json").unlink()
    ran = place.run("baseline_eval", {**REDUCED, "baseline_eval": {"compute": "docker"}})
    assert ran.exit_code == 0, ran.lines[-3000:]
    assert read_json(place.cycle / "baseline" / "transcription.json")["backend"] == "docker"


def test_the_doctor_says_what_docker_has(docker: Docker) -> None:
    said = subprocess.run(
        [docker.variables().get("PYTHON", "python"), "-m", "flywheel", "doctor", "docker"],
        cwd=REPOSITORY,
        env={**os.environ, **docker.variables()},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "docker     ok      " in said.stdout, said
