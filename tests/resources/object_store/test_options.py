"""Which bucket is used: a table of what may be said, and what is refused."""

import pytest

from flywheel.errors import FlywheelError
from resources.object_store import readiness
from resources.object_store.options import MIB, BucketOptions, read_options

NAMES = (
    *("FLYWHEEL_BUCKET", "FLYWHEEL_S3_ENDPOINT", "FLYWHEEL_S3_PART_MIB", "FLYWHEEL_S3_THREADS"),
    *("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_without_a_bucket_it_is_off() -> None:
    assert read_options() is None
    assert [(each.what, each.ok, each.detail) for each in readiness()] == [
        ("bucket", True, "off: no FLYWHEEL_BUCKET")
    ]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"FLYWHEEL_BUCKET": "s3://data"}, BucketOptions("data")),
        ({"FLYWHEEL_BUCKET": "s3://data/"}, BucketOptions("data")),
        ({"FLYWHEEL_BUCKET": "s3://my.data-1/a/b_c"}, BucketOptions("my.data-1", "a/b_c")),
        (
            {"FLYWHEEL_BUCKET": "s3://data", "AWS_ENDPOINT_URL_S3": "https://abc.r2.cloudflarestorage.com"},
            BucketOptions("data", "", "https://abc.r2.cloudflarestorage.com"),
        ),
        (
            {
                "FLYWHEEL_BUCKET": "s3://data",
                "FLYWHEEL_S3_ENDPOINT": "http://a:1",
                "AWS_ENDPOINT_URL": "http://b:2",
            },
            BucketOptions("data", "", "http://a:1"),
        ),
        (
            {"FLYWHEEL_BUCKET": "s3://data", "FLYWHEEL_S3_PART_MIB": "64", "FLYWHEEL_S3_THREADS": "1"},
            BucketOptions("data", part_bytes=64 * MIB, threads=1),
        ),
    ],
)
def test_the_environment_names_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: BucketOptions
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert read_options() == expected


def test_a_runs_configuration_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_BUCKET", "s3://data")
    monkeypatch.setenv("FLYWHEEL_S3_ENDPOINT", "http://a:1")
    assert read_options("s3://other/x", "http://b:2") == BucketOptions("other", "x", "http://b:2")


@pytest.mark.parametrize(
    "bucket", ["data", "s3://", "s3://A", "s3://data//x", "s3://data/../x", "s3://data/a b", "gs://data"]
)
def test_a_wrong_bucket_is_refused(bucket: str) -> None:
    with pytest.raises(
        FlywheelError, match=r"FLYWHEEL_BUCKET: found .*; allowed: s3://name or s3://name/prefix"
    ):
        read_options(bucket)
    assert [each.ok for each in readiness(bucket)] == [False]


@pytest.mark.parametrize(
    "endpoint", ["example.org", "ftp://example.org", "https://", "https://a/?key=secret", "https://a/#b"]
)
def test_a_wrong_endpoint_is_refused_and_not_shown(endpoint: str) -> None:
    with pytest.raises(FlywheelError, match="FLYWHEEL_S3_ENDPOINT: found a value that is no URL") as caught:
        read_options("s3://data", endpoint)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["4", "513", "-8", "8.5", "many", "²"])
def test_a_wrong_part_size_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FLYWHEEL_S3_PART_MIB", value)
    with pytest.raises(FlywheelError, match=f"found '{value}'; allowed: a whole number from 5 to 512"):
        read_options("s3://data")
