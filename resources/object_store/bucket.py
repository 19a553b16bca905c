"""A bucket: its objects by name, and what goes wrong with it in plain words.

Nothing here asks a service for more than all of them offer: no access lists, and none of the newer checksum headers,
which some refuse (Backblaze) and some keep for parts only (R2). What is sent goes with its MD5, by which the service
itself refuses what was damaged on the way; what an object should hold stands beside it as its SHA-256.
"""

import base64
import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from flywheel.errors import FlywheelError
from resources.object_store.options import BUCKET_VARIABLE, ENDPOINT_VARIABLE, BucketOptions, Seconds

__all__ = ["DAMAGED", "Bucket", "Gone", "Mismatch", "StoreError", "Stored", "connect", "md5_of"]

_PATIENCE: Final[Seconds] = 60.0
_SHA256: Final = "sha256"
"""The name of the metadata that holds an object's SHA-256."""
_CHUNK: Final = 1024 * 1024
_STALLS: Final = 2
"""After so many requests in a row that bring no byte, each tried several times, a download is given up."""
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


def md5_of(content: bytes) -> bytes:
    """The digest by which a service checks what it is sent."""
    return hashlib.md5(content, usedforsecurity=False).digest()


@dataclass(frozen=True, slots=True)
class Bucket:
    """The objects of a bucket, named by their path below its prefix.

    Args:
        options: which bucket.
        client: boto3's, which may be used by several threads at once.
    """

    options: BucketOptions
    client: Any

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
                return _described(self.client.head_object(**self.at(path)))
        except Gone:
            return None

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

    def put(self, path: str, content: bytes) -> Stored:
        """Send `content` in one piece; it is there whole or not at all."""
        sha256 = hashlib.sha256(content).hexdigest()
        with self.explained(f"send {self.url(path)}"):
            answer = self.client.put_object(
                **self.at(path), Body=content, ContentMD5=_base64(md5_of(content)), Metadata={_SHA256: sha256}
            )
        return Stored(len(content), _bare(answer["ETag"]), sha256)

    def put_part(self, path: str, upload_id: str, number: int, content: bytes) -> str:
        """Send a part of a large object; returns its ETag."""
        with self.explained(f"send part {number} of {self.url(path)}"):
            answer = self.client.upload_part(
                **self.at(path),
                UploadId=upload_id,
                PartNumber=number,
                Body=content,
                ContentMD5=_base64(md5_of(content)),
            )
        return _bare(answer["ETag"])

    def begin_upload(self, path: str, sha256: str) -> str:
        """Begin to send a large object in parts; returns the upload's id."""
        with self.explained(f"send {self.url(path)}"):
            answer = self.client.create_multipart_upload(**self.at(path), Metadata={_SHA256: sha256})
        return str(answer["UploadId"])

    def read(self, path: str, size: int, start: int = 0) -> Iterator[bytes]:
        """The bytes of an object from `start` on, in pieces. A connection that is cut is taken up where it was.

        Raises `Mismatch` where the object has not `size` bytes, `Gone` where there is none, and `StoreError` where the
        service cannot be reached any more or the object is exchanged meanwhile.
        """
        at, stalls, etag = start, 0, ""
        while True:
            progress = at
            try:
                with self.explained(f"fetch {self.url(path)}"):
                    asked = {"Range": f"bytes={at}-"} if at else {}
                    asked |= {"IfMatch": etag} if etag else {}
                    answer = self.client.get_object(**self.at(path), **asked)
                    etag = answer["ETag"]
                    if at + answer["ContentLength"] != size:
                        found = at + answer["ContentLength"]
                        raise Mismatch(
                            f"{self.url(path)}: found {found} bytes; it should be {size}. {DAMAGED}"
                        )
                    for chunk in iter(partial(answer["Body"].read, _CHUNK), b""):
                        at += len(chunk)
                        yield chunk
                    if at == size:
                        return
            except _Cut as error:
                stalls = 0 if at > progress else stalls + 1
                if stalls >= _STALLS:
                    raise StoreError(str(error)) from None
                time.sleep(min(0.25 * 2**stalls, 5.0))

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
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ClientError as error:
            raise self._refusal(doing, error.response) from None
        except (ConnectionError, HTTPClientError, HTTPError, IncompleteReadError) as error:
            service = self.options.endpoint or "Amazon S3"
            raise _Cut(
                f"could not {doing}: {service} did not answer, or broke off ({type(error).__name__}). Check the "
                f"network and {ENDPOINT_VARIABLE}; what was sent or fetched is not sent or fetched again"
            ) from None
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
            return StoreError(f"could not {doing}: it was exchanged for something else; push or pull again")
        if code in _REFUSED or status in (401, 403):
            why = _REFUSED.get(code, "the key is refused, or may not do that here")
            return StoreError(f"could not {doing}: {why} ({code or status}){_KEYS_ADVICE}")
        return StoreError(f"could not {doing}: the service answered {code or 'nothing readable'} ({status})")


class _Cut(StoreError):
    """A connection that could not be made or broke off."""


_KEYS_ADVICE: Final = "; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


def connect(options: BucketOptions, *, patience: Seconds = _PATIENCE, attempts: int = 4) -> Bucket:
    """The bucket, with the keys that boto3 finds: variables, profiles, roles. No request is made to it yet.

    Args:
        options: which bucket.
        patience: seconds without a byte after which a connection is given up.
        attempts: how often a request is tried, the first one included.

    Raises:
        StoreError: there are no keys, or they cannot be keys.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    # At the level DEBUG it logs headers, a session's token among them.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        session = boto3.Session()
        _check_keys(session)
        client = session.client(
            "s3",
            region_name=session.region_name or "us-east-1",  # which R2 takes for its own `auto`
            endpoint_url=options.endpoint or None,
            config=Config(
                connect_timeout=min(patience, 10.0),
                read_timeout=patience,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                max_pool_connections=2 * options.threads,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # A bucket of one's own service seldom has a host name of its own.
                s3={"addressing_style": "path" if options.endpoint else "auto"},
            ),
        )
    except BotoCoreError as error:
        raise StoreError(f"{options.url}: {type(error).__name__}{_KEYS_ADVICE}") from None
    return Bucket(options, client)


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


def _described(answer: dict[str, Any]) -> Stored:
    return Stored(answer["ContentLength"], _bare(answer["ETag"]), answer.get("Metadata", {}).get(_SHA256, ""))


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def _bare(etag: str) -> str:
    """Services quote it in some answers and not in others."""
    return etag.strip('"')
