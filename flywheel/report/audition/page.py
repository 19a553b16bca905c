"""The page of an audition: one HTML file with the audio beside it, which needs no server and no network."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flywheel.report.templates import render_template
from flywheel.speech.audition.clips import CLIPS, Heard
from flywheel.speech.audition.judgements import STATUSES, Judgement
from flywheel.speech.audition.verdicts import COLUMNS, Verdict

__all__ = ["CANDIDATE", "AuditionPage", "render_page"]

CANDIDATE = "candidate"
"""The `ipa_source` of a verdict on a candidate."""


@dataclass(frozen=True, slots=True)
class AuditionPage:
    """What stands on the page.

    Args:
        cycle: its name.
        engine: name and version of the engine.
        voice: `voice_id` of every clip.
        policy: `warn` or `require`.
        heard: the clips of each pronunciation.
        judgements: of the same pronunciations, in the same order.
        faults: why a clip could not be made, by its file's name.
        reported: what the engine says of itself that it speaks, in IPA, by the clip's file.
        categories: `entity_category` of each term of the seed.
        verdicts: all that the file holds.
        verdicts_path: where the file is, or will be.
    """

    cycle: str
    engine: str
    voice: str
    policy: str
    heard: Sequence[Heard]
    judgements: Sequence[Judgement]
    faults: Mapping[str, str]
    reported: Mapping[str, str]
    categories: Mapping[str, str]
    verdicts: Sequence[Verdict]
    verdicts_path: Path


def render_page(page: AuditionPage) -> str:
    """The HTML of the page; equal for equal input. What is not judged stands first."""
    pairs = sorted(
        zip(page.heard, page.judgements, strict=True), key=lambda pair: STATUSES.index(pair[1].status)
    )
    return render_template(
        "audition/page.html.j2",
        candidate=CANDIDATE,
        clips=CLIPS,
        data={
            "columns": COLUMNS,
            "engine": page.engine,
            "voice": page.voice,
            "verdicts": [asdict(each) for each in page.verdicts],
        },
        entries=pairs,
        page=page,
        sources=sorted({each.pronunciation.ipa_source for each in page.heard}),
    )
