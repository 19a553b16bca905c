"""Frozen layers: what a training leaves as it was, statistics of batches included. A small model stands for NeMo's."""

import copy

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from flywheel.compute.programs.frozen import FrozenLayers
from flywheel.errors import FlywheelError


class _Encoder(nn.Module):
    """Subsampling and four layers, each with the batch normalisation and the dropout of a Conformer's."""

    def __init__(self) -> None:
        super().__init__()
        self.pre_encode = nn.Linear(4, 8)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.1)) for _ in range(4)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.pre_encode(features)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class _Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Encoder()
        self.decoder = nn.Linear(8, 2)

    def training_step(self, batch: list[torch.Tensor], _place: int) -> torch.Tensor:
        return self.decoder(self.encoder(batch[0])).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.1)


def test_frozen_layers_stay_as_they_were_and_the_others_learn() -> None:
    pl.seed_everything(7)
    model = _Model()
    before = copy.deepcopy(model.state_dict())
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 4)), batch_size=8)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[FrozenLayers(model, 2)],
    )
    trainer.fit(model, data)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    frozen = {
        name
        for name in before
        if name.startswith(("encoder.pre_encode", "encoder.layers.0", "encoder.layers.1"))
    }
    assert not changed & frozen
    assert {"encoder.layers.2.0.weight", "encoder.layers.2.1.running_mean", "decoder.weight"} <= changed


@pytest.mark.parametrize("count", [0, 5])
def test_a_number_of_layers_that_there_is_not_is_refused(count: int) -> None:
    with pytest.raises(FlywheelError, match=f"found {count}; allowed: 1 to 4, the layers of this encoder"):
        FrozenLayers(_Model(), count)
