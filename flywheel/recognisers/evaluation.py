"""One evaluation: a model hears rows in a compute job, and its hypotheses are scored here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from flywheel.compute.job import ComputeBackend, ComputeJob, Seconds
from flywheel.corpus.manifest import ManifestRow, content_hash, read_manifest
from flywheel.errors import FlywheelError
from flywheel.files.atomic import sha256_of_file
from flywheel.files.cycles import EvalFolder
from flywheel.files.records import read_record, write_record
from flywheel.recognisers.bases import Base
from flywheel.scoring import (
    CLINICAL,
    PUBLISHED,
    RowScore,
    Scores,
    check_complete,
    read_rows,
    read_transcripts,
    score_rows,
    summarise,
    write_rows,
)

_HYPOTHESES = "offline_hyps.jsonl"
STARTING: Seconds = 90.0
_HEARD_A_SECOND = 200.0
"""For estimates of cost alone, and on the careful side: seconds until a model is loaded, and seconds of audio that
a rented GPU transcribes in a second."""


@dataclass(frozen=True, slots=True)
class TranscriptionRecord:
    """What the hypotheses of an evaluation are of, as `transcription.json` holds it.

    Args:
        asked: everything that they depend on, by name, by content.
        hypotheses: the SHA-256 of their file.
        also: that of each further output of the job.
        backend: where the job ran.
        seconds: the job took.
        billed_seconds: a machine was held.
        cost_usd: what that cost in US dollars.
    """

    asked: Mapping[str, str]
    hypotheses: str
    backend: str
    seconds: Seconds
    billed_seconds: Seconds = 0.0
    cost_usd: float = 0.0
    also: Mapping[str, str] = field(default_factory=dict)


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
    asked: Mapping[str, str],
    job: ComputeJob,
    backend: ComputeBackend,
    on_line: Callable[[str], None],
    *,
    also: Sequence[str] = (),
) -> Transcription:
    """Run `job`, unless what it would leave in `folder` was left there by a job that was asked for the same.

    Args:
        folder: receives `folder.hyps`, and `folder.transcription` as the record.
        asked: everything that the outputs depend on, by name, by content.
        job: leaves the hypotheses and the files of `also`.
        backend, on_line: as in `ComputeBackend.run`.
        also: names of further outputs.
    """
    if (done := _done_before(folder, asked, also, on_line)) is not None:
        return Transcription(done.seconds, cached=True)
    outcome = backend.run(job, folder.root, on_line)
    record = TranscriptionRecord(
        asked=asked,
        hypotheses=sha256_of_file(folder.hyps),
        backend=backend.name,
        seconds=round(outcome.seconds, 1),
        billed_seconds=round(outcome.billed_seconds, 1),
        cost_usd=round(outcome.cost_usd, 4),
        also=_contents(folder, also),
    )
    write_record(folder.transcription, record)
    return Transcription(record.seconds, False, record.billed_seconds, record.cost_usd)


def _done_before(
    folder: EvalFolder, asked: Mapping[str, str], also: Sequence[str], on_line: Callable[[str], None]
) -> TranscriptionRecord | None:
    files = (folder.transcription, folder.hyps, *(folder.root / name for name in also))
    if not all(file.exists() for file in files):
        return None
    try:
        done = read_record(folder.transcription, TranscriptionRecord)
    except FlywheelError as error:
        on_line(f"{error}: that is done now")
        return None
    same = done.asked == asked and done.also == _contents(folder, also)
    return done if same and done.hypotheses == sha256_of_file(folder.hyps) else None


def _contents(folder: EvalFolder, names: Sequence[str]) -> dict[str, str]:
    return {name: sha256_of_file(folder.root / name) for name in names}


def score(folder: EvalFolder, model: str, *, seed: int = 42) -> Scores:
    """Score the hypotheses of `folder` with both normalisers, once and for all who read them.

    Leaves the rows with their errors (`rows.parquet`, and `results.csv` as its export) and the scores over slices
    (`scores.json`, `scores_published.json`).

    Args:
        folder: with the manifest of its rows, and the hypotheses.
        model: what the scores call the model.
        seed: of the bootstrap.

    Returns:
        The scores with the flywheel's own normaliser.
    """
    manifest = read_manifest(folder.rows)
    transcripts = read_transcripts(folder.hyps)
    check_complete(transcripts, [row.id for row in manifest])
    terms = seeded_terms(manifest)
    published = score_rows(transcripts, PUBLISHED, terms)
    write_record(folder.published_scores, summarise(published, model=model, normalizer=PUBLISHED, seed=seed))
    rows = score_rows(transcripts, CLINICAL, terms)
    write_rows(folder.scored_rows, folder.results, rows)
    scores = summarise(rows, model=model, normalizer=CLINICAL, seed=seed)
    write_record(folder.scores, scores)
    return scores


def read_scores(folder: EvalFolder) -> Scores:
    """The scores that `score` left, with the flywheel's own normaliser."""
    return read_record(folder.scores, Scores)


def read_scored_rows(folder: EvalFolder) -> list[RowScore]:
    """The rows with their errors that `score` left, with the flywheel's own normaliser."""
    return read_rows(folder.scored_rows)


def seeded_terms(rows: Sequence[ManifestRow]) -> tuple[str, ...]:
    """The terms of the rows, each once, in alphabetical order."""
    return tuple(sorted({row.term for row in rows if row.term is not None}))


def evaluated_rows(rows: Sequence[ManifestRow]) -> tuple[ManifestRow, ...]:
    """The rows an evaluation hears: all but the general speech that is replayed in training."""
    return tuple(row for row in rows if row.subset != "replay")


def model_label(base: Base) -> str:
    """A model's name for pages and tables: a file's name says nothing, its content does."""
    return f"{base.name} ({base.sha256[:12]})" if base.sha256 else base.name
