"""Which bucket is used, and how: from the run's configuration and the environment."""

import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from flywheel.errors import FlywheelError

__all__ = ["BUCKET_VARIABLE", "ENDPOINT_VARIABLE", "OFF", "BucketOptions", "Seconds", "read_options"]

Seconds = float

BUCKET_VARIABLE: Final = "FLYWHEEL_BUCKET"
ENDPOINT_VARIABLE: Final = "FLYWHEEL_S3_ENDPOINT"
OFF: Final = f"off: no {BUCKET_VARIABLE}"
"""What is said where no bucket is given."""
_PART_VARIABLE: Final = "FLYWHEEL_S3_PART_MIB"
_THREADS_VARIABLE: Final = "FLYWHEEL_S3_THREADS"
_BOTO_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""boto3's own variables for the same thing."""

MIB: Final = 1024 * 1024
_PART_MIB: Final = (5, 512)
"""S3 refuses smaller parts; while an object is read back, up to ten of them are held in memory."""
_THREADS: Final = (1, 32)
_BUCKET: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")
_PREFIX: Final = re.compile(r"[A-Za-z0-9!_.*'()-]+(?:/[A-Za-z0-9!_.*'()-]+)*")


@dataclass(frozen=True, slots=True)
class BucketOptions:
    """A bucket and a place in it.

    Args:
        name: of the bucket.
        prefix: under which everything lies, without slashes at its ends; may be empty.
        endpoint: the service's URL; empty for Amazon's own.
        part_bytes: the size of a part; smaller files are sent in one piece.
        threads: requests of transfers at a time.
    """

    name: str
    prefix: str = ""
    endpoint: str = ""
    part_bytes: int = 8 * MIB
    threads: int = 4

    @property
    def url(self) -> str:
        """``s3://name/prefix``."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


def read_options(bucket: str = "", endpoint: str = "") -> BucketOptions | None:
    """What `bucket` and `endpoint`, or else the environment, say; None where no bucket is given.

    Raises `FlywheelError` for a value that cannot be used.
    """
    address = bucket or os.environ.get(BUCKET_VARIABLE, "")
    if not address:
        return None
    found = _BUCKET.fullmatch(address.rstrip("/"))
    prefix = (found[2] or "") if found else ""
    if found is None or (prefix and not _PREFIX.fullmatch(prefix)) or {".", ".."} & set(prefix.split("/")):
        raise FlywheelError(
            f"{BUCKET_VARIABLE}: found {address!r}; allowed: s3://name or s3://name/prefix, the prefix of letters, "
            "digits and !_.*'()- between slashes"
        )
    variables = (os.environ.get(name, "") for name in (ENDPOINT_VARIABLE, *_BOTO_ENDPOINTS))
    return BucketOptions(
        name=found[1],
        prefix=prefix,
        endpoint=_checked_endpoint(endpoint or next(filter(None, variables), "")),
        part_bytes=_number(_PART_VARIABLE, 8, _PART_MIB) * MIB,
        threads=_number(_THREADS_VARIABLE, 4, _THREADS),
    )


def _checked_endpoint(endpoint: str) -> str:
    """The endpoint as it is; one that holds a password is refused without being shown."""
    if not endpoint:
        return ""
    # Anywhere: a secret key may hold slashes, behind which its @ would stand in the path.
    if "@" in endpoint:
        raise FlywheelError(
            f"{ENDPOINT_VARIABLE} holds a name or password before its @; give the URL alone, and the keys in "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise FlywheelError(
            f"{ENDPOINT_VARIABLE}: found a value that is no URL of a service; allowed: https://host or http://host:port"
        )
    return endpoint


def _number(variable: str, default: int, allowed: tuple[int, int]) -> int:
    found = os.environ.get(variable) or str(default)
    smallest, largest = allowed
    if not found.isascii() or not found.isdigit() or not smallest <= int(found) <= largest:
        raise FlywheelError(
            f"{variable}: found {found!r}; allowed: a whole number from {smallest} to {largest}"
        )
    return int(found)
