"""Which rows are learned from and which are only measured on, with the checks that nothing leaks."""

from pathlib import Path

import dagster as dg

from assets.corpus import manifest
from assets.cycles import CYCLES, OWNERS, making
from flywheel.corpus.manifest import read_manifest, write_manifest
from flywheel.corpus.split.earlier_decisions import NOTHING_ASSIGNED
from flywheel.corpus.split.leaks import LEAK_CHECKS, check_leaks
from flywheel.corpus.split.subsets import (
    TRAINING_SUBSETS,
    SplitSettings,
    split_rows,
)
from flywheel.cycle.earlier import what_was_decided
from flywheel.files.atomic import sha256_of_file
from flywheel.files.records import plain, write_record
from flywheel.recognisers.evaluation import evaluated_rows
from flywheel.report.leaderboard import split_table
from flywheel.scoring.slices import HUMAN, UNSEEN_ENGINE
from resources.data_folder import DataFolder
from resources.speech.resource import Speech

_DEFAULTS = SplitSettings()


class SplitConfig(dg.Config):
    """Fractions are of synthesis groups, by whole sentences, of terms or of general sentences; see `SplitSettings`.

    Of the 600 bundled general sentences 240 are replayed, which is what keeps the bundled base from forgetting (see
    docs/ablation.md). The others are the control: the more of them, the narrower the interval it is judged by.
    """

    validation_fraction: float = _DEFAULTS.validation_fraction
    development_fraction: float = _DEFAULTS.development_fraction
    unseen_term_fraction: float = _DEFAULTS.unseen_term_fraction
    replay_fraction: float = _DEFAULTS.replay_fraction
    seed: int = _DEFAULTS.seed


@dg.asset(
    group_name="corpus",
    kinds={"json"},
    owners=OWNERS,
    deps=[manifest],
    partitions_def=CYCLES,
    code_version="3",
    check_specs=[dg.AssetCheckSpec(name, asset="split", blocking=True) for name in LEAK_CHECKS],
    description=(
        "The subset of each row: train, development (picks the checkpoint), validation (the held-out rows: new "
        "sentences of seen terms in known voices), unseen terms, unseen voices (their sentences may be known), "
        "general speech and its replay; people's recordings and a second engine's rows are only measured on. What "
        "an earlier cycle decided stays."
    ),
)
def split(
    context: dg.AssetExecutionContext, config: SplitConfig, data: DataFolder, voices: Speech
) -> dg.MaterializeResult:
    """Split by whole sentences; write a manifest for each reader."""
    with making(context, data, "split") as folder:
        unseen = tuple(voice.voice_id for voice in voices.casting.unseen_voices)
        settings = SplitSettings(**config.model_dump(), unseen_voices=unseen)
        earlier = what_was_decided(folder, data.registry)
        done = split_rows(read_manifest(folder.manifest), settings, earlier=earlier)
        for warning in done.warnings:
            context.log.warning(warning)
        leaks = check_leaks(
            done.rows,
            unseen_voices=unseen,
            audio_sha256={row.id: sha256_of_file(Path(row.audio_filepath)) for row in done.rows},
            earlier=earlier or NOTHING_ASSIGNED,
        )
        for leak in leaks:
            if not leak.passed:
                context.log.error(f"{leak.name}: {leak.description} Found: {'; '.join(leak.leaks[:5])}")
        write_manifest(folder.train, [row for row in done.rows if row.subset in ("train", "replay")])
        write_manifest(folder.development, done.subset("development"))
        write_manifest(folder.validation, done.subset("validation"))
        for evaluation in (folder.baseline, folder.next):
            write_manifest(evaluation.rows, evaluated_rows(done.rows))
        write_record(folder.split, done.record(settings, leaks))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(sha256_of_file(folder.split)),
            metadata={
                "rows": dg.MetadataValue.md(split_table(done.counts)),
                "training rows": sum(row.subset in TRAINING_SUBSETS for row in done.rows),
                "held-out rows": len(done.subset("validation")),
                "human rows": len(done.subset(HUMAN)),
                "rows of an unseen engine": len(done.subset(UNSEEN_ENGINE)),
                "warnings": len(done.warnings),
                "settings": dg.MetadataValue.json(plain(settings)),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=leak.name,
                    passed=leak.passed,
                    description=leak.description,
                    metadata={
                        "checked": leak.checked,
                        "leaks": "\n".join(leak.leaks[:50]) or "none",
                        "inherited from earlier cycles": len(leak.inherited),
                    },
                )
                for leak in leaks
            ],
        )
