"""Files become objects, objects become files or are proved: by boto3's own transfer manager, several at a time.

It sends and fetches large files in parts, tries a part again that a bad connection cut off, for some two minutes, and
ends what it began where that fails. A file that did not get through in the end starts again from its beginning with
the next push or pull; those that did are not sent or fetched again.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from flywheel.files.atomic import sha256_of_file
from resources.object_store.bucket import DAMAGED, SHA256, Bucket, Gone, Mismatch, StoreError

if TYPE_CHECKING:
    from s3transfer.futures import TransferFuture
    from s3transfer.manager import TransferManager

__all__ = ["Outgoing", "TransferStopped", "Wanted", "abort_stale", "fetch", "proved", "send"]

OnBytes = Callable[[int], None]
_Item = TypeVar("_Item")
_AHEAD: Final = 256
"""Transfers that are begun before the first one is looked at: enough for every thread to be busy."""
_STALE: Final = timedelta(days=7)
"""The parts of an upload that was killed stay in the bucket and cost; no upload takes so long."""


class TransferStopped(StoreError):
    """A transfer was asked to stop, and did; nothing of it is left in the bucket."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file as it was when it was hashed, and the object that it becomes.

    Args:
        key: the object's path below the bucket's prefix.
        source: the file.
        size, modified_ns, sha256: of the file then.
    """

    key: str
    source: Path
    size: int
    modified_ns: int
    sha256: str

    @classmethod
    def of(cls, key: str, source: Path) -> Self:
        """Hash the file; raises `FileNotFoundError` where there is none."""
        about = source.stat()
        return cls(key, source, about.st_size, about.st_mtime_ns, sha256_of_file(source))

    def check_unchanged(self) -> None:
        """Raise `StoreError` where the file is not as it was hashed, `FileNotFoundError` where it is gone."""
        about = self.source.stat()
        if (about.st_size, about.st_mtime_ns) != (self.size, self.modified_ns):
            raise StoreError(f"{self.source}: changed while it was sent; push again when it is finished")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object and what it must hold.

    Args:
        key: its path below the bucket's prefix.
        size: in bytes.
        sha256, md5: in hexadecimal, empty where not known. The SHA-256 is checked where both are known.
    """

    key: str
    size: int
    sha256: str = ""
    md5: str = ""

    @property
    def digest(self) -> str:
        """The digest that is checked; empty where none is known."""
        return self.sha256 or self.md5

    @property
    def algorithm(self) -> str:
        """Of the digest, as hashlib calls it."""
        return "md5" if self.md5 and not self.sha256 else "sha256"

    def is_in(self, file: Path) -> bool:
        """Whether a file holds it; False where no digest is known."""
        return file.stat().st_size == self.size and _digest_of(file, self.algorithm) == self.digest

    def check(self, bucket: Bucket, size: int, digest: str) -> None:
        """Raise `Mismatch` unless so many bytes with this digest are the object that is wanted."""
        if size != self.size:
            raise Mismatch(f"{bucket.url(self.key)}: found {size} bytes; it should be {self.size}. {DAMAGED}")
        if self.digest and digest != self.digest:
            kind = "MD5" if self.algorithm == "md5" else "SHA-256"
            raise Mismatch(
                f"{bucket.url(self.key)}: its {kind} is not {self.digest[:12]}..., though its size is right. {DAMAGED}"
            )


class _Digest:
    """A file to write to that keeps only the number of its bytes and their digest."""

    def __init__(self, algorithm: str) -> None:
        self.size = 0
        self._hash = hashlib.new(algorithm, usedforsecurity=False)

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        self._hash.update(data)

    def hexdigest(self) -> str:
        """Of all bytes so far."""
        return self._hash.hexdigest()


def send(
    bucket: Bucket,
    files: Iterable[Outgoing],
    *,
    on_bytes: OnBytes = lambda count: None,
    stop: threading.Event | None = None,
) -> None:
    """Send the files, each with its SHA-256 beside it.

    Args:
        bucket: where to.
        files: what is sent, as it was when it was hashed.
        on_bytes: told by several threads how many bytes are done; less than none where some are sent once more.
        stop: ends the transfers when it is set.

    Raises:
        StoreError: the service could not be reached or refused, or a file changed meanwhile. Nothing of the file that
            this is said of is left in the bucket unless the service cannot be reached any more.
        TransferStopped: `stop` was set.
        FileNotFoundError: a file went away.
    """

    def begin(file: Outgoing) -> "TransferFuture":
        return manager.upload(
            str(file.source),
            bucket.options.name,
            bucket.key(file.key),
            extra_args={"Metadata": {SHA256: file.sha256}},
            subscribers=_told(on_bytes),
        )

    with _manager(bucket) as manager:
        for file, future in _begun(files, begin):
            with bucket.explained(f"send {bucket.url(file.key)}"):
                _wait(future, stop)
            try:
                file.check_unchanged()
            except (StoreError, FileNotFoundError):
                bucket.delete(file.key)
                raise


