"""The object store: a bucket of S3, R2 or any service that speaks as they do, and copies of cycles in it."""

import secrets
from typing import Final

from flywheel.errors import FlywheelError
from resources.object_store.bucket import connect
from resources.object_store.options import OFF, Seconds, read_options
from resources.readiness import Finding

__all__ = ["readiness"]

_PATIENCE: Final[Seconds] = 10.0


def readiness(bucket: str = "", endpoint: str = "") -> tuple[Finding, ...]:
    """Whether the bucket can be used, tried with a tiny object that is written, listed, read and removed again.

    `bucket` and `endpoint` are as `read_options` takes them. Each of the four requests is given ten seconds.
    """
    try:
        options = read_options(bucket, endpoint)
        if options is None:
            return (Finding("bucket", True, OFF),)
        store = connect(options, patience=_PATIENCE, attempts=1)
        path = f".readiness-{secrets.token_hex(4)}"
        content = secrets.token_bytes(16)
        store.put(path, content)
        try:
            store.listed(path)
            same = store.get(path)[0] == content
        finally:
            store.delete(path)
    except FlywheelError as error:
        return (Finding("bucket", False, str(error)),)
    where = f"{options.url} at {options.endpoint or 'Amazon S3'}"
    return (
        Finding(
            "bucket",
            same,
            f"{where}: writable" if same else f"{where}: gives back other bytes than it is sent",
        ),
    )
