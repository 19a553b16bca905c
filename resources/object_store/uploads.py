"""A file becomes an object: small ones in one piece, large ones in parts that a killed program need not send again.

What was begun is noted in a file, with the upload's id and the SHA-256 of the file that is being sent. Whoever sends
the same file to the same place later asks the service which parts it has, compares each with the file's, and sends
the others.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from flywheel.files.atomic import read_json, sha256_of_file, write_json
from flywheel.files.locks import held
from resources.object_store.bucket import Bucket, Gone, Stored, StoreError, md5_of
from resources.object_store.progress import in_threads

__all__ = ["UploadStopped", "abort_stale", "upload"]

OnBytes = Callable[[int], None]
_MOST_PARTS: Final = 10_000
_STALE: Final = timedelta(days=7)
"""Parts of an upload that is never finished are paid for; nobody comes back to one after so long."""


class UploadStopped(StoreError):
    """What was asked to stop, and did; what an upload had sent is removed."""


def upload(
    bucket: Bucket,
    path: str,
    source: Path,
    notes: Path,
    *,
    on_bytes: OnBytes = lambda count: None,
    stop: threading.Event | None = None,
) -> Stored:
    """Send the file `source` to `path`; the object that is there afterwards, as the service describes it.

    Args:
        bucket: where to.
        path: the object's, below the bucket's prefix.
        source: the file; it must not change meanwhile.
        notes: the folder where uploads that are under way are noted.
        on_bytes: told how many bytes are done, sent now or found there, by several threads.
        stop: ends a large upload between two parts.

    Raises:
        StoreError: the service could not be reached or refused, or holds something else afterwards. Parts that it
            has already are kept for the next time.
        UploadStopped: `stop` was set.
        FileNotFoundError: the file went away.
    """
    before = source.stat()
    content = sha256_of_file(source)
    if before.st_size <= bucket.options.part_bytes:
        body = source.read_bytes()
        bucket_has = bucket.put(path, body)
        on_bytes(len(body))
    else:
        # One large file at a time, so that no two programs send the parts of the same one.
        with held(notes / "lock"):
            sending = _Sending(bucket, path, source, before.st_size, content, notes, on_bytes, stop)
            bucket_has = sending.send()
    after = source.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        bucket.delete(path)
        raise StoreError(f"{source}: changed while it was sent; send it when it is finished")
    if (bucket_has.size, bucket_has.sha256) != (before.st_size, content):
        raise StoreError(
            f"{bucket.url(path)}: {before.st_size} bytes with the SHA-256 {content[:12]} were sent, the service has "
            f"{bucket_has.size} and {bucket_has.sha256[:12] or 'none'}; {source} is kept"
        )
    return bucket_has


@dataclass(frozen=True, slots=True)
class _Note:
    """An upload that was begun; `parts` are the ETags of those that were sent, by number."""

    url: str
    upload_id: str
    sha256: str
    size: int
    part_bytes: int
    parts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Sending:
    """One large file on its way; the caller holds the lock of `notes`."""

    bucket: Bucket
    path: str
    source: Path
    size: int
    sha256: str
    notes: Path
    on_bytes: OnBytes
    stop: threading.Event | None
    lock: Any = field(default_factory=threading.Lock)

    @property
    def note_file(self) -> Path:
        return self.notes / f"{sha256(self.bucket.url(self.path).encode()).hexdigest()}.json"

    def send(self) -> Stored:
        """Send what is missing, put the parts together, and look at what is there."""
        note, there = self._begun() or self._begin()
        numbers = range(1, -(-self.size // note.part_bytes) + 1)
        try:
            etags = dict(
                in_threads(
                    self.bucket.options.threads,
                    (partial(self._part, number, note, there.get(number)) for number in numbers),
                )
            )
            self._complete(note, etags)
        except (UploadStopped, FileNotFoundError):
            self._abort(note)
            raise
        self.note_file.unlink(missing_ok=True)
        stored = self.bucket.head(self.path)
        if stored is None:
            raise StoreError(f"{self.bucket.url(self.path)}: was sent and is not there")
        return stored

    def _begun(self) -> tuple[_Note, dict[int, Stored]] | None:
        """The upload that was begun of this very file, and the parts that the service has of it."""
        if not self.note_file.exists():
            return None
        note = _Note(**read_json(self.note_file))
        if (note.url, note.sha256, note.size) != (self.bucket.url(self.path), self.sha256, self.size):
            self._abort(note)
            return None
        with suppress(Gone):
            return note, self._parts_there(note)
        return None

    def _begin(self) -> tuple[_Note, dict[int, Stored]]:
        part_bytes = max(self.bucket.options.part_bytes, -(-self.size // _MOST_PARTS))
        upload_id = self.bucket.begin_upload(self.path, self.sha256)
        note = _Note(self.bucket.url(self.path), upload_id, self.sha256, self.size, part_bytes)
        write_json(self.note_file, asdict(note))
        return note, {}

    def _parts_there(self, note: _Note) -> dict[int, Stored]:
        with self.bucket.explained(f"list the parts of {self.bucket.url(self.path)}"):
            pages = self.bucket.client.get_paginator("list_parts")
            return {
                each["PartNumber"]: Stored(each["Size"], each["ETag"].strip('"'))
                for page in pages.paginate(**self.bucket.at(self.path), UploadId=note.upload_id)
                for each in page.get("Parts", ())
            }

    def _part(self, number: int, note: _Note, there: Stored | None) -> tuple[int, str]:
        """The ETag of a part, sent unless the service has it: the ETag is its MD5, or the one that was noted."""
        if self.stop is not None and self.stop.is_set():
            raise UploadStopped(f"{self.source}: the upload was stopped")
        with self.source.open("rb") as file:
            file.seek((number - 1) * note.part_bytes)
            content = file.read(note.part_bytes)
        known = {md5_of(content).hex(), note.parts.get(str(number))}
        if there is not None and there.size == len(content) and there.etag in known:
            etag = there.etag
        else:
            etag = self.bucket.put_part(self.path, note.upload_id, number, content)
            with self.lock:
                note.parts[str(number)] = etag
                write_json(self.note_file, asdict(note))
        self.on_bytes(len(content))
        return number, etag

    def _complete(self, note: _Note, etags: dict[int, str]) -> None:
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        # Gone: it was completed before, and the answer was lost. What is there is looked at next.
        with suppress(Gone), self.bucket.explained(f"complete {self.bucket.url(self.path)}"):
            self.bucket.client.complete_multipart_upload(
                **self.bucket.at(self.path), UploadId=note.upload_id, MultipartUpload={"Parts": parts}
            )

    def _abort(self, note: _Note) -> None:
        with suppress(Gone):
            _abort(self.bucket, self.bucket.key(self.path), note.upload_id)
        self.note_file.unlink(missing_ok=True)


def _abort(bucket: Bucket, key: str, upload_id: str) -> None:
    with bucket.explained(f"end the upload of {key}"):
        bucket.client.abort_multipart_upload(Bucket=bucket.options.name, Key=key, UploadId=upload_id)


def abort_stale(bucket: Bucket, notes: Path) -> int:
    """End the uploads below the bucket's prefix that were begun more than a week ago and are not noted here.

    Returns how many. Raises `StoreError`, also where the key may not list uploads.
    """
    noted = {read_json(note)["upload_id"] for note in notes.glob("*.json")}
    oldest = datetime.now(UTC) - _STALE
    with bucket.explained(f"list the unfinished uploads of {bucket.options.url}"):
        pages = bucket.client.get_paginator("list_multipart_uploads")
        found = [
            (each["Key"], each["UploadId"])
            for page in pages.paginate(Bucket=bucket.options.name, Prefix=bucket.key(""))
            for each in page.get("Uploads", ())
            if each["Initiated"] < oldest and each["UploadId"] not in noted
        ]
    for key, upload_id in found:
        with suppress(Gone):
            _abort(bucket, key, upload_id)
    return len(found)
