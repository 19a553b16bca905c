"""A cycle's run: its identity, the part that a training writes, and the part that its results are."""

import hashlib
import json
import secrets
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from flywheel.compute.job import Seconds
from flywheel.corpus.manifest import read_manifest, write_manifest
from flywheel.cycle.page import newest_page
from flywheel.cycle.tracking import AXES, CycleRecord, portable_manifests
from flywheel.files.atomic import read_json, write_json, write_text
from flywheel.files.cycles import CycleFolder
from flywheel.files.locks import held
from resources.tracking.account import Account
from resources.tracking.client import NotTracked, PartWriter, Sending, pending, sending

__all__ = ["CycleRun", "Say", "TrainingPart", "run_of", "send_pending", "write_results"]

Say = Callable[[str], None]

_LONGEST_TRAINING: Final[Seconds] = 7 * 24 * 3600.0
_ENDS_WITHIN: Final[Seconds] = 60.0
_INTERRUPTED_ENDS_WITHIN: Final[Seconds] = 10.0


@dataclass(frozen=True, slots=True)
class CycleRun:
    """One run of W&B's: a cycle of a data folder.

    Args:
        id: the same whenever and however often the cycle runs.
        cycle: its name, and the run's.
        owner: the data folder's name for itself, eight digits.
        root: the folder of all runs.
        account: where it belongs.
    """

    id: str
    cycle: str
    owner: str
    root: Path
    account: Account

    @property
    def folder(self) -> Path:
        """Of this run's parts."""
        return self.root / self.cycle

    def opening(self, config: Mapping[str, Any], notes: str = "") -> dict[str, Any]:
        """The first message to the writer of a part."""
        return {
            "id": self.id,
            "name": self.cycle,
            "project": self.account.project,
            "entity": self.account.entity,
            "notes": notes,
            "config": dict(config),
            "axes": dict(AXES),
        }

    def collection(self, name: str) -> str:
        """The name of the artifacts that are versions of one thing, for all cycles of the data folder."""
        return f"{name}-{self.owner}"

    def new_part(self, name: str) -> Path:
        """Where a new part may lie."""
        return self.folder / f"{name}-{secrets.token_hex(4)}"

    @property
    def url(self) -> str:
        """Its page; empty where it was never sent."""
        file = self.folder / "url"
        return file.read_text(encoding="utf-8") if file.exists() else ""


def run_of(cycle: str, root: Path, account: Account) -> CycleRun:
    """The run of `cycle`. Runs of two data folders differ, wherever these lie: each has a name of its own, drawn
    once and kept in `root`. Raises `OSError` where that cannot be written."""
    name = root / "owner"
    with held(root / "lock"):
        if not name.exists():
            write_text(name, secrets.token_hex(4))
    owner = name.read_text(encoding="utf-8")
    content = "\0".join((account.entity, account.project, owner, cycle))
    return CycleRun(hashlib.sha256(content.encode()).hexdigest()[:16], cycle, owner, root, account)


class TrainingPart:
    """The part that a training writes: losses, as they come. Nothing that is wrong with it is raised.

    Args:
        start: opens the part's run; called with the first losses, so that a training that was done before leaves
            no part.
        config: what the training is run with.
        say: is told what is wrong: once of writing, once of sending.
    """

    def __init__(self, start: Callable[[], CycleRun], config: Mapping[str, Any], say: Say) -> None:
        self._start, self._config, self._say = start, config, say
        self._run: CycleRun  # once there is a writer
        self._writer: PartWriter | None = None
        self._live: Sending | None = None
        self._writes = self._sends = True
        self._open = ExitStack()

    def log(self, figures: Mapping[str, float]) -> None:
        """Write figures; online, see to it that they are sent."""
        if not self._writes:
            return
        try:
            if self._writer is None:
                self._run = self._start()
                opening = self._run.opening(self._config)
                writer = PartWriter(self._run.root, self._run.new_part("training"), opening)
                self._writer = self._open.enter_context(writer)
            self._writer.send({"log": dict(figures)})
            if self._sends and self._live is None and (part := self._writer.begun):
                self._follow(part)
        except (NotTracked, OSError) as error:
            self._give_up(error)

    def end(self, *, exit_code: int, wait: Seconds) -> None:
        """End the part; wait at most `wait` seconds for what is still to be sent."""
        with self._open:
            try:
                if self._writer is not None:
                    within = _INTERRUPTED_ENDS_WITHIN if exit_code else _ENDS_WITHIN
                    self._writer.finish([{"exit_code": exit_code}], within=within)
                if self._live is not None:
                    self._say_unsent(self._live.problem(wait))
            except (NotTracked, OSError) as error:
                self._give_up(error)

    def _follow(self, part: Path) -> None:
        account = self._run.account
        self._sends = account.mode == "online"
        if self._sends and (problem := account.unreachable()):
            self._sends = False
            self._say_unsent(problem)
        if self._sends:
            live = sending(self._run.root, [part], timeout=_LONGEST_TRAINING, live=True)
            self._live = self._open.enter_context(live)

    def _say_unsent(self, problem: str) -> None:
        if problem:
            self._say(f"W&B: the losses are kept and not sent yet: {problem}; tracked_run will send them")

    def _give_up(self, error: Exception) -> None:
        if self._writes:
            self._say(f"W&B: the losses cannot be kept for it: {error}")
        self._writes = False


