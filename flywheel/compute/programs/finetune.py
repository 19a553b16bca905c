"""Fine-tune a NeMo model, driven by the Hydra overrides of NeMo's own `speech_to_text_finetune.py`.

    python -m flywheel.compute.programs.finetune init_from_nemo_model=base.nemo ...

NeMo's package does not hold its example scripts, its containers do: there the script itself is run, see
`stock_finetune`. Elsewhere this driver takes the same overrides, and adds what the script lacks:
it stops when the rows that the trainer sees are not the rows of the manifest, it prints lines instead of bars,
and it leaves `finetune_metrics.json` in the experiment's folder. A seed comes from PL_GLOBAL_SEED, as for any
Lightning program.
"""

import os
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.compute.programs.heartbeat import heartbeat
from flywheel.compute.programs.nemo_log import only_errors
from flywheel.compute.programs.stock_finetune import run_stock_script, stock_script
from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_jsonl
from flywheel.files.records import write_record
from flywheel.recognisers.nemo_asr import METRICS_FILE, TrainingMetrics

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONFIG_NAME = "speech_to_text_finetune"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: Hydra overrides only; a mistake in them ends with status 1 and its reason."""
    overrides = sys.argv[1:] if arguments is None else arguments
    try:
        if script := stock_script():
            run_stock_script(script, overrides, METRICS_FILE)
        else:
            finetune(compose_config(overrides))
    except FlywheelError as error:
        raise SystemExit(f"error: {error}") from None


def compose_config(overrides: Sequence[str]) -> "DictConfig":
    """The configuration with `overrides` applied, under Hydra's rules: a key that is not there needs `+`."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(Path(__file__).parent / "conf"), version_base=None):
            config = compose(CONFIG_NAME, overrides=list(overrides))
        missing = OmegaConf.missing_keys(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise FlywheelError(f"an override is wrong: {error}") from None
    if missing:
        raise FlywheelError(f"overrides are missing: {', '.join(sorted(missing))}")
    OmegaConf.resolve(config)
    return config


def finetune(config: "DictConfig") -> None:
    """Train as configured; leaves `<name>.nemo` as NeMo's checkpoint callback writes it, and the metrics.

    Raises `FlywheelError` for a base that is not a file, for both or no base, and for rows that NeMo
    would leave out.
    """
    started = time.monotonic()
    with heartbeat("loading NeMo"):
        import lightning.pytorch as pl
        from nemo.collections.asr.models import ASRModel
        from nemo.utils.exp_manager import exp_manager
        from omegaconf import OmegaConf

        from flywheel.compute.programs.frozen import FrozenLayers
        from flywheel.compute.programs.progress import LossLines

    only_errors()
    seed = pl.seed_everything(workers=True) if "PL_GLOBAL_SEED" in os.environ else None
    lines = LossLines()
    settings = OmegaConf.to_container(config.trainer, resolve=True)
    trainer = pl.Trainer(**_instantiated_strategy(settings), callbacks=[lines])
    folder = Path(exp_manager(trainer, config.exp_manager))
    model = _load_base(config, trainer)
    if config.model.tokenizer.update_tokenizer or config.model.char_labels.update_labels:
        raise FlywheelError("a new vocabulary forgets the old one: fine-tuning keeps the base's tokenizer")
    model.setup_training_data(config.model.train_ds)
    model.setup_multiple_validation_data(config.model.validation_ds)
    rows = {
        "train": _rows_seen("train", model._train_dl, config.model.train_ds.manifest_filepath),
        "validation": _rows_seen(
            "validation", model._validation_dl, config.model.validation_ds.manifest_filepath
        ),
    }
    model.setup_optimization(config.model.optim)
    if config.model.spec_augment is not None:
        model.spec_augment = ASRModel.from_config_dict(config.model.spec_augment)
    if frozen := config.model.get("frozen_encoder_layers", 0):
        trainer.callbacks.append(FrozenLayers(model, frozen))  # type: ignore[attr-defined]
    trainer.fit(model)
    metrics = TrainingMetrics(
        rows_seen=rows,
        epochs=tuple(lines.epochs),
        steps=trainer.global_step,
        seed=seed,
        seconds=round(time.monotonic() - started, 1),
        versions={name: version(name) for name in ("torch", "nemo_toolkit", "lightning")},
    )
    write_record(folder / METRICS_FILE, metrics)


def _instantiated_strategy(settings: Any) -> dict[str, Any]:
    """Trainer settings whose strategy, where it is a Hydra node, is made into the object it names."""
    from hydra.utils import instantiate

    strategy = settings["strategy"]
    return {**settings, "strategy": instantiate(strategy) if isinstance(strategy, dict) else strategy}


def _load_base(config: "DictConfig", trainer: Any) -> Any:
    from nemo.collections.asr.models import ASRModel

    file, name = config.get("init_from_nemo_model"), config.get("init_from_pretrained_model")
    if (file is None) == (name is None):
        raise FlywheelError("give init_from_nemo_model or +init_from_pretrained_model, and not both")
    if file is not None and not Path(file).is_file():
        raise FlywheelError(f"init_from_nemo_model: {file} is not a file; give a .nemo file")
    model = (
        ASRModel.restore_from(file, map_location="cpu")
        if file is not None
        else ASRModel.from_pretrained(name, map_location="cpu")
    )
    model.set_trainer(trainer)
    return model


def _rows_seen(name: str, loader: Any, manifest: str) -> int:
    """How many rows the loader holds, which must be those of the manifest: NeMo leaves rows out silently."""
    loaders = loader if isinstance(loader, list) else [loader]
    try:
        seen = sum(len(each.dataset) for each in loaders)
    except TypeError:
        raise FlywheelError(
            f"{name}: this loader cannot say how many rows it holds; use NeMo's own"
        ) from None
    expected = len(read_jsonl(Path(manifest)))
    print(f"rows seen: {name} {seen} of {expected}", flush=True)
    if seen != expected:
        raise FlywheelError(
            f"{name}: the trainer sees {seen} rows of the {expected} in {manifest}; NeMo leaves out rows that "
            "are too long, too short or unreadable. Check the durations against max_duration and min_duration"
        )
    return seen


if __name__ == "__main__":
    main()
