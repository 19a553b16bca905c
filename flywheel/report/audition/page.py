"""The page of an audition: one HTML file with the audio beside it, which needs no server and no network."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from string import Template

from flywheel.report.pages import part, theme
from flywheel.scoring.numbers_as_text import counted
from flywheel.speech.audition.clips import CLIPS, Clip, Heard
from flywheel.speech.audition.judgements import STATUSES, Judgement
from flywheel.speech.audition.policy import REQUIRE, WARN
from flywheel.speech.audition.verdicts import APPROVE, COLUMNS, REJECT, Verdict

__all__ = ["CANDIDATE", "AuditionPage", "render_page"]

CANDIDATE = "candidate"
"""The `ipa_source` of a verdict on a candidate."""

_PARTS = Path(__file__).parent
_ICON = (
    '<svg class="go" viewBox="0 0 24 24" aria-hidden="true"><path d="M7 4.5v15l13-7.5z"/></svg>'
    '<svg class="pause" viewBox="0 0 24 24" aria-hidden="true"><path d="M6 5h4v14H6zM14 5h4v14h-4z"/></svg>'
)
_POLICIES = {
    WARN: "warn: nothing waits for the verdicts",
    REQUIRE: "require: the synthesis waits until all are approved",
}


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
    sources = sorted({each.pronunciation.ipa_source for each in page.heard})
    return Template(part(_PARTS, "page.html")).substitute(
        title=escape(f"Audition of {page.cycle}"),
        style=f"{theme()}\n{part(_PARTS, 'page.css')}",
        script=part(_PARTS, "page.js"),
        data=_json(page),
        cycle=escape(page.cycle),
        lead=escape(_lead(page)),
        engine=escape(page.engine),
        voice=escape(page.voice),
        policy=escape(_POLICIES[page.policy]),
        verdicts_path=escape(str(page.verdicts_path)),
        sources="".join(f"<option>{escape(source)}</option>" for source in sources),
        entries="\n".join(_entry(page, number, *pair) for number, pair in enumerate(pairs, start=1)),
        total=len(page.heard),
    )


def _json(page: AuditionPage) -> str:
    """What the script reads. `<` is written as an escape: nothing in it can end the element."""
    content = {
        "columns": COLUMNS,
        "engine": page.engine,
        "voice": page.voice,
        "verdicts": [asdict(each) for each in page.verdicts],
    }
    return json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")


def _lead(page: AuditionPage) -> str:
    return (
        f"{counted(len(page.heard), 'pronunciation')}, each spoken once in the first voice, without noise. What is "
        "wrong here will be wrong in every sentence that a recogniser learns from."
    )


def _entry(page: AuditionPage, number: int, heard: Heard, judgement: Judgement) -> str:
    said = heard.pronunciation
    words = escape(said.words)
    group = f"verdict-{number}"
    counts = judgement.verdict
    fault = page.faults.get(heard.clip.file)
    about = [*_about(judgement), *([f"No clip could be made: {fault}"] if fault else [])]
    approve = _Option(APPROVE, heard.clip.ipa, said.ipa_source, "Approve")
    reject = _Option(REJECT, heard.clip.ipa, said.ipa_source, "Reject")
    tags = (page.categories.get(said.words, "other word"), said.ipa_source)
    return f"""<li class="entry" data-term="{words}" data-source="{escape(said.ipa_source)}" \
