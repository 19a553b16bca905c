"""Checkpoints go into the bucket while a training runs, and leave this machine only when they are safe and old."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resources.data_folder import DataFolder
from resources.object_store.bucket import Bucket, Mismatch
from resources.object_store.checkpoints import Watcher, watching
from resources.object_store.options import MIB
from resources.object_store.resource import ObjectStore
from tests.real.object_store.s3_server import CuttingLine, S3Server, other_bytes

pytestmark = pytest.mark.real

PREFIX = "checkpoints/cycle1/now"
NAMES = {
    "first": "adapted--val_wer=0.5000-epoch=0.ckpt",
    "best": "adapted--val_wer=0.3000-epoch=1.ckpt",
    "later": "adapted--val_wer=0.4000-epoch=2.ckpt",
    "last": "adapted--val_wer=0.4000-epoch=2-last.ckpt",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where NeMo writes checkpoints, in a workspace of the local backend."""
    folder = tmp_path / "work" / "finetune-1a2b3c4d" / "finetune" / "adapted" / "run" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watcher(tmp_path: Path, bucket: Bucket, said: list[str]) -> Watcher:
    """It trusts a file at once, and does not wait after an outage."""
    return Watcher(tmp_path / "work", bucket, PREFIX, said.append, interval=0.02, rest=0, pause=0.02)


def checkpoint(folder: Path, which: str, content: bytes = b"") -> Path:
    part = folder / "part"
    part.write_bytes(content or which.encode() * 1000)
    later = time.time() + list(NAMES).index(which)
    os.utime(part, (later, later))
    return part.rename(folder / NAMES[which])


def kept(server: S3Server, bucket: Bucket) -> dict[str, bytes]:
    start = len(bucket.key(f"{PREFIX}/"))
    return {key[start:]: content for key, content in server.objects(bucket.options.name).items()}


def wait_until(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_all_are_sent_and_only_what_is_old_and_not_the_best_is_removed(
    server: S3Server, bucket: Bucket, folder: Path, watcher: Watcher
) -> None:
    first = checkpoint(folder, "first")
    watcher.look()
    assert first.exists(), "the only one is the newest and the best"
    for which in ("best", "later", "last"):
        checkpoint(folder, which)
        watcher.look()
    assert kept(server, bucket) == {name: which.encode() * 1000 for which, name in NAMES.items()}
    assert {path.name for path in folder.iterdir()} == {NAMES["best"], NAMES["last"]}


@pytest.mark.parametrize(
    ("damage", "expected"),
    [(lambda content: content[:-1], "it should be"), (other_bytes, "its SHA-256 is not")],
)
def test_one_that_was_damaged_in_the_bucket_stays_here(
    server: S3Server,
    bucket: Bucket,
    folder: Path,
    watcher: Watcher,
    damage: Callable[[bytes], bytes],
    expected: str,
) -> None:
    first = checkpoint(folder, "first")
    watcher.look()
    path = f"{PREFIX}/{first.name}"
    server.spoil(bucket, path, damage(first.read_bytes()))
    checkpoint(folder, "best")
    with pytest.raises(Mismatch, match=expected) as caught:
        watcher.look()
    assert bucket.url(path) in str(caught.value)
    assert f"{first} is kept" in str(caught.value)
    assert first.exists()


def test_one_that_is_being_written_waits(
    server: S3Server, bucket: Bucket, folder: Path, watcher: Watcher
) -> None:
    marked = checkpoint(folder, "first")
    marker = folder / f"{marked.name}-unfinished"
    marker.touch()
    (folder / ".half.ckpt").write_bytes(b"half")
    watcher.look()
    assert kept(server, bucket) == {}
    marker.unlink()
    watcher.rest = 0.2
    growing = checkpoint(folder, "best")
    for _ in range(6):
        with growing.open("ab") as file:
            file.write(b"more")
        watcher.look()
        time.sleep(0.06)
    assert list(kept(server, bucket)) == [marked.name]
    wait_until(lambda: watcher.look() or growing.name in kept(server, bucket))
    assert kept(server, bucket)[growing.name] == growing.read_bytes()


def test_an_outage_is_said_once_and_the_training_goes_on(
    server: S3Server, bucket: Bucket, line: CuttingLine, folder: Path, watcher: Watcher, said: list[str]
) -> None:
    line.is_down = True
    with watching(watcher):
        first, best = checkpoint(folder, "first"), checkpoint(folder, "best")
        wait_until(lambda: said)
        time.sleep(0.2)
        assert len(said) == 1
        assert "checkpoints are kept here for now, the training goes on: could not send" in said[0]
        assert first.exists() and best.exists()
        line.is_down = False
        wait_until(lambda: not first.exists())
    assert "checkpoints: the bucket can be used again" in said
    assert set(kept(server, bucket)) == {first.name, best.name}


def test_those_of_another_training_are_left_alone(
    server: S3Server, bucket: Bucket, folder: Path, watcher: Watcher
) -> None:
    others = checkpoint(folder, "first")
    with watching(watcher):
        checkpoint(folder, "best")
        wait_until(lambda: kept(server, bucket))
    assert set(kept(server, bucket)) == {NAMES["best"]}
    assert others.exists()


def test_one_that_the_trainer_removes_meanwhile_is_no_outage(
    server: S3Server, bucket: Bucket, folder: Path, watcher: Watcher, said: list[str]
) -> None:
    with watching(watcher):
        path = checkpoint(folder, "first", os.urandom(30 * MIB))
        wait_until(lambda: server.unfinished(bucket))
        path.unlink()
        wait_until(lambda: not server.unfinished(bucket))
    assert kept(server, bucket) == {}
    assert [line for line in said if "kept here" in line] == []


def test_the_end_of_the_training_does_not_wait_for_a_large_upload(
    server: S3Server, bucket: Bucket, folder: Path, watcher: Watcher
) -> None:
    with watching(watcher):
        checkpoint(folder, "first", os.urandom(40 * MIB))
        wait_until(lambda: server.unfinished(bucket))
    assert kept(server, bucket) == {}
    assert server.unfinished(bucket) == []


def test_it_is_off_unless_it_is_asked_for(bucket: Bucket, tmp_path: Path, said: list[str]) -> None:
    data = DataFolder(root=str(tmp_path))
    address = {"bucket": bucket.options.url, "endpoint": bucket.options.endpoint}
    for store, running, lines in (
        (ObjectStore(**address), False, 0),
        (ObjectStore(checkpoints=True), False, 0),
        (ObjectStore(bucket="s3://A", checkpoints=True), False, 1),
        (ObjectStore(**address, checkpoints=True), True, 0),
    ):
        said.clear()
        with store.watching_checkpoints(data, "cycle1", said.append):
            assert any(thread.name == "checkpoints" for thread in threading.enumerate()) == running
        assert len(said) == lines, said
    assert not any(thread.name == "checkpoints" for thread in threading.enumerate())
