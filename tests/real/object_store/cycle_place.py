"""A data folder whose first cycle was made by the graph, but for the training: that is files of the same names."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from assets.definitions import defs
from flywheel.corpus.manifest import read_manifest
from flywheel.files.atomic import read_jsonl, write_jsonl
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import write_record
from flywheel.files.steps import CycleSteps
from flywheel.recognisers.bases import Base, read_base
from flywheel.recognisers.nemo_asr import TINY, Epoch, TrainingRecord, TrainingRequest
from flywheel.speech.cached_files import CONTENTS
from flywheel.verdict.decision import Decision
from resources.data_folder import DataFolder

HEADER = "term,entity_category\n"
FIRST = ("cefazolin,drug", "ferritin,lab")
SECOND = (*FIRST, "apixaban,drug")
ADAPTED = b"adapted" * 4096


@dataclass(frozen=True)
class CyclePlace:
    """A folder with a seed and a data folder, which `materialize` needs to be the environment's `FLYWHEEL_DATA`."""

    root: Path

    @property
    def data(self) -> DataFolder:
        return DataFolder(root=str(self.root / "data"))

    def cycle(self, name: str = "cycle1") -> CycleFolder:
        return self.data.cycle(name)

    def seed(self, *terms: str) -> None:
        """Write the seed that `materialize` reads."""
        (self.root / "seed.csv").write_text(HEADER + "".join(f"{term}\n" for term in terms))

    def materialize(self, cycle: str, *assets: str) -> Mapping[str, Mapping[str, Any]]:
        """Materialise assets; the metadata of each, by name."""
        config = {"term_seed": {"config": {"seed_file": str(self.root / "seed.csv")}}}
        if cycle == "cycle1":
            config["base_model"] = {"config": {"name": "bundled"}}  # also where there is a GPU
        ran = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            partition_key=cycle,
            asset_selection=[dg.AssetKey(name) for name in assets],
            run_config={
                "loggers": {"console": {}},
                "ops": {name: value for name, value in config.items() if name in assets},
            },
        )
        done = [event.materialization for event in ran.get_asset_materialization_events()]
        return {
            each.asset_key.to_user_string(): {name: value.value for name, value in each.metadata.items()}
            for each in done
        }

    def few_general_sentences(self, cycle: str) -> None:
        """Leave five of them, for there are hundreds."""
        path = self.cycle(cycle).sentences
        rows = read_jsonl(path)
        general = [row for row in rows if "term" not in row]
        write_jsonl(path, [*(row for row in rows if "term" in row), *general[:5]])
        CycleSteps(self.cycle(cycle)).stamp("sentences")

    def an_audio(self) -> tuple[str, Path]:
        """A file of speech that the manifest names: its path in the bucket, and here."""
        path = Path(read_manifest(self.cycle().manifest)[0].audio_filepath)
        return f"speech/{path.name}", path

    def contents(self, *, below: str = "") -> dict[str, bytes]:
        """The bytes of every file of the data folder, by its path, without what is each machine's own: notes of
        transfers and of what cached audio held, and locks."""
        start = self.data.path
        return {
            str(path.relative_to(start)): path.read_bytes()
            for path in sorted((start / below).rglob("*"))
            if path.is_file()
            and path.name != CONTENTS
            and path.relative_to(start).parts[0] not in ("transfers", "locks")
        }


def copy_of(made: CyclePlace, root: Path, *, rows: int | None = None) -> CyclePlace:
    """A copy whose files name each other where they are now; of so many rows, for each costs requests."""
    copy = CyclePlace(root)
    shutil.copytree(made.root, root, ignore=shutil.ignore_patterns("*.wav"))
    for path in copy.data.path.rglob("*.json*"):
        path.write_text(path.read_text().replace(str(made.root), str(root)))
    folder = copy.cycle()
    kept = {row["id"] for row in read_jsonl(folder.manifest)[:rows]}
    for path in (*folder.root.glob("*.jsonl"), *folder.root.glob("*/rows.jsonl")):
        lines = read_jsonl(path)
        if lines and "audio_filepath" in lines[0]:
            write_jsonl(path, [row for row in lines if row["id"] in kept])
    for audio in kept:
        shutil.copy(made.data.speech / f"{audio}.wav", copy.data.speech)
    return copy


def a_training(base: Base) -> TrainingRecord:
    """The record of a training that nobody made."""
    epoch = Epoch(1, 40, train_loss=2.0, val_wer=0.25)
    return TrainingRecord(
        asked=TrainingRequest("the base", "the training rows", "the development rows", TINY),
        base=base.record,
        backend="local",
        hyperparameters=TINY,
        rows_seen={"train": 1, "validation": 1},
        epochs=(epoch,),
        steps=40,
        seed=TINY.seed,
        versions={},
        best=epoch,
        seconds=1.5,
        model_sha256=hashlib.sha256(ADAPTED).hexdigest(),
    )


def first_cycle(root: Path) -> CyclePlace:
    """`cycle1` up to its split, its base, and what a training, a promotion and a page would have left."""
    place = CyclePlace(root)
    os.environ["FLYWHEEL_DATA"] = str(place.data.path)
    place.seed(*FIRST)
    place.materialize("cycle1", "term_seed", "sentences")
    place.few_general_sentences("cycle1")
    place.materialize("cycle1", "pronunciations", "speech", "recordings", "manifest", "split", "base_model")
    folder = place.cycle()
    folder.adapted_model.write_bytes(ADAPTED)
    write_record(folder.training_run_info, a_training(read_base(folder.base_model)))
    write_record(
        folder.decision,
        Decision("keep", promote=True, reasons=(), advice="Use it.", relative_drop=0.5),
    )
    write_jsonl(folder.baseline.hyps, [{"id": "a", "text": "one", "pred_text": "one"}])
    folder.leaderboard(2).write_text("# The answer\n")
    (folder.root / ".leaderboard.half.md").write_text("# The ans")
    place.data.registry.promote(
        folder.adapted_model, cycle="cycle1", base_model="bundled", decision="made for this test"
    )
    return place
