"""Frozen encoder layers: what is near the audio stays as the base had it, batch statistics included."""

from typing import Any

import lightning.pytorch as pl

from flywheel.errors import FlywheelError
from flywheel.recognisers.nemo_asr import FROZEN_KEY


class FrozenLayers(pl.Callback):
    """Keeps the subsampling and the first `count` layers of `model.encoder` out of the training.

    Raises `FlywheelError` where the encoder has fewer layers, or none that can be counted.
    """

    def __init__(self, model: Any, count: int) -> None:
        layers = list(getattr(model.encoder, "layers", ()))
        if not 0 < count <= len(layers):
            raise FlywheelError(
                f"{FROZEN_KEY}: found {count}; allowed: 1 to {len(layers)}, the layers of this encoder"
            )
        self._parts = [model.encoder.pre_encode, *layers[:count]]
        for part in self._parts:
            part.requires_grad_(False)
        weights = sum(weight.numel() for part in self._parts for weight in part.parameters())
        print(f"frozen: the subsampling and {count} of {len(layers)} layers, {weights} weights", flush=True)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep dropout off and batch normalisation as it was: the trainer has put the whole model in training mode."""
        for part in self._parts:
            part.eval()
