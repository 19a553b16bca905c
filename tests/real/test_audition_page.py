"""The page of an audition, opened from disk in Chromium as a person would."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from flywheel.corpus.terms import Term, write_term_seed
from flywheel.cycle.audition import AuditionFiles, hold_audition
from flywheel.files.cycles import CycleFolder
from flywheel.pronunciation.lexicon import Candidate, Lexicon, Pronunciation, write_lexicon
from flywheel.pronunciation.overrides import read_overrides
from flywheel.speech.audition.clips import Speaker
from flywheel.speech.audition.verdicts import Verdict, read_verdicts
from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer
from tests.real.chromium import browser

pytestmark = pytest.mark.real

__all__ = ["browser"]

MYCIN = "ˌvæŋkəˈmaɪsən"
LEXICON = Lexicon(
    (
        Pronunciation("cefazolin", "sɛˈfæzəlɪn", "override", notes='verified <on the ward> as "z"'),
        Pronunciation(
            "vancomycin", None, "espeak_g2p", candidates=(Candidate(MYCIN, "clinical suffix -mycin"),)
        ),
        Pronunciation("crohn's disease", None, "espeak_g2p"),
        Pronunciation("otolaryngologist", "ˌoʊtoʊˌlæɹɪŋˈɡɑlədʒɪst", "merriam-webster"),
        Pronunciation("rené", "ɹəˈneɪ", "override", is_term=False),
    )
)
CATEGORIES = {
    "cefazolin": "drug",
    "vancomycin": "drug",
    "crohn's disease": "condition",
    "otolaryngologist": "role",
}
ALL = [entry.words for entry in LEXICON.entries]


@dataclass
class Place:
    """A cycle whose audition is held."""

    data: Path

    @property
    def folder(self) -> CycleFolder:
        return CycleFolder(self.data, "cycle1")

    @property
    def files(self) -> AuditionFiles:
        return AuditionFiles(self.data / "verdicts.csv", self.data / "overrides.csv")

    @property
    def url(self) -> str:
        return (self.folder.audition / "index.html").as_uri()

    def hold(self) -> dict[str, str]:
        """Hold the audition; returns the status of each entry."""
        speaker = Speaker(EspeakSynthesizer(), SEEN_VOICES[0], self.data / "speech")
        _state, judgements = hold_audition(self.folder, speaker, self.files, policy="require")
        return {each.pronunciation.words: each.status for each in judgements}


@dataclass
class Visit:
    """An open page, and all that it asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def entry(self, words: str) -> Locator:
        return self.page.locator(f'.entry[data-term="{words}"]')

    def visible(self) -> list[str]:
        shown = self.page.locator(".entry:visible").all()
        return [str(each.get_attribute("data-term")) for each in shown]

    def download(self, name: str = "A. Person") -> Path:
        self.page.get_by_label("Your name").fill(name)
        with self.page.expect_download() as started:
            self.page.get_by_role("button", name="Download verdicts").click()
        assert started.value.suggested_filename == "verdicts.csv"
        return Path(started.value.path())


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The audition of a cycle of which nobody said anything yet. Tests copy it."""
    place = Place(tmp_path_factory.mktemp("audition"))
    write_term_seed(place.folder.term_seed, [Term(words, kind) for words, kind in CATEGORIES.items()])
    write_lexicon(place.folder.pronunciations, LEXICON)
    assert set(place.hold().values()) == {"unjudged"}
    return place


@pytest.fixture
def place(held: Place, tmp_path: Path) -> Place:
    copy = Place(tmp_path / 'data with "quotes" & spaces')
    shutil.copytree(held.data, copy.data)
    copy.hold()
    return copy


def visits(browser: Browser, place: Place, **options: Any) -> Iterator[Visit]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    visit = Visit(context.new_page())
    context.on("request", lambda request: visit.requests.append(request.url))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("console", lambda said: visit.complaints.append(said.text))
    # Whatever is not a file never leaves this machine.
    context.route(re.compile(r"^(?!file:|data:|blob:)"), lambda route: route.abort())
    visit.page.goto(place.url)
    yield visit
    context.close()
    assert visit.complaints == []


@pytest.fixture
def visit(browser: Browser, place: Place) -> Iterator[Visit]:
    yield from visits(browser, place)


def wait_for_players(page: Page) -> Sequence[float]:
    page.wait_for_function("[...document.querySelectorAll('audio')].every((each) => each.readyState > 0)")
    durations: list[float] = page.evaluate(
        "[...document.querySelectorAll('audio')].map((each) => each.duration)"
    )
    return durations


def test_every_player_loads_and_plays_and_nothing_else_is_asked_for(visit: Visit, place: Place) -> None:
    durations = wait_for_players(visit.page)
    assert len(durations) == len(ALL) + 1
    assert all(0.3 < each < 5 for each in durations)
    visit.page.get_by_role("button", name="Play cefazolin").click()
    visit.page.wait_for_function(
        "[...document.querySelectorAll('audio')].some((each) => each.currentTime > 0)"
    )
    visit.page.get_by_role("button", name="Play rené").click()
    playing = "[...document.querySelectorAll('audio')].filter((each) => !each.paused).length"
    assert visit.page.evaluate(playing) == 1
    folder = place.folder.audition.as_uri()
    assert len(visit.requests) > len(durations)
    assert [url for url in visit.requests if not url.startswith(folder) and url != "data:,"] == []


def test_what_stands_on_the_page(visit: Visit, place: Place) -> None:
    text = visit.page.locator("body").inner_text()
    version = EspeakSynthesizer().version
    for part in ("cycle1", f"espeak {version}", SEEN_VOICES[0].voice_id, "5 pronunciations", "0 of 5 judged"):
        assert part in text
    assert visit.page.locator("#verdicts-path").inner_text() == str(place.files.verdicts)
    assert 'verified <on the ward> as "z"' in visit.entry("cefazolin").inner_text()
    assert "sɛˈfæzəlɪn" in visit.entry("cefazolin").inner_text()
    assert "condition" in visit.entry("crohn's disease").inner_text()
    assert "clinical suffix -mycin" in visit.entry("vancomycin").inner_text()


def test_verdicts_are_downloaded_as_the_graph_reads_them(visit: Visit, place: Place) -> None:
    note = 'the "z", not the s; <é>'
    visit.entry("cefazolin").get_by_text("Approve", exact=True).click()
    visit.entry("crohn's disease").get_by_text("Reject").click()
    visit.entry("crohn's disease").get_by_label("Note").fill(note)
    visit.entry("vancomycin").get_by_text("Approve this").click()
    visit.entry("rené").get_by_text("Reject").click()
    visit.entry("rené").get_by_role("button", name="Undo").click()
    expect(visit.page.locator("#progress")).to_have_text("3 of 5 judged")
    visit.page.get_by_role("button", name="Download verdicts").click()
    expect(visit.page.get_by_role("status")).to_contain_text("Your name")
    file = visit.download()
    expect(visit.page.get_by_role("status")).to_contain_text(str(place.files.verdicts))

    verdicts = {each.term: each for each in read_verdicts(file)}
    engine = f"espeak {EspeakSynthesizer().version}"
    rejected = verdicts["crohn's disease"]
    at = rejected.judged_at
    assert rejected == Verdict(
        "crohn's disease", "reject", "", note, "A. Person", at, "espeak_g2p", engine, SEEN_VOICES[0].voice_id
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", at)
    assert {term: (each.verdict, each.ipa, each.ipa_source) for term, each in verdicts.items()} == {
        "cefazolin": ("approve", "sɛˈfæzəlɪn", "override"),
        "crohn's disease": ("reject", "", "espeak_g2p"),
        "vancomycin": ("approve", MYCIN, "candidate"),
    }

    shutil.copy(file, place.files.verdicts)
    assert place.hold() == {
        "cefazolin": "approved",
        "crohn's disease": "rejected",
        "vancomycin": "chosen",
        "otolaryngologist": "unjudged",
        "rené": "unjudged",
    }
    assert [each.ipa for each in read_overrides(place.files.overrides)] == [MYCIN]

    visit.page.reload()
    expect(visit.page.locator("#progress")).to_have_text("3 of 5 judged")
    assert visit.visible()[:2] == ["otolaryngologist", "rené"]
    expect(visit.entry("crohn's disease").get_by_label("Note")).to_have_value(note)
    expect(visit.page.get_by_role("button", name="Undo")).to_have_count(0)
    visit.entry("rené").get_by_text("Approve", exact=True).click()
    again = read_verdicts(visit.download("B. Person"))
    assert [(each.term, each.judged_by) for each in again] == [
        *((each.term, "A. Person") for each in read_verdicts(file)),
        ("rené", "B. Person"),
    ]


def test_what_was_not_downloaded_is_still_there_after_a_reload(visit: Visit) -> None:
    visit.entry("cefazolin").get_by_text("Reject").click()
    visit.entry("cefazolin").get_by_label("Note").fill("too fast")
    visit.page.reload()
    expect(visit.page.locator("#progress")).to_have_text("1 of 5 judged")
    expect(visit.entry("cefazolin").get_by_label("Note")).to_have_value("too fast")
    expect(visit.entry("cefazolin").get_by_label("Reject")).to_be_checked()


def test_a_browser_that_keeps_nothing_is_no_hindrance(browser: Browser, place: Place) -> None:
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('denied'); } })"
    )
    page.goto(place.url)
    expect(page.get_by_role("status")).to_contain_text("download them before you close it")
    visit = Visit(page)
    visit.entry("cefazolin").get_by_text("Reject").click()
    assert [each.term for each in read_verdicts(visit.download())] == ["cefazolin"]
    assert complaints == []
    context.close()


def test_filters(visit: Visit) -> None:
    visit.entry("cefazolin").get_by_text("Reject").click()
    show = visit.page.get_by_role("group", name="Judged or not")
    cases = {
        "Not judged 4": [each for each in ALL if each != "cefazolin"],
        "Rejected 1": ["cefazolin"],
        "All 5": ALL,
    }
    for label, expected in cases.items():
        show.get_by_text(label).click()
        assert visit.visible() == expected
    visit.page.get_by_label("Source").select_option("espeak_g2p")
    assert visit.visible() == ["vancomycin", "crohn's disease"]
    visit.page.get_by_label("Find").fill("Crohn")
    assert visit.visible() == ["crohn's disease"]
    visit.page.get_by_label("Find").fill("no such term")
    assert visit.visible() == []
    visit.page.get_by_role("button", name="Show all").click()
    assert visit.visible() == ALL


def test_keys_suffice(visit: Visit) -> None:
    wait_for_players(visit.page)
    press = visit.page.keyboard.press
    press("j")
    expect(visit.entry("cefazolin").locator(".play")).to_be_focused()
    press("a")
    expect(visit.entry("cefazolin").get_by_label("Approve")).to_be_checked()
    expect(visit.entry("vancomycin").locator(".play").first).to_be_focused()
    press("Shift+1")
    expect(visit.entry("vancomycin").get_by_label("Approve this")).to_be_checked()
    press("r")
    press("k")
    press("n")
    visit.page.keyboard.type("a jar")
    press("Escape")
    expect(visit.entry("crohn's disease").get_by_label("Note")).to_have_value("a jar")
    expect(visit.page.locator("#progress")).to_have_text("3 of 5 judged")
    visit.page.get_by_text("Keys", exact=True).click()
    visit.page.get_by_label("Single keys work").uncheck()
    visit.entry("rené").locator(".play").focus()
    press("a")
    expect(visit.page.locator("#progress")).to_have_text("3 of 5 judged")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_it_fits_and_can_be_read(browser: Browser, place: Place, width: int, scheme: str) -> None:
    for visit in visits(browser, place, viewport={"width": width, "height": 800}, color_scheme=scheme):
        visit.entry("cefazolin").get_by_text("Approve", exact=True).click()
        visit.entry("rené").get_by_text("Reject").click()
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        assert visit.page.evaluate(LOW_CONTRAST) == []
        assert visit.page.evaluate(UNNAMED) == []


def test_without_scripts_the_clips_can_be_heard(browser: Browser, place: Place) -> None:
    for visit in visits(browser, place, java_script_enabled=False):
        assert visit.page.locator("audio[controls]:visible").count() == len(ALL) + 1
        expect(visit.page.get_by_text("Without JavaScript")).to_be_visible()


LOW_CONTRAST = """() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((each) => each / 255)
      .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const wrong = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("script")) continue;
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) wrong.push(`${walker.currentNode.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return wrong;
}"""
"""Texts whose contrast with what they stand on is below 4.5 to 1, the figure of WCAG 2.2 AA."""

UNNAMED = """() => [...document.querySelectorAll("button, input, select")]
  .filter((each) => !each.labels?.[0]?.textContent.trim() && !each.ariaLabel && !each.textContent.trim())
  .map((each) => each.outerHTML)"""
"""Controls that have neither label nor text."""
