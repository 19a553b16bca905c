"""A model is its weights and settings: however and whenever it was packed."""

import io
import os
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from flywheel.files import bundled
from flywheel.files.content import content_of_file, model_content

WEIGHTS = {"data.pkl": b"names", "data/0": b"\x01\x02\x03", "version": b"3"}
CONFIG = b"tokenizer:\n  model_path: nemo:%s_tokenizer.model\n"


def checkpoint(weights: dict[str, bytes], folder: str, when: tuple[int, int, int, int, int, int]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in weights.items():
            archive.writestr(zipfile.ZipInfo(f"{folder}/{name}", date_time=when), content)
        archive.writestr(zipfile.ZipInfo(f"{folder}/.data/serialization_id", date_time=when), os.urandom(8))
    return packed.getvalue()


def nemo(
    path: Path,
    *,
    weights: dict[str, bytes] | None = None,
    drawn: str = "0" * 32,
    mode: str = "w",
    year: int = 2026,
    config: bytes = CONFIG,
) -> Path:
    members = {
        "./model_config.yaml": config % drawn.encode(),
        f"./{drawn}_tokenizer.model": b"pieces",
        "./model_weights.ckpt": checkpoint(weights or WEIGHTS, f"weights{year}", (year, 1, 1, 0, 0, 0)),
    }
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), time.time() - year
            archive.addfile(member, io.BytesIO(content))
    return path


def test_when_and_how_it_was_packed_changes_nothing(tmp_path: Path) -> None:
    first = nemo(tmp_path / "a.nemo")
    again = nemo(tmp_path / "b.nemo", drawn="f" * 32, mode="w:gz", year=2030)
    assert first.read_bytes() != again.read_bytes()
    assert model_content(first) == model_content(again)


@pytest.mark.parametrize(
    "other",
    [{"weights": WEIGHTS | {"data/0": b"\x01\x02\x04"}}, {"config": CONFIG + b"dropout: 0.2\n"}],
    ids=["a weight", "a setting"],
)
def test_another_model_has_another_content(tmp_path: Path, other: dict[str, object]) -> None:
    different = nemo(tmp_path / "b.nemo", **other)  # type: ignore[arg-type]
    assert model_content(nemo(tmp_path / "a.nemo")) != model_content(different)


@pytest.mark.parametrize("keep", [0, 100, 4000])
def test_a_damaged_model_is_another_one(tmp_path: Path, keep: int) -> None:
    whole = nemo(tmp_path / "a.nemo", weights={"data/0": os.urandom(8000)})
    before = content_of_file(whole)
    (tmp_path / "b.nemo").write_bytes(whole.read_bytes()[:keep])
    assert content_of_file(tmp_path / "b.nemo") != before


def test_the_bundled_model_is_read_as_one() -> None:
    path = bundled.path("base_fastconformer_ctc.nemo")
    assert content_of_file(path) == model_content(path) != ""
