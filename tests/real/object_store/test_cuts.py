"""The connection is cut in the middle: what was sent or fetched is not sent or fetched again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resources.object_store.bucket import Bucket, StoreError, connect
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


def test_a_connection_cut_in_part_3_of_5_is_resumed_by_another_process(
    server: S3Server, bucket: Bucket, line: CuttingLine, place: CyclePlace, there: CyclePlace
) -> None:
    model = os.urandom(25 * MIB)
    place.cycle().adapted_model.write_bytes(model)
    line.cut_in_part = 3
    cut = command_line(place, bucket, "push", "cycle1")
    assert cut.returncode == 1
    assert "error: could not send part 3 of s3://" in cut.stderr.splitlines()[-1]
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

    line.mend()
    resumed = command_line(place, bucket, "push", "cycle1")
    assert resumed.returncode == 0, resumed.stderr
    assert dict(line.part_bytes) == {3: 5 * MIB, 4: 5 * MIB, 5: 5 * MIB}, "parts 1 and 2 were there"
    sent = [request for request in line.requests if request.startswith("PUT") and "/speech/" in request]
    assert sent == [], "nor is anything small sent again"
    assert not list((place.data.path / "transfers" / "uploads").glob("*.json"))


def test_a_pull_that_is_cut_off_places_nothing_and_is_resumed(
    bucket: Bucket, line: CuttingLine, place: CyclePlace, there: CyclePlace
) -> None:
    model = os.urandom(15 * MIB)
    place.cycle().adapted_model.write_bytes(model)
    push(bucket, place.data, "cycle1", SILENT)
    line.cut_after = 9 * MIB
    with pytest.raises(StoreError, match=r"could not fetch s3://.* did not answer, or broke off"):
        pull(bucket, there.data, "cycle1", SILENT)
    assert there.contents() == {}, "nothing is put in place before all of it is there"
    line.mend()
    pull(connect(bucket.options), there.data, "cycle1", SILENT)
    assert there.cycle().adapted_model.read_bytes() == model
    assert line.bytes_down < 8 * MIB, "what had come down is not fetched again"


def test_a_connection_that_comes_back_is_taken_up_at_once(
    bucket: Bucket, line: CuttingLine, place: CyclePlace, there: CyclePlace
) -> None:
    line.stays_down = False
    place.cycle().adapted_model.write_bytes(os.urandom(11 * MIB))
    line.cut_in_part = 2
    push(bucket, place.data, "cycle1", SILENT)
    line.cut_after = 7 * MIB
    pull(bucket, there.data, "cycle1", SILENT)
    assert there.cycle().adapted_model.read_bytes() == place.cycle().adapted_model.read_bytes()


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
    assert server.client.list_multipart_uploads(Bucket=bucket.options.name).get("Uploads", []) == []


def test_what_others_never_finished_is_removed(server: S3Server, bucket: Bucket, place: CyclePlace) -> None:
    client = server.client
    # moto dates every upload to 2010
    client.create_multipart_upload(Bucket=bucket.options.name, Key="asr/flywheel/models/old.nemo")
    client.create_multipart_upload(Bucket=bucket.options.name, Key="of/somebody/else")
    said: list[str] = []
    push(bucket, place.data, "cycle1", said.append)
    left = client.list_multipart_uploads(Bucket=bucket.options.name)["Uploads"]
    assert [each["Key"] for each in left] == ["of/somebody/else"]
    assert [line for line in said if "1 uploads that were begun" in line]
