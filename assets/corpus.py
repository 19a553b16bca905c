"""From a list of terms to a manifest of speech."""

import os
from collections import Counter
from pathlib import Path

import dagster as dg

from assets.cycles import CYCLES, OWNERS, making
from assets.progress import progress_of
from flywheel.corpus.audio_headers import AudioError, check_audio
from flywheel.corpus.cached_rows import read_cached_rows, write_cached_rows
from flywheel.corpus.manifest import ManifestError, content_hash, read_manifest, write_manifest
from flywheel.corpus.plan import (
    dropped_rows,
    engines_of,
    manifest_rows,
    plan_rows,
    read_dropped,
    speak,
    write_dropped,
)
from flywheel.corpus.recordings import read_recordings
from flywheel.corpus.sentences import (
    BUNDLED_GENERAL_SENTENCES,
    cycle_sentences,
    read_sentences,
    write_sentences,
)
from flywheel.corpus.terms import read_term_seed, write_term_seed
from flywheel.cycle.earlier import newest_with
from flywheel.errors import FlywheelError
from flywheel.files import bundled
from flywheel.files.atomic import sha256_of_file
from flywheel.pronunciation.lexicon import read_lexicon
from flywheel.scoring.slices import UNSEEN_ENGINE
from resources.data_folder import DataFolder
from resources.speech.resource import Speech


class TermSeedConfig(dg.Config):
    """`seed_file`: a CSV `term,entity_category`; by default `FLYWHEEL_SEED`, then the bundled starter seed."""

    seed_file: str = ""

    @property
    def path(self) -> Path:
        """The file that is read."""
        chosen = self.seed_file or os.environ.get("FLYWHEEL_SEED")
        return Path(chosen) if chosen else bundled.path("starter_seed.csv")


@dg.asset(
    group_name="corpus",
    kinds={"csv"},
    owners=OWNERS,
    partitions_def=CYCLES,
    code_version="1",
    description="The clinical terms of the cycle, one row per term, each with its entity category.",
)
def term_seed(
    context: dg.AssetExecutionContext, config: TermSeedConfig, data: DataFolder
) -> dg.MaterializeResult:
    """Read the seed strictly and keep a copy of it with the cycle."""
    with making(context, data, "term_seed") as folder:
        terms = read_term_seed(config.path)
        write_term_seed(folder.term_seed, terms)
        by_category = Counter(term.entity_category for term in terms)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(sha256_of_file(folder.term_seed)),
            metadata={
                "terms": len(terms),
                "by entity_category": dg.MetadataValue.json(dict(by_category)),
                "seed": dg.MetadataValue.path(config.path),
                "preview": dg.MetadataValue.md(
                    "\n".join(f"- {term.text} ({term.entity_category})" for term in terms[:20])
                ),
            },
        )


class SentencesConfig(dg.Config):
    """`general_file`: a CSV `wording,sentence` of sentences without terms, the wording `clinical` or `everyday`; by
    default `FLYWHEEL_GENERAL`, then the bundled ones."""

    general_file: str = ""

    @property
    def path(self) -> Path:
        """The file that is read."""
        chosen = self.general_file or os.environ.get("FLYWHEEL_GENERAL")
        return Path(chosen) if chosen else BUNDLED_GENERAL_SENTENCES


@dg.asset(
    group_name="corpus",
    kinds={"json"},
    owners=OWNERS,
    deps=[term_seed],
    partitions_def=CYCLES,
    code_version="1",
    description=(
        "What is spoken, one row per sentence: each term in a dictation, a handoff, a chart note and a history, "
        "and general sentences without any term. Sentences of earlier cycles stay as they were."
    ),
)
def sentences(
    context: dg.AssetExecutionContext, config: SentencesConfig, data: DataFolder
) -> dg.MaterializeResult:
    """Compose the sentences of the terms that are new; keep those of the last cycle."""
    with making(context, data, "sentences") as folder:
        before = newest_with(folder, "sentences")
        composed = cycle_sentences(
            read_term_seed(folder.term_seed),
            earlier=read_sentences(before.sentences) if before else (),
            general_file=config.path,
        )
        for warning in composed.warnings:
            context.log.warning(warning)
        write_sentences(folder.sentences, composed.sentences)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(sha256_of_file(folder.sentences)),
            metadata={
                "sentences": len(composed.sentences),
                "general": sum(sentence.term is None for sentence in composed.sentences),
                "preview": dg.MetadataValue.md(
                    "\n".join(
                        f"- *{sentence.context_type}*: {sentence.text}" for sentence in composed.sentences[:8]
                    )
                ),
            },
        )


