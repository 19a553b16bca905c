"""A cycle's run written by W&B's own client, read back from its file, and sent to a server that is well or is not."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from flywheel.corpus.manifest import read_manifest
from flywheel.cycle.tracking import cycle_record, losses_in
from flywheel.files.atomic import read_json, sha256_of_file
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import plain
from resources.data_folder import DataFolder
from resources.tracking.resource import Tracked, Tracking
from tests.cycle_on_disk import EPOCHS, LINES, trained_cycle
from tests.real.wandb_file import history, records, values
from tests.real.wandb_server import KEY, Ailment, WandbServer, wandb_server

pytestmark = pytest.mark.real

CONFIG = {"cycle": "cycle1", "hyperparameters": {"lr": 1.2e-3}, "backend": "local"}


def tracking(data: Path, **settings: Any) -> Tracking:
    return Tracking(data=DataFolder(root=str(data)), **settings)


def train(tracker: Tracking, *, pause: float = 0.0) -> list[str]:
    """A training that prints what it prints; what was said meanwhile."""
    said: list[str] = []
    with tracker.losses("cycle1", CONFIG, said.append) as follow:
        for line in LINES:
            follow(line)
            time.sleep(pause)
    return said


@dataclass(frozen=True)
class Kept:
    """A cycle that was tracked offline, with a key in the environment."""

    folder: CycleFolder
    training: Path
    results: Path
    tracked: Tracked


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with pytest.MonkeyPatch.context() as patch:
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        patch.chdir(elsewhere)
        patch.setenv("WANDB_API_KEY", KEY)
        folder = trained_cycle(tmp_path_factory.mktemp("data"))
        tracker = tracking(folder.data, mode="offline", audio=True)
        assert train(tracker) == list(LINES)
        said: list[str] = []
        tracked = tracker.record("cycle1", said.append)
        assert said == [] and list(elsewhere.iterdir()) == [], "nothing is written where one happens to be"
    files = {
        name: next(folder.data.glob(f"tracking/cycle1/{name}-*/wandb/offline-run-*/*.wandb"))
        for name in ("training", "results")
    }
    yield Kept(folder, files["training"], files["results"], tracked)


def test_the_file_holds_the_numbers_of_both_evaluations_to_the_last_digit(kept: Kept) -> None:
    (row,) = history(kept.results)
    for name, folder in (("baseline", kept.folder.baseline), ("next", kept.folder.next)):
        slices = read_json(folder.scores)["slices"]
        assert {"held_out", "unseen_term", "unseen_voice", "general"} <= set(slices)
        for slice_name, scores in slices.items():
            for metric in {"ker", "wer", "cer", "ser"} & scores.keys():
                figure = f"{name}/{slice_name}/{metric}"
                found = [row.get(f"{figure}{part}") for part in ("", "_low", "_high", "_n")]
                assert found == [scores[metric][part] for part in ("value", "low", "high", "n")]
            for category, metrics in scores["by"].get("entity_category", {}).items():
                assert row[f"{name}/{slice_name}/entity_category/{category}/ker"] == metrics["ker"]["value"]
    figures = cycle_record(kept.folder).figures
    assert {figure: row[figure] for figure in figures} == figures
    assert kept.tracked.figures == len(figures)


def test_the_file_holds_the_losses_over_their_own_axes(kept: Kept) -> None:
    assert history(kept.training) == [found for line in LINES if (found := losses_in(line))]
    for file in (kept.training, kept.results):
        axes = {
            each.metric.glob_name: each.metric.step_metric
            for each in records(file)
            if each.HasField("metric")
        }
        assert axes["training/*"] == "training/step" and axes["epochs/*"] == "epochs/epoch"


def test_both_parts_are_of_one_run_that_goes_on(kept: Kept) -> None:
    runs = [
        next(each.run for each in records(file) if each.HasField("run"))
        for file in (kept.training, kept.results)
    ]
    assert {run.run_id for run in runs} == {kept.tracked.run_id}
    assert {(run.display_name, run.project) for run in runs} == {("cycle1", "clinical-asr-flywheel")}
    config = values(runs[1].config.update)
    assert {name: config[name] for name in config if name != "_wandb"} == cycle_record(kept.folder).config
    assert runs[1].notes == cycle_record(kept.folder).headline
    exits = [each.exit.exit_code for each in records(kept.training) if each.HasField("exit")]
    assert exits == [0]


def test_the_leaderboard_is_there_as_table_and_as_page(kept: Kept) -> None:
    (row,) = history(kept.results)
    record = cycle_record(kept.folder)
    files = kept.results.parent / "files"
    for name, table in record.tables.items():
        shown = read_json(files / row[name]["path"])
        assert shown["columns"] == list(table.columns)
        assert shown["data"] == [list(cells) for cells in table.rows]
    assert [dict(zip(shown["columns"], cells, strict=True)) for cells in shown["data"]] == plain(EPOCHS)
    assert "# Leaderboard: cycle 2 beside cycle 1" in (files / row["page"]["path"]).read_text(
        encoding="utf-8"
    )


def test_manifest_and_model_are_artifacts_with_lineage(kept: Kept) -> None:
    artifacts = {
        each.artifact.type: each.artifact for each in records(kept.results) if each.HasField("artifact")
    }
    contents = {
        kind: {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
        for kind, artifact in artifacts.items()
    }
    assert all("cycle1" in artifacts[kind].aliases for kind in ("dataset", "model", "leaderboard"))
    made_from = json.loads(artifacts["model"].metadata)["made_from"]
    assert made_from == f"{artifacts['dataset'].name}:cycle1", (
        "the run has made both, and the model from the manifest"
    )
    (model,) = contents["model"].values()
    assert set(contents["model"]) == {"adapted_model.nemo"}
    assert model.is_relative_to(kept.folder.data / "models"), "a model of gigabytes is not copied"
    assert sha256_of_file(model) == json.loads(artifacts["model"].metadata)["sha256"]
    assert (
        json.loads(artifacts["model"].metadata)["manifest"]
        == json.loads(artifacts["dataset"].metadata)["manifest"]
    )
    rows = read_manifest(contents["dataset"]["manifest.jsonl"])
    assert len(rows) == len(read_manifest(kept.folder.manifest))
    for row in rows:
        assert contents["dataset"][row.audio_filepath] == kept.folder.data / "speech" / f"{row.id}.wav"
    assert contents["leaderboard"]["next/scores.json"].read_bytes() == kept.folder.next.scores.read_bytes()


def test_no_key_no_host_and_no_user_is_kept(kept: Kept) -> None:
    files = [each for each in (kept.folder.data / "tracking").rglob("*") if each.is_file()]
    assert len(files) > 10
    assert [each for each in files if KEY.encode() in each.read_bytes()] == []
    for file in (kept.training, kept.results):
        run = next(each.run for each in records(file) if each.HasField("run"))
        told = str(run)
        assert run.host == "" and socket.gethostname() not in told and getpass.getuser() not in told
        assert not any(each.HasField("environment") for each in records(file))


def test_the_same_cycle_is_not_written_again(kept: Kept) -> None:
    before = kept.results.stat().st_mtime_ns
    again = tracking(kept.folder.data, mode="offline", audio=True).record("cycle1", print)
    assert again == replace(kept.tracked, cached=True)
    assert kept.results.stat().st_mtime_ns == before
    assert kept.tracked.command == f"wandb sync {kept.training.parent} {kept.results.parent}"


@pytest.fixture
def data(kept: Kept, tmp_path: Path) -> Path:
    """A copy of what was kept: nothing of it has been sent."""
    shutil.copytree(kept.folder.data, tmp_path / "data")
    return tmp_path / "data"


def served(monkeypatch: pytest.MonkeyPatch, server: WandbServer) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)


def test_losses_arrive_while_the_training_runs_and_results_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained_cycle(tmp_path)
    tracker = tracking(tmp_path)
    said: list[str] = []
    with wandb_server() as server:
        served(monkeypatch, server)
        with tracker.losses("cycle1", CONFIG, said.append) as follow:
            until = time.monotonic() + 30
            while not server.history and time.monotonic() < until:
                follow(LINES[2])
                time.sleep(0.5)
            assert server.history[0]["training/loss"] == 2.1235, "before the training has ended"
            follow(LINES[-1])
        live = len(server.history)
        assert server.history[-1]["epochs/val_wer"] == 0.1299
        tracked = tracker.record("cycle1", said.append)
        assert (tracked.problem, tracked.command) == ("", "")
        assert tracked.url == f"{server.url}/team/p/runs/{tracked.run_id}"
    assert said[-1] == f"W&B: sending to {server.url}, for at most 900 s"
    assert [line["_step"] for line in server.history] == list(range(live + 1)), (
        "one goes on where the other ends"
    )
    figures = cycle_record(folder).figures
    assert {name: server.summary[name] for name in figures} == figures
    names = [artifact["artifactCollectionName"].rpartition("-")[0] for artifact in server.artifacts]
    assert {"leaderboard", "manifest", "model"} <= set(names)
    (model,) = [content for name, content in server.uploads.items() if name.endswith("adapted_model.nemo")]
    assert model == folder.adapted_model.read_bytes()
    assert not any(name.endswith(".wav") for name in server.uploads), "no audio unasked"


@pytest.mark.parametrize(
    ("ailment", "problem"),
    [
        ("500", "answers with status 500"),
        ("401", "refuses the key in WANDB_API_KEY"),
        ("stall", "no end after 4 s"),
        ("refuses artifacts", "sender: failed to log artifact"),
    ],
)
def test_an_outage_ends_in_time_and_what_was_kept_arrives_later(
    data: Path, ailment: Ailment, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    with wandb_server(ailment) as server:
        served(monkeypatch, server)
        tracked = tracking(data, upload_seconds=4.0, audio=True).record("cycle1", print)
        assert time.monotonic() - begun < 20
        assert problem in tracked.problem and KEY not in f"{tracked}"
        assert tracked.command.startswith(f"WANDB_BASE_URL={server.url} wandb sync {data}")
        file = next(data.glob("tracking/cycle1/results-*/wandb/*/*.wandb"))
        assert history(file), "and can be read"
        assert str(file.parent) in tracked.command
        if ailment != "500":
            return
        # Well again: by the next run of the cycle, or by hand as it was said.
        server.ailment = "none"
        assert subprocess.run(
            tracked.command.replace("wandb sync", f"{sys.executable} -m wandb sync"),
            shell=True,
            cwd=data,
            env={**os.environ, "HOME": str(data), "WANDB_ERROR_REPORTING": "false"},
            timeout=60,
            check=True,
            capture_output=True,
        )
        losses = [found for line in LINES if (found := losses_in(line))]
        for step, (sent, found) in enumerate(zip(server.history, losses, strict=False)):
            assert found.items() <= sent.items() and sent["_step"] == step
        assert server.history[-1]["_step"] == len(losses) == len(server.history) - 1
        assert "next/held_out/ker" in server.history[-1]
        assert tracking(data, audio=True).record("cycle1", print).command == ""


def test_a_training_that_is_interrupted_does_not_wait_for_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with wandb_server("stall") as server:
        served(monkeypatch, server)
        with (
            pytest.raises(KeyboardInterrupt),
            tracking(tmp_path).losses("cycle1", CONFIG, said.append) as follow,
        ):
            for line in (*LINES, *LINES):
                follow(line)
                time.sleep(0.15)
            begun = time.monotonic()
            raise KeyboardInterrupt
        assert time.monotonic() - begun < 15
    (file,) = tmp_path.glob("tracking/cycle1/training-*/wandb/*/*.wandb")
    assert len(history(file)) == 8
    assert [each.exit.exit_code for each in records(file) if each.HasField("exit")] == [1]
    assert said[-1].startswith("W&B: the losses are kept and not sent yet: sending did not end in time")
