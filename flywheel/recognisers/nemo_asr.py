"""The stock recipe: NeMo's fine-tuning script, or the driver with the same overrides, as a compute job."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from flywheel.compute.job import ComputeBackend, ComputeJob, Seconds
from flywheel.corpus.manifest import content_hash, read_manifest
from flywheel.errors import FlywheelError, Problems
from flywheel.files.content import content_of_file
from flywheel.files.cycles import CycleFolder
from flywheel.files.markdown import table
from flywheel.files.records import read_record, write_record
from flywheel.recognisers.bases import BUNDLED, Base, BaseRecord

FROZEN_KEY = "model.frozen_encoder_layers"
"""The Hydra key of `Hyperparameters.frozen_encoder_layers`: our driver's, `programs.finetune`, not NeMo's script's."""
METRICS_FILE = "finetune_metrics.json"
"""The name under which `flywheel.compute.programs.finetune` leaves its metrics."""
MODEL_OUTPUT = "finetune/adapted/run/checkpoints/adapted.nemo"
METRICS_OUTPUT = f"finetune/adapted/run/{METRICS_FILE}"

_STARTING: Seconds = 90.0
_TRAINED_A_SECOND = 40.0
"""For estimates of cost alone, and on the careful side: seconds until a model is loaded, and seconds of audio that
a rented GPU trains on in a second."""

Precision = Literal["32", "bf16-mixed", "bf16-true"]
_SMALLEST = MappingProxyType(
    {
        "warmup_steps": 0,
        "max_epochs": 1,
        "batch_size": 1,
        "patience": 0,
        "freq_masks": 0,
        "time_masks": 0,
        "frozen_encoder_layers": 0,
        "seed": 0,
    }
)
"""The smallest value of each whole number of `Hyperparameters`."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What a fine-tuning depends on beside the base and the rows.

    Args:
        lr: peak learning rate of AdamW with cosine annealing to a hundredth of it.
        warmup_steps: optimiser steps up to the peak.
        max_epochs: passes over the training rows.
        batch_size: rows a step.
        gradient_clip_val: largest norm of the gradient.
        precision: Lightning's name of a precision; fp16 is refused, it gives NaN with TDT.
        patience: epochs without a better validation WER after which training stops.
        freq_masks, time_masks: SpecAugment masks of 27 bins and 5 % of the time.
        frozen_encoder_layers: encoder layers, counted from the audio, that stay as they are, with all that comes
            before them; 0 trains everything. NeMo's own script, in its containers, trains everything.
        seed: of the order of rows, of dropout and of masks.

    Raises:
        Problems: with every value that is not allowed.
    """

    lr: float = 3e-4
    warmup_steps: int = 5
    max_epochs: int = 3
    batch_size: int = 4
    gradient_clip_val: float = 1.0
    precision: Precision = "bf16-mixed"
    patience: int = 3
    freq_masks: int = 2
    time_masks: int = 10
    frozen_encoder_layers: int = 0
    seed: int = 42

    def __post_init__(self) -> None:
        problems = [
            f"{name}: found {value!r}, allowed is {allowed}"
            for name, value in asdict(self).items()
            if (allowed := _allowed_instead(name, value))
        ]
        if problems:
            raise Problems("hyperparameters", problems)


def _allowed_instead(name: str, value: object) -> str | None:
    """What a hyperparameter may be, in words; None where `value` is that."""
    if name == "precision":
        precisions = get_args(Precision)
        return None if value in precisions else " or ".join(map(repr, precisions))
    is_flag = isinstance(value, bool)  # which Python counts among the whole numbers
    if name in _SMALLEST:
        smallest = _SMALLEST[name]
        fits = isinstance(value, int) and not is_flag and value >= smallest
        return None if fits else f"a whole number of at least {smallest}"
    fits = isinstance(value, int | float) and not is_flag and 0 < value < math.inf
    return None if fits else "a finite number above 0"


STOCK = Hyperparameters()
"""The published recipe, for a GPU of 16 GB."""

TINY = Hyperparameters(
    lr=1.2e-3,
    warmup_steps=50,
    max_epochs=9,
    batch_size=12,
    precision="32",
    time_masks=2,
)
"""What the bundled base needs on a CPU, found by measuring: see docs/base-model.md."""


def default_hyperparameters(base: Base, *, accelerator: bool) -> Hyperparameters:
    """Those measured for the bundled model and its descendants; the published ones for every other base,
    in fp32 where there is no GPU."""
    if base.origin == BUNDLED:
        return TINY
    return STOCK if accelerator else replace(STOCK, precision="32")


def chosen_hyperparameters(base: Base, changes: Mapping[str, Any], *, accelerator: bool) -> Hyperparameters:
    """The default ones with `changes`, by name; `FlywheelError` for a name or a value that is not allowed."""
    names = [field.name for field in fields(Hyperparameters)]
    if unknown := sorted(set(changes) - set(names)):
        raise FlywheelError(f"hyperparameters: found {', '.join(unknown)}; allowed: {', '.join(names)}")
    return replace(default_hyperparameters(base, accelerator=accelerator), **changes)


