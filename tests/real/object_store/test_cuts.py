"""The connection is cut in the middle: files that were sent or fetched whole are not sent or fetched again."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from flywheel.files.atomic import sha256_of_file
from resources.object_store.bucket import Bucket, StoreError, connect
from resources.object_store.checking import verify
from resources.object_store.options import MIB, BucketOptions
from resources.object_store.pulling import pull
from resources.object_store.pushing import push
from tests.real.object_store.cycle_place import CyclePlace
from tests.real.object_store.s3_server import CuttingLine, S3Server

pytestmark = pytest.mark.real

REPOSITORY = Path(__file__).parents[3]
SILENT = [].append


def command_line(place: CyclePlace, bucket: Bucket, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "resources.object_store", *arguments],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "FLYWHEEL_DATA": str(place.data.path),
            "FLYWHEEL_BUCKET": bucket.options.url,
            "FLYWHEEL_S3_ENDPOINT": bucket.options.endpoint,
            "FLYWHEEL_S3_PART_MIB": "5",
            "FLYWHEEL_S3_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_after_a_cut_in_part_3_of_5_another_process_sends_that_file_again_and_no_other(
    server: S3Server, bucket: Bucket, line: CuttingLine, place: CyclePlace, there: CyclePlace
) -> None:
    model = os.urandom(25 * MIB)
    place.cycle().adapted_model.write_bytes(model)
    line.cut_in_part = 3
    cut = command_line(place, bucket, "push", "cycle1")
    assert cut.returncode == 1
    assert "error: could not send s3://" in cut.stderr.splitlines()[-1]
    assert "Traceback" not in cut.stderr
    assert line.part_bytes[1] == line.part_bytes[2] == 5 * MIB > line.part_bytes[3] > 0
    with pytest.raises(StoreError, match="began and never finished: push it again"):
        pull(
            connect(BucketOptions(bucket.options.name, "asr/flywheel", server.endpoint)),
            there.data,
            "cycle1",
            SILENT,
        )
    assert there.contents() == {}

    there_whole = set(server.objects(bucket.options.name))
    assert len(there_whole) > 10, "small ones go first"

    line.mend()
    resumed = command_line(place, bucket, "push", "cycle1")
    assert resumed.returncode == 0, resumed.stderr
    assert dict(line.part_bytes) == dict.fromkeys(range(1, 6), 5 * MIB)
    sent = {
        request.split()[1].removeprefix(f"/{bucket.options.name}/")
        for request in line.requests
        if "PUT" in request
    }
    assert sent & there_whole == set()
    assert server.unfinished(bucket) == [], "nor does what was cut off stay in the bucket"


def test_a_pull_that_is_cut_off_places_nothing_and_fetches_only_what_it_lacks(
    server: S3Server, bucket: Bucket, line: CuttingLine, place: CyclePlace, there: CyclePlace
) -> None:
    model = os.urandom(15 * MIB)
    place.cycle().adapted_model.write_bytes(model)
    push(bucket, place.data, "cycle1", SILENT)
    line.cut_after = 4 * MIB
    with pytest.raises(StoreError, match=r"could not fetch s3://.* did not answer, or broke off"):
        pull(bucket, there.data, "cycle1", SILENT)
    assert there.contents() == {}, "nothing is put in place before all of it is there"
    here_whole = {sha256_of_file(path) for path in there.data.path.rglob("*") if path.is_file()}
    line.mend()
    pull(connect(bucket.options), there.data, "cycle1", SILENT)
    assert there.cycle().adapted_model.read_bytes() == model
    asked = {request.split()[1].removeprefix(f"/{bucket.options.name}/") for request in line.requests}
    contents = server.objects(bucket.options.name)
    fetched = {
        sha256(contents[key]).hexdigest() for key in asked & set(contents) if not key.endswith("index.json")
    }
    assert len(here_whole) > 10 and fetched & here_whole == set(), "what had come down is not fetched again"
    assert line.bytes_down > 15 * MIB, "but the model is, from its beginning"


def test_a_connection_that_comes_back_is_taken_up_at_once(
    bucket: Bucket, line: CuttingLine, place: CyclePlace, there: CyclePlace
) -> None:
    line.stays_down = False
    place.cycle().adapted_model.write_bytes(os.urandom(11 * MIB))
    line.cut_in_part = 2
    push(bucket, place.data, "cycle1", SILENT)
    assert line.part_bytes[1] == 5 * MIB < line.part_bytes[2] < 10 * MIB, "only the part is sent again"
    line.cut_after = 4 * MIB
    pull(bucket, there.data, "cycle1", SILENT)
    assert there.cycle().adapted_model.read_bytes() == place.cycle().adapted_model.read_bytes()
    line.cut_after = 4 * MIB
    assert verify(bucket, "cycle1", SILENT).bytes_read > 11 * MIB
    assert line.cut_after == 0, "it was cut"


def test_an_unfinished_upload_of_another_file_is_not_taken_up(
    server: S3Server, bucket: Bucket, line: CuttingLine, place: CyclePlace
) -> None:
    """A page, say, of more than a part: its name stays and its content changes."""
    page = place.cycle().leaderboard(2)
    page.write_bytes(b"a" * 12 * MIB)
    line.cut_in_part = 3
    with pytest.raises(StoreError, match="did not answer, or broke off"):
        push(bucket, place.data, "cycle1", SILENT)
    line.mend()
    page.write_bytes(b"b" * 12 * MIB)
    push(bucket, place.data, "cycle1", SILENT)
    key = "asr/flywheel/cycles/cycle1/leaderboard_cycle2.md"
    assert server.objects(bucket.options.name)[key] == page.read_bytes()
    assert server.unfinished(bucket) == []


def test_what_others_never_finished_is_removed(server: S3Server, bucket: Bucket, place: CyclePlace) -> None:
    client = server.client
    client.create_multipart_upload(Bucket=bucket.options.name, Key="asr/flywheel/models/old.nemo")
    client.create_multipart_upload(Bucket=bucket.options.name, Key="of/somebody/else")
    said: list[str] = []
    push(bucket, place.data, "cycle1", said.append)
    assert server.unfinished(bucket) == ["of/somebody/else"]
    assert [line for line in said if "1 uploads that were begun" in line]