@dataclass(frozen=True, slots=True)
class _Artifact:
    """An artifact of a run; one collection for all cycles of a data folder.

    Args:
        name: of the collection; `alias` is the version's in it.
        type: W&B's word for its kind.
        copied: the files by their names in it, kept as they are now.
        kept: files that never change, and are read when they are sent.
        metadata: what is said of it.
    """

    name: str
    type: str
    alias: str
    copied: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def write_results(
    run: CycleRun, record: CycleRecord, folder: CycleFolder, model: Path | None, *, audio: bool
) -> bool:
    """Write the part that holds what `record` says, with its artifacts; whether that was done before.

    Args:
        run: the run of the cycle; its folder is locked by the caller.
        record: of the cycle.
        folder: of the cycle.
        model: the file of the promoted model, if there is one; it never changes.
        audio: whether the speech of the manifest goes along.

    Raises:
        NotTracked, OSError: it could not be written.
    """
    content = json.dumps([run.id, asdict(record), model and model.name, audio], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    known = run.folder / "results.json"
    if known.exists() and (done := read_json(known))["digest"] == digest and Path(done["file"]).exists():
        return True
    part = run.new_part("results")
    tables = {name: asdict(table) for name, table in record.tables.items()}
    with (
        tempfile.TemporaryDirectory(prefix="flywheel-") as scratch,
        PartWriter(run.root, part, run.opening(record.config, record.headline)) as writer,
    ):
        artifacts = [
            _page_artifact(run, folder),
            _manifest_artifact(run, record, folder, Path(scratch), audio=audio),
            *([_model_artifact(run, record, model)] if model is not None else []),
        ]
        writer.finish(
            [
                {"log": dict(record.figures), "tables": tables, "page": record.page},
                *({"artifact": asdict(artifact)} for artifact in artifacts),
                {"exit_code": 0},
            ]
        )
    write_json(known, {"digest": digest, "file": str(part)})
    return False


def _page_artifact(run: CycleRun, folder: CycleFolder) -> _Artifact:
    """The markdown page and its figures. Not the HTML page: it holds sound, which is sent only where asked."""
    page = newest_page(folder)
    pages = [] if page is None else [page, *sorted(page.parent.glob(f"{page.stem}.*.png"))]
    files = {file.name: file for file in pages} | {
        f"{file.parent.name}/{file.name}": file for file in (folder.baseline.scores, folder.next.scores)
    }
    copied = {name: str(file) for name, file in files.items() if file.exists()}
    return _Artifact(run.collection("leaderboard"), "leaderboard", run.cycle, copied)


def _manifest_artifact(
    run: CycleRun, record: CycleRecord, folder: CycleFolder, scratch: Path, *, audio: bool
) -> _Artifact:
    """The cycle's manifests, which its run has made and learned from."""
    copied = {folder.split.name: str(folder.split)}
    for name, rows in portable_manifests(folder).items():
        write_manifest(scratch / name, rows)
        copied[name] = str(scratch / name)
    # Speech is named by its content and never changes. People agreed to be measured on, not to be shown.
    spoken = [row for row in read_manifest(folder.manifest) if not row.is_human] if audio else []
    kept = {f"audio/{Path(row.audio_filepath).name}": row.audio_filepath for row in spoken}
    metadata = {"manifest": record.config["manifest"], "cycle": run.cycle}
    return _Artifact(run.collection("manifest"), "dataset", run.cycle, copied, kept, metadata)


def _model_artifact(run: CycleRun, record: CycleRecord, model: Path) -> _Artifact:
    """The promoted model. What it was made from is said in words: W&B's client notes a use only while it is online."""
    metadata = {
        "sha256": model.stem,
        "cycle": run.cycle,
        "made_from": f"{run.collection('manifest')}:{run.cycle}",
        **{name: record.config[name] for name in ("base", "manifest")},
    }
    kept = {"adapted_model.nemo": str(model)}
    return _Artifact(run.collection("model"), "model", run.cycle, kept=kept, metadata=metadata)


def send_pending(run: CycleRun, say: Say, *, within: Seconds) -> str:
    """Send the parts that are here only, in at most about `within` seconds; why not all has arrived, or nothing.

    Raises `OSError` where the run's folder cannot be written.
    """
    parts = pending(run.folder, run.id)
    if not parts:
        return ""
    if problem := run.account.unreachable():
        return problem
    say(f"W&B: sending to {run.account.server}, for at most {within:.0f} s")
    with sending(run.root, parts, timeout=within) as sent:
        problem = sent.problem(within + 1.0)  # the command is ended a moment before that
        if sent.url:
            write_text(run.folder / "url", sent.url)
    return problem