def overrides(base: Base, hyperparameters: Hyperparameters, *, accelerator: bool) -> tuple[str, ...]:
    """Hydra overrides, equally right for NeMo's own script and for the driver.

    File names are relative to the job's workspace, see `finetune_job`.
    """
    chosen = hyperparameters
    source = (
        f"+init_from_pretrained_model={base.name}" if base.file is None else "init_from_nemo_model=base.nemo"
    )
    device = ("trainer.accelerator=gpu", "trainer.devices=1", "trainer.strategy=auto")
    if not accelerator:
        device = ("trainer.accelerator=cpu", "trainer.devices=1", "trainer.strategy=auto")
    frozen = chosen.frozen_encoder_layers
    return (
        source,
        *((f"+{FROZEN_KEY}={frozen}",) if frozen else ()),
        "model.train_ds.manifest_filepath=train.jsonl",
        f"model.train_ds.batch_size={chosen.batch_size}",
        "model.train_ds.num_workers=1",
        f"model.train_ds.pin_memory={str(accelerator).lower()}",
        "model.validation_ds.manifest_filepath=development.jsonl",
        f"model.validation_ds.batch_size={chosen.batch_size}",
        "model.validation_ds.num_workers=1",
        f"model.validation_ds.pin_memory={str(accelerator).lower()}",
        f"model.spec_augment.freq_masks={chosen.freq_masks}",
        f"model.spec_augment.time_masks={chosen.time_masks}",
        f"model.optim.lr={chosen.lr}",
        f"model.optim.sched.warmup_steps={chosen.warmup_steps}",
        f"model.optim.sched.min_lr={chosen.lr / 100}",
        *device,
        "trainer.sync_batchnorm=false",
        f"trainer.precision={chosen.precision}",
        f"trainer.max_epochs={chosen.max_epochs}",
        f"trainer.gradient_clip_val={chosen.gradient_clip_val}",
        "trainer.enable_progress_bar=false",
        "exp_manager.exp_dir=finetune",
        "exp_manager.name=adapted",
        "+exp_manager.version=run",
        "exp_manager.create_tensorboard_logger=true",
        "trainer.log_every_n_steps=5",
        "exp_manager.checkpoint_callback_params.save_top_k=1",
        "exp_manager.checkpoint_callback_params.always_save_nemo=false",
        "+exp_manager.checkpoint_callback_params.save_best_model=true",
        "+exp_manager.create_early_stopping_callback=true",
        "+exp_manager.early_stopping_callback_params.monitor=val_wer",
        "+exp_manager.early_stopping_callback_params.mode=min",
        f"+exp_manager.early_stopping_callback_params.patience={chosen.patience}",
    )


def finetune_job(
    base: Base,
    train: Path,
    development: Path,
    hyperparameters: Hyperparameters,
    *,
    accelerator: bool,
    timeout: Seconds,
    audio_seconds: Seconds = 0.0,
) -> ComputeJob:
    """The job that fine-tunes `base` on the rows of `train`, keeping the checkpoint with the best WER on
    `development`; it leaves `MODEL_OUTPUT` and `METRICS_OUTPUT`."""
    if base.needs_accelerator and not accelerator:
        raise FlywheelError(
            f"{base.name} cannot be trained without a GPU; choose a backend that has one, or the {BUNDLED!r} base"
        )
    return ComputeJob(
        name="finetune",
        argv=(
            "python",
            "-m",
            "flywheel.compute.programs.finetune",
            *overrides(base, hyperparameters, accelerator=accelerator),
        ),
        inputs={} if base.file is None else {"base.nemo": base.file},
        manifests={"train.jsonl": train, "development.jsonl": development},
        outputs=(MODEL_OUTPUT, METRICS_OUTPUT),
        environment={"PL_GLOBAL_SEED": str(hyperparameters.seed), "PYTHONUNBUFFERED": "1"},
        timeout=timeout,
        accelerator=accelerator,
        network=base.file is None,
        expected=_STARTING + hyperparameters.max_epochs * audio_seconds / _TRAINED_A_SECOND,
    )


