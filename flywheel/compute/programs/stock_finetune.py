"""Runs NeMo's own `speech_to_text_finetune.py`, unpatched, where a NeMo container brings it.

The script says little while it trains and leaves no figures in JSON. So this program reads what the script does
leave: its log, for the rows that its loaders hold, and its TensorBoard events, for losses and error rates. It
prints a line every few seconds, ends the script where the rows are not those of the manifests, and writes the same
`finetune_metrics.json` as `flywheel.compute.programs.finetune`.
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_jsonl
from flywheel.files.records import write_record
from flywheel.recognisers.nemo_asr import FROZEN_KEY, Epoch, TrainingMetrics

SCRIPT_VARIABLE: Final = "NEMO_FINETUNE_SCRIPT"
"""Where the script lies, if not where NVIDIA's containers have it."""
_IN_CONTAINER: Final = Path("/opt/NeMo/examples/asr/speech_to_text_finetune.py")
_ROWS: Final = re.compile(r"Dataset loaded with (\d+) files")
_MANIFESTS: Final = {
    "train": "model.train_ds.manifest_filepath",
    "validation": "model.validation_ds.manifest_filepath",
}
"""The overrides that name the manifests, in the order in which the script loads them."""
_SECONDS_BETWEEN_LINES: Final = 5.0


def stock_script() -> Path | None:
    """NeMo's script, where there is one."""
    named = os.environ.get(SCRIPT_VARIABLE)
    script = Path(named) if named else _IN_CONTAINER
    if named and not script.is_file():
        raise FlywheelError(f"{SCRIPT_VARIABLE}: {script} is not a file")
    return script if script.is_file() else None


def run_stock_script(script: Path, overrides: Sequence[str], metrics_file: str) -> None:
    """Run `script` with Hydra `overrides`; leaves the model as the script does and `metrics_file` beside its logs.

    Raises `FlywheelError` where the script fails, and where its loaders hold other rows than the manifests.
    """
    given = dict(override.lstrip("+").partition("=")[::2] for override in overrides)
    if FROZEN_KEY in given:
        raise FlywheelError(
            f"{FROZEN_KEY}: {script} trains all layers; leave frozen_encoder_layers at 0, or choose the "
            "backend 'local'"
        )
    folder = Path(given["exp_manager.exp_dir"], given["exp_manager.name"], given["exp_manager.version"])
    expected = {name: len(read_jsonl(Path(given[key]))) for name, key in _MANIFESTS.items()}
    started = time.monotonic()
    print(f"running {script}", flush=True)
    script_run = subprocess.Popen(
        [sys.executable, str(script), *overrides],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    events = _Events(folder)
    done = threading.Event()
    speaker = threading.Thread(target=_say_losses, args=(events, done), daemon=True)
    speaker.start()
    try:
        rows = _follow(script_run, expected)
        status = script_run.wait()
    finally:
        done.set()
        script_run.kill()
        script_run.wait()
        speaker.join()
    if status != 0:
        raise FlywheelError(f"{script} ended with status {status}; its last lines are above")
    if rows != expected:
        raise FlywheelError(f"{script} said that its loaders hold {rows} rows; the manifests hold {expected}")
    epochs = tuple(events.epochs())
    metrics = TrainingMetrics(
        rows_seen=rows,
        epochs=epochs,
        steps=epochs[-1].steps if epochs else 0,
        seed=None,  # the script sets none
        seconds=round(time.monotonic() - started, 1),
        versions={name: _version(name) for name in ("torch", "nemo_toolkit", "lightning")},
    )
    write_record(folder / metrics_file, metrics)


def _follow(script_run: subprocess.Popen[str], expected: Mapping[str, int]) -> dict[str, int]:
    """Print the script's lines; the rows its loaders hold, by name. A wrong number raises at once."""
    assert script_run.stdout is not None
    names = iter(expected)
    rows: dict[str, int] = {}
    for line in script_run.stdout:
        print(line, end="", flush=True)
        if (loaded := _ROWS.search(line)) and (name := next(names, None)):
            rows[name] = int(loaded[1])
            print(f"rows seen: {name} {rows[name]} of {expected[name]}", flush=True)
            if rows[name] != expected[name]:
                raise FlywheelError(
                    f"{name}: the trainer sees {rows[name]} rows of the {expected[name]} in its manifest; NeMo "
                    "leaves out rows that are too long, too short or unreadable"
                )
    return rows


def _say_losses(events: "_Events", done: threading.Event) -> None:
    said = -1
    while not done.wait(_SECONDS_BETWEEN_LINES):
        losses = events.scalars("train_loss")
        if losses and losses[-1][0] != said:
            said = losses[-1][0]
            print(f"step {said + 1} loss {losses[-1][1]:.4f}", flush=True)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # a container may hold NeMo as sources only
        return None


class _Events:
    """TensorBoard events below a folder, which may not be there yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def scalars(self, tag: str) -> list[tuple[int, float]]:
        """(step, value) of a scalar, in order; none where it has not been logged yet."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        if not any(self._folder.glob("events.out.tfevents.*")):
            return []
        accumulated: Any = EventAccumulator(str(self._folder), size_guidance={"scalars": 0})
        accumulated.Reload()
        if tag not in accumulated.Tags()["scalars"]:
            return []
        return [(event.step, event.value) for event in accumulated.Scalars(tag)]

    def epochs(self) -> Iterator[Epoch]:
        """The figures of each epoch, which ends with a validation."""
        losses = self.scalars("train_loss")
        validation_losses = dict(self.scalars("val_loss"))
        since = -1
        for number, (step, wer) in enumerate(self.scalars("val_wer"), start=1):
            of_epoch = [loss for at, loss in losses if since < at <= step]
            yield Epoch(
                epoch=number,
                steps=step + 1,
                train_loss=sum(of_epoch) / len(of_epoch) if of_epoch else None,
                val_wer=wer,
                val_loss=validation_losses.get(step),
            )
            since = step
