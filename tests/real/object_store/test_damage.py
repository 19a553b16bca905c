"""Nothing is removed here, and nothing put in place here, that is not proved by size and SHA-256."""

import shutil

import pytest

from flywheel.corpus.manifest import read_manifest
from flywheel.errors import Problems
from flywheel.files.atomic import sha256_of_file
from resources.object_store.bucket import Bucket, StoreError
from resources.object_store.checking import free, verify
from resources.object_store.pulling import pull
from resources.object_store.pushing import push
from tests.real.object_store.cycle_place import CyclePlace
from tests.real.object_store.s3_server import S3Server, other_bytes

pytestmark = pytest.mark.real

SILENT = [].append


DAMAGES = {
    "wrong size": (lambda content: content[:-1], "bytes; it should be"),
    "wrong hash": (other_bytes, "its SHA-256 is not"),
    "gone": (None, "it is not there"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_nothing_here_is_removed_that_the_bucket_does_not_hold(
    server: S3Server, bucket: Bucket, place: CyclePlace, damage: str
) -> None:
    push(bucket, place.data, "cycle1", SILENT)
    path, local = place.an_audio()
    content = local.read_bytes()
    spoilt, expected = DAMAGES[damage]
    if spoilt is None:
        server.client.delete_object(**bucket.at(path))
    else:
        server.spoil(bucket, path, spoilt(content))
    with pytest.raises(Problems) as verified:
        verify(bucket, "cycle1", SILENT)
    with pytest.raises(Problems) as freed:
        free(bucket, place.data, "cycle1", SILENT)
    for caught in (verified, freed):
        (problem,) = caught.value.problems
        assert bucket.url(path) in problem
        assert expected in problem
    assert f"{local} is kept" in str(freed.value)
    assert local.read_bytes() == content
    left = [name for name in place.contents(below="speech") if name.endswith(".wav")]
    assert left == [path], "the others were read back and are the same"


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("speech", "wrong size"),
        ("speech", "gone"),
        ("manifest", "wrong hash"),
        ("model", "wrong size"),
        ("model", "wrong hash"),
    ],
)
def test_a_damaged_object_is_never_put_in_place(
    server: S3Server, bucket: Bucket, place: CyclePlace, there: CyclePlace, damage: str, kind: str
) -> None:
    push(bucket, place.data, "cycle1", SILENT)
    model = f"models/{sha256_of_file(place.cycle().adapted_model)}.nemo"
    path = {"speech": place.an_audio()[0], "manifest": "cycles/cycle1/manifest.jsonl", "model": model}[kind]
    spoilt, expected = DAMAGES[damage]
    if spoilt is None:
        server.client.delete_object(**bucket.at(path))
    else:
        server.spoil(bucket, path, spoilt(server.objects(bucket.options.name)[bucket.key(path)]))
    with pytest.raises(StoreError, match=expected) as caught:
        pull(bucket, there.data, "cycle1", SILENT)
    assert bucket.url(path) in str(caught.value)
    assert there.contents() == {}


def test_audio_that_was_freed_comes_back_and_the_cycle_can_be_pushed_meanwhile(
    bucket: Bucket, place: CyclePlace
) -> None:
    push(bucket, place.data, "cycle1", SILENT)
    before = place.contents()
    freed = free(bucket, place.data, "cycle1", SILENT)
    audio = [name for name in before if name.endswith(".wav")]
    assert (freed.removed, freed.kept) == (len(audio), 0)
    assert not set(audio) & set(place.contents())
    assert push(bucket, place.data, "cycle1", SILENT).sent == 0
    assert pull(bucket, place.data, "cycle1", SILENT).placed == len(audio)
    assert place.contents() == before


def test_audio_that_a_cycle_needs_which_is_not_pushed_is_kept(bucket: Bucket, place: CyclePlace) -> None:
    push(bucket, place.data, "cycle1", SILENT)
    shutil.copytree(place.cycle().root, place.cycle("cycle2").root)
    rows = len(read_manifest(place.cycle().manifest))
    freed = free(bucket, place.data, "cycle1", SILENT)
    assert (freed.removed, freed.kept) == (0, rows)
    push(bucket, place.data, "cycle2", SILENT)
    assert free(bucket, place.data, "cycle1", SILENT).removed == rows


def test_audio_that_is_neither_here_nor_there_cannot_be_pushed(bucket: Bucket, place: CyclePlace) -> None:
    _path, local = place.an_audio()
    local.unlink()
    with pytest.raises(Problems, match="is not here, and not in the bucket") as caught:
        push(bucket, place.data, "cycle1", SILENT)
    assert str(local) in str(caught.value)
