"""Which checkpoints a training does not go back to."""

import os
from pathlib import Path

import pytest

from resources.object_store.checkpoints import removable


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["val_wer=0.5-epoch=0"], []),
        (["val_wer=0.5-epoch=0", "val_wer=0.4-epoch=1"], ["val_wer=0.5-epoch=0"]),
        (["val_wer=0.4-epoch=0", "val_wer=0.5-epoch=1"], []),
        (["val_wer=0.4-epoch=0", "val_wer=0.5-epoch=1", "val_wer=0.6-epoch=2"], ["val_wer=0.5-epoch=1"]),
        (["val_wer=0.4-epoch=0", "val_wer=0.4-epoch=1", "val_wer=0.6-epoch=2"], []),
        (["val_wer=0.4-epoch=0", "val_wer=0.5-epoch=1-last", "val_wer=0.6-epoch=2"], []),
        (["val_wer=0.10-epoch=0", "val_wer=0.9-epoch=1", "val_wer=1.2-epoch=2"], ["val_wer=0.9-epoch=1"]),
        (["step=10", "step=20", "step=30"], []),
        (["step=10", "val_wer=0.5-epoch=1", "val_wer=0.4-epoch=2"], ["val_wer=0.5-epoch=1"]),
    ],
)
def test_neither_the_newest_nor_the_last_nor_the_best(
    tmp_path: Path, names: list[str], expected: list[str]
) -> None:
    paths = []
    for age, name in enumerate(names):
        path = tmp_path / f"adapted--{name}.ckpt"
        path.touch()
        os.utime(path, (age, age))
        paths.append(path)
    found = [path.stem.removeprefix("adapted--") for path in removable(paths)]
    assert found == expected
