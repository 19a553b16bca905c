"""Transcribe the rows of a manifest with a NeMo model: one load, longest rows first, a line of progress.

python -m flywheel.compute.programs.transcribe --manifest rows.jsonl --model base.nemo --output offline_hyps.jsonl
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywheel.compute.programs.heartbeat import heartbeat
from flywheel.compute.programs.nemo_log import only_errors
from flywheel.corpus.manifest import ManifestRow, read_manifest
from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_jsonl

_ROWS_A_CALL = 128
"""Rows given to NeMo at a time: large enough to hide the cost of a call, small enough for progress."""

_NOT_IN_HYPOTHESES = {"audio_filepath", "duration", "sampling_rate"}
"""What says where a row's audio lies, which differs between backends, rather than what was said."""


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """What a transcription job is asked for; the command line's options."""

    manifest: Path
    model: str
    output: Path
    batch_size: int = 16


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="flywheel.compute.programs.transcribe", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--model", required=True, help="a .nemo file, or the name of a published model")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=16, help="rows that are decoded together")
    options = TranscriptionOptions(**vars(parser.parse_args(arguments)))
    try:
        transcribe(options)
    except FlywheelError as error:
        raise SystemExit(f"error: {error}") from None


def transcribe(options: TranscriptionOptions) -> None:
    """Write `output`: one JSON object a row, in the manifest's order, with `pred_text` beside `text`.

    Raises `FlywheelError` where the model gives fewer or more hypotheses than there are rows.
    """
    rows = read_manifest(options.manifest)
    model = load_model(options.model)
    heard = hear(model, options.model, rows, batch_size=options.batch_size)
    write_jsonl(options.output, hypotheses_of(rows, heard))


def hear(
    model: Any, name: str, rows: Sequence[ManifestRow], *, batch_size: int, what: str = "transcribed"
) -> dict[str, str]:
    """What `model` hears of each row, by the row's id; a line of progress every `_ROWS_A_CALL` rows begins with `what`.

    Raises `FlywheelError`, naming the model by `name`, where it gives fewer or more hypotheses than there are rows.
    """
    heard: dict[str, str] = {}
    started = time.monotonic()
    longest_first = sorted(rows, key=lambda row: (-row.duration, row.id))
    audio_seconds = 0.0
    for batch in _batches(longest_first, _ROWS_A_CALL):
        files = [row.audio_filepath for row in batch]
        with heartbeat(f"transcribing {len(batch)} rows of {batch[0].duration:.1f} s and less"):
            hypotheses = model.transcribe(files, batch_size=batch_size, verbose=False)
        if isinstance(hypotheses, tuple):  # RNNT models of older NeMo give (best, all)
            hypotheses = hypotheses[0]
        if len(hypotheses) != len(batch):
            raise FlywheelError(f"{name} gave {len(hypotheses)} hypotheses for {len(batch)} rows")
        heard |= {row.id: _text(hypothesis) for row, hypothesis in zip(batch, hypotheses, strict=True)}
        audio_seconds += sum(row.duration for row in batch)
        speed = audio_seconds / (time.monotonic() - started)
        print(f"{what} {len(heard)} of {len(rows)} rows, {speed:.0f} times real time", flush=True)
    return heard


def hypotheses_of(rows: Sequence[ManifestRow], heard: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The lines of `offline_hyps.jsonl`: a row's clinical fields and `text`, and what was heard as `pred_text`."""
    return (
        row.model_dump(exclude_none=True, exclude=_NOT_IN_HYPOTHESES) | {"pred_text": heard[row.id]}
        for row in rows
    )


def load_model(name: str) -> Any:
    """A NeMo ASR model in evaluation mode: from a `.nemo` file, or by its published name."""
    with heartbeat("loading NeMo"):
        import torch
        from nemo.collections.asr.models import ASRModel

    only_errors()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if name.endswith(".nemo"):
        with heartbeat(f"loading {name} on {device}"):
            model = ASRModel.restore_from(name, map_location=device)
    else:
        with heartbeat(f"loading {name} on {device}, from its hub unless it is in the cache"):
            model = ASRModel.from_pretrained(name, map_location=device)
    model.eval()
    return model


def _batches(rows: Sequence[ManifestRow], size: int) -> Iterator[Sequence[ManifestRow]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _text(hypothesis: Any) -> str:
    return str(getattr(hypothesis, "text", hypothesis))


if __name__ == "__main__":
    main()
