"""A service, a bucket of each test's own, the line to it, and a cycle that was made once."""

import os
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from resources.object_store.bucket import Bucket, connect
from resources.object_store.options import MIB, BucketOptions
from tests.real.object_store.cycle_place import CyclePlace, copy_of, first_cycle
from tests.real.object_store.s3_server import VARIABLES, CuttingLine, S3Server, s3_server


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> CyclePlace:
    """The first cycle, made once. Tests copy it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FLYWHEEL_")]:
            patch.delenv(name)
        patch.setenv("FLYWHEEL_DATA", "")
        return first_cycle(tmp_path_factory.mktemp("made"))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("FLYWHEEL_", "AWS_")):
            monkeypatch.delenv(name)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def place(made: CyclePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CyclePlace:
    """Six rows of the first cycle, with all its other files."""
    copy = copy_of(made, tmp_path / "here", rows=6)
    monkeypatch.setenv("FLYWHEEL_DATA", str(copy.data.path))
    return copy


@pytest.fixture
def there(tmp_path: Path) -> CyclePlace:
    """Another machine: an empty data folder."""
    place = CyclePlace(tmp_path / "there")
    place.root.mkdir()
    return place


@pytest.fixture(scope="session")
def way(server: S3Server) -> Iterator[CuttingLine]:
    """The way to the server, for all tests."""
    with CuttingLine(int(server.endpoint.rpartition(":")[2])) as line:
        yield line


@pytest.fixture(scope="session")
def anywhere(way: CuttingLine) -> Bucket:
    """A connection for all tests: to make one takes a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in VARIABLES.items():
            patch.setenv(name, value)
        return connect(BucketOptions("of-no-test", "asr/flywheel", way.endpoint, part_bytes=5 * MIB))


@pytest.fixture
def line(way: CuttingLine) -> CuttingLine:
    """The way to the server, whole."""
    way.mend()
    return way


@pytest.fixture
def bucket(server: S3Server, line: CuttingLine, anywhere: Bucket, request: pytest.FixtureRequest) -> Bucket:
    """A bucket of the test's own."""
    name = f"b{sha256(request.node.name.encode()).hexdigest()[:16]}"
    server.client.create_bucket(Bucket=name)
    line.mend()
    return replace(anywhere, options=replace(anywhere.options, name=name))
