"""Whether the cycle has what it needs, looked at before anything that costs."""

import dagster as dg

from assets.corpus import term_seed
from resources.compute.resource import Compute
from resources.dictionary import Dictionary
from resources.doctor import lines, look, looks
from resources.object_store.resource import ObjectStore
from resources.speech.resource import Speech
from resources.tracking.resource import Tracking


@dg.asset_check(
    asset=term_seed,
    blocking=True,
    description=(
        "Keys are accepted, the bucket can be written to, the machine has memory and disk: what `flywheel doctor` says "
        "of this run's machine, services and backend. Only what a run cannot do without stops it."
    ),
)
def ready(
    context: dg.AssetCheckExecutionContext,
    compute: Compute,
    voices: Speech,
    dictionary: Dictionary,
    tracking: Tracking,
    store: ObjectStore,
) -> dg.AssetCheckResult:
    """Look at all of them side by side, and name what is missing."""
    found = look(looks(compute, voices, dictionary, tracking, store))
    said = {name: list(lines(name, findings)) for name, findings in found.items()}
    missing = [
        line
        for name, findings in found.items()
        for finding, line in zip(findings, said[name], strict=True)
        if finding.stops
    ]
    for name, findings in found.items():
        for finding, line in zip(findings, said[name], strict=True):
            (context.log.info if finding.ok else context.log.warning)(line)
    return dg.AssetCheckResult(
        passed=not missing,
        description="\n".join(missing) or "the cycle has what it needs",
        metadata={
            name: dg.MetadataValue.md("\n".join(f"- {line}" for line in each)) for name, each in said.items()
        },
    )
