"""How the terms sound, judged by people before everything is spoken. To wait for them is a result: what follows
is skipped."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from assets.cycles import CYCLES, OWNERS, is_selected, making, tell_outcome
from flywheel.cycle.audition import AuditionFiles, hold_audition, open_ends_table
from flywheel.files.atomic import sha256_of_file
from flywheel.speech.audition.clips import Speaker
from flywheel.speech.audition.policy import OFF, WARN, policy_named, state_file
from resources.data_folder import DataFolder
from resources.speech.resource import Speech


class AuditionConfig(dg.Config):
    """`policy` is `off`, `warn` or `require`; by default `FLYWHEEL_AUDITION`, then `warn`. `verdicts_file` is the
    CSV that people's verdicts are read from; by default `FLYWHEEL_VERDICTS`, then `verdicts.csv` in the data folder.
    `candidate_clips`: whether candidates are spoken, too; where speech is paid they are paid as well."""

    policy: str = ""
    verdicts_file: str = ""
    candidate_clips: bool = True

    @property
    def chosen_policy(self) -> str:
        """The policy; a `FlywheelError` lists those that there are."""
        return policy_named(self.policy or os.environ.get("FLYWHEEL_AUDITION") or WARN)

    def verdicts(self, data: DataFolder) -> Path:
        """The file of verdicts, absolute; it need not exist."""
        chosen = self.verdicts_file or os.environ.get("FLYWHEEL_VERDICTS")
        return Path(chosen).absolute() if chosen else data.path / "verdicts.csv"


@dg.multi_asset(
    name="audition",
    group_name="corpus",
    partitions_def=CYCLES,
    can_subset=True,
    specs=[
        dg.AssetSpec(
            "audition_page",
            deps=[dg.AssetKey("pronunciations")],
            owners=OWNERS,
            kinds={"html"},
            code_version="1",
            description=(
                "A page on which each pronunciation is heard and judged, one clip per term in the first voice; it "
                "needs no server."
            ),
        ),
        dg.AssetSpec(
            "speech_ticket",
            deps=[dg.AssetKey("pronunciations")],
            owners=OWNERS,
            kinds={"json"},
            skippable=True,
            code_version="1",
            description=(
                "There unless the policy is `require` and pronunciations are not approved yet; without it speech "
                "and what follows are skipped."
            ),
        ),
    ],
    check_specs=[dg.AssetCheckSpec("judged", asset="audition_page")],
)
def audition(
    context: dg.AssetExecutionContext, config: AuditionConfig, data: DataFolder, voices: Speech
) -> Iterator[dg.MaterializeResult]:
    """Let people hear the pronunciations; issue a ticket or say what the synthesis waits for."""
    with making(context, data, "audition") as folder:
        policy = config.chosen_policy
        speaker = Speaker(
            voices.synthesizer,
            voices.casting.seen_voices[0],
            data.speech,
            voices.workers or None,
            log=context.log.info,
        )
        files = AuditionFiles(config.verdicts(data), data.overrides)
        state, judgements = hold_audition(
            folder, speaker, files, policy=policy, with_candidates=config.candidate_clips
        )
        say = context.log.info if state.all_approved else context.log.warning
        say(state.advice)
        if not state.open:
            tell_outcome(context, "waiting for verdicts")
        shown = state_file(folder) if policy == OFF else Path(state.page)
        page: dg.MaterializeResult = dg.MaterializeResult(
            asset_key="audition_page",
            data_version=dg.DataVersion(sha256_of_file(shown)),
            metadata={
                "advice": state.advice,
                "open": state.open,
                "policy": policy,
                "page": dg.MetadataValue.path(shown),
                "verdicts": dg.MetadataValue.path(state.verdicts),
                "not approved": dg.MetadataValue.md(open_ends_table(judgements)),
                **state.counts,
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="judged",
                    passed=state.all_approved,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=state.advice,
                )
            ],
        )
        if is_selected(context, "audition_page"):
            yield page
        if state.open and is_selected(context, "speech_ticket"):
            # What is spoken depends on the pronunciations; who approved them, and when, changes no sound.
            yield dg.MaterializeResult(
                asset_key="speech_ticket",
                data_version=dg.DataVersion(sha256_of_file(folder.pronunciations)),
                metadata={"because": state.advice},
            )
