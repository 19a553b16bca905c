"""NeMo's own script, run and read: here by a script that says and leaves what NeMo's does."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from flywheel.files.atomic import read_json, write_jsonl
from flywheel.recognisers.bases import find_base
from flywheel.recognisers.nemo_asr import METRICS_OUTPUT, TINY, Hyperparameters, overrides

REPOSITORY = Path(__file__).parents[4]
SCRIPT = """
import sys, time
from pathlib import Path
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

given = dict(each.lstrip("+").split("=", 1) for each in sys.argv[1:])
folder = Path(given["exp_manager.exp_dir"], given["exp_manager.name"], given["exp_manager.version"])
folder.mkdir(parents=True)
for kind, dropped in (("train", DROPPED), ("validation", 0)):
    held = len(Path(given[f"model.{kind}_ds.manifest_filepath"]).read_text().splitlines()) - dropped
    print(f"[NeMo I 2026-01-02 03:04:05 collections:201] Dataset loaded with {held} files totalling 0.01 hours")
    print(f"[NeMo I 2026-01-02 03:04:05 collections:202] {dropped} files were filtered", flush=True)
    time.sleep(PAUSE)
writer = EventFileWriter(str(folder))
for step, scalars in [
    (1, {"train_loss": 3.0}), (3, {"train_loss": 1.0}), (3, {"val_wer": 0.5, "val_loss": 2.0}),
    (5, {"train_loss": 0.5}), (7, {"val_wer": 0.25, "val_loss": 1.0}),
]:
    value = [Summary.Value(tag=tag, simple_value=number) for tag, number in scalars.items()]
    writer.add_event(Event(step=step, wall_time=step, summary=Summary(value=value)))
writer.close()
sys.exit(STATUS)
"""


def run(
    folder: Path,
    *,
    dropped: int = 0,
    status: int = 0,
    pause: float = 0.0,
    hyperparameters: Hyperparameters = TINY,
) -> subprocess.CompletedProcess[str]:
    """The driver, in a workspace, where a container has such a script."""
    for name, count in (("train", 4), ("development", 2)):
        write_jsonl(folder / f"{name}.jsonl", [{"id": f"{name}{number}"} for number in range(count)])
    script = folder / "speech_to_text_finetune.py"
    written = SCRIPT.replace("DROPPED", str(dropped)).replace("STATUS", str(status))
    script.write_text(written.replace("PAUSE", str(pause)))
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "flywheel.compute.programs.finetune",
            *overrides(find_base("bundled"), hyperparameters, accelerator=False),
        ],
        cwd=folder,
        env={"PYTHONPATH": str(REPOSITORY), "NEMO_FINETUNE_SCRIPT": str(script)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_figures_are_read_from_what_the_script_leaves(tmp_path: Path) -> None:
    ran = run(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "rows seen: train 4 of 4" in ran.stdout
    assert "rows seen: validation 2 of 2" in ran.stdout
    metrics = read_json(tmp_path / METRICS_OUTPUT)
    assert metrics["rows_seen"] == {"train": 4, "validation": 2}
    assert metrics["epochs"] == [
        {"epoch": 1, "steps": 4, "train_loss": 2.0, "val_wer": 0.5, "val_loss": 2.0},
        {"epoch": 2, "steps": 8, "train_loss": 0.5, "val_wer": 0.25, "val_loss": 1.0},
    ]
    assert metrics["steps"] == 8


def test_rows_that_the_script_leaves_out_end_it_at_once(tmp_path: Path) -> None:
    # Waiting for the script would not end before the test is ended.
    ran = run(tmp_path, dropped=1, pause=3600.0)
    assert ran.returncode == 1
    assert "train: the trainer sees 3 rows of the 4" in ran.stderr
    assert not (tmp_path / METRICS_OUTPUT).exists()


def test_a_script_that_fails_fails_the_job(tmp_path: Path) -> None:
    ran = run(tmp_path, status=3)
    assert ran.returncode == 1
    assert "ended with status 3" in ran.stderr
    assert not (tmp_path / METRICS_OUTPUT).exists()


def test_layers_that_the_script_would_train_are_not_called_frozen(tmp_path: Path) -> None:
    ran = run(tmp_path, hyperparameters=replace(TINY, frozen_encoder_layers=2))
    assert ran.returncode == 1
    assert "model.frozen_encoder_layers: " in ran.stderr
    assert "trains all layers; leave frozen_encoder_layers at 0" in ran.stderr
    assert "rows seen" not in ran.stdout


def test_a_script_that_is_named_and_not_there_is_an_error(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "flywheel.compute.programs.finetune"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "NEMO_FINETUNE_SCRIPT": "/nowhere.py"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert "NEMO_FINETUNE_SCRIPT: /nowhere.py is not a file" in ran.stderr
