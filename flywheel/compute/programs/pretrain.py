"""Train the bundled base model from synthesised general English, measure it, write its model card.

    python -m flywheel.compute.programs.pretrain --work data/base --output flywheel/files/bundled

Resumes: audio is cached by content, training goes on from its last checkpoint. The steps, the seed and
the data decide the model; the machine decides how long it takes (about 0.17 s a step on two CPU cores).
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flywheel.compute.programs.base_card import Measurement, render_card
from flywheel.compute.programs.base_corpus import (
    ACCENTS,
    CLEAN_SHARE,
    CYCLE_VOICE_SHARE,
    RATES,
    VARIANTS,
    spoken_by,
    training_sentences,
    write_spoken,
)
from flywheel.compute.programs.base_model import model_config, prepare_for_finetuning, train_tokenizer
from flywheel.corpus.sentences import read_general_sentences
from flywheel.corpus.terms import read_term_seed
from flywheel.files import bundled
from flywheel.files.atomic import read_json, read_jsonl, write_json, write_jsonl, write_text
from flywheel.scoring.errors import word_errors
from flywheel.scoring.normalizers import CLINICAL
from flywheel.speech.engines.espeak import SEEN_VOICES, UNSEEN_VOICES
from flywheel.speech.noise import CLEAN

MODEL_NAME = "base_fastconformer_ctc.nemo"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the model: data, seed and optimisation. Batches hold about `batch_seconds` of audio."""

    sentences: int = 30_000
    batch_seconds: float = 40.0
    lr: float = 2e-3
    clean_steps: int = 2_000
    steps: int = 9_500
    horizon: int = 22_000
    anneal_lr: float = 1.2e-3
    anneal_steps: int = 4_000
    warmup_steps: int = 200
    seed: int = 7

    @property
    def stages(self) -> tuple["Stage", ...]:
        """Clean speech alone, without which CTC stays for long at the frequencies of its pieces; then all of it at
        a rate that falls slowly, as for `horizon` steps; then all of it again, falling to nearly nothing."""
        return (
            Stage("clean", "train_clean.jsonl", self.lr, self.clean_steps, self.clean_steps),
            Stage("all", "train.jsonl", self.lr, self.steps, self.horizon),
            Stage("anneal", "train.jsonl", self.anneal_lr, self.anneal_steps, self.anneal_steps),
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """One of the trainings that follow each other: `steps` of a warm-up and a cosine over `horizon` steps."""

    name: str
    manifest: str
    lr: float
    steps: int
    horizon: int


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="flywheel.compute.programs.pretrain", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for audio and checkpoints")
    parser.add_argument("--output", type=Path, required=True, help="folder for the .nemo file and the card")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args(arguments))
    work, output = options.pop("work"), options.pop("output")
    recipe = Recipe(**options)
    hours = prepare_corpus(recipe, work) / 3600
    model, seconds = train(recipe, work)
    output.mkdir(parents=True, exist_ok=True)
    prepare_for_finetuning(model)
    model.save_to(str(output / MODEL_NAME))
    measured = measure(output / MODEL_NAME, work)
    card = {
        "recipe": asdict(recipe),
        "hours_of_speech": round(hours, 2),
        "voices": len(ACCENTS) * len(VARIANTS),
        "cycle_voice_share": CYCLE_VOICE_SHARE,
        "clean_share": CLEAN_SHARE,
        "rates": RATES,
        "unseen_voices": [voice.voice_id for voice in UNSEEN_VOICES],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "megabytes": round((output / MODEL_NAME).stat().st_size / 1e6, 2),
        "training_seconds": round(seconds),
        "measured": [asdict(measurement) for measurement in measured],
    }
    write_json(output / "base_model_card.json", card)
    write_text(output / "base_model_card.md", render_card(card))
    print(f"wrote {output / MODEL_NAME} and its model card")


def prepare_corpus(recipe: Recipe, work: Path) -> float:
    """Render the training speech and train the tokenizer into `work`; returns seconds of audio."""
    excluded = {
        word for term in read_term_seed(bundled.path("starter_seed.csv")) for word in term.text.split()
    }
    sentences = training_sentences(recipe.sentences, seed=recipe.seed, without=excluded)
    seconds = write_spoken(work / "train.jsonl", sentences, work / "speech", _every_ten_seconds("speech"))
    clean = [
        row
        for row, sentence in zip(read_jsonl(work / "train.jsonl"), sentences, strict=True)
        if sentence.take.noise_level == CLEAN
    ]
    write_jsonl(work / "train_clean.jsonl", clean)
    tokenizer = work / "tokenizer"
    if not (tokenizer / "vocab.txt").exists():
        write_text(work / "texts.txt", "\n".join(sentence.text for sentence in sentences) + "\n")
        train_tokenizer(work / "texts.txt", tokenizer)
    return seconds


