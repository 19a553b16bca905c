"""A bucket: its objects by name, and what goes wrong with it in plain words.

Nothing here asks a service for more than all of them offer: no access lists, and none of the newer checksum headers,
which some refuse (Backblaze) and some keep for parts only (R2). What is sent is signed with its SHA-256, by which the
service itself refuses what was damaged on the way; what an object should hold stands beside it as its SHA-256.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from flywheel.errors import FlywheelError
from resources.object_store.options import BUCKET_VARIABLE, ENDPOINT_VARIABLE, BucketOptions, Seconds

__all__ = ["DAMAGED", "SHA256", "Bucket", "Gone", "Mismatch", "StoreError", "Stored", "connect"]

ATTEMPTS_VARIABLE: Final = "AWS_MAX_ATTEMPTS"
"""boto3's own; how often each part of a transfer is tried."""
_TRANSFER_ATTEMPTS: Final = 9
"""In boto3's mode `legacy` the pauses between them come to two minutes, four at most. In its newer mode they would come
to seconds, and a large file that is given up is sent from its beginning again."""
_PATIENCE: Final[Seconds] = 60.0
SHA256: Final = "sha256"
"""The name of the metadata that holds an object's SHA-256."""
_REFUSED: Final = {
    "AccessDenied": "this key may not do that here",
    "AllAccessDisabled": "this key may not do that here",
    "ExpiredToken": "the session token has expired",
    "InvalidAccessKeyId": "the service does not know this key",
    "InvalidToken": "the session token is refused",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "SignatureDoesNotMatch": "the secret does not belong to the key, or the endpoint is another service's",
    "401": "the key is refused",
    "403": "the key is refused, or may not do that here",
}


class StoreError(FlywheelError):
    """The bucket cannot be used, or does not hold what it should."""


class Gone(StoreError):
    """An object, an upload or a bucket that is not there."""


class Mismatch(StoreError):
    """An object whose size or SHA-256 is not what it should be."""


DAMAGED: Final = "It was damaged or exchanged in the bucket: push again from where it was made"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the service describes it.

    Args:
        size: in bytes.
        etag: the service's own name for the content, whatever it means there: it changes with the content.
        sha256: of the content as it was sent, in hexadecimal; empty where the object is not of our making, or where
            only a listing was asked for. It says what should be there, and proves nothing about what is.
    """

    size: int
    etag: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The objects of a bucket, named by their path below its prefix.

    Args:
        options: which bucket.
        client: boto3's, which may be used by several threads at once.
        patient_client: the same for transfers, which wait for a line that is down for a minute.
    """

    options: BucketOptions
    client: Any
    patient_client: Any

    def key(self, path: str) -> str:
        """The whole name of the object at `path`."""
        return f"{self.options.prefix}/{path}" if self.options.prefix else path

    def url(self, path: str) -> str:
        """``s3://name/prefix/path``."""
        return f"{self.options.url}/{path}"

    def at(self, path: str) -> dict[str, str]:
        """The arguments that name an object to boto3."""
        return {"Bucket": self.options.name, "Key": self.key(path)}

    def head(self, path: str) -> Stored | None:
        """The object at `path`, or None where there is none."""
        try:
            with self.explained(f"look at {self.url(path)}"):
                answer = self.client.head_object(**self.at(path))
        except Gone:
            return None
        return Stored(
            answer["ContentLength"], _bare(answer["ETag"]), answer.get("Metadata", {}).get(SHA256, "")
        )

    def listed(self, below: str) -> dict[str, Stored]:
        """All objects whose path begins with `below`, by path; without their SHA-256."""
        found: dict[str, Stored] = {}
        start = len(self.key(""))
        with self.explained(f"list {self.url(below)}"):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.options.name, Prefix=self.key(below)):
                for each in page.get("Contents", ()):
                    found[each["Key"][start:]] = Stored(each["Size"], _bare(each["ETag"]))
        return found

    def put(self, path: str, content: bytes) -> str:
        """Send `content` in one piece, so that it is there whole or not at all; returns its SHA-256."""
        sha256 = hashlib.sha256(content).hexdigest()
        with self.explained(f"send {self.url(path)}"):
            self.client.put_object(**self.at(path), Body=content, Metadata={SHA256: sha256})
        return sha256

    def get(self, path: str) -> tuple[bytes, str]:
        """A small object: its content, and the SHA-256 that it was sent with, empty where none was."""
        with self.explained(f"fetch {self.url(path)}"):
            answer = self.client.get_object(**self.at(path))
            return answer["Body"].read(), answer.get("Metadata", {}).get(SHA256, "")

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is no error."""
        with self.explained(f"remove {self.url(path)}"):
            self.client.delete_object(**self.at(path))

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Turn boto3's errors into `StoreError`: what could not be done, why, and what to do.

        Nothing of boto3's own texts is passed on: they may hold URLs, headers and what the service echoes.
        """
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,
            HTTPClientError,
            IncompleteReadError,
        )
        from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError, S3ValidationError
        from urllib3.exceptions import HTTPError

        cuts = (ConnectionError, HTTPClientError, HTTPError, IncompleteReadError, RetriesExceededError)
        try:
            yield
        except ClientError as error:
            raise self._refusal(doing, error.response) from None
        except cuts as error:
            service = self.options.endpoint or "Amazon S3"
            raise StoreError(
                f"could not {doing}: {service} did not answer, or broke off ({type(error).__name__}). Check the "
                f"network and {ENDPOINT_VARIABLE}; {ATTEMPTS_VARIABLE} says how often each part is tried. Files that "
                "were sent or fetched whole are not sent or fetched again"
            ) from None
        except (S3DownloadFailedError, S3ValidationError):
            raise StoreError(f"could not {doing}: {_EXCHANGED}") from None
        except BotoCoreError as error:
            raise StoreError(f"could not {doing}: {type(error).__name__}{_KEYS_ADVICE}") from None

    def _refusal(self, doing: str, response: dict[str, Any]) -> StoreError:
        code = str(response.get("Error", {}).get("Code", ""))
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "NoSuchBucket":
            return Gone(
                f"could not {doing}: there is no bucket {self.options.name!r}; create it, or name another one in "
                f"{BUCKET_VARIABLE}"
            )
        if code in ("NoSuchKey", "NoSuchUpload", "404") or status == 404:
            return Gone(f"could not {doing}: it is not there")
        if code == "PreconditionFailed" or status == 412:
            return StoreError(f"could not {doing}: {_EXCHANGED}")
        if code in _REFUSED or status in (401, 403):
            why = _REFUSED.get(code, "the key is refused, or may not do that here")
            return StoreError(f"could not {doing}: {why} ({code or status}){_KEYS_ADVICE}")
        return StoreError(f"could not {doing}: the service answered {code or 'nothing readable'} ({status})")


