"""Checkpoints go into the bucket while a training runs, so that what it has learnt outlives the machine.

Only checkpoints on this machine's disk are seen: those of the backend `local`. On a rented machine they lie there,
and what comes back at the end is the model alone.
"""

import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flywheel.errors import FlywheelError
from resources.object_store.bucket import Bucket
from resources.object_store.options import Seconds
from resources.object_store.progress import Log
from resources.object_store.transfers import Outgoing, TransferStopped, Wanted, proved, send

__all__ = ["Watcher", "removable", "watching"]

_PATTERN: Final = "*.ckpt"
_UNFINISHED: Final = "-unfinished"
"""NeMo puts an empty file of the checkpoint's name and this beside one that it is writing."""
_LEAVE: Final[Seconds] = 30.0
"""So long, at most, the end of a training waits for a request that is under way."""
_WER: Final = re.compile(r"val_wer=([0-9]+(?:\.[0-9]+)?)")


def removable(checkpoints: list[Path]) -> list[Path]:
    """Those of one folder's checkpoints that no training goes back to: neither the newest, nor the last, nor one with
    the best WER that a name gives. One whose name gives none stays, too."""
    if not checkpoints:
        return []
    newest = max(checkpoints, key=lambda path: path.stat().st_mtime_ns)
    rates = {path: float(found[1]) for path in checkpoints if (found := _WER.search(path.name))}
    best = min(rates.values(), default=0.0)
    return [
        path for path, rate in rates.items() if rate > best and path != newest and "-last" not in path.name
    ]


@dataclass(slots=True)
class Watcher:
    """Sends checkpoints that have come to rest, and removes those that are safe in the bucket and not needed here.

    Args:
        folder: below which they appear.
        bucket: where to.
        prefix: of the objects' paths, e.g. ``checkpoints/cycle1``.
        log: takes a line; from a thread of the watcher's own.
        interval: seconds between two looks.
        rest: seconds for which a file must not have changed.
        pause: seconds after an outage until the bucket is tried again.
    """

    folder: Path
    bucket: Bucket
    prefix: str
    log: Log
    interval: Seconds = 5.0
    rest: Seconds = 10.0
    pause: Seconds = 60.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _ignored: frozenset[Path] = frozenset()
    _seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)
    _sent: dict[Path, Outgoing] = field(default_factory=dict)
    _out: bool = False

    def run(self) -> None:
        """Look until `stop` is called. An outage is said once, and ends nothing."""
        while not self._stop.is_set():
            try:
                self.look()
                if self._out:
                    self._out = False
                    self.log("checkpoints: the bucket can be used again")
            except TransferStopped:
                return
            except (FlywheelError, OSError) as error:
                if not self._out:
                    self._out = True
                    self.log(f"checkpoints are kept here for now, the training goes on: {error}")
                self._stop.wait(self.pause)
            self._stop.wait(self.interval)

    def stop(self) -> None:
        """End `run` soon: an upload ends within the part that is being sent, and what it sent is removed."""
        self._stop.set()

    def look(self) -> None:
        """Send what has come to rest and is not in the bucket yet; then remove what need not stay."""
        by_folder: dict[Path, list[Path]] = defaultdict(list)
        for path in sorted(self.folder.rglob(_PATTERN)):
            if path not in self._ignored and self._is_whole(path):
                by_folder[path.parent].append(path)
        for paths in by_folder.values():
            for path in paths:
                self._send(path)
            for path in removable([path for path in paths if path.exists()]):
                self._remove(path)

    def ignore_what_is_there(self) -> None:
        """Checkpoints that are there already are of another training."""
        self._ignored = frozenset(self.folder.rglob(_PATTERN))

    def _is_whole(self, path: Path) -> bool:
        """Whether nobody writes to it: its name says so, and it has been the same for a while."""
        if path.name.startswith(".") or path.with_name(f"{path.name}{_UNFINISHED}").exists():
            return False
        state = _state(path)
        if state is None:
            return False
        now = time.monotonic()
        before, since = self._seen.setdefault(path, (state, now))
        if before != state:
            self._seen[path] = state, now
            return False
        return now - since >= self.rest

    def _send(self, path: Path) -> None:
        sent = self._sent.get(path)
        if sent is not None and _state(path) in (None, (sent.size, sent.modified_ns)):
            return
        try:
            file = Outgoing.of(f"{self.prefix}/{path.name}", path)
            send(self.bucket, [file], stop=self._stop)
        except FileNotFoundError:
            return  # the trainer has a better one, and removed it
        self._sent[path] = file
        self.log(f"checkpoint {self.bucket.url(file.key)}: {file.size} bytes")

    def _remove(self, path: Path) -> None:
        sent = self._sent.get(path)
        if sent is None or _state(path) != (sent.size, sent.modified_ns):
            return
        wanted = Wanted(sent.key, sent.size, sent.sha256)
        for _, error in proved(self.bucket, [wanted], stop=self._stop):
            if error:
                raise type(error)(f"{error}. {path} is kept")
        if wanted.is_in(path):
            path.unlink()
            self.log(f"{path} is removed: {sent.size} bytes, read back from {self.bucket.url(sent.key)}")


def _state(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    return about.st_size, about.st_mtime_ns


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Let `watcher` send the checkpoints that appear while the block runs.

    The block ends as it would without: whatever goes wrong with the bucket is only said.
    """
    watcher.ignore_what_is_there()
    thread = threading.Thread(target=watcher.run, name="checkpoints", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watcher.stop()
        thread.join(_LEAVE)
        if thread.is_alive():
            watcher.log("checkpoints: the bucket does not answer, and is not waited for")
