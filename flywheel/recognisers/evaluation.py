"""One evaluation: a model hears rows in a compute job, and its hypotheses are scored here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.compute.job import ComputeBackend, ComputeJob, Seconds
from flywheel.corpus.manifest import ManifestRow, content_hash, read_manifest
from flywheel.files.atomic import read_json, sha256_of_file, write_json
from flywheel.files.cycles import EvalFolder
from flywheel.recognisers.bases import Base
from flywheel.scoring import (
    CLINICAL,
    PUBLISHED,
    Normalizer,
    RowScore,
    check_complete,
    read_transcripts,
    score_rows,
    summarise,
    write_results,
)

_HYPOTHESES = "offline_hyps.jsonl"
STARTING: Seconds = 90.0
_HEARD_A_SECOND = 200.0
"""For estimates of cost alone, and on the careful side: seconds until a model is loaded, and seconds of audio that
a rented GPU transcribes in a second."""


@dataclass(frozen=True, slots=True)
class Transcription:
    """What `transcribe` did: the seconds the job took, those a machine was held for and what that cost in US
    dollars; or that an earlier job had done it already."""

    seconds: Seconds
    cached: bool
    billed_seconds: Seconds = 0.0
    cost_usd: float = 0.0


def transcribe(
    base: Base,
    folder: EvalFolder,
    backend: ComputeBackend,
    on_line: Callable[[str], None],
    *,
    batch_size: int = 16,
    timeout: Seconds = 4 * 3600.0,
) -> Transcription:
    """Let `base` hear the rows of `folder.rows`; leaves `folder.hyps`.

    Hypotheses of the very same model for the very same rows are not made again.
    """
    rows = read_manifest(folder.rows)
    job = ComputeJob(
        name="transcribe",
        argv=(
            *("python", "-m", "flywheel.compute.programs.transcribe", "--manifest", "rows.jsonl"),
            *("--model", base.name if base.file is None else "model.nemo"),
            *("--output", _HYPOTHESES, "--batch-size", str(batch_size)),
        ),
        inputs={} if base.file is None else {"model.nemo": base.file},
        manifests={"rows.jsonl": folder.rows},
        outputs=(_HYPOTHESES,),
        timeout=timeout,
        accelerator=True,
        network=base.file is None,
        expected=STARTING + sum(row.duration for row in rows) / _HEARD_A_SECOND,
    )
    return transcribed_once(folder, what_is_heard(base, rows), job, backend, on_line)


def what_is_heard(base: Base, rows: Sequence[ManifestRow]) -> dict[str, str]:
    """What hypotheses depend on: the model by its content, and the rows by theirs."""
    return {"model": base.sha256 or base.name, "rows": content_hash(rows)}


def transcribed_once(
    folder: EvalFolder,
    asked: Mapping[str, Any],
    job: ComputeJob,
    backend: ComputeBackend,
    on_line: Callable[[str], None],
    *,
    also: Sequence[str] = (),
) -> Transcription:
    """Run `job`, unless what it would leave in `folder` was left there by a job that was asked for the same.

    Args:
        folder: receives `folder.hyps`, and `folder.transcription` as the record.
        asked: everything that the outputs depend on, as JSON gives it back.
        job: leaves the hypotheses and the files of `also`.
        backend, on_line: as in `ComputeBackend.run`.
        also: names of further outputs.
    """
    if (done := _done_before(folder, asked, also)) is not None:
        return done
    outcome = backend.run(job, folder.root, on_line)
    seconds = round(outcome.seconds, 1)
    billed, cost = round(outcome.billed_seconds, 1), round(outcome.cost_usd, 4)
    write_json(
        folder.transcription,
        {
            "asked": asked,
            "hypotheses": sha256_of_file(folder.hyps),
            **({"also": _contents(folder, also)} if also else {}),
            "backend": backend.name,
            "seconds": seconds,
            "billed_seconds": billed,
            "cost_usd": cost,
        },
    )
    return Transcription(seconds, cached=False, billed_seconds=billed, cost_usd=cost)


def _done_before(folder: EvalFolder, asked: Mapping[str, Any], also: Sequence[str]) -> Transcription | None:
    files = (folder.transcription, folder.hyps, *(folder.root / name for name in also))
    if not all(file.exists() for file in files):
        return None
    done = read_json(folder.transcription)
    same = done["asked"] == asked and done.get("also", {}) == _contents(folder, also)
    if not same or done["hypotheses"] != sha256_of_file(folder.hyps):
        return None
    return Transcription(done["seconds"], cached=True)


def _contents(folder: EvalFolder, names: Sequence[str]) -> dict[str, str]:
    return {name: sha256_of_file(folder.root / name) for name in names}


def score(folder: EvalFolder, model: str, *, seed: int = 42) -> dict[str, Any]:
    """Score the hypotheses of `folder` with both normalisers; leaves `results.csv`, `scores.json` and
    `scores_published.json`, and returns the content of `scores.json`."""
    rows = row_scores(folder)
    write_results(folder.results, rows)
    write_json(
        folder.published_scores,
        summarise(_scored(folder, PUBLISHED), model=model, normalizer=PUBLISHED, seed=seed),
    )
    scores = summarise(rows, model=model, normalizer=CLINICAL, seed=seed)
    write_json(folder.scores, scores)
    return scores


def row_scores(folder: EvalFolder) -> list[RowScore]:
    """The scores of each row, with the flywheel's own normaliser; every row of `folder.rows` is there."""
    return _scored(folder, CLINICAL)


def _scored(folder: EvalFolder, normalizer: Normalizer) -> list[RowScore]:
    rows = read_manifest(folder.rows)
    transcripts = read_transcripts(folder.hyps)
    check_complete(transcripts, [row.id for row in rows])
    return score_rows(transcripts, normalizer, seeded_terms(rows))


def seeded_terms(rows: Sequence[ManifestRow]) -> tuple[str, ...]:
    """The terms of the rows, each once, in alphabetical order."""
    return tuple(sorted({row.term for row in rows if row.term is not None}))


def evaluated_rows(rows: Sequence[ManifestRow]) -> tuple[ManifestRow, ...]:
    """The rows an evaluation hears: all but the general speech that is replayed in training."""
    return tuple(row for row in rows if row.subset != "replay")


def model_label(base: Base) -> str:
    """A model's name for pages and tables: a file's name says nothing, its content does."""
    return f"{base.name} ({base.sha256[:12]})" if base.sha256 else base.name