@dg.asset(
    group_name="corpus",
    kinds={"audio"},
    owners=OWNERS,
    deps=[sentences, dg.AssetKey("pronunciations"), dg.AssetKey("speech_ticket")],
    partitions_def=CYCLES,
    code_version="1",
    description=(
        "16 kHz speech, one file per sentence, voice and noise level, in a cache addressed by content: only "
        "what is new is synthesised. A second engine, where there is one, speaks a sentence of each term."
    ),
)
def speech(context: dg.AssetExecutionContext, data: DataFolder, voices: Speech) -> dg.MaterializeResult:
    """Speak every sentence in its voices, clean and with noise; what cannot be spoken is listed."""
    with making(context, data, "speech") as folder:
        second = voices.second
        engines = engines_of(voices.synthesizer, second)
        context.log.info(voices.said)
        context.log.info(voices.second_said)
        planned = plan_rows(
            read_sentences(folder.sentences), voices.casting, read_lexicon(folder.pronunciations), second
        )
        rendering = speak(
            planned,
            data.speech,
            engines,
            workers=voices.workers or None,
            on_progress=progress_of(context, "files"),
            log=context.log.info,
            allowed_drops=voices.allowed_drops,
        )
        dropped = dropped_rows(planned, rendering, engines)
        write_dropped(folder.dropped, dropped)
        rows = manifest_rows(planned, rendering, data.speech, engines)
        write_cached_rows(folder.spoken, rows, data.speech)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(content_hash(rows)),
            metadata={
                "files": len(rendering.seconds),
                "dropped": len(dropped),
                "synthesised": rendering.synthesised,
                "mixed with noise": rendering.mixed,
                "cache_hits": rendering.cache_hits,
                "hours": round(sum(rendering.seconds.values()) / 3600, 3),
                "engine": ", ".join(f"{engine.name} {engine.version}" for engine in engines.values()),
                "chosen": voices.said,
                "second engine": voices.second_said,
                "rows of an unseen engine": sum(row.subset == UNSEEN_ENGINE for row in rows),
                "characters bought": rendering.purchases.characters,
                "cost estimate in USD": round(rendering.purchases.usd, 2),
                "listen to": dg.MetadataValue.path(rows[0].audio_filepath),
            },
        )


@dg.asset(
    group_name="corpus",
    kinds={"json"},
    owners=OWNERS,
    deps=[speech, dg.AssetKey("recordings")],
    partitions_def=CYCLES,
    code_version="2",
    description=(
        "The NeMo manifest with the clinical extension, one row per utterance: what was spoken here, then the "
        "recordings that a team dropped."
    ),
)
def manifest(context: dg.AssetExecutionContext, data: DataFolder) -> dg.MaterializeResult:
    """Write the rows of the cycle, whose audio is all there; the checks read the file and the audio again."""
    with making(context, data, "manifest") as folder:
        spoken = read_cached_rows(folder.spoken, data.speech)
        recorded = read_recordings(folder.recordings, data.speech)
        rows = (*spoken, *recorded)
        write_manifest(folder.manifest, rows)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(content_hash(rows)),
            metadata={
                "rows": len(rows),
                "dropped": len(read_dropped(folder.dropped)),
                "recordings": len(recorded),
                "human rows": sum(row.is_human for row in recorded),
                "rows of an unseen engine": sum(row.subset == UNSEEN_ENGINE for row in rows),
                "clinical rows": sum(row.is_clinical for row in rows),
                "general rows": sum(not row.is_clinical for row in rows),
                "by noise_level": dg.MetadataValue.json(Counter(row.noise_level for row in rows)),
                "by voice_id": dg.MetadataValue.json(Counter(row.voice_id for row in rows)),
                "manifest": dg.MetadataValue.path(folder.manifest),
            },
        )


@dg.asset_check(
    asset=manifest, blocking=True, description="Every line is of the schema, every id stands once."
)
def schema(context: dg.AssetCheckExecutionContext, data: DataFolder) -> dg.AssetCheckResult:
    """Read the written file again, as any consumer would."""
    path = data.cycle(context.op_execution_context.partition_key).manifest
    try:
        rows = read_manifest(path)
    except ManifestError as error:
        return _failed(context, error)
    return dg.AssetCheckResult(passed=True, metadata={"rows": len(rows)})


@dg.asset_check(
    asset=manifest,
    blocking=True,
    description="Every file is whole, 16 kHz mono PCM16, and as long as its row says.",
)
def audio(context: dg.AssetCheckExecutionContext, data: DataFolder) -> dg.AssetCheckResult:
    """Read the header of every file that the written manifest names."""
    try:
        rows = read_manifest(data.cycle(context.op_execution_context.partition_key).manifest)
        check_audio(rows)
    except (ManifestError, AudioError) as error:
        return _failed(context, error)
    return dg.AssetCheckResult(passed=True, metadata={"files": len(rows)})


def _failed(context: dg.AssetCheckExecutionContext, error: FlywheelError) -> dg.AssetCheckResult:
    """The UI shows a check's description; a terminal shows only what is logged."""
    context.log.error(str(error))
    return dg.AssetCheckResult(passed=False, description=str(error))