@dataclass(frozen=True, slots=True)
class Epoch:
    """The figures of one pass over the training rows; None where nothing was logged or validated.

    Args:
        epoch: from 1.
        steps: optimiser steps up to its end.
        train_loss, val_loss: means.
        val_wer: on the development rows, a fraction.
    """

    epoch: int
    steps: int
    train_loss: float | None = None
    val_wer: float | None = None
    val_loss: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingMetrics:
    """What a fine-tuning job leaves beside its model.

    Args:
        rows_seen: how many rows the loaders held: `train` and `validation`.
        epochs: in their order.
        steps: of the optimiser.
        seed: None where the trainer sets none.
        seconds: that the training took.
        versions: of the packages it ran on; None where one could not be told.
    """

    rows_seen: Mapping[str, int]
    epochs: tuple[Epoch, ...]
    steps: int
    seed: int | None
    seconds: Seconds
    versions: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """Everything that a fine-tuned model depends on: base and rows by their content, and the hyperparameters."""

    base: str
    train: str
    development: str
    hyperparameters: Hyperparameters


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """A fine-tuning that is done, as `training_run_info.json` holds it.

    Args:
        asked: what the model depends on.
        base: that it was trained from.
        backend: where the job ran.
        hyperparameters: that it was trained with.
        rows_seen, epochs, steps, seed, versions: as in `TrainingMetrics`.
        best: the epoch whose weights were kept.
        seconds: the job took.
        started_at: when it began, ISO 8601.
        billed_seconds: a machine was held.
        cost_usd: what that cost in US dollars.
        model_sha256: of the content of the model, see `flywheel.files.content`.
    """

    asked: TrainingRequest
    base: BaseRecord
    backend: str
    hyperparameters: Hyperparameters
    rows_seen: Mapping[str, int]
    epochs: tuple[Epoch, ...]
    steps: int
    seed: int | None
    versions: Mapping[str, str | None]
    best: Epoch
    seconds: Seconds
    model_sha256: str
    # A training of before there were rented machines has neither.
    started_at: str = ""
    billed_seconds: Seconds = 0.0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A fine-tuning that is done, and whether it was done before."""

    info: TrainingRecord
    cached: bool


def finetune(
    base: Base,
    folder: CycleFolder,
    hyperparameters: Hyperparameters,
    backend: ComputeBackend,
    on_line: Callable[[str], None],
    *,
    accelerator: bool,
    timeout: Seconds,
) -> TrainingRun:
    """Fine-tune in a compute job; leaves `adapted_model.nemo` and `training_run_info.json` in the cycle's folder.

    A model trained from the same base on the same rows with the same hyperparameters is not trained again.

    Raises:
        FlywheelError: there are no development rows, or the trainer saw other rows than it was given.
        JobError: the job did not do what it was asked for.
    """
    rows = {
        "train": read_manifest(folder.train),
        "validation": read_manifest(folder.development, allow_empty=True),
    }
    if not rows["validation"]:
        raise FlywheelError(
            f"{folder.development} holds no rows to choose a checkpoint on; add terms to the seed"
        )
    asked = TrainingRequest(
        base=base.sha256 or base.name,
        train=content_hash(rows["train"]),
        development=content_hash(rows["validation"]),
        hyperparameters=hyperparameters,
    )
    done = _done_before(folder, on_line)
    if done and done.asked == asked and done.model_sha256 == content_of_file(folder.adapted_model):
        return TrainingRun(done, cached=True)
    job = finetune_job(
        base,
        folder.train,
        folder.development,
        hyperparameters,
        accelerator=accelerator,
        timeout=timeout,
        audio_seconds=sum(row.duration for of_name in rows.values() for row in of_name),
    )
    outcome = backend.run(job, folder.root, on_line)
    metrics = read_record(outcome.outputs[METRICS_OUTPUT], TrainingMetrics)
    given = {name: len(of_name) for name, of_name in rows.items()}
    if metrics.rows_seen != given:
        raise FlywheelError(f"the trainer saw {metrics.rows_seen} rows, the manifests hold {given}")
    measured = {epoch: epoch.val_wer for epoch in metrics.epochs if epoch.val_wer is not None}
    if not measured:
        raise FlywheelError("the training ended without a validation, so that no checkpoint could be chosen")
    info = TrainingRecord(
        asked=asked,
        base=base.record,
        backend=backend.name,
        hyperparameters=hyperparameters,
        rows_seen=metrics.rows_seen,
        epochs=metrics.epochs,
        steps=metrics.steps,
        seed=metrics.seed,
        versions=metrics.versions,
        best=min(measured, key=measured.__getitem__),
        seconds=round(outcome.seconds, 1),
        model_sha256=content_of_file(outcome.outputs[MODEL_OUTPUT]),
        started_at=outcome.started_at.isoformat(timespec="seconds"),
        billed_seconds=round(outcome.billed_seconds, 1),
        cost_usd=round(outcome.cost_usd, 4),
    )
    outcome.outputs[MODEL_OUTPUT].replace(folder.adapted_model)
    write_record(folder.training_run_info, info)
    return TrainingRun(info, cached=False)


def _done_before(folder: CycleFolder, on_line: Callable[[str], None]) -> TrainingRecord | None:
    """The training that is there; None where there is none, or where its record is damaged."""
    if not (folder.training_run_info.exists() and folder.adapted_model.exists()):
        return None
    try:
        return read_record(folder.training_run_info, TrainingRecord)
    except FlywheelError as error:
        on_line(f"{error}: that is done now")
        return None


def epochs_table(epochs: Sequence[Epoch]) -> str:
    """Loss and WER of each epoch as a markdown table."""
    rows = [
        [
            str(epoch.epoch),
            *(
                "" if figure is None else f"{figure:.4f}"
                for figure in (epoch.train_loss, epoch.val_loss, epoch.val_wer)
            ),
        ]
        for epoch in epochs
    ]
    return table(["epoch", "training loss", "validation loss", "validation WER"], rows)