def fetch(
    bucket: Bucket,
    files: Mapping[Path, Wanted],
    *,
    on_bytes: OnBytes = lambda count: None,
    on_file: Callable[[Path], None] = lambda path: None,
) -> None:
    """Write objects to files, each whole and checked, or not at all; a file that is there and right is left alone.

    Nobody else may fetch into the same folders meanwhile: what a fetch that was killed left in them is removed.

    Args:
        bucket: where from.
        files: the object that each file becomes.
        on_bytes: told of bytes as in `send`.
        on_file: told of each file that is there and right.

    Raises:
        Mismatch: an object is another one.
        StoreError: it cannot be fetched. Files that were fetched before stay.
    """
    missing: list[Path] = []
    for path, wanted in files.items():
        part = _part(path)
        if part.is_file() and wanted.is_in(part):
            part.replace(path)  # it came whole, and the fetch was cut off before anyone looked at it
        if path.is_file() and wanted.is_in(path):
            on_bytes(wanted.size)
            on_file(path)
        else:
            missing.append(path)
    for folder in {path.parent for path in missing}:
        folder.mkdir(parents=True, exist_ok=True)
        for half in folder.glob(".*.part.*"):
            half.unlink()

    def begin(path: Path) -> "TransferFuture":
        return manager.download(
            bucket.options.name, bucket.key(files[path].key), str(_part(path)), subscribers=_told(on_bytes)
        )

    with _manager(bucket) as manager:
        for path, future in _begun(missing, begin):
            part, wanted = _part(path), files[path]
            with bucket.explained(f"fetch {bucket.url(wanted.key)}"):
                future.result()
            try:
                wanted.check(bucket, part.stat().st_size, _digest_of(part, wanted.algorithm))
            except Mismatch:
                part.unlink()
                raise
            part.replace(path)
            on_file(path)


def proved(
    bucket: Bucket,
    wanted: Iterable[Wanted],
    *,
    on_bytes: OnBytes = lambda count: None,
    stop: threading.Event | None = None,
) -> Iterator[tuple[Wanted, Gone | Mismatch | None]]:
    """Read objects back, all of their bytes; each with what is wrong with it, or None where it holds what it should.

    A service's own digests would spare the reading, but not every service has one that is a SHA-256 of the whole, and
    an object's metadata only repeats what its sender claimed. Raises `StoreError` where the bucket cannot be read and
    `TransferStopped` where `stop` was set.
    """
    digests: dict[str, _Digest] = {}

    def begin(each: Wanted) -> "TransferFuture":
        digest = digests[each.key] = _Digest(each.algorithm)
        return manager.download(
            bucket.options.name, bucket.key(each.key), digest, subscribers=_told(on_bytes)
        )

    with _manager(bucket) as manager:
        for each, future in _begun(wanted, begin):
            digest = digests.pop(each.key)
            try:
                with bucket.explained(f"fetch {bucket.url(each.key)}"):
                    _wait(future, stop)
                each.check(bucket, digest.size, digest.hexdigest())
            except (Gone, Mismatch) as error:
                yield each, error
            else:
                yield each, None


def abort_stale(bucket: Bucket) -> int:
    """End the uploads below the bucket's prefix that were begun more than a week ago and never finished.

    Returns how many. Raises `StoreError`, also where the key may not list uploads.
    """
    oldest = datetime.now(UTC) - _STALE
    with bucket.explained(f"list the unfinished uploads of {bucket.options.url}"):
        pages = bucket.client.get_paginator("list_multipart_uploads")
        found = [
            (each["Key"], each["UploadId"])
            for page in pages.paginate(Bucket=bucket.options.name, Prefix=bucket.key(""))
            for each in page.get("Uploads", ())
            if each["Initiated"] < oldest
        ]
    for key, upload_id in found:
        with suppress(Gone), bucket.explained(f"end the upload of {key}"):
            bucket.client.abort_multipart_upload(Bucket=bucket.options.name, Key=key, UploadId=upload_id)
    return len(found)


def _manager(bucket: Bucket) -> "TransferManager":
    """To be entered: whatever goes wrong in its block, Ctrl+C included, ends all transfers that are under way."""
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    config = TransferConfig(
        multipart_threshold=bucket.options.part_bytes,
        multipart_chunksize=bucket.options.part_bytes,
        max_concurrency=bucket.options.threads,
        # boto3's other client, of C, is taken where it happens to be installed, and has other errors.
        preferred_transfer_client="classic",
    )
    return create_transfer_manager(bucket.patient_client, config)


def _begun(
    items: Iterable[_Item], begin: Callable[[_Item], "TransferFuture"]
) -> Iterator[tuple[_Item, "TransferFuture"]]:
    """Items in their order, each with its transfer, while those of the next ones are under way, too."""
    under_way: deque[tuple[_Item, TransferFuture]] = deque()
    for item in items:
        under_way.append((item, begin(item)))
        if len(under_way) > _AHEAD:
            yield under_way.popleft()
    yield from under_way


def _told(on_bytes: OnBytes) -> list[Any]:
    from boto3.s3.transfer import ProgressCallbackInvoker

    return [ProgressCallbackInvoker(on_bytes)]


def _wait(future: "TransferFuture", stop: threading.Event | None) -> None:
    while stop is not None and not future.done():
        if stop.wait(0.1):
            raise TransferStopped("the transfer was stopped")
    future.result()


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _digest_of(file: Path, algorithm: str) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, algorithm).hexdigest()
