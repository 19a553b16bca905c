"""Recordings that a team drops: which of them join the cycle, and what is wrong with the others."""

import time
from collections import Counter
from collections.abc import Sequence

import dagster as dg

from assets.corpus import term_seed
from assets.cycles import CYCLES, OWNERS, making
from assets.progress import progress_of
from flywheel.corpus.cached_rows import read_cached_rows, write_cached_rows
from flywheel.corpus.manifest import ManifestRow, content_hash
from flywheel.corpus.recordings import (
    Admission,
    DropFolder,
    Quarantined,
    take_in,
    write_quarantine,
)
from flywheel.corpus.recordings.offered_lines import find_manifests, write_offered
from flywheel.cycle.earlier import newest_with, what_was_decided
from flywheel.files.cycles import CycleFolder
from flywheel.files.markdown import inline, table
from flywheel.files.steps import CycleSteps
from resources.data_folder import DataFolder
from resources.recordings import bring_recordings

_SHOWN = 20


@dg.asset(
    group_name="corpus",
    kinds={"audio"},
    owners=OWNERS,
    deps=[term_seed],
    partitions_def=CYCLES,
    code_version="1",
    check_specs=[dg.AssetCheckSpec("quarantine_empty", asset="recordings")],
    description=(
        "The team's own recordings, one row per recording that passed the checks of our own rows: synthetic ones are "
        "split like these, people's are only ever measured on. What joined stays; the others are in quarantine."
    ),
)
def recordings(context: dg.AssetExecutionContext, data: DataFolder) -> dg.MaterializeResult:
    """Look at the drop folder, copy what joins, and write down what was offered and what is wrong."""
    with making(context, data, "recordings") as folder:
        root, now = bring_recordings(data, context.log.info), time.time()
        drop = DropFolder(root, write_offered(folder.offered, root, now=now), now)
        taken = take_in(
            drop,
            data.speech,
            _joined_before(folder, data),
            earlier=what_was_decided(folder, data.registry),
            on_progress=progress_of(context, "lines looked at"),
        )
        write_cached_rows(folder.recordings, taken.rows, data.speech)
        write_quarantine(folder.quarantine, taken.quarantined)
        left_alone = (*taken.left_alone, *_unsettled(drop))
        _say(context, taken, left_alone, data)
        return _materialized(folder, data, taken, left_alone)


def _joined_before(folder: CycleFolder, data: DataFolder) -> tuple[ManifestRow, ...]:
    """The recordings of the cycle before, and those of this one where it ran already."""
    before = newest_with(folder, "recordings")
    rows = () if before is None else read_cached_rows(before.recordings, data.speech)
    # Of a damaged file nothing is left: what it held is still in the drop folder, and is looked at again.
    if CycleSteps(folder).is_as_left("recordings", folder.recordings):
        rows = (*rows, *read_cached_rows(folder.recordings, data.speech))
    return tuple({row.id: row for row in rows}.values())


def _unsettled(drop: DropFolder) -> tuple[str, ...]:
    """The manifests that were not read, for they may still be written."""
    files = find_manifests(drop.root, drop.now).unsettled
    return tuple(
        f"{path.relative_to(drop.root).as_posix()}: is being written, or files beside it are"
        for path in files
    )


def _say(
    context: dg.AssetExecutionContext, taken: Admission, left_alone: Sequence[str], data: DataFolder
) -> None:
    if taken.ignored_fields:
        context.log.info(f"recordings: nobody reads the fields {', '.join(taken.ignored_fields)}")
    for line in left_alone[:_SHOWN]:
        context.log.info(f"recordings, left alone: {line}")
    for each in taken.quarantined[:_SHOWN]:
        context.log.warning(
            f"recordings, quarantined: {each.manifest}:{each.line}: {'; '.join(each.reasons)}"
        )
    for row in taken.withdrawn_rows:
        context.log.warning(
            f"recordings, withdrawn: {row.voice_id}; earlier cycles still name {data.speech / f'{row.id}.wav'}: "
            "remove it, its original and what was sent elsewhere"
        )
    for name in taken.withdrawn_nobody:
        context.log.warning(
            f"recordings: {name} is withdrawn, and is no speaker's code and no recording's id here"
        )


def _materialized(
    folder: CycleFolder, data: DataFolder, taken: Admission, left_alone: Sequence[str]
) -> dg.MaterializeResult:
    kinds = Counter("human" if row.is_human else "synthetic" for row in taken.rows)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(content_hash(taken.rows)),
        metadata={
            "rows": len(taken.rows),
            "offered": taken.offered,
            "joined": taken.joined,
            "joined before": taken.joined_before,
            "quarantined": len(taken.quarantined),
            "reasons": dg.MetadataValue.md(_reasons(taken.quarantined)),
            "human": kinds["human"],
            "synthetic": kinds["synthetic"],
            "speakers": len({row.voice_id for row in taken.rows}),
            "hours": round(sum(row.duration for row in taken.rows) / 3600, 3),
            "left alone": len(left_alone),
            "still being written": dg.MetadataValue.md(
                "\n".join(f"- {inline(line)}" for line in left_alone[:_SHOWN])
            ),
            "withdrawn": len(taken.withdrawn_rows) + taken.withdrawn_lines,
            "folder": dg.MetadataValue.path(data.recordings),
            "quarantine": dg.MetadataValue.path(folder.quarantine),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="quarantine_empty",
                passed=not taken.quarantined,
                severity=dg.AssetCheckSeverity.WARN,
                description="Every recording that was offered passed the checks.",
                metadata={"quarantined": len(taken.quarantined), "offered": taken.offered},
            )
        ],
    )


def _reasons(quarantined: Sequence[Quarantined]) -> str:
    """The first lines that did not join, each with its reasons, as a markdown table."""
    if not quarantined:
        return "none"
    rows = [
        [inline(f"{each.manifest}:{each.line}"), inline(each.audio or "-"), inline("; ".join(each.reasons))]
        for each in quarantined[:_SHOWN]
    ]
    more = len(quarantined) - _SHOWN
    return table(["line", "audio", "why"], rows, numbers_from=3) + (
        f"\n\nand {more} more" if more > 0 else ""
    )