def train(recipe: Recipe, work: Path) -> tuple[Any, float]:
    """Train with NeMo and Lightning on this machine; returns the model and the seconds of all its stages.

    Each stage has an optimiser, a warm-up and a cosine of its own.
    """
    import lightning.pytorch as pl
    from nemo.collections.asr.models import EncDecCTCModelBPE
    from omegaconf import OmegaConf

    pl.seed_everything(recipe.seed)
    config = model_config(work / "tokenizer", lr=recipe.lr, warmup_steps=recipe.warmup_steps)
    model = EncDecCTCModelBPE(OmegaConf.create(config))
    spent: dict[str, float] = read_json(work / "seconds.json") if (work / "seconds.json").exists() else {}
    for stage in recipe.stages:
        checkpoints = work / "checkpoints" / stage.name
        last = checkpoints / "last.ckpt"
        trainer = _trainer(stage, checkpoints)
        model.set_trainer(trainer)
        model.setup_training_data(OmegaConf.create(_loader(work / stage.manifest, recipe)))
        optim = model_config(work / "tokenizer", lr=stage.lr, warmup_steps=recipe.warmup_steps)["optim"]
        # NeMo sets the optimiser up once more when the training begins, from the model's own configuration.
        model.cfg.optim = OmegaConf.create(optim)
        model.setup_optimization(model.cfg.optim)
        started = time.monotonic()
        trainer.fit(model, ckpt_path=str(last) if last.exists() else None)
        spent[stage.name] = spent.get(stage.name, 0.0) + time.monotonic() - started
        write_json(work / "seconds.json", spent)
    return model, sum(spent.values())


def _trainer(stage: Stage, checkpoints: Path) -> Any:
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import ModelCheckpoint

    from flywheel.compute.programs.progress import EndsAt, LossLines

    return pl.Trainer(
        # From which NeMo reads how long the rate falls.
        max_steps=stage.horizon,
        accelerator="auto",
        devices=1,
        logger=False,
        callbacks=[
            ModelCheckpoint(dirpath=checkpoints, every_n_train_steps=250, save_last=True, save_top_k=0),
            LossLines(),
            EndsAt(stage.steps),
        ],
        gradient_clip_val=1.0,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _loader(manifest: Path, recipe: Recipe) -> dict[str, Any]:
    """lhotse's loader: batches of about equal audio time, from buckets of rows of about equal length."""
    return {
        "manifest_filepath": str(manifest),
        "use_lhotse": True,
        "sample_rate": 16_000,
        "batch_size": None,
        "batch_duration": recipe.batch_seconds,
        "use_bucketing": True,
        "num_buckets": 12,
        "shuffle": True,
        "seed": recipe.seed,
        "shard_seed": recipe.seed,
        "num_workers": 1,
        "max_duration": 20.0,
    }


def measure(model_file: Path, work: Path) -> list[Measurement]:
    """Word error rates on the bundled general sentences, which are in no training text."""
    from nemo.collections.asr.models import ASRModel

    sentences = read_general_sentences()
    trained = {row["text"] for row in read_jsonl(work / "train.jsonl")}
    model = ASRModel.restore_from(str(model_file), map_location="cpu")
    measured = []
    for wording in ("clinical", "everyday"):
        texts = [sentence.text for sentence in sentences if sentence.wording == wording]
        texts = [text for text in texts if text not in trained]
        for voices, level in (
            ("known", "clean"),
            ("unseen", "clean"),
            ("known", "snr_15db"),
            ("known", "snr_5db"),
        ):
            spoken = spoken_by(texts, SEEN_VOICES if voices == "known" else UNSEEN_VOICES, level)
            manifest = work / f"measure_{wording}_{voices}_{level}.jsonl"
            write_spoken(manifest, spoken, work / "speech", _every_ten_seconds("speech to measure on"))
            rows = read_jsonl(manifest)
            files = [row["audio_filepath"] for row in rows]
            hypotheses = model.transcribe(files, batch_size=16, verbose=False)
            counts = [
                word_errors(CLINICAL(row["text"]), CLINICAL(hypothesis.text))
                for row, hypothesis in zip(rows, hypotheses, strict=True)
            ]
            errors, words = (
                sum(count.errors for count in counts),
                sum(count.reference_length for count in counts),
            )
            measured.append(Measurement(wording, voices, level, len(rows), words, errors, errors / words))
            print(json.dumps(asdict(measured[-1])), flush=True)
    return measured


def _every_ten_seconds(what: str) -> Callable[[int, int], None]:
    last = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last > 10:
            last = time.monotonic()
            print(f"{what}: {done} of {total}", flush=True)

    return report


if __name__ == "__main__":
    main()
