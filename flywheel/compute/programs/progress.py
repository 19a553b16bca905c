"""Live lines of a training: where it is, the loss, and when it will be done."""

import time
from typing import Any

import lightning.pytorch as pl

from flywheel.recognisers.nemo_asr import Epoch

_SECONDS_BETWEEN_LINES = 5.0


class LossLines(pl.Callback):
    """Prints a line every few seconds and one for each validation; keeps the figures of the epochs in `epochs`."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []
        self._last = time.monotonic()
        self._since_line: list[float] = []
        self._since_epoch: list[float] = []
        self._first: tuple[int, float] | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, now = trainer.global_step, time.monotonic()
        loss = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        self._since_line.append(loss)
        self._since_epoch.append(loss)
        if self._first is None:  # the first step also pays for the loader's start
            self._first = step, now
        total = int(trainer.estimated_stepping_batches)
        if now - self._last < _SECONDS_BETWEEN_LINES and step != total:
            return
        rate = (now - self._first[1]) / max(step - self._first[0], 1)
        print(
            f"epoch {trainer.current_epoch + 1} step {step} of {total} loss {_mean(self._since_line):.4f} "
            f"({rate:.2f} s a step, {rate * (total - step):.0f} s left)",
            flush=True,
        )
        self._last, self._since_line = now, []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not self._since_epoch:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch = Epoch(
            epoch=trainer.current_epoch + 1,
            steps=trainer.global_step,
            train_loss=_mean(self._since_epoch),
            val_wer=metrics.get("val_wer"),
            val_loss=metrics.get("val_loss"),
        )
        self.epochs.append(epoch)
        self._since_epoch = []
        figures = {name: getattr(epoch, name) for name in ("train_loss", "val_wer", "val_loss")}
        shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None)
        print(f"epoch {epoch.epoch} done: {shown}", flush=True)


class EndsAt(pl.Callback):
    """Ends a training after `steps`, whatever the trainer's own limit, which a learning rate may be drawn for."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.fit_loop.epoch_loop.max_steps = self._steps


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