data-status="{judgement.status}" data-judged-at="{escape(counts.judged_at) if counts else ""}">
{_player(page, heard.clip, f"Play {said.words}")}
<div class="what">
<h2>{words}</h2>
<p>{_heard(heard, page)}</p>
<p class="chips">{"".join(f"<span>{escape(tag)}</span>" for tag in tags)}<span class="state"></span>
<button type="button" class="undo quiet" hidden>Undo</button></p>
{"".join(f'<p class="about">{escape(line)}</p>' for line in about)}
</div>
<fieldset class="verdict">
<legend class="hidden-text">Verdict on {words}</legend>
<div class="pair">
{_choice(f"{group}-0", group, approve, judgement, disabled=heard.clip.file in page.faults)}
{_choice(f"{group}-1", group, reject, judgement)}
</div>
<label class="note">Note <input type="text" maxlength="500" value="{escape(counts.note) if counts else ""}"></label>
</fieldset>
{_candidates(page, group, heard, judgement)}</li>"""


def _about(judgement: Judgement) -> Iterator[str]:
    if judgement.pronunciation.notes:
        yield judgement.pronunciation.notes
    if judgement.verdict is not None:
        yield f"Judged by {judgement.verdict.judged_by} on {judgement.verdict.moment:%Y-%m-%d}"
    if judgement.stale is not None:
        old = judgement.stale
        note = f": {old.note}" if old.note else ""
        yield f"Sounded otherwise when {old.judged_by} said {old.verdict} on {old.moment:%Y-%m-%d}{note}"


def _heard(heard: Heard, page: AuditionPage) -> str:
    if heard.pronunciation.ipa is not None:
        return _ipa(heard.pronunciation.ipa)
    rules = f"by the rules of {escape(page.engine.partition(' ')[0])}"
    prescribed = f"{escape(heard.clip.ipa)}, the rest " if heard.clip.ipa else ""
    own = f'<span class="own">{prescribed}{rules}</span>'
    reported = page.reported.get(heard.clip.file)
    return f"{_ipa(reported)} {own}" if reported else own


def _ipa(ipa: str) -> str:
    return f'<span class="ipa" lang="en-fonipa">{escape(ipa)}</span>'


def _player(page: AuditionPage, clip: Clip, label: str) -> str:
    if clip.file in page.faults:
        return '<div class="player"><span class="seconds">no clip</span></div>'
    return (
        f'<div class="player"><button type="button" class="play" aria-label="{escape(label)}">{_ICON}</button>'
        f'<audio controls preload="metadata" src="{CLIPS}/{escape(clip.file)}"></audio>'
        '<span class="seconds"></span></div>'
    )


@dataclass(frozen=True, slots=True)
class _Option:
    """One thing that can be said of a term."""

    verdict: str
    ipa: str
    source: str
    label: str


def _choice(
    identifier: str, group: str, option: _Option, judgement: Judgement, *, disabled: bool = False
) -> str:
    counts = judgement.verdict
    checked = counts is not None and (counts.verdict, counts.ipa) == (option.verdict, option.ipa)
    state = f"{' checked' if checked else ''}{' disabled' if disabled else ''}"
    candidate = ' data-candidate="yes"' if option.source == CANDIDATE else ""
    return (
        f'<div class="choice"><input type="radio" id="{identifier}" name="{group}" value="{option.verdict}" '
        f'data-ipa="{escape(option.ipa)}" data-source="{escape(option.source)}"{candidate}{state}>'
        f'<label for="{identifier}">{option.label}</label></div>'
    )


def _candidates(page: AuditionPage, group: str, heard: Heard, judgement: Judgement) -> str:
    if not heard.pronunciation.candidates:
        return ""
    clips = {clip.ipa: clip for clip in heard.candidates}
    parts = []
    for number, each in enumerate(heard.pronunciation.candidates, start=1):
        clip = clips.get(each.ipa)
        fault = page.faults.get(clip.file) if clip else "no clip was made of it"
        label = f"Play candidate {number} of {heard.pronunciation.words}"
        player = _player(page, clip, label) if clip else '<div class="player"></div>'
        option = _Option(APPROVE, each.ipa, CANDIDATE, "Approve this")
        reason = f"{each.reason}; {fault}" if fault else each.reason
        choice = _choice(
            f"{group}-{number + 1}", group, option, judgement, disabled=clip is not None and bool(fault)
        )
        parts.append(
            f'<div class="candidate">{player}<div>{_ipa(each.ipa)}'
            f'<p class="reason">{escape(reason)}</p></div>{choice}</div>'
        )
    title = "<h3>Candidates, used only where you approve one</h3>"
    label = escape(f"Candidates for {heard.pronunciation.words}")
    return f'<div class="candidates" role="group" aria-label="{label}">{title}{"".join(parts)}</div>\n'
