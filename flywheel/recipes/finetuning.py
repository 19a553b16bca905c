"""The stock recipe: NeMo's fine-tuning script, or the driver with the same overrides, as a compute job."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from flywheel.compute import ComputeJob, JobOutcome
from flywheel.errors import FlywheelError
from flywheel.files import read_json, sha256_of_file
from flywheel.recipes.bases import BUNDLED, Base

METRICS_FILE = "finetune_metrics.json"
"""The name under which `flywheel.jobs.finetune` leaves its metrics."""
MODEL_OUTPUT = "finetune/adapted/run/checkpoints/adapted.nemo"
METRICS_OUTPUT = f"finetune/adapted/run/{METRICS_FILE}"


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
        seed: of the order of rows, of dropout and of masks.
    """

    lr: float = 3e-4
    warmup_steps: int = 5
    max_epochs: int = 3
    batch_size: int = 4
    gradient_clip_val: float = 1.0
    precision: Literal["32", "bf16-mixed", "bf16-true"] = "bf16-mixed"
    patience: int = 3
    freq_masks: int = 2
    time_masks: int = 10
    seed: int = 42


STOCK = Hyperparameters()
"""The published recipe, for a GPU of 16 GB."""

TINY = Hyperparameters(
    lr=5e-4,
    warmup_steps=50,
    max_epochs=6,
    batch_size=8,
    precision="32",
    time_masks=2,
)
"""What the bundled base needs on a CPU, found by measuring: see the README."""


def default_hyperparameters(base: Base) -> Hyperparameters:
    """The hyperparameters for a base: those measured for the bundled model and its descendants, or the
    published ones."""
    return STOCK if base.needs_accelerator else TINY


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
    return (
        source,
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
        "exp_manager.create_tensorboard_logger=false",
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
    timeout: float,
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
            "flywheel.jobs.finetune",
            *overrides(base, hyperparameters, accelerator=accelerator),
        ),
        inputs={} if base.file is None else {"base.nemo": base.file},
        manifests={"train.jsonl": train, "development.jsonl": development},
        outputs=(MODEL_OUTPUT, METRICS_OUTPUT),
        environment={"PL_GLOBAL_SEED": str(hyperparameters.seed), "PYTHONUNBUFFERED": "1"},
        timeout=timeout,
        accelerator=accelerator,
    )


def training_run_info(
    base: Base, hyperparameters: Hyperparameters, backend: str, outcome: JobOutcome
) -> Mapping[str, Any]:
    """What `training_run_info.json` holds: enough to repeat the run and to judge it."""
    metrics = read_json(outcome.outputs[METRICS_OUTPUT])
    return {
        "base": base.name,
        "base_sha256": None if base.file is None else sha256_of_file(base.file),
        "backend": backend,
        "hyperparameters": asdict(hyperparameters),
        "rows_seen": metrics["rows_seen"],
        "epochs": metrics["epochs"],
        "best": min(metrics["epochs"], key=lambda epoch: epoch["val_wer"]),
        "steps": metrics["steps"],
        "seed": metrics["seed"],
        "versions": metrics["versions"],
        "seconds": round(outcome.seconds, 1),
        "started_at": outcome.started_at.isoformat(timespec="seconds"),
        "cost_usd": 0.0 if backend == "local" else None,
        "model_sha256": sha256_of_file(outcome.outputs[MODEL_OUTPUT]),
    }
