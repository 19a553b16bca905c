"""What a user sees: the command line, the asset, readiness; mistakes in a line, and never a key."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from assets.object_store import bucket_copy
from flywheel.cli import main
from flywheel.errors import FlywheelError
from resources.object_store import readiness
from resources.object_store.bucket import Bucket, StoreError
from resources.object_store.checking import free, verify
from resources.object_store.pulling import pull
from resources.object_store.pushing import push
from resources.object_store.resource import ObjectStore
from tests.real.object_store.cycle_place import CyclePlace
from tests.real.object_store.s3_server import KEY_ID, SECRET, CuttingLine, S3Server

pytestmark = pytest.mark.real

SILENT = [].append


MISTAKES: dict[str, tuple[list[str], dict[str, str], str]] = {
    "no bucket": (["push", "cycle1"], {"FLYWHEEL_BUCKET": ""}, "FLYWHEEL_BUCKET is not set"),
    "no cycle's name": (["push", "cycle01"], {}, "'cycle01' is not a cycle"),
    "no such cycle": (["push", "cycle7"], {}, "there is no cycle7 here"),
    "never pushed": (["pull", "cycle7"], {}, "is not there, so there is no whole copy of cycle7"),
    "no such bucket": (
        ["push", "cycle1"],
        {"FLYWHEEL_BUCKET": "s3://nobodys-bucket"},
        "there is no bucket 'nobodys-bucket'; create it",
    ),
    "no keys": (
        ["push", "cycle1"],
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        "no keys for it are found; check AWS_ACCESS_KEY_ID",
    ),
    "a key with a line feed": (
        ["push", "cycle1"],
        {"AWS_ACCESS_KEY_ID": f"{KEY_ID}\n"},
        "AWS_ACCESS_KEY_ID: empty, or holds white space",
    ),
    "nobody there": (
        ["verify", "cycle1"],
        {"FLYWHEEL_S3_ENDPOINT": "http://127.0.0.1:9"},
        "http://127.0.0.1:9 did not answer, or broke off (EndpointConnectionError)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_users_mistake_is_one_line(
    bucket: Bucket,
    place: CyclePlace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mistake: str,
) -> None:
    arguments, variables, expected = MISTAKES[mistake]
    monkeypatch.setenv("FLYWHEEL_BUCKET", bucket.options.url)
    monkeypatch.setenv("FLYWHEEL_S3_ENDPOINT", bucket.options.endpoint)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "Traceback" not in said
    assert expected in said
    assert SECRET not in said and KEY_ID not in said


@pytest.fixture
def refusing(server: S3Server, bucket: Bucket) -> Iterator[None]:
    """The server, which has the bucket, knows no keys any more."""
    import urllib.request

    def reset(count: str) -> None:
        request = urllib.request.Request(
            f"{server.endpoint}/moto-api/reset-auth", count.encode(), {"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(request).close()

    reset("0")
    yield
    reset("inf")


@pytest.mark.usefixtures("refusing")
def test_a_refused_key_is_said_and_not_shown(bucket: Bucket, place: CyclePlace) -> None:
    with pytest.raises(StoreError, match="the service does not know this key") as caught:
        push(bucket, place.data, "cycle1", SILENT)
    (finding,) = readiness(bucket.options.url, bucket.options.endpoint)
    assert (finding.what, finding.ok) == ("bucket", False)
    assert "does not know this key" in finding.detail
    for said in (str(caught.value), finding.detail):
        assert KEY_ID not in said and SECRET not in said


def test_readiness_tries_and_leaves_nothing(server: S3Server, bucket: Bucket, line: CuttingLine) -> None:
    (finding,) = readiness(bucket.options.url, bucket.options.endpoint)
    assert (finding.ok, finding.detail) == (True, f"{bucket.options.url} at {line.endpoint}: writable")
    assert [request.split()[0] for request in line.requests] == ["PUT", "GET", "GET", "DELETE"]
    assert server.objects(bucket.options.name) == {}
    (missing,) = readiness("s3://nobodys-bucket", bucket.options.endpoint)
    assert (missing.ok, "there is no bucket" in missing.detail) == (False, True)
    line.is_down = True
    (down,) = readiness(bucket.options.url, bucket.options.endpoint)
    assert (down.ok, "did not answer" in down.detail) == (False, True)
    assert readiness() == ObjectStore().readiness()
    assert [(each.ok, each.detail) for each in readiness()] == [(True, "off: no FLYWHEEL_BUCKET")]


def materialized(place: CyclePlace, store: ObjectStore) -> tuple[dg.ExecuteInProcessResult, list[str], str]:
    """The run of the asset, its log lines, and what its failed step says."""
    instance = dg.DagsterInstance.ephemeral()
    ran = dg.materialize(
        [bucket_copy],
        partition_key="cycle1",
        instance=instance,
        resources={"data": place.data, "store": store},
        raise_on_error=False,
    )
    lines = [record.user_message for record in instance.all_logs(ran.run_id)]
    failures = [
        event.step_failure_data.user_failure_data.description or ""
        for event in ran.all_events
        if event.is_step_failure and event.step_failure_data.user_failure_data
    ]
    return ran, lines, "".join(failures)


def test_the_graph_pushes_a_cycle_and_is_silent_without_a_bucket(bucket: Bucket, place: CyclePlace) -> None:
    ran, lines, _ = materialized(place, ObjectStore())
    assert ran.success
    assert ran.get_asset_materialization_events() == [], "off is not a copy"
    assert lines.count("off: no FLYWHEEL_BUCKET") == 1

    ran, _, _ = materialized(place, ObjectStore(bucket=bucket.options.url, endpoint=bucket.options.endpoint))
    (event,) = ran.get_asset_materialization_events()
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert metadata["index"] == bucket.url("cycles/cycle1/index.json")
    assert metadata["objects sent"] > metadata["already there"] == 0
    assert verify(bucket, "cycle1", SILENT).objects == metadata["objects sent"]


def test_a_push_that_fails_fails_its_step_and_the_cycle_stays(
    bucket: Bucket, line: CuttingLine, place: CyclePlace
) -> None:
    before = place.contents()
    line.is_down = True
    ran, _, said = materialized(place, ObjectStore(bucket=bucket.options.url, endpoint=line.endpoint))
    assert not ran.success
    assert "did not answer" in said
    assert "To send it: flywheel push cycle1" in said
    assert place.contents() == before


def test_no_key_is_written_or_said(
    server: S3Server,
    bucket: Bucket,
    place: CyclePlace,
    there: CyclePlace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = "session-token-that-nobody-may-see"
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    caplog.set_level("DEBUG")
    said: list[str] = []
    store = ObjectStore(bucket=bucket.options.url, endpoint=bucket.options.endpoint)
    _, lines, _ = materialized(place, store)
    opened: Any = store.connect()
    pull(opened, there.data, "cycle1", said.append)
    free(opened, place.data, "cycle1", said.append)
    texts = {**server.objects(bucket.options.name), "log": caplog.text.encode()}
    texts |= {str(path): path.read_bytes() for path in place.root.parent.rglob("*") if path.is_file()}
    texts["lines"] = "\n".join([*lines, *said]).encode()
    keys = [key.encode() for key in (KEY_ID, SECRET, token)]
    assert [name for name, text in texts.items() if any(key in text for key in keys)] == []


def test_a_password_in_the_endpoint_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_S3_ENDPOINT", f"https://{KEY_ID}:{SECRET}@example.org")
    monkeypatch.setenv("FLYWHEEL_BUCKET", "s3://data")
    with pytest.raises(FlywheelError, match="holds a name or password") as caught:
        ObjectStore().connect()
    assert KEY_ID not in str(caught.value) and SECRET not in str(caught.value)
