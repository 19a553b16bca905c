"""An object becomes a file, or is proved to hold what it should."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from flywheel.files.atomic import sha256_of_file
from resources.object_store.bucket import DAMAGED, Bucket, Mismatch, StoreError

__all__ = ["fetch", "prove", "remove_proved"]

OnBytes = Callable[[int], None]


def fetch(
    bucket: Bucket,
    path: str,
    target: Path,
    *,
    size: int,
    content: str,
    on_bytes: OnBytes = lambda count: None,
) -> None:
    """Write the object at `path` to `target`, whole and checked, or not at all.

    What a fetch that was cut off had brought lies beside `target` and is not fetched again.

    Args:
        bucket: where from.
        path: the object's.
        target: the file; one that is there and right is left as it is.
        size: in bytes, that it must have.
        content: its SHA-256, that it must have.
        on_bytes: told how many bytes are done.

    Raises:
        Mismatch: the object is another one.
        StoreError: it cannot be fetched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file() and _is(target, size, content):
        on_bytes(size)
        return
    part = target.with_name(f"{target.name}.part")
    there = part.stat().st_size if part.exists() else 0
    if there > size:
        part.unlink()
        there = 0
    on_bytes(there)
    with part.open("ab") as file:
        if there < size:
            for chunk in bucket.read(path, size, there):
                file.write(chunk)
                on_bytes(len(chunk))
    if not _is(part, size, content):
        part.unlink()
        if not 0 < there < size:
            raise _wrong_content(bucket, path, content)
        # Perhaps only what was left of the fetch before is bad.
        fetch(bucket, path, target, size=size, content=content)
        return
    part.replace(target)


def prove(
    bucket: Bucket, path: str, *, size: int, content: str, on_bytes: OnBytes = lambda count: None
) -> None:
    """Read the object at `path` back, all of it, and raise `Mismatch` unless it has `size` bytes and the SHA-256
    `content`.

    A service's own digests would spare the reading, but not every service has one that is a SHA-256 of the whole, and
    an object's metadata only repeats what its sender claimed.
    """
    digest = sha256()
    for chunk in bucket.read(path, size):
        digest.update(chunk)
        on_bytes(len(chunk))
    if digest.hexdigest() != content:
        raise _wrong_content(bucket, path, content)


def remove_proved(bucket: Bucket, path: str, local: Path, *, on_bytes: OnBytes = lambda count: None) -> int:
    """Remove the file `local` once the object at `path` is proved to hold the same; returns its size in bytes.

    `on_bytes` is told how many bytes are read back. Raises `StoreError`, and keeps the file, where the object is
    missing or another one, where the bucket cannot be read, or where the file changes meanwhile.
    """
    before = local.stat()
    try:
        prove(bucket, path, size=before.st_size, content=sha256_of_file(local), on_bytes=on_bytes)
    except StoreError as error:
        raise type(error)(f"{error}. {local} is kept") from None
    after = local.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise StoreError(f"{local}: changed while its copy was checked, and is kept")
    local.unlink()
    return before.st_size


def _is(file: Path, size: int, content: str) -> bool:
    return file.stat().st_size == size and sha256_of_file(file) == content


def _wrong_content(bucket: Bucket, path: str, content: str) -> Mismatch:
    return Mismatch(
        f"{bucket.url(path)}: its SHA-256 is not {content[:12]}..., though its size is right. {DAMAGED}"
    )