_EXCHANGED: Final = "it was exchanged for something else meanwhile; push or pull again"
_KEYS_ADVICE: Final = "; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


def connect(options: BucketOptions, *, patience: Seconds = _PATIENCE, attempts: int = 4) -> Bucket:
    """The bucket, with the keys that boto3 finds: variables, profiles, roles. No request is made to it yet.

    Args:
        options: which bucket.
        patience: seconds without a byte after which a connection is given up.
        attempts: how often a request is tried that is none of a transfer's, the first time included.

    Raises:
        StoreError: there are no keys, or they cannot be keys.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    # At the level DEBUG it logs headers, a session's token among them.
    logging.getLogger("botocore").setLevel(logging.WARNING)

    def client(retries: dict[str, Any]) -> Any:
        return session.client(
            "s3",
            region_name=session.region_name or "us-east-1",  # which R2 takes for its own `auto`
            endpoint_url=options.endpoint or None,
            config=Config(
                connect_timeout=min(patience, 10.0),
                read_timeout=patience,
                retries=retries,
                max_pool_connections=2 * options.threads,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={
                    # A bucket of one's own service seldom has a host name of its own.
                    "addressing_style": "path" if options.endpoint else "auto",
                    "payload_signing_enabled": True,
                },
            ),
        )

    chosen = os.environ.get(ATTEMPTS_VARIABLE)
    patient = {} if chosen else {"total_max_attempts": _TRANSFER_ATTEMPTS}
    try:
        session = boto3.Session()
        _check_keys(session)
        looks = client({"mode": "standard", "total_max_attempts": attempts})
        return Bucket(options, looks, client({"mode": "legacy", **patient}))
    except BotoCoreError as error:
        raise StoreError(f"{options.url}: {type(error).__name__}{_KEYS_ADVICE}") from None


def _check_keys(session: Any) -> None:
    """A key with a line feed at its end would be shown whole by the error of the HTTP library."""
    found = session.get_credentials()
    if found is None:
        raise StoreError(f"{BUCKET_VARIABLE} is set and no keys for it are found{_KEYS_ADVICE}")
    keys = found.get_frozen_credentials()
    for name, value in (
        ("AWS_ACCESS_KEY_ID", keys.access_key),
        ("AWS_SECRET_ACCESS_KEY", keys.secret_key),
        ("AWS_SESSION_TOKEN", keys.token or "-"),
    ):
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise StoreError(f"{name}: empty, or holds white space or another character that no key has")


def _bare(etag: str) -> str:
    """Services quote it in some answers and not in others."""
    return etag.strip('"')
