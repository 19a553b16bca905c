"""The commands of `flywheel` that reach the outside world; `flywheel.cli` finds this table as an entry point."""

from flywheel.cli import Command

__all__ = ["COMMANDS"]

_BUCKET = "Copies of cycles in a bucket"
_MACHINES = "On this machine and what it rents"

COMMANDS = (
    Command("push", "sends what the bucket lacks of a cycle", _BUCKET, "resources.cli.bucket"),
    Command("pull", "brings a cycle from the bucket", _BUCKET, "resources.cli.bucket"),
    Command("verify", "reads a cycle in the bucket back and compares", _BUCKET, "resources.cli.bucket"),
    Command("free", "removes audio here that is safe in the bucket", _BUCKET, "resources.cli.bucket"),
    Command("doctor", "what a cycle needs, and whether it is there", _MACHINES, "resources.cli.doctor"),
    Command("sweep", "ends what a crashed run left running", _MACHINES, "resources.cli.sweep"),
)
