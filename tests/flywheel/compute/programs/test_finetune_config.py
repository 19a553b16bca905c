"""The driver's configuration under Hydra: what composes, and what is refused in words. NeMo is not loaded."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flywheel.compute.programs.finetune import CONFIG_NAME, compose_config
from flywheel.errors import FlywheelError
from flywheel.recognisers.bases import BUNDLED, DEFAULT_WITH_GPU, Base
from flywheel.recognisers.nemo_asr import STOCK, TINY, Hyperparameters, overrides

REPOSITORY = Path(__file__).parents[4]
LOCAL = Base(BUNDLED, Path("base.nemo"), BUNDLED)
PUBLISHED = Base(DEFAULT_WITH_GPU, None, DEFAULT_WITH_GPU)
MANIFESTS = (
    "model.train_ds.manifest_filepath=train.jsonl",
    "model.validation_ds.manifest_filepath=development.jsonl",
)


@pytest.mark.parametrize(
    ("base", "chosen", "accelerator"),
    [
        pytest.param(LOCAL, TINY, False, id="bundled on a CPU"),
        pytest.param(LOCAL, replace(TINY, frozen_encoder_layers=3), False, id="with frozen layers"),
        pytest.param(LOCAL, STOCK, True, id="a file on a GPU"),
        pytest.param(PUBLISHED, STOCK, True, id="published on a GPU"),
    ],
)
def test_the_overrides_of_the_recipe_compose(base: Base, chosen: Hyperparameters, accelerator: bool) -> None:
    config = compose_config(overrides(base, chosen, accelerator=accelerator))
    assert config.model.train_ds.manifest_filepath == "train.jsonl"
    assert config.model.validation_ds.manifest_filepath == "development.jsonl"
    assert config.model.train_ds.batch_size == config.model.validation_ds.batch_size == chosen.batch_size
    assert config.model.optim.name == "adamw"
    assert config.model.optim.lr == chosen.lr
    assert config.model.optim.sched.name == "CosineAnnealing"
    assert config.model.optim.sched.warmup_steps == chosen.warmup_steps
    assert config.model.optim.sched.min_lr == pytest.approx(chosen.lr / 100)
    assert config.model.spec_augment.freq_masks == chosen.freq_masks
    assert config.model.spec_augment.time_masks == chosen.time_masks
    assert config.model.get("frozen_encoder_layers", 0) == chosen.frozen_encoder_layers
    assert config.trainer.max_epochs == chosen.max_epochs
    assert config.trainer.gradient_clip_val == chosen.gradient_clip_val
    assert str(config.trainer.precision) == chosen.precision
    assert config.trainer.accelerator == ("gpu" if accelerator else "cpu")
    assert config.trainer.strategy == "auto"
    assert config.exp_manager.early_stopping_callback_params.patience == chosen.patience
    assert config.exp_manager.early_stopping_callback_params.monitor == "val_wer"
    assert config.get("init_from_pretrained_model") == (None if base.file else DEFAULT_WITH_GPU)
    assert config.get("init_from_nemo_model") == ("base.nemo" if base.file else None)


@pytest.mark.parametrize("base", [LOCAL, PUBLISHED], ids=["file", "published"])
def test_a_plus_stands_exactly_before_the_keys_that_the_config_lacks(base: Base) -> None:
    from omegaconf import OmegaConf

    path = REPOSITORY / "flywheel" / "compute" / "programs" / "conf" / f"{CONFIG_NAME}.yaml"
    plain = OmegaConf.to_container(OmegaConf.load(path), resolve=False)

    def has(key: str) -> bool:
        node = plain
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                return False
            node = node[part]
        return True

    for override in overrides(base, STOCK, accelerator=True):
        key = override.partition("=")[0]
        assert has(key.removeprefix("+")) is not key.startswith("+"), override


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param(
            (*MANIFESTS, "init_from_pretrained_model=nvidia/parakeet-ctc-0.6b"),
            "use +init_from_pretrained_model=nvidia/parakeet-ctc-0.6b",
            id="a published base without the plus",
        ),
        pytest.param((*MANIFESTS, "model.optim.lrr=1e-3"), "'model.optim.lrr'", id="an unknown key"),
        pytest.param((*MANIFESTS, "model.lr=1e-3"), "'model.lr'", id="a key in the wrong place"),
        pytest.param((*MANIFESTS, "trainer.max_epochs"), "missing EQUAL", id="no value"),
        pytest.param((*MANIFESTS, "+trainer.max_epochs=3"), "trainer.max_epochs", id="a plus too many"),
        pytest.param((), "model.train_ds.manifest_filepath, model.validation_ds.manifest", id="no manifests"),
        pytest.param(MANIFESTS[:1], "are missing: model.validation_ds.manifest_filepath", id="no validation"),
        pytest.param(MANIFESTS[1:], "are missing: model.train_ds.manifest_filepath", id="no training"),
    ],
)
def test_a_mistake_is_refused_in_words(changes: tuple[str, ...], said: str) -> None:
    with pytest.raises(FlywheelError) as caught:
        compose_config(changes)
    assert said in str(caught.value)


def test_composing_twice_does_not_carry_anything_over() -> None:
    first = compose_config([*MANIFESTS, "trainer.max_epochs=9"])
    second = compose_config(MANIFESTS)
    assert (first.trainer.max_epochs, second.trainer.max_epochs) == (9, 50)


def test_the_command_ends_without_a_traceback_and_without_loading_nemo() -> None:
    command = (
        "import sys; from flywheel.compute.programs.finetune import main\n"
        "try: main(['model.optim.lrr=1'])\n"
        "finally: print('nemo' in sys.modules, 'torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", command], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    assert run.stderr.startswith("error: an override is wrong: Could not override 'model.optim.lrr'")
    assert "Traceback" not in run.stderr
    assert run.stdout.split() == ["False", "False"]
