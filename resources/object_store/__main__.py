"""Copies of cycles in a bucket.

    python -m resources.object_store push cycle1      send what the bucket lacks
    python -m resources.object_store pull cycle1      bring it here, to go on with cycle2
    python -m resources.object_store verify cycle1    read everything back and compare
    python -m resources.object_store free cycle1      remove the audio here that is safe in the bucket

The bucket is FLYWHEEL_BUCKET=s3://name/prefix; FLYWHEEL_S3_ENDPOINT names a service other than Amazon's; keys are
those that boto3 finds. The exit status is 1 where something is wrong.
"""

import argparse
import sys
from collections.abc import Sequence

from flywheel.errors import FlywheelError
from flywheel.files.cycles import cycle_number
from resources.data_folder import DataFolder
from resources.object_store.bucket import Bucket, connect
from resources.object_store.checking import free, verify
from resources.object_store.options import BUCKET_VARIABLE, MIB, read_options
from resources.object_store.pulling import pull
from resources.object_store.pushing import push


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="resources.object_store",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("push", "pull", "verify", "free"):
        command = commands.add_parser(name)
        command.add_argument("cycle")
        if name in ("push", "pull"):
            command.add_argument(
                "--overwrite", action="store_true", help="replace what differs on the other side"
            )
    asked = parser.parse_args(arguments)
    try:
        cycle_number(asked.cycle)
        options = read_options()
        if options is None:
            raise FlywheelError(f"{BUCKET_VARIABLE} is not set; allowed: s3://name or s3://name/prefix")
        print(_done(asked, connect(options), DataFolder()))
    except FlywheelError as error:
        raise SystemExit(f"error: {error}") from None
    except OSError as error:
        raise SystemExit(f"error: {error}") from None


def _done(asked: argparse.Namespace, bucket: Bucket, data: DataFolder) -> str:
    if asked.command == "push":
        pushed = push(bucket, data, asked.cycle, _say, overwrite=asked.overwrite)
        return (
            f"{pushed.index_url}: {pushed.files} files; {pushed.sent} objects sent, {pushed.bytes_sent / MIB:.1f} MiB; "
            f"{pushed.already_there} were there"
        )
    if asked.command == "pull":
        pulled = pull(bucket, data, asked.cycle, _say, overwrite=asked.overwrite)
        return (
            f"{data.cycle(asked.cycle).root}: {pulled.files} files; {pulled.placed} put in place, "
            f"{pulled.bytes_fetched / MIB:.1f} MiB fetched; {pulled.already_here} were here"
        )
    if asked.command == "verify":
        verified = verify(bucket, asked.cycle, _say)
        return f"{asked.cycle} in {bucket.options.url}: {verified.objects} objects read back, all as they were sent"
    freed = free(bucket, data, asked.cycle, _say)
    return (
        f"{freed.removed} audio files removed, {freed.bytes_removed / MIB:.1f} MiB; {freed.kept} kept for cycles that "
        f"are not pushed. Before the next cycle: python -m resources.object_store pull {asked.cycle}, or their speech "
        "is made, and paid for, again"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
