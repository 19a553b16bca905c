"""The object store as a Dagster resource."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg

from flywheel.errors import FlywheelError
from resources.data_folder import DataFolder
from resources.object_store import readiness
from resources.object_store.bucket import Bucket, connect
from resources.object_store.checkpoints import Watcher, watching
from resources.object_store.options import read_options
from resources.object_store.progress import Log
from resources.readiness import Finding

CHECKPOINTS_VARIABLE = "FLYWHEEL_CHECKPOINTS"


class ObjectStore(dg.ConfigurableResource):
    """Where copies of cycles go: `bucket`, or `FLYWHEEL_BUCKET`, as `s3://name/prefix`; without one, nowhere.

    `endpoint`, or `FLYWHEEL_S3_ENDPOINT`, or boto3's own `AWS_ENDPOINT_URL_S3`, is the URL of a service other than
    Amazon's. `checkpoints`, or `FLYWHEEL_CHECKPOINTS=yes`, sends a training's checkpoints while it runs here. Keys are
    those that boto3 finds, never part of a configuration.
    """

    bucket: str = ""
    endpoint: str = ""
    checkpoints: bool = False

    def connect(self) -> Bucket | None:
        """The bucket, or None where none is given; `FlywheelError` where it cannot be used."""
        options = read_options(self.bucket, self.endpoint)
        return None if options is None else connect(options)

    def readiness(self) -> tuple[Finding, ...]:
        """Whether the bucket can be written to."""
        return readiness(self.bucket, self.endpoint)

    @contextmanager
    def watching_checkpoints(self, data: DataFolder, cycle: str, log: Log) -> Iterator[None]:
        """Send the checkpoints of the training in the block, where that is asked for.

        They lie under ``checkpoints/<cycle>/<start of the training>/`` in the bucket. A bucket that cannot be used is
        said, and the training runs without.
        """
        asked = self.checkpoints or os.environ.get(CHECKPOINTS_VARIABLE, "").lower() in ("yes", "true", "1")
        try:
            bucket = self.connect() if asked else None
        except FlywheelError as error:
            log(f"checkpoints stay here: {error}")
            bucket = None
        if bucket is None:
            yield
            return
        prefix = f"checkpoints/{cycle}/{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        with watching(Watcher(data.work, bucket, prefix, log)):
            yield
