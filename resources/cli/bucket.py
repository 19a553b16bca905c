"""`push`, `pull`, `verify` and `free`: copies of cycles in a bucket."""

import argparse
import sys

from flywheel.cli.options import add_data
from flywheel.errors import FlywheelError, Problems
from flywheel.files.cycles import cycle_number
from resources.data_folder import DataFolder
from resources.object_store.bucket import Bucket, connect
from resources.object_store.checking import free, verify
from resources.object_store.options import BUCKET_VARIABLE, MIB, read_options
from resources.object_store.pulling import pull
from resources.object_store.pushing import push

__all__ = ["EPILOG", "add_arguments", "run"]

EPILOG = """\
The bucket is FLYWHEEL_BUCKET=s3://name/prefix; FLYWHEEL_S3_ENDPOINT names a service other than Amazon's; keys are those
that boto3 finds. A transfer that was cut off goes on where it was. Everything is compared by size and SHA-256, and what
differs on the other side is replaced only with --overwrite.

Examples:
  flywheel push cycle1      send what the bucket lacks
  flywheel pull cycle1      bring it here, to go on with cycle2
  flywheel verify cycle1    read everything back and compare
  flywheel free cycle1      remove the audio here, after its copy was read back

Exit codes: 0 done; 1 files are missing or differ; 2 wrong use, or the bucket cannot be used."""

_OVERWRITING = ("push", "pull")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("cycle", metavar="CYCLE", help="cycle1, cycle2, ...")
    if parser.get_default("command") in _OVERWRITING:
        parser.add_argument("--overwrite", action="store_true", help="replace what differs on the other side")
    add_data(parser)


def run(options: argparse.Namespace) -> int:
    """Do what the command says and print what was done; 1 where files are missing or differ, else 0."""
    cycle_number(options.cycle)
    bucket = read_options()
    if bucket is None:
        raise FlywheelError(f"{BUCKET_VARIABLE} is not set; allowed: s3://name or s3://name/prefix")
    try:
        print(_done(options, connect(bucket), DataFolder(root=str(options.data))))
    except Problems as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _done(options: argparse.Namespace, bucket: Bucket, data: DataFolder) -> str:
    cycle = options.cycle
    if options.command == "push":
        pushed = push(bucket, data, cycle, _say, overwrite=options.overwrite)
        return (
            f"{pushed.index_url}: {pushed.files} files; {pushed.sent} objects sent, {pushed.bytes_sent / MIB:.1f} MiB; "
            f"{pushed.already_there} were there"
        )
    if options.command == "pull":
        pulled = pull(bucket, data, cycle, _say, overwrite=options.overwrite)
        return (
            f"{data.cycle(cycle).root}: {pulled.files} files; {pulled.placed} put in place, "
            f"{pulled.bytes_fetched / MIB:.1f} MiB fetched; {pulled.already_here} were here"
        )
    if options.command == "verify":
        verified = verify(bucket, cycle, _say)
        return f"{cycle} in {bucket.options.url}: {verified.objects} objects read back, all as they were sent"
    freed = free(bucket, data, cycle, _say)
    return (
        f"{freed.removed} audio files removed, {freed.bytes_removed / MIB:.1f} MiB; {freed.kept} kept for cycles that "
        f"are not pushed. Before the next cycle: flywheel pull {cycle}, or their speech is made, and paid for, again"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
