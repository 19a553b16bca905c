"""Fine-tuning and hearing as compute jobs: what is asked of the backend, and what is not done twice.

The backend here runs in this process: it leaves what the jobs promise, as their interface says.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel.compute.job import ComputeJob, JobOutcome
from flywheel.corpus.manifest import ManifestRow, read_manifest, write_manifest
from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_jsonl, sha256_of_file, write_jsonl
from flywheel.files.cycles import CycleFolder, EvalFolder
from flywheel.files.records import read_record, write_record
from flywheel.recognisers.bases import BUNDLED, DEFAULT_WITH_GPU, Base
from flywheel.recognisers.evaluation import transcribe
from flywheel.recognisers.nemo_asr import (
    METRICS_OUTPUT,
    MODEL_OUTPUT,
    STOCK,
    TINY,
    Epoch,
    Hyperparameters,
    TrainingMetrics,
    TrainingRecord,
    TrainingRun,
    chosen_hyperparameters,
    default_hyperparameters,
    epochs_table,
    finetune,
    finetune_job,
)

PUBLISHED = Base(DEFAULT_WITH_GPU, None, DEFAULT_WITH_GPU)
EPOCHS = (
    Epoch(1, 2, train_loss=3.0, val_loss=2.0, val_wer=0.5),
    Epoch(2, 4, train_loss=2.0, val_loss=1.5, val_wer=0.25),
    Epoch(3, 6, train_loss=1.0, val_loss=1.7, val_wer=0.4),
)


@dataclass
class InProcessBackend:
    """Does in this process what the jobs of the flywheel do elsewhere; `dropped` training rows go unseen."""

    name: str = "local"
    dropped: int = 0
    billed: tuple[float, float] = (0.0, 0.0)
    has_accelerator: bool = False
    jobs: list[ComputeJob] = field(default_factory=list)

    def run(self, job: ComputeJob, outputs_to: Path, on_line: Callable[[str], None]) -> JobOutcome:
        self.jobs.append(job)
        on_line(f"doing {job.name}")
        outputs = {name: outputs_to / name for name in job.outputs}
        for path in outputs.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        rows = {name: read_manifest(path) for name, path in job.manifests.items()}
        if job.name == "transcribe":
            write_jsonl(outputs["offline_hyps.jsonl"], self.hypotheses(rows["rows.jsonl"]))
        else:
            self.train(job, outputs, rows)
        return JobOutcome(0, 1.23, outputs, datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), *self.billed)

    def hypotheses(self, rows: tuple[ManifestRow, ...]) -> list[dict[str, object]]:
        fields = [row.model_dump(exclude={"audio_filepath"}, exclude_none=True) for row in rows]
        return [{**of_row, "pred_text": of_row["text"]} for of_row in fields]

    def train(
        self, job: ComputeJob, outputs: dict[str, Path], rows: dict[str, tuple[ManifestRow, ...]]
    ) -> None:
        # What the job was asked for, so that another request leaves another model.
        outputs[MODEL_OUTPUT].write_text("\n".join([*job.argv, *(row.id for row in rows["train.jsonl"])]))
        seen = {
            "train": len(rows["train.jsonl"]) - self.dropped,
            "validation": len(rows["development.jsonl"]),
        }
        write_record(outputs[METRICS_OUTPUT], TrainingMetrics(seen, EPOCHS, 6, 42, 1.0, {"torch": "2"}))


def row(number: int, **changes: object) -> ManifestRow:
    values = {
        "id": f"row{number}",
        "audio_filepath": f"/speech/row{number}.wav",
        "text": f"give cefazolin to patient {number}",
        "duration": 2.5,
        "sampling_rate": 16_000,
        "term": "cefazolin",
        "entity_category": "drug",
        "ipa_source": "espeak_g2p",
        "voice_id": "espeak:en-us+m3",
        "noise_level": "clean",
        "context_type": "dictation",
        "synthesis_group": f"group{number}",
        **changes,
    }
    return ManifestRow.model_validate(values)


@pytest.fixture
def base(tmp_path: Path) -> Base:
    path = tmp_path / "base.nemo"
    path.write_bytes(b"base weights")
    return Base(BUNDLED, path, BUNDLED)


@pytest.fixture
def folder(tmp_path: Path) -> CycleFolder:
    folder = CycleFolder(tmp_path / "data", "cycle1")
    write_manifest(folder.train, [row(number) for number in range(8)])
    write_manifest(folder.development, [row(number) for number in range(8, 10)])
    return folder


@pytest.fixture
def backend() -> InProcessBackend:
    return InProcessBackend()


def run(
    base: Base, folder: CycleFolder, backend: InProcessBackend, hyperparameters: Hyperparameters = TINY
) -> TrainingRun:
    return finetune(
        base, folder, hyperparameters, backend, lambda line: None, accelerator=False, timeout=60.0
    )


def test_a_training_leaves_its_model_and_what_it_was(
    base: Base, folder: CycleFolder, backend: InProcessBackend
) -> None:
    done = run(base, folder, backend)
    assert not done.cached
    info = read_record(folder.training_run_info, TrainingRecord)
    assert done.info == info
    assert folder.adapted_model.read_text().startswith("python\n-m\nflywheel.compute.programs.finetune\n")
    assert info.model_sha256 == sha256_of_file(folder.adapted_model)
    assert info.rows_seen == {"train": 8, "validation": 2}
    assert info.best == EPOCHS[1]
    assert info.base == base.record
    assert info.hyperparameters == TINY
    assert (info.seconds, info.started_at) == (1.2, "2026-01-02T03:04:05+00:00")
    assert (info.backend, info.cost_usd, info.seed) == ("local", 0.0, 42)


def test_what_a_rented_machine_cost_is_kept_with_the_training(base: Base, folder: CycleFolder) -> None:
    info = run(base, folder, InProcessBackend(name="brev", billed=(600.4, 0.25))).info
    assert (info.backend, info.billed_seconds, info.cost_usd) == ("brev", 600.4, 0.25)


def test_the_same_training_is_not_done_twice(
    base: Base, folder: CycleFolder, backend: InProcessBackend
) -> None:
    first = run(base, folder, backend)
    # Neither the order of rows nor where the audio lies is another training.
    rows = [row.with_audio_filepath(f"/moved/{row.id}.wav") for row in read_manifest(folder.train)]
    write_manifest(folder.train, rows[::-1])
    second = run(base, folder, backend)
    assert second.cached
    assert second.info == first.info
    assert len(backend.jobs) == 1


def change_row(base: Base, folder: CycleFolder) -> None:
    rows = read_manifest(folder.train)
    write_manifest(folder.train, [row(99), *rows[1:]])


def add_development_row(base: Base, folder: CycleFolder) -> None:
    write_manifest(folder.development, [*read_manifest(folder.development), row(99)])


def change_base(base: Base, folder: CycleFolder) -> None:
    assert base.file is not None
    base.file.write_bytes(b"other weights")


def damage_model(base: Base, folder: CycleFolder) -> None:
    folder.adapted_model.write_bytes(b"cut off")


def remove_model(base: Base, folder: CycleFolder) -> None:
    folder.adapted_model.unlink()


def remove_record(base: Base, folder: CycleFolder) -> None:
    folder.training_run_info.unlink()


@pytest.mark.parametrize(
    "change", [change_row, add_development_row, change_base, damage_model, remove_model, remove_record]
)
def test_another_training_is_done(
    base: Base,
    folder: CycleFolder,
    backend: InProcessBackend,
    change: Callable[[Base, CycleFolder], None],
) -> None:
    run(base, folder, backend)
    change(base, folder)
    assert not run(base, folder, backend).cached
    assert len(backend.jobs) == 2
    assert run(base, folder, backend).cached


@pytest.mark.parametrize(
    "changes",
    [{"lr": 1e-4}, {"seed": 7}, {"max_epochs": 1}, {"batch_size": 2}, {"frozen_encoder_layers": 3}],
    ids=str,
)
def test_another_hyperparameter_is_another_training(
    base: Base, folder: CycleFolder, backend: InProcessBackend, changes: dict[str, float]
) -> None:
    run(base, folder, backend)
    other = replace(TINY, **changes)  # type: ignore[arg-type]
    assert not run(base, folder, backend, other).cached
    assert run(base, folder, backend, other).cached
    assert not run(base, folder, backend).cached, "only the last one is kept"


def test_rows_that_the_trainer_did_not_see_are_an_error_and_leave_no_model(
    base: Base, folder: CycleFolder
) -> None:
    with pytest.raises(FlywheelError) as caught:
        run(base, folder, InProcessBackend(dropped=1))
    assert "saw {'train': 7, 'validation': 2} rows" in str(caught.value)
    assert "hold {'train': 8, 'validation': 2}" in str(caught.value)
    assert not folder.adapted_model.exists()
    assert not folder.training_run_info.exists()


def test_a_training_without_development_rows_is_refused_before_it_starts(
    base: Base, folder: CycleFolder, backend: InProcessBackend
) -> None:
    write_manifest(folder.development, [])
    with pytest.raises(FlywheelError, match=r"development\.jsonl holds no rows to choose a checkpoint on"):
        run(base, folder, backend)
    assert backend.jobs == []


def test_a_published_base_is_refused_without_a_gpu(folder: CycleFolder, backend: InProcessBackend) -> None:
    with pytest.raises(FlywheelError, match=r"parakeet-tdt-0\.6b-v2 cannot be trained without a GPU"):
        run(PUBLISHED, folder, backend)
    assert backend.jobs == []


@pytest.mark.parametrize("seed", [42, 7])
def test_the_job_carries_the_seed_the_files_and_nothing_else(
    base: Base, folder: CycleFolder, seed: int
) -> None:
    job = finetune_job(
        base,
        folder.train,
        folder.development,
        replace(TINY, seed=seed),
        accelerator=False,
        timeout=60.0,
    )
    assert job.environment["PL_GLOBAL_SEED"] == str(seed)
    assert job.argv[:3] == ("python", "-m", "flywheel.compute.programs.finetune")
    assert job.inputs == {"base.nemo": base.file}
    assert job.manifests == {"train.jsonl": folder.train, "development.jsonl": folder.development}
    assert job.outputs == (MODEL_OUTPUT, METRICS_OUTPUT)
    assert not job.accelerator
    # Paths are those of the workspace: an absolute one would not exist on another machine.
    assert not any("=/" in word for word in job.argv)


def test_a_published_base_travels_by_its_name(folder: CycleFolder) -> None:
    job = finetune_job(PUBLISHED, folder.train, folder.development, STOCK, accelerator=True, timeout=60.0)
    assert job.inputs == {}
    assert f"+init_from_pretrained_model={DEFAULT_WITH_GPU}" in job.argv
    assert job.accelerator


def test_defaults_follow_the_origin_of_the_base(base: Base) -> None:
    descendant = replace(base, name="model of cycle3")
    ward = replace(base, name="ward", origin="ward")
    assert default_hyperparameters(descendant, accelerator=True) == TINY
    assert default_hyperparameters(ward, accelerator=True) == STOCK
    assert default_hyperparameters(PUBLISHED, accelerator=True) == STOCK
    assert default_hyperparameters(ward, accelerator=False) == replace(STOCK, precision="32")


def test_the_stock_recipe_is_the_published_one() -> None:
    assert (STOCK.lr, STOCK.warmup_steps, STOCK.max_epochs, STOCK.batch_size) == (3e-4, 5, 3, 4)
    assert (STOCK.gradient_clip_val, STOCK.precision, STOCK.patience) == (1.0, "bf16-mixed", 3)


def test_chosen_hyperparameters_change_the_defaults(base: Base) -> None:
    chosen = chosen_hyperparameters(base, {"lr": 1e-4, "seed": 7}, accelerator=False)
    assert chosen == replace(TINY, lr=1e-4, seed=7)
    assert chosen_hyperparameters(base, {}, accelerator=False) == TINY


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"learning_rate": 1.0, "epochs": 2}, "found epochs, learning_rate", id="unknown names"),
        pytest.param({"Lr": 1.0}, "allowed: lr, warmup_steps", id="name in another case"),
        pytest.param({"precision": "16-mixed"}, "precision", id="fp16"),
        pytest.param({"lr": "fast"}, "lr", id="text for a number"),
        pytest.param({"max_epochs": 0}, "max_epochs: found 0, allowed is a whole number of at least 1"),
        pytest.param({"batch_size": 4.0}, "batch_size: found 4.0", id="fraction of rows"),
        pytest.param({"seed": True}, "seed: found True", id="flag for a number"),
        pytest.param({"lr": float("nan")}, "lr: found nan, allowed is a finite number above 0"),
        pytest.param({"gradient_clip_val": float("inf")}, "gradient_clip_val: found inf"),
        pytest.param({"lr": -1e-4, "patience": -1}, "hyperparameters: 2 problems", id="all in one report"),
    ],
)
def test_a_wrong_hyperparameter_is_refused(base: Base, changes: dict[str, object], said: str) -> None:
    with pytest.raises(FlywheelError) as caught:
        chosen_hyperparameters(base, changes, accelerator=False)
    assert said in str(caught.value)


def test_epochs_become_a_table() -> None:
    lines = epochs_table(EPOCHS).strip().splitlines()
    assert len(lines) == 2 + len(EPOCHS)
    assert [cell.strip() for cell in lines[3].strip("|").split("|")] == ["2", "2.0000", "1.5000", "0.2500"]


@pytest.fixture
def evaluation(tmp_path: Path) -> EvalFolder:
    folder = EvalFolder(tmp_path / "data" / "cycles" / "cycle1" / "baseline")
    write_manifest(folder.rows, [row(number, subset="validation") for number in range(4)])
    return folder


def hear(base: Base, folder: EvalFolder, backend: InProcessBackend) -> bool:
    """Whether nothing had to be done."""
    return transcribe(base, folder, backend, lambda line: None).cached


def test_a_model_does_not_hear_the_same_rows_twice(
    base: Base, evaluation: EvalFolder, backend: InProcessBackend
) -> None:
    assert not hear(base, evaluation, backend)
    assert [line["id"] for line in read_jsonl(evaluation.hyps)] == ["row0", "row1", "row2", "row3"]
    assert backend.jobs[0].manifests == {"rows.jsonl": evaluation.rows}
    rows = [row.with_audio_filepath(f"/moved/{row.id}.wav") for row in read_manifest(evaluation.rows)]
    write_manifest(evaluation.rows, rows)
    again = transcribe(replace(base, name="other name"), evaluation, backend, lambda line: None)
    assert again.cached
    assert again.seconds == 1.2
    assert len(backend.jobs) == 1


def another_row(base: Base, folder: EvalFolder) -> None:
    write_manifest(folder.rows, [*read_manifest(folder.rows), row(9, subset="validation")])


def another_subset(base: Base, folder: EvalFolder) -> None:
    write_manifest(folder.rows, [row.with_subset("train") for row in read_manifest(folder.rows)])


def another_model(base: Base, folder: EvalFolder) -> None:
    assert base.file is not None
    base.file.write_bytes(b"other weights")


def fewer_hypotheses(base: Base, folder: EvalFolder) -> None:
    write_jsonl(folder.hyps, read_jsonl(folder.hyps)[1:])


def no_hypotheses(base: Base, folder: EvalFolder) -> None:
    folder.hyps.unlink()


def no_record(base: Base, folder: EvalFolder) -> None:
    folder.transcription.unlink()


@pytest.mark.parametrize(
    "change", [another_row, another_subset, another_model, fewer_hypotheses, no_hypotheses, no_record]
)
def test_what_changed_is_heard_again(
    base: Base,
    evaluation: EvalFolder,
    backend: InProcessBackend,
    change: Callable[[Base, EvalFolder], None],
) -> None:
    hear(base, evaluation, backend)
    change(base, evaluation)
    assert not hear(base, evaluation, backend)
    assert len(read_jsonl(evaluation.hyps)) == len(read_manifest(evaluation.rows))
    assert hear(base, evaluation, backend)


def test_a_published_model_is_heard_by_its_name(evaluation: EvalFolder, backend: InProcessBackend) -> None:
    hear(PUBLISHED, evaluation, backend)
    assert backend.jobs[0].inputs == {}
    words = backend.jobs[0].argv
    assert words[words.index("--model") + 1] == DEFAULT_WITH_GPU
