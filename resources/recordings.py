"""Recordings that a team drops into a bucket: brought to this machine, where they are looked at like a folder's.

`FLYWHEEL_RECORDINGS=s3://name/prefix`, with the endpoint and the keys of the object store. Nothing in the bucket is
changed; what is removed there is removed from the copy here, too.
"""

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from flywheel.corpus.recordings import WITHDRAWN_FILE
from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_json, write_json
from flywheel.files.locks import held
from resources.data_folder import RECORDINGS_VARIABLE, DataFolder
from resources.object_store.bucket import SHA256, Bucket, Stored, connect
from resources.object_store.options import BUCKET_VARIABLE, read_options
from resources.object_store.progress import Log, Progress, in_threads
from resources.object_store.transfers import Wanted, fetch

__all__ = ["bring_recordings"]

_INDEX: Final = ".objects.json"
"""Beside the copies: what each one is a copy of."""
_WANTED: Final = (".wav", ".jsonl")
_SETTLED: Final = 3600.0
"""Seconds. An object is there whole or not at all, so its copy is no file that somebody is still writing."""


def bring_recordings(data: DataFolder, log: Log) -> Path:
    """The folder of dropped recordings, where it lies in a bucket after fetching what is new or changed there.

    Args:
        data: says where recordings are dropped.
        log: takes a line.

    Raises:
        FlywheelError: the variable names a folder that is not there, or a bucket that cannot be used. What was fetched
            by then stays.
    """
    address = os.environ.get(RECORDINGS_VARIABLE, "")
    folder = data.recordings
    if address.startswith("s3://"):
        try:
            options = read_options(address)
            assert options is not None
            with held(folder / ".lock"):
                _mirror(connect(options), folder, log)
        except FlywheelError as error:
            raise type(error)(str(error).replace(BUCKET_VARIABLE, RECORDINGS_VARIABLE)) from None
    elif address and not folder.is_dir():
        raise FlywheelError(
            f"{RECORDINGS_VARIABLE}: there is no folder {folder}; make it, or mend the variable"
        )
    return folder


def _mirror(bucket: Bucket, folder: Path, log: Log) -> None:
    listed = bucket.listed("")
    there = {path: stored for path, stored in listed.items() if _is_wanted(path)}
    index = folder / _INDEX
    here: Mapping[str, Any] = read_json(index) if index.exists() else {}
    gone = [path for path in here if path not in there]
    for path in gone:
        (folder / path).unlink(missing_ok=True)
    kept = {path: said for path, said in here.items() if _is_copy(folder / path, there.get(path), said)}
    new = {path: stored for path, stored in there.items() if path not in kept}
    size = sum(stored.size for stored in new.values())
    if size > shutil.disk_usage(folder).free:
        raise FlywheelError(
            f"{folder}: {size / 1e6:.0f} MB of recordings are to be fetched, there is less room"
        )
    progress = Progress(log, f"recordings fetched from {bucket.options.url}:", size)
    arriving = dict(kept)

    def arrived(file: Path) -> None:
        path = files[file].key
        arriving[path] = [new[path].size, new[path].etag]

    try:
        looks = (partial(_wanted, bucket, path, stored) for path, stored in new.items())
        files = {folder / each.key: each for each in in_threads(bucket.options.threads, looks)}
        fetch(bucket, files, on_bytes=progress.add, on_file=arrived)
    finally:
        if new or gone:
            write_json(index, arriving)
            copies = (folder / path for path in arriving if path not in kept)
            _settle(folder, copies, (folder / path for path in gone))
    log(
        f"recordings in {bucket.options.url}: {len(there)} objects, {len(new)} fetched, {len(gone)} removed there; "
        f"{len(listed) - len(there)} are neither wav nor jsonl"
    )


def _is_wanted(path: str) -> bool:
    """Whether an object is a recording or a manifest, and its path leads nowhere else."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        return False
    return path == WITHDRAWN_FILE or PurePosixPath(path).suffix.lower() in _WANTED


def _is_copy(file: Path, stored: Stored | None, said: Any) -> bool:
    return (
        stored is not None
        and said == [stored.size, stored.etag]
        and file.is_file()
        and file.stat().st_size == stored.size
    )


def _wanted(bucket: Bucket, path: str, stored: Stored) -> Wanted:
    """The object with the best that the service says of its bytes, which may be nothing."""
    with bucket.explained(f"look at {bucket.url(path)}"):
        answer = bucket.client.head_object(**bucket.at(path))
    sha256 = answer.get("Metadata", {}).get(SHA256, "")
    etag = answer["ETag"].strip('"')
    # The ETag of an object that came in parts, or that the service keeps under a customer's key, is no MD5.
    plain = "-" not in etag and len(etag) == 32 and answer.get("ServerSideEncryption", "AES256") == "AES256"
    return Wanted(path, stored.size, sha256, etag if plain and "SSECustomerAlgorithm" not in answer else "")


def _settle(folder: Path, files: Iterable[Path], gone: Iterable[Path]) -> None:
    """Let copies, and the folders in which something changed, be as old as what is finished."""
    moment = time.time() - _SETTLED
    copies = tuple(files)
    folders = {
        parent for file in (*copies, *gone) for parent in file.parents if parent.is_relative_to(folder)
    }
    for each in (*copies, *(folders | {folder})):
        if each.exists():
            os.utime(each, (moment, moment))
