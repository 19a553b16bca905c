"""The leaderboard as an HTML page, opened from disk in Chromium: by mouse and by keyboard, on a phone and on paper."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from flywheel.report.leaderboard.html import render_html
from flywheel.report.leaderboard.players import players_of
from flywheel.speech.engines.espeak import EspeakSynthesizer
from flywheel.speech.synthesizer import Utterance, Voice
from flywheel.verdict.misses import Cause, HeardInstead, MissedTerm, Misses, RowToHear
from tests.leaderboard_page import page_of, with_boosting
from tests.real.chromium import browser

pytestmark = pytest.mark.real

__all__ = ["browser"]

VOICE = "espeak:en-us+m3"
SAID = "please review cefazolin with the team before the next round"
STOPPED = "metoprolol was stopped today"
ROWS = {
    # What is said, what the base heard, what the fine-tuned model heard; noise; slice.
    "cefazolin": (
        SAID,
        "please review safe a line with team",
        SAID.replace("cefazolin", "sefa zolin"),
        "clean",
    ),
    "metoprolol": (STOPPED, STOPPED, "meta pro lol was stopped today", "snr_5db"),
    "apixaban": (
        "she takes apixaban daily",
        "she takes a pick to daily",
        "she takes apixaban daily",
        "clean",
    ),
    "<script>alert(1)</script>": ("a script", "script", "a script so", "snr_15db"),
}
LARGEST = 3_000_000
"""Bytes of a page: less than a photograph."""


def misses(speech: Path) -> Misses:
    """Rows that were really spoken, the last but for its audio; each with another outcome."""
    rows = []
    for number, (term, (said, before, after, noise)) in enumerate(ROWS.items()):
        path = speech / f"{number}.wav"
        if number < len(ROWS) - 1:
            wave = EspeakSynthesizer().synthesize(Utterance(said, Voice(VOICE)))
            soundfile.write(path, wave.samples, wave.sampling_rate, subtype="PCM_16")
        subset = "unseen_term" if number == 2 else "validation"
        sound = (VOICE, noise, "espeak_g2p", said, after, before, "", 0.25, str(path))
        rows.append(RowToHear(f"r{number}", term, subset, *sound))
    heard = (HeardInstead("sefa zolin", 3, 0.1), HeardInstead("", 1, None))
    causes: tuple[Cause, ...] = ("pronunciation", "model", "noise", "model")
    terms = []
    for number, (term, cause) in enumerate(zip(ROWS, causes, strict=True)):
        kind = "drug" if number else "lab"
        terms.append(MissedTerm(term, kind, "espeak_g2p", "ˈsɛfəzəlɪn", 4, 16, heard, cause, "Say `sɛf`."))
    return Misses("models/adapted.nemo", tuple(terms), tuple(rows))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, alone in its folder: the recordings that it was made from are gone."""
    speech, folder = tmp_path_factory.mktemp("speech"), tmp_path_factory.mktemp("page")
    found = misses(speech)
    players = players_of(found)
    for path in speech.iterdir():
        path.unlink()
    path = folder / "leaderboard cycle2.html"
    path.write_text(
        render_html(replace(with_boosting(page_of("trained")[0]), misses=found), players), "utf-8"
    )
    return path


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`SCREENSHOTS=docs/screenshots pytest ...` keeps what was seen."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass
class Visit:
    """Somebody reads the page."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def terms(self) -> list[str]:
        """Those of the rows that are shown."""
        return [
            row.locator("h3").inner_text().partition("\n")[0]
            for row in self.page.locator(".row:visible").all()
        ]


def visits(browser: Browser, file: Path, **options: Any) -> Iterator[Visit]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    visit = Visit(context.new_page())
    context.on("request", lambda request: visit.requests.append(request.url))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("console", lambda said: visit.complaints.append(said.text))
    # Whatever is not the file never leaves this machine.
    context.route(re.compile(r"^(?!file:|data:)"), lambda route: route.abort())
    visit.page.goto(file.as_uri())
    yield visit
    context.close()
    assert visit.complaints == []
    assert [url for url in visit.requests if url != file.as_uri() and not url.startswith("data:")] == []


@pytest.fixture
def visit(browser: Browser, file: Path) -> Iterator[Visit]:
    yield from visits(browser, file)


def test_the_sound_is_in_the_page(visit: Visit, file: Path) -> None:
    visit.page.wait_for_function(
        "[...document.querySelectorAll('audio')].every((each) => each.readyState > 0)"
    )
    durations = visit.page.evaluate("[...document.querySelectorAll('audio')].map((each) => each.duration)")
    assert len(durations) == len(ROWS) - 1
    assert all(1 < each < 6 for each in durations)
    visit.page.evaluate("document.querySelector('audio').play()")
    visit.page.evaluate("document.querySelectorAll('audio')[1].play()")
    playing = "[...document.querySelectorAll('audio')].map((each) => !each.paused)"
    visit.page.wait_for_function("document.querySelectorAll('audio')[0].paused")
    assert visit.page.evaluate(playing) == [False, True, False]
    expect(visit.page.get_by_text("the audio is not on this machine (3.wav)")).to_be_visible()
    assert file.stat().st_size < LARGEST


def test_the_page_could_not_send_anything_if_it_tried(browser: Browser, file: Path) -> None:
    for visit in visits(browser, file):
        refused = visit.page.evaluate(
            """async () => {
              const violations = [];
              const note = (event) => violations.push(event.effectiveDirective);
              document.addEventListener("securitypolicyviolation", note);
              await fetch("https://example.org/").catch(() => {});
              document.body.append(Object.assign(new Image(), { src: "https://example.org/pixel.png" }));
              const script = Object.assign(document.createElement("script"), { textContent: "window.ran = true" });
              document.body.append(script);
              await new Promise((done) => setTimeout(done, 200));
              return [violations.sort(), window.ran === undefined];
            }"""
        )
        assert refused == [["connect-src", "img-src", "script-src-elem"], True]
        visit.complaints.clear()
        visit.requests.clear()  # of what was refused


def test_filters_work_by_keyboard_and_say_what_they_do(visit: Visit) -> None:
    terms, press, shown = [*ROWS], visit.page.keyboard.press, visit.page.locator("#shown")
    assert visit.terms() == terms
    visit.page.get_by_label("All 4").focus()
    press("ArrowRight")
    expect(visit.page.get_by_label("Both miss")).to_be_checked()
    expect(shown).to_have_text("2 of 4 rows shown")
    assert visit.terms() == [terms[0], terms[3]]
    assert shown.get_attribute("aria-live") == "polite"
    for expected in (["apixaban"], ["metoprolol"]):
        press("ArrowRight")
        assert visit.terms() == expected
    visit.page.locator("label", has_text="All 4").click()
    press("Tab")
    expect(visit.page.get_by_role("combobox", name="Category", exact=True)).to_be_focused()
    for label, value, expected in (
        ("Category", "lab", terms[:1]),
        ("Noise", "snr_5db", ["metoprolol"]),
        ("Slice", "unseen term", ["apixaban"]),
        ("Cause", "noise", ["apixaban"]),
    ):
        choice = visit.page.get_by_role("combobox", name=label, exact=True)
        choice.select_option(value)
        assert visit.terms() == expected
        choice.select_option("")
    visit.page.get_by_label("Find").focus()
    visit.page.keyboard.type("Meta pro")
    assert visit.terms() == ["metoprolol"]
    visit.page.keyboard.type(" and more")
    assert visit.terms() == []
    visit.page.get_by_role("button", name="Show all").press("Enter")
    assert visit.terms() == terms
    expect(visit.page.get_by_label("Find")).to_be_focused()


def test_every_stop_of_the_keyboard_can_be_seen(visit: Visit) -> None:
    visit.page.keyboard.press("Tab")
    expect(visit.page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    stops = 0
    for _ in range(60):
        found = visit.page.evaluate(
            """() => {
              const at = document.activeElement;
              if (at === document.body) return null;
              const label = at.matches(".segments input") ? at.nextElementSibling : at;
              const { outlineStyle, outlineWidth } = getComputedStyle(label);
              // The browser draws its own rings inside a player.
              const ring = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
              return [at.tagName, ring || at.tagName === "AUDIO"];
            }"""
        )
        if found is None:
            break
        stops += 1
        assert found[1], found
        visit.page.keyboard.press("Tab")
    assert stops > 15


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "width", "height"), [("desk", 1280, 900), ("phone", 390, 844)])
def test_it_fits_and_everybody_can_read_it(
    browser: Browser, file: Path, screenshots: Path, device: str, width: int, height: int, scheme: str
) -> None:
    for visit in visits(browser, file, viewport={"width": width, "height": height}, color_scheme=scheme):
        page = visit.page
        page.screenshot(path=screenshots / f"leaderboard-{device}-{scheme}.png", full_page=True)
        for opened in page.locator("details").all():
            opened.evaluate("(each) => { each.open = true; }")
        for narrower in (width, 320):
            page.set_viewport_size({"width": narrower, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= narrower
            assert page.evaluate(CUT_OFF) == []
        page.set_viewport_size({"width": width, "height": height})
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        heights = page.evaluate(
            "[...document.querySelectorAll('.drawing text')].map((each) => each.getBoundingClientRect().height)"
        )
        assert min(heights) >= 9  # pixels, with room for what hangs below the line


def test_it_prints(browser: Browser, file: Path, screenshots: Path) -> None:
    for visit in visits(browser, file, color_scheme="dark"):
        visit.page.emulate_media(media="print")
        for hidden in ("audio", ".filters", ".contents"):
            assert visit.page.locator(hidden).first.is_hidden()
        visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert visit.page.locator("details:not([open])").count() == 0
        ink, paper = visit.page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert (ink, paper) == ("rgb(29, 33, 38)", "rgb(255, 255, 255)")
        pdf = visit.page.pdf(path=screenshots / "leaderboard.pdf", format="A4", print_background=True)
        assert 3 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 12


def test_without_scripts_all_but_the_filters_is_there(browser: Browser, file: Path) -> None:
    for visit in visits(browser, file, java_script_enabled=False):
        assert visit.page.locator(".row:visible").count() == len(ROWS)
        assert visit.page.locator("audio:visible").count() == len(ROWS) - 1
        assert visit.page.locator(".filters").is_hidden()
        visit.page.locator("summary", has_text="The numbers").first.click()
        expect(visit.page.get_by_role("table", name="Terms missed, by category")).to_be_visible()


def test_those_who_want_no_motion_get_none(browser: Browser, file: Path) -> None:
    for visit in visits(browser, file, reduced_motion="reduce"):
        assert visit.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


CUT_OFF = """() => [...document.querySelectorAll("main *")]
  .filter((each) => {
    if (!each.checkVisibility() || each.closest("svg, .hidden-text, thead")) return false;
    const box = each.getBoundingClientRect();
    return box.width > 1 && (box.right > innerWidth + 1 || box.left < -1);
  })
  .map((each) => each.outerHTML.slice(0, 200))"""
"""Elements that reach beyond the window's edge."""
