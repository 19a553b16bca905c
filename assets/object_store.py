"""The copy of a finished cycle in a bucket."""

from collections.abc import Iterator

import dagster as dg

from assets.cycles import cycle_step
from assets.fan_in import asset_after_any, step_after_any
from flywheel.errors import FlywheelError
from resources.data_folder import DataFolder
from resources.object_store.options import OFF
from resources.object_store.pushing import push
from resources.object_store.resource import ObjectStore


@step_after_any(
    "Sends what the bucket lacks of the cycle; without a bucket it says so, and nothing is materialised.",
    may_leave_nothing=True,
)
def push_cycle(
    context: dg.OpExecutionContext, data: DataFolder, store: ObjectStore
) -> Iterator[dg.Output[None]]:
    """Push, and say what was sent."""
    with cycle_step(context) as cycle:
        bucket = store.connect()
        if bucket is None:
            context.log.info(OFF)
            return
        try:
            pushed = push(bucket, data, cycle, context.log.info)
        except FlywheelError as error:
            raise FlywheelError(
                f"{error}\nThe cycle is whole here. To send it: flywheel push {cycle}"
            ) from None
        yield dg.Output(
            None,
            data_version=dg.DataVersion(pushed.index_sha256),
            metadata={
                "files": pushed.files,
                "objects sent": pushed.sent,
                "bytes sent": pushed.bytes_sent,
                "already there": pushed.already_there,
                "index": dg.MetadataValue.url(pushed.index_url),
            },
        )


bucket_copy = asset_after_any(
    "bucket_copy",
    push_cycle,
    after=("leaderboard", "promoted_model", "history"),
    kind="s3",
    description=(
        "The cycle's folder, audio and models in the object store, where another machine can go on from them; there "
        "only where a bucket is configured."
    ),
)
