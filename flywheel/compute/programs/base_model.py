"""The architecture of the bundled base model: a FastConformer-CTC small enough for a laptop's CPU."""

from pathlib import Path
from typing import Any

VOCABULARY_SIZE = 128
"""Pieces of the SentencePiece BPE tokenizer, trained on the training text."""


FINETUNING_DROPOUT = 0.1
"""Written into the finished model's configuration: few rows need it, the hours of pretraining do not."""


def prepare_for_finetuning(model: Any) -> None:
    """Set the dropout that the model has once it is saved and restored."""
    for name in ("dropout", "dropout_pre_encoder", "dropout_att"):
        model.cfg.encoder[name] = FINETUNING_DROPOUT


def train_tokenizer(texts: Path, folder: Path, vocabulary_size: int = VOCABULARY_SIZE) -> None:
    """Train the BPE tokenizer on a text file of one sentence a line; writes NeMo's tokenizer folder."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        input=str(texts),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=vocabulary_size,
        model_type="bpe",
        character_coverage=1.0,
        required_chars="abcdefghijklmnopqrstuvwxyz'-",
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    pieces = [processor.id_to_piece(number) for number in range(processor.vocab_size())]
    # NeMo restores a vocabulary from this list, without the unknown piece, in its own word-piece notation.
    words = [piece[1:] if piece.startswith("▁") else f"##{piece}" for piece in pieces if piece != "<unk>"]
    (folder / "vocab.txt").write_text("\n".join(word for word in words if word) + "\n", encoding="utf-8")


def model_config(tokenizer: Path, *, lr: float, warmup_steps: int) -> dict[str, Any]:
    """The NeMo configuration of the model, after NeMo's own FastConformer-CTC recipe, with smaller widths.

    Masks of SpecAugment are few and narrow, and there is no dropout: a small model on synthetic speech
    underfits before it overfits, and on a CPU dropout's random numbers alone take a sixth of the time.
    """
    return {
        "sample_rate": 16_000,
        "log_prediction": False,
        "ctc_reduction": "mean_volume",
        # NeMo's transcribe reads this of the validation set, whether there is one or not.
        "validation_ds": {
            "manifest_filepath": None,
            "sample_rate": 16_000,
            "batch_size": 16,
            "shuffle": False,
            "num_workers": 0,
            "pin_memory": False,
            "use_start_end_token": False,
        },
        "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
        "preprocessor": {
            "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
            "sample_rate": 16_000,
            "normalize": "per_feature",
            "window_size": 0.025,
            "window_stride": 0.01,
            "window": "hann",
            "features": 80,
            "n_fft": 512,
            "log": True,
            "frame_splicing": 1,
            "dither": 1e-5,
            "pad_to": 0,
            "pad_value": 0.0,
        },
        "spec_augment": {
            "_target_": "nemo.collections.asr.modules.SpectrogramAugmentation",
            "freq_masks": 2,
            "time_masks": 2,
            "freq_width": 15,
            "time_width": 0.04,
        },
        "encoder": {
            "_target_": "nemo.collections.asr.modules.ConformerEncoder",
            "feat_in": 80,
            "feat_out": -1,
            "n_layers": 6,
            "d_model": 128,
            "subsampling": "dw_striding",
            "subsampling_factor": 8,
            "subsampling_conv_channels": 32,
            "causal_downsampling": False,
            "ff_expansion_factor": 4,
            "self_attention_model": "rel_pos",
            "n_heads": 4,
            "att_context_size": [-1, -1],
            "att_context_style": "regular",
            "xscaling": True,
            "untie_biases": True,
            "pos_emb_max_len": 5000,
            "conv_kernel_size": 9,
            "conv_norm_type": "batch_norm",
            "conv_context_size": None,
            "dropout": 0.0,
            "dropout_pre_encoder": 0.0,
            "dropout_emb": 0.0,
            "dropout_att": 0.0,
        },
        "decoder": {
            "_target_": "nemo.collections.asr.modules.ConvASRDecoder",
            "feat_in": None,
            "num_classes": -1,
            "vocabulary": [],
        },
        "optim": {
            "name": "adamw",
            "lr": lr,
            "betas": [0.9, 0.98],
            "weight_decay": 1e-3,
            "fused": True,
            "sched": {"name": "CosineAnnealing", "warmup_steps": warmup_steps, "min_lr": lr / 100},
        },
    }
