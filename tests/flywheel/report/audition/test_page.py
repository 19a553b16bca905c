"""The page as HTML: whatever terms, notes and paths hold is text there, and nothing is fetched from elsewhere."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from flywheel.pronunciation.lexicon import Candidate, Lexicon, Pronunciation
from flywheel.report.audition.page import AuditionPage, render_page
from flywheel.speech.audition.clips import Clip, Heard
from flywheel.speech.audition.judgements import judge
from flywheel.speech.audition.verdicts import COLUMNS, Verdict
from flywheel.speech.synthesizer import Utterance, Voice
from flywheel.speech.take import Take

ENGINE, VOICE = "espeak 1.52.0/1", Voice("espeak:en-us+m3")
NASTY = """a "b" <b>ménière's</b> & </script><script>alert(1)</script>"""


class Elements(HTMLParser):
    """The elements of a page with their attributes, and all of its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)
        else:
            self.text += data

    def of(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            found for name, found in self.found if name == tag and attributes.items() <= dict(found).items()
        ]


def page_of(entries: tuple[Pronunciation, ...], verdicts: tuple[Verdict, ...] = (), **other: Any) -> Elements:
    return Elements(html_of(entries, verdicts, **other))


def html_of(entries: tuple[Pronunciation, ...], verdicts: tuple[Verdict, ...] = (), **other: Any) -> str:
    lexicon = Lexicon(entries)

    def clip(entry: Pronunciation, ipa: str | None) -> Clip:
        name = re.sub("[^a-z]", "", entry.words + (ipa or ""))
        return Clip(ipa or "", Take(Utterance(entry.words, VOICE)), f"{name}.wav")

    page = AuditionPage(
        cycle="cycle1",
        engine=ENGINE,
        voice=VOICE.voice_id,
        policy="warn",
        heard=[
            Heard(each, clip(each, each.ipa), tuple(clip(each, one.ipa) for one in each.candidates))
            for each in entries
        ],
        judgements=judge(lexicon, verdicts, engine=ENGINE, voice=VOICE.voice_id),
        faults={},
        reported={},
        categories={"cefazolin": "drug"},
        verdicts=verdicts,
        verdicts_path=Path("/data/verdicts.csv"),
    )
    return render_page(replace(page, **other))


def said(term: str, verdict: str = "approve", ipa: str = "", note: str = "") -> Verdict:
    return Verdict(term, verdict, ipa, note, NASTY, "2026-01-31", "espeak_g2p", ENGINE, VOICE.voice_id)


def test_what_terms_hold_is_text_on_the_page() -> None:
    entry = Pronunciation(NASTY, None, "espeak_g2p", candidates=(Candidate("<i>", NASTY),), notes=NASTY)
    page = page_of((entry,), (said(NASTY, "reject", note=NASTY),), verdicts_path=Path(f"/{NASTY}"))
    assert page.of("b") == [] and page.of("i") == []
    assert page.of("li", **{"class": "entry"})[0]["data-term"] == NASTY
    assert page.of("input", type="text", maxlength="500")[0]["value"] == NASTY
    assert page.text.count(NASTY) == 6  # path, term, legend, notes, who judged, reason
    assert len(page.of("script")) == 3
    assert json.loads(page.scripts[1])["verdicts"][0]["note"] == NASTY


def test_what_is_not_judged_stands_first() -> None:
    entries = tuple(
        Pronunciation(words, None, "espeak_g2p") for words in ("cefazolin", "ferritin", "heparin", "xanax")
    )
    page = page_of(entries, (said("cefazolin"), said("ferritin", "reject"), said("xanax")))
    found = [(each["data-term"], each["data-status"]) for each in page.of("li", **{"class": "entry"})]
    assert found == [
        ("heparin", "unjudged"),
        ("ferritin", "rejected"),
        ("cefazolin", "approved"),
        ("xanax", "approved"),
    ]


def test_the_verdict_that_is_there_is_shown() -> None:
    entry = Pronunciation("cefazolin", None, "espeak_g2p", candidates=(Candidate("sɛˈfæzəlɪn", "-azolin"),))
    cases = {
        "": (),
        "approve": (said("cefazolin"),),
        "reject": (said("cefazolin", "reject"),),
        "approve sɛˈfæzəlɪn": (said("cefazolin", ipa="sɛˈfæzəlɪn"),),
    }
    for expected, verdicts in cases.items():
        radios = page_of((entry,), verdicts).of("input", type="radio", name="verdict-1")
        checked = [f"{each['value']} {each['data-ipa']}".strip() for each in radios if "checked" in each]
        assert checked == ([expected] if expected else [])
        assert len(radios) == 3


def test_what_was_said_of_another_pronunciation_is_told() -> None:
    entry = Pronunciation("cefazolin", "sɛˈfæzəlɪn", "override")
    assert (
        "said reject on 2026-01-31: the z"
        in page_of((entry,), (said("cefazolin", "reject", note="the z"),)).text
    )


def test_a_clip_that_could_not_be_made_says_why_and_cannot_be_approved() -> None:
    entry = Pronunciation("cefazolin", None, "espeak_g2p", candidates=(Candidate("x", "-azolin"),))
    page = page_of((entry,), faults={"cefazolin.wav": "silent", "cefazolinx.wav": "no such phoneme"})
    assert page.of("audio") == []
    assert "No clip could be made: silent" in page.text
    assert "-azolin; no such phoneme" in page.text
    radios = page.of("input", type="radio", name="verdict-1")
    assert [each["value"] for each in radios if "disabled" not in each] == ["reject"]


def test_what_the_engine_reports_of_itself_is_shown() -> None:
    entry = Pronunciation("cefazolin", None, "espeak_g2p")
    assert page_of((entry,)).of("span", **{"class": "ipa"}) == []
    page = page_of((entry,), reported={"cefazolin.wav": "sɪˈfæzəlɪn"})
    assert len(page.of("span", **{"class": "ipa"})) == 1
    assert "sɪˈfæzəlɪn by the rules of espeak" in page.text


def test_where_the_engine_is_left_alone_the_page_says_so() -> None:
    entries = (
        Pronunciation("cefazolin", None, "espeak_g2p"),
        Pronunciation("trough", "tɹɔf", "override", is_term=False),
    )
    page = page_of(entries)
    assert page.text.count("by the rules of espeak") == 1
    assert len(page.of("span", **{"class": "ipa"})) == 1
    assert "drug" in page.text and "other word" in page.text


def test_nothing_is_fetched_from_elsewhere() -> None:
    html = html_of((Pronunciation("cefazolin", None, "espeak_g2p"),))
    assert re.findall(r"https?:|//[a-z]|@import|url\(", html.replace("// -", "")) == []
    targets = [each.get(name) for _tag, each in Elements(html).found for name in ("src", "href")]
    assert set(filter(None, targets)) == {"data:,", "clips/cefazolin.wav"}


def test_equal_input_gives_an_equal_page() -> None:
    entries = (Pronunciation("cefazolin", None, "espeak_g2p"),)
    assert html_of(entries) == html_of(entries)


@pytest.mark.parametrize("column", COLUMNS)
def test_the_script_knows_the_columns_of_the_file(column: str) -> None:
    assert column in json.loads(page_of(()).scripts[1])["columns"]
