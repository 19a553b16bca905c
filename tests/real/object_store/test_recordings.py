"""Recordings dropped into a bucket: brought here once, checked, and followed when they change there."""

import os
import socket
from hashlib import sha256
from pathlib import Path

import pytest

from flywheel.corpus.recordings.offered_lines import find_manifests
from flywheel.errors import FlywheelError
from resources.data_folder import DataFolder
from resources.object_store.bucket import Bucket, StoreError
from resources.recordings import bring_recordings
from tests.drop_folder import HUMAN, Drop
from tests.real.object_store.s3_server import SECRET, CuttingLine, S3Server, other_bytes

pytestmark = pytest.mark.real


class Place:
    """A team's folder that it sends to a bucket, and a data folder elsewhere."""

    def __init__(self, root: Path, bucket: Bucket, server: S3Server, line: CuttingLine) -> None:
        self.team, self.bucket, self.server, self.line = Drop(root), bucket, server, line
        self.data = DataFolder(root=str(root / "data"))
        self.said: list[str] = []

    def send(self, *names: str, prefix: str = "drop/") -> None:
        for name in names:
            body = (self.team.root / name).read_bytes()
            self.server.client.put_object(Bucket=self.bucket.options.name, Key=f"{prefix}{name}", Body=body)

    def bring(self) -> dict[str, bytes]:
        """Bring it here; the names and bytes of what is here then."""
        folder = bring_recordings(self.data, self.said.append)
        files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def fetched(self) -> list[str]:
        """The objects of recordings that were fetched since the last look."""
        got = [
            each.split()[1].partition("/drop/")[2] for each in self.line.requests if each.startswith("GET")
        ]
        self.line.requests.clear()
        return sorted(name for name in got if name)


@pytest.fixture
def place(
    tmp_path: Path, bucket: Bucket, server: S3Server, line: CuttingLine, monkeypatch: pytest.MonkeyPatch
) -> Place:
    monkeypatch.setenv("FLYWHEEL_RECORDINGS", f"s3://{bucket.options.name}/drop")
    monkeypatch.setenv("FLYWHEEL_S3_ENDPOINT", line.endpoint)
    return Place(tmp_path, bucket, server, line)


def test_recordings_come_from_a_bucket_and_are_looked_at_like_a_folders(place: Place) -> None:
    team = place.team
    team.manifest(team.recording("one.wav", 1), team.recording("two.wav", 2, HUMAN), name="manifest.jsonl")
    team.wav("deep/three.wav", 3)
    (team.root / "notes.pdf").write_bytes(b"of no interest here")
    place.send("one.wav", "two.wav", "deep/three.wav", "manifest.jsonl", "notes.pdf")
    place.send("one.wav", prefix="elsewhere/")
    place.send("one.wav", prefix="drop/../")
    here = place.bring()
    assert here == {
        name: (team.root / name).read_bytes()
        for name in ("one.wav", "two.wav", "deep/three.wav", "manifest.jsonl")
    }
    assert place.fetched() == ["deep/three.wav", "manifest.jsonl", "one.wav", "two.wav"]
    assert [each.path.name for each in find_manifests(place.data.recordings).settled] == ["manifest.jsonl"]
    team.root = place.data.recordings
    taken = team.look()
    assert (taken.joined, taken.quarantined, len(taken.human)) == (2, (), 1)

    assert place.bring() == here
    assert place.fetched() == [], "what is here already is not fetched"
    assert place.said[-1].endswith("4 objects, 0 fetched, 0 removed there; 2 are neither wav nor jsonl")


def test_what_changes_there_changes_here_and_no_more(place: Place) -> None:
    team = place.team
    team.manifest(team.recording("one.wav", 1), team.recording("two.wav", 2))
    (team.root / "withdrawn.txt").write_text("nurse-1\n")
    place.send("one.wav", "two.wav", "manifest.jsonl", "withdrawn.txt")
    place.bring()
    place.fetched()
    team.wav("two.wav", 3)
    place.send("two.wav")
    place.server.client.delete_object(Bucket=place.bucket.options.name, Key="drop/one.wav")
    os.truncate(place.data.recordings / "manifest.jsonl", 10)
    here = place.bring()
    assert place.fetched() == ["manifest.jsonl", "two.wav"]
    assert here == {
        name: (team.root / name).read_bytes() for name in ("two.wav", "manifest.jsonl", "withdrawn.txt")
    }
    assert [each.path.name for each in find_manifests(place.data.recordings).settled] == ["manifest.jsonl"]


def test_an_object_that_is_not_what_its_sender_says_is_refused(place: Place) -> None:
    whole = place.team.wav("one.wav", 1).read_bytes()
    place.server.client.put_object(
        Bucket=place.bucket.options.name,
        Key="drop/one.wav",
        Body=other_bytes(whole),
        Metadata={"sha256": sha256(whole).hexdigest()},
    )
    with pytest.raises(StoreError, match="its SHA-256 is not"):
        place.bring()
    place.send("one.wav")
    assert place.bring() == {"one.wav": whole}


class SpoilingLine(CuttingLine):
    """The way to a server on which a word in what comes down becomes another one."""

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        while data := server.recv(65536):
            client.sendall(data.replace(b"unspoiled", b"spoiled.."))
        client.close()


def test_an_object_that_is_damaged_on_the_way_is_refused(
    place: Place, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the service's own digest: whoever dropped it has stated none."""
    place.team.manifest("unspoiled\n")
    place.send("manifest.jsonl")
    with SpoilingLine(int(server.endpoint.rpartition(":")[2])) as line:
        monkeypatch.setenv("FLYWHEEL_S3_ENDPOINT", line.endpoint)
        with pytest.raises(StoreError, match="its MD5 is not"):
            place.bring()
    assert not (place.data.recordings / "manifest.jsonl").exists()
    monkeypatch.setenv("FLYWHEEL_S3_ENDPOINT", place.line.endpoint)
    assert place.bring() == {"manifest.jsonl": b"unspoiled\n"}


def test_a_line_that_is_cut_leaves_nothing_half(place: Place) -> None:
    place.team.wav("one.wav", 1)
    place.team.wav("two.wav", 2)
    place.send("one.wav", "two.wav")
    place.line.cut_after, place.line.stays_down = 40_000, False
    here = place.bring()
    assert here == {name: (place.team.root / name).read_bytes() for name in ("one.wav", "two.wav")}


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("s3://Not_A_Bucket", "FLYWHEEL_RECORDINGS: found 's3://Not_A_Bucket'; allowed: s3://name"),
        ("s3://there-is-none/drop", "or name another one in FLYWHEEL_RECORDINGS"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_said_of_the_right_variable(
    place: Place, monkeypatch: pytest.MonkeyPatch, address: str, problem: str
) -> None:
    monkeypatch.setenv("FLYWHEEL_RECORDINGS", address)
    with pytest.raises(FlywheelError) as caught:
        place.bring()
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)
