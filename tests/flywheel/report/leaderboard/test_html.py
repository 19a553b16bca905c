"""The page as one HTML file: all of the answer, nothing from elsewhere, and texts that stay texts."""

import base64
import functools
import hashlib
import io
import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from flywheel.report.leaderboard import LeaderboardInputs
from flywheel.report.leaderboard.alignment import Cell, align
from flywheel.report.leaderboard.html import render_html
from flywheel.report.leaderboard.players import Player, players_of
from flywheel.verdict.misses import HeardInstead, MissedTerm, Misses, RowToHear
from tests.leaderboard_page import (
    ROWS,
    adapted,
    baseline_inputs,
    forgetful,
    page_of,
    trained_inputs,
    with_boosting,
)

NASTY = """a "b" <b>ménière's</b> & </script><script>alert(1)</script> `c` $style"""
INLINE = ("a", "b", "code", "em", "q", "span", "strong")
CORRECT, NONE = "correct", Cell("none", "")


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "link", "input", "br"):
            self._open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes something else"
        if tag not in INLINE:
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        if {"script", "style"} & {*self._open}:
            return
        self.texts.append(data)
        if any(re.fullmatch("h[1-6]", tag) for tag in self._open):
            level, text = self.headings[-1]
            self.headings[-1] = level, text + data

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def of(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [found for name, found in self.found if name == tag and attributes.items() <= found.items()]

    def section(self, anchor: str) -> str:
        """The text of a section."""
        start = self.html.index(f'aria-labelledby="{anchor}"')
        return Page(f"<p {self.html[start : self.html.index('</section>', start)]}</p>").text


def row_to_hear(**fields: Any) -> RowToHear:
    common = {
        "id": "r1",
        "term": "cefazolin",
        "subset": "validation",
        "voice_id": "espeak:en-us+m3",
        "noise_level": "clean",
        "ipa_source": "espeak_g2p",
        "reference": "please review cefazolin with the team",
        "hypothesis": "please review sefa zolin with team",
        "before": "please review safe a line with the team",
        "heard": "sefa zolin",
        "phone_distance": 0.1,
        "audio_filepath": "gone.wav",
    }
    return RowToHear(**{**common, **fields})


def missed_term(**fields: Any) -> MissedTerm:
    common: dict[str, Any] = {
        "term": "cefazolin",
        "entity_category": "drug",
        "ipa_source": "espeak_g2p",
        "ipa": "ˈsɛfəzəlɪn",
        "missed": 3,
        "n": 16,
        "heard": (HeardInstead("sefa zolin", 2, 0.1), HeardInstead("", 1, None)),
        "cause": "pronunciation",
        "why": "The engine speaks `sɛf` twice.",
    }
    return MissedTerm(**{**common, **fields})


def page(inputs: LeaderboardInputs, *players: Player) -> Page:
    return Page(render_html(inputs, players))


@functools.cache
def page_at(stage: str) -> Page:
    return page(page_of(stage)[0])


@functools.cache
def rich_page() -> Page:
    """Everything a page has a place for."""
    return page(*rich_inputs())


@functools.cache
def rich_inputs() -> tuple[Any, ...]:
    rows = (
        row_to_hear(),
        row_to_hear(id="r2", noise_level="snr_5db", before="please review cefazolin with the team"),
        row_to_hear(id="r3", subset="unseen_voice", hypothesis="please review cefazolin with the team"),
    )
    misses = Misses("models/adapted.nemo", (missed_term(), missed_term(term="apixaban", cause="model")), rows)
    inputs = replace(with_boosting(page_of("trained")[0]), misses=misses)
    return inputs, *players_of(misses)


def test_the_answer_stands_first_and_every_number_has_its_n() -> None:
    shown = page_at("trained")
    assert shown.headings[0] == (1, "Keep the new model.")
    assert shown.text.startswith("Keep the new model. Leaderboard: cycle 2 beside cycle 1 ")
    assert "It misses 1 of 27 drug mentions in speech that it was not trained on" in shown.text
    tiles = [text for level, text in shown.headings if level == 3][:4]
    assert tiles == [
        "Drug terms missed, held out",
        "Terms missed, unseen voices",
        "Unseen terms missed",
        "Wrong words, general speech",
    ]
    assert (
        "88.9 % → before, now 3.7 % 24 → 1 missed, n = 27 95 % interval [0.7, 18.3] -85.2 points [no interval]"
        in shown.text
    )


@pytest.mark.parametrize(
    ("stage", "verdict"),
    [
        ("baseline", "Baseline only: nothing has been trained yet."),
        ("gate_closed", "Nothing was trained: the gate is closed."),
        ("trained", "Keep the new model."),
    ],
)
def test_headings_come_in_order_at_every_stage(stage: str, verdict: str) -> None:
    shown = page_at(stage)
    levels = [level for level, _ in shown.headings]
    assert shown.headings[0] == (1, verdict)
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert [len(shown.of(landmark)) for landmark in ("header", "main", "nav", "footer")] == [1, 1, 1, 1]
    anchors = [found["id"] for found in shown.of("h2")]
    links = [found["href"].removeprefix("#") for found in shown.of("a")]
    assert {"why", "unknown", "figures", "slices", "reading", "provenance"} <= {*anchors}
    assert {*links} <= {*anchors, "main"}


def test_a_closed_gate_says_why_and_what_to_do() -> None:
    inputs, _ = page_of("gate_closed")
    assert inputs.gate is not None
    why = page_at("gate_closed").section("why")
    assert inputs.gate.advice in why
    assert all(criterion.reason in why for criterion in inputs.gate.criteria if not criterion.passed)


def test_a_model_that_is_not_kept_says_what_got_worse() -> None:
    inputs = trained_inputs(forgetful)
    shown = page(inputs)
    assert shown.headings[0] == (1, "Do not keep the new model.")
    assert inputs.decision is not None
    assert all(reason in shown.section("why") for reason in inputs.decision.reasons)
    assert "Got worse: WER of general speech" in shown.section("why")
    assert shown.of("span", **{"class": "direction worse"})


def test_what_was_not_measured_is_not_passed_over() -> None:
    unknown = page_at("baseline").section("unknown")
    for part in (
        "What fine-tuning does: nothing was trained.",
        "How it hears people: all of this is synthetic speech",
        "Categories with too few rows: procedure (n = 3); 12 are needed for a rate.",
        "Phrase boosting: ",
        "Why terms are missed: nobody has looked yet.",
        "Numbers and doses: no measured row holds a quantity.",
    ):
        assert part in unknown
    assert "Model or pronunciation" not in unknown
    alike = [replace(row, ipa_source="espeak_g2p") for row in ROWS]
    assert "every pronunciation comes from espeak_g2p" in page(baseline_inputs(alike)).section("unknown")
    assert "Phrase boosting" not in rich_page().section("unknown")


def test_the_free_alternative_stands_beside_the_fine_tuned_model() -> None:
    shown = rich_page().section("alternatives")
    assert "rate n base as it is base, terms boosted (alpha 2) fine-tuned" in shown
    assert "Chosen strength (alpha) 2, on the development rows and replayed general speech" in shown
    without = page(with_boosting(page_of("trained")[0], alpha=0.0)).section("alternatives")
    assert "base, terms boosted" not in without
    assert "No strength tried on the development rows" in without


def test_doses_stand_where_they_were_measured() -> None:
    rows = [
        replace(row, text=f"{row.text} 5 mg") if row.subset == "general" and number % 2 else row
        for number, row in enumerate(ROWS)
    ]

    def loses_doses(row: Any, number: int) -> str:
        return adapted(row, number).replace("5 mg", "50 mg")

    shown = page(trained_inputs(loses_doses, rows)).section("doses")
    assert "general speech, before 12 0.0 % [0.0, 24.2] 0 0 0 0 0" in shown
    assert "general speech, after 12 100.0 % [75.8, 100.0] 12 12 0 0 0" in shown


def test_every_missed_term_has_what_was_heard_and_a_cause() -> None:
    shown = rich_page().section("heard")
    assert "cefazolin drug, spoken /ˈsɛfəzəlɪn/ 3 of 16 sefa zolin (2 times; 0.10)" in shown
    assert "left out (once)" in shown
    assert "pronunciation The engine speaks sɛf twice." in shown
    many = Misses("m", tuple(missed_term(term=f"term {number}") for number in range(20)), ())
    folded = page(replace(page_of("trained")[0], misses=many)).section("heard")
    assert "12 more terms, none of them worse" in folded and "term 19" in folded


def test_a_row_says_what_became_of_it_and_can_be_filtered_by_it() -> None:
    shown = rich_page()
    rows = shown.of("li", **{"class": "row"})
    assert [row["data-outcome"] for row in rows] == ["both", "broken", "mended"]
    assert [
        (row["data-category"], row["data-noise"], row["data-slice"], row["data-cause"]) for row in rows
    ] == [
        ("drug", "clean", "held out", "pronunciation"),
        ("drug", "snr_5db", "held out", "pronunciation"),
        ("drug", "clean", "unseen voice", "pronunciation"),
    ]
    assert [box["value"] for box in shown.of("input", type="radio")] == ["", "both", "mended", "broken"]
    # One value is nothing to choose from.
    assert [box["data-facet"] for box in shown.of("select")] == ["noise", "slice"]
    assert "hidden" in shown.of("form")[0]  # until a script can make it work
    listened = shown.section("listen")
    assert "Said: please review cefazolin with the team" in listened
    assert (
        "Fine-tuned heard: please review sefa zolin with team. Errors: sefa zolin for cefazolin; the left out."
        in listened
    )
    assert "No audio: the audio is not on this machine (gone.wav)." in listened


def test_before_training_there_is_one_model_to_listen_to() -> None:
    heard = "please review safe a line"
    row = row_to_hear(hypothesis=heard, before=heard)
    inputs = replace(page_of("baseline")[0], misses=Misses("m", (missed_term(),), (row,)))
    shown = page(inputs, Player(row, None, "none"))
    assert shown.of("li", **{"class": "row"})[0]["data-outcome"] == "missed"
    assert {found["data-who"] for found in shown.of("span") if "data-who" in found} == {"Said\nModel"}


@pytest.mark.parametrize(
    ("reference", "hypothesis", "columns"),
    [
        (
            "on cefazolin today",
            "on cefazolin today",
            [("on", CORRECT), ("cefazolin", CORRECT), ("today", CORRECT)],
        ),
        (
            "on cefazolin today",
            "on sefa zolin today",
            [("on", CORRECT), ("cefazolin", "substituted: sefa zolin"), ("today", CORRECT)],
        ),
        ("on cefazolin today", "on today", [("on", CORRECT), ("cefazolin", "deleted: "), ("today", CORRECT)]),
        ("on today", "on the day today", [("on", CORRECT), ("", "inserted: the day"), ("today", CORRECT)]),
        ("today", "today so", [("today", CORRECT), ("", "inserted: so")]),
        ("today", "", [("today", "deleted: ")]),
        ("", "hm", [("", "inserted: hm")]),
    ],
)
def test_words_are_aligned_as_errors_are_counted(
    reference: str, hypothesis: str, columns: list[tuple[str, str]]
) -> None:
    found = align(reference, [hypothesis])
    assert [
        (each.word, cell.kind if cell.kind == CORRECT else f"{cell.kind}: {cell.text}")
        for each in found
        for cell in each.heard
    ] == columns


def test_models_are_aligned_with_the_same_columns() -> None:
    found = align("on cefazolin", ["on the cefazolin", "on sefa zolin"])
    assert [(each.word, each.heard) for each in found] == [
        ("on", (Cell("correct", "on"), Cell("correct", "on"))),
        ("", (Cell("inserted", "the"), NONE)),
        ("cefazolin", (Cell("correct", "cefazolin"), Cell("substituted", "sefa zolin"))),
    ]


@functools.cache
def nasty_page() -> Page:
    row = row_to_hear(
        term=NASTY,
        voice_id=NASTY,
        noise_level=NASTY,
        subset=NASTY,
        ipa_source=NASTY,
        reference=NASTY,
        hypothesis=NASTY,
        before=NASTY,
        audio_filepath=NASTY,
    )
    term = missed_term(
        term=NASTY, why=NASTY, ipa=NASTY, entity_category=NASTY, heard=(HeardInstead(NASTY, 1, 0.5),)
    )
    inputs = replace(
        page_of("trained")[0],
        misses=Misses(NASTY, (term,), (row,)),
        provenance={NASTY: NASTY},
        split_counts={NASTY: {NASTY: 3}},
    )
    return page(inputs, Player(row, None, NASTY))


def test_whatever_a_text_holds_it_stays_a_text() -> None:
    shown, plain = nasty_page(), rich_page()
    assert len(shown.of("script")) == len(plain.of("script")) == 1
    assert shown.of("b") == []
    assert shown.of("li", **{"class": "row"})[0]["data-noise"] == NASTY
    coded = NASTY.replace("`", "")
    assert coded in shown.section("heard") and NASTY in shown.section("listen")
    assert NASTY in shown.section("provenance")


@pytest.mark.parametrize("shown", [rich_page, nasty_page])
def test_nothing_is_asked_of_anybody(shown: Any) -> None:
    found = shown()
    targets = [
        value
        for _, attributes in found.found
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "poster", "srcset", "data")
    ]
    assert [target for target in targets if not target.startswith(("#", "data:"))] == []
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", found.html) and "@import" not in found.html
    (policy,) = found.of("meta", **{"http-equiv": "Content-Security-Policy"})
    directives = dict(each.strip().split(" ", 1) for each in policy["content"].split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["media-src"] == directives["img-src"] == "data:"
    script = found.html.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert directives["script-src"] == f"'sha256-{digest}'"


def test_tables_name_their_rows_and_columns() -> None:
    shown = rich_page()
    assert len(shown.of("table")) == len(shown.of("caption")) >= 8
    assert all(found["scope"] in ("col", "row") for found in shown.of("th"))
    assert all(found["data-label"] for found in shown.of("td"))
    for table in re.findall(r"<table.*?</table>", shown.html, re.DOTALL):
        widths = [len(re.findall(r"<t[hd] ", row)) for row in table.split("<tr ")[1:]]
        assert len(widths) > 1 and len({*widths}) == 1, table


def test_rendering_is_pure() -> None:
    assert rich_page().html == page(*rich_inputs()).html


# ---- players


def wav(path: Path, seconds: float = 2.0, channels: int = 1) -> str:
    time = np.arange(int(16000 * seconds)) / 16000
    tone = 0.3 * np.sin(2 * np.pi * 300 * time)
    soundfile.write(path, np.column_stack([tone] * channels), 16000, subtype="PCM_16")
    return str(path)


def test_audio_is_small_and_is_what_was_recorded(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", channels=2)
    (player,) = players_of(Misses("m", (), (row_to_hear(audio_filepath=path),)))
    assert player.audio is not None and player.why_not == ""
    kind, _, encoded = player.audio.partition(";base64,")
    assert kind in ("data:audio/mpeg", "data:audio/flac")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
    assert rate == 16000 and samples.ndim == 1
    assert len(samples) / rate == pytest.approx(2.0, abs=0.15)
    loudest = np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)
    assert loudest == pytest.approx(300, abs=5)
    assert len(encoded) < Path(path).stat().st_size / 3
    assert player == players_of(Misses("m", (), (row_to_hear(audio_filepath=path),)))[0]


def test_a_row_without_audio_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF, and then nothing")
    there = wav(tmp_path / "there.wav")
    rows = (
        row_to_hear(audio_filepath=str(tmp_path / "gone.wav")),
        row_to_hear(audio_filepath=str(tmp_path / "broken.wav")),
        row_to_hear(audio_filepath=there, subset="human"),
        row_to_hear(audio_filepath=there),
        row_to_hear(audio_filepath=there, id="last"),
    )
    size = len(players_of(Misses("m", (), rows[3:4]))[0].audio or "")
    players = players_of(Misses("m", (), rows), audio_bytes=size)
    assert [player.audio is None for player in players] == [True, True, True, False, True]
    assert [player.why_not.partition(" (")[0] for player in players] == [
        "the audio is not on this machine",
        "the audio cannot be read",
        "a person's recording is not copied into a page",
        "",
        "left out to keep the page small",
    ]
    assert [player.row for player in players] == [*rows]


def test_a_page_has_so_many_rows_and_no_more(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", seconds=0.3)
    misses = Misses("m", (), tuple(row_to_hear(id=str(number), audio_filepath=path) for number in range(40)))
    assert [player.row.id for player in players_of(misses)] == [str(number) for number in range(24)]
    assert len(players_of(misses, limit=3)) == 3
