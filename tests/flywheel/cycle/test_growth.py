"""What counts as growth, when it is enough, and what a cycle lacks before the next one may begin."""

import os
import time
from pathlib import Path

import pytest

from flywheel.cycle import growth
from flywheel.cycle.growth import (
    Growth,
    GrowthSettings,
    Remembered,
    Sources,
    look,
    offered_before,
    unfinished,
    write_offered,
)
from flywheel.errors import FlywheelError, Problems
from flywheel.files.atomic import write_json, write_text
from flywheel.files.cycles import CycleFolder
from flywheel.recognisers.registry import Registry
from tests.cycle_on_disk import baseline_cycle, trained_cycle
from tests.stamps import stamped

HEADER = "term,entity_category\n"
DRUGS = [f"cefa{letter}olin,drug" for letter in "abcdefghijklmnopqrst"]
LATER = time.time() + 3600
"""When everything that the tests write has settled."""


class Outside:
    """What a team gives: a seed and recordings; and the newest cycle, which had some of it."""

    def __init__(self, root: Path) -> None:
        self.data, self.seed, self.recordings = root / "data", root / "seed.csv", root / "recordings"
        self.recordings.mkdir()
        self.has([])

    def has(self, lines: list[str], terms: list[str] | None = None) -> None:
        write_text(self.seed, HEADER + "\n".join(DRUGS[:5] if terms is None else terms) + "\n")
        write_text(self.recordings / "a.jsonl", "".join(f"{line}\n" for line in lines))

    def turned(self, cycle: str = "cycle1") -> CycleFolder:
        """A cycle that had what is there now."""
        folder = CycleFolder(self.data, cycle)
        write_text(folder.term_seed, self.seed.read_text())
        write_offered(folder.offered, self.recordings, now=LATER)
        return folder

    def growth(self, newest: CycleFolder | None) -> Growth:
        return look(Sources(self.seed, self.recordings, newest), now=LATER).growth


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path)


NOTHING = "nothing new since cycle1"


@pytest.mark.parametrize(
    ("terms", "lines", "said", "opens"),
    [
        pytest.param(DRUGS[:5], ["1", "2"], NOTHING, False, id="nothing"),
        pytest.param(DRUGS[4::-1], ["2", "1"], NOTHING, False, id="another order"),
        pytest.param(DRUGS[:14], ["1", "2"], "9 new terms since cycle1", False, id="9 terms"),
        pytest.param(DRUGS[:15], ["1", "2"], "10 new terms since cycle1", True, id="10 terms"),
        pytest.param(
            DRUGS[:5],
            [str(n) for n in range(1, 102)],
            "99 new recordings since cycle1",
            False,
            id="99 recordings",
        ),
        pytest.param(
            DRUGS[:5],
            [str(n) for n in range(1, 103)],
            "100 new recordings since cycle1",
            True,
            id="100 recordings",
        ),
        pytest.param(
            [*DRUGS[1:5], "cefaxolin,drug"],
            ["1", "2"],
            "1 new term and 1 term gone since cycle1",
            False,
            id="a term renamed",
        ),
        pytest.param(
            ["cefaaolin,lab", *DRUGS[1:5]],
            ["1", "2"],
            "1 term in another category since cycle1",
            False,
            id="a category changed",
        ),
        pytest.param(
            DRUGS[:2], ["2"], "3 terms gone and 1 recording gone since cycle1", False, id="it shrank"
        ),
        pytest.param(
            DRUGS[5:15],
            ["1", "2"],
            "10 new terms and 5 terms gone since cycle1",
            True,
            id="it became another",
        ),
    ],
)
def test_what_is_growth_and_when_it_is_enough(
    outside: Outside, terms: list[str], lines: list[str], said: str, opens: bool
) -> None:
    outside.has(["1", "2"])
    newest = outside.turned()
    outside.has(lines, terms)
    found = outside.growth(newest)
    assert found.said == said
    assert bool(found.reasons(GrowthSettings())) is opens


def test_the_reason_names_some_terms(outside: Outside) -> None:
    newest = outside.turned()
    outside.has([str(n) for n in range(120)], DRUGS[:17])
    assert outside.growth(newest).reasons(GrowthSettings()) == (
        "12 new terms since cycle1 (cefafolin, cefagolin, cefaholin, cefaiolin, cefajolin and 7 more)",
        "120 new recordings since cycle1",
    )


def test_after_shrinking_it_is_counted_against_the_newest_cycle_as_it_is(outside: Outside) -> None:
    outside.has([], DRUGS[:15])
    outside.turned("cycle1")
    outside.has([], DRUGS[:5])
    newest = outside.turned("cycle2")
    outside.has([], DRUGS[:15])
    assert outside.growth(newest).new_terms == 10


def test_a_cycle_from_before_recordings_were_offered_was_offered_none(outside: Outside) -> None:
    newest = outside.turned()
    newest.offered.unlink()
    outside.has(["1", "2", "3"])
    assert outside.growth(newest).new_rows == 3


def test_without_a_cycle_everything_is_new(outside: Outside) -> None:
    outside.has(["1"])
    found = outside.growth(None)
    assert (found.since, found.new_terms, found.new_rows) == ("", 5, 1)
    assert found.said == "5 new terms and 1 new recording"


def test_files_being_written_are_left_alone_and_not_taken_for_gone(outside: Outside) -> None:
    outside.has(["1", "2"])
    newest = outside.turned()
    changed = LATER - 1
    os.utime(outside.recordings / "a.jsonl", (changed, changed))
    assert outside.growth(newest).said == "nothing new since cycle1; 1 file still being written"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "an empty file", id="truncated to nothing"),
        pytest.param("term;category\ncefazolin;drug\n", "header", id="another header"),
        pytest.param(HEADER + "cefazolin,drug\nmetopro", "1 values", id="half written"),
        pytest.param(HEADER + "Cefazolin,drug\n", "upper case", id="a term that cannot be used"),
        pytest.param(None, "no such file", id="gone"),
    ],
)
def test_a_seed_that_cannot_be_used_is_said_and_can_be_used_later(
    outside: Outside, text: str | None, message: str
) -> None:
    newest = outside.turned()
    outside.seed.unlink()
    if text is not None:
        outside.seed.write_text(text)
    with pytest.raises(FlywheelError, match=message):
        outside.growth(newest)
    outside.has([], DRUGS[:15])
    assert outside.growth(newest).new_terms == 10


def test_a_seed_that_was_just_changed_is_left_alone(outside: Outside) -> None:
    newest = outside.turned()
    changed = LATER - 1
    os.utime(outside.seed, (changed, changed))
    with pytest.raises(FlywheelError, match=r"seed\.csv: was changed just now"):
        outside.growth(newest)


def test_the_content_is_what_is_offered_and_nothing_else(outside: Outside) -> None:
    """By it Dagster, and the folder of each cycle, tell that this was trained already."""
    contents = []
    for terms, lines in (
        (DRUGS[:5], ["1", "2"]),
        (DRUGS[4::-1], ["2", "1", "1"]),
        (DRUGS[:6], ["1", "2"]),
        (["cefaaolin,lab", *DRUGS[1:5]], ["1", "2"]),
        (DRUGS[:5], ["1", "3"]),
        (DRUGS[:5], ["1"]),
    ):
        outside.has(lines, terms)
        contents.append(outside.growth(None).content)
    assert contents[0] == contents[1]
    assert len(set(contents)) == len(contents) - 1
    assert outside.growth(outside.turned()).content == contents[-1]


def test_content_is_found_in_the_cycle_that_was_offered_it(outside: Outside) -> None:
    contents = []
    for number, terms in enumerate((DRUGS[:5], DRUGS[:10], DRUGS[:5]), start=1):
        outside.has(["1"], terms)
        outside.turned(f"cycle{number}")
        contents.append(outside.growth(None).content)
    assert offered_before(outside.data, contents[0]) == "cycle3"
    assert offered_before(outside.data, contents[1]) == "cycle2"
    assert offered_before(outside.data, "0" * 64) == ""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda outside: outside.has(["1"], DRUGS[:6]), id="the seed"),
        pytest.param(lambda outside: outside.has(["1", "2"]), id="a manifest"),
        pytest.param(
            lambda outside: write_text(outside.recordings / "b.jsonl", "2\n"), id="another manifest"
        ),
        pytest.param(lambda outside: (outside.recordings / "a.jsonl").unlink(), id="a manifest less"),
    ],
)
def test_nothing_is_read_again_until_something_is_changed(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, change
) -> None:
    outside.has(["1"])
    sources = Sources(outside.seed, outside.recordings, outside.turned())
    before = look(sources, now=LATER)
    with monkeypatch.context() as patched:
        for reading in ("read_term_seed", "line_digests", "read_offered"):
            patched.delattr(growth, reading)
        assert look(sources, before, now=LATER) is before
    change(outside)
    after = look(sources, before, now=LATER)
    assert after.growth != before.growth


def test_a_new_cycle_is_what_is_counted_against_from_then_on(outside: Outside) -> None:
    newest = outside.turned()
    outside.has([], DRUGS[:15])
    before = look(Sources(outside.seed, outside.recordings, newest), now=LATER)
    after = look(Sources(outside.seed, outside.recordings, outside.turned("cycle2")), before, now=LATER)
    assert (before.growth.new_terms, after.growth.new_terms) == (10, 0)


def test_what_is_remembered_reads_back_and_stays_small(outside: Outside) -> None:
    outside.has([f"{number}" for number in range(10_000)], DRUGS)
    found = look(Sources(outside.seed, outside.recordings, None), now=LATER)
    remembered = Remembered("first", found)
    assert Remembered.from_json(remembered.to_json()) == remembered
    assert len(remembered.to_json()) < 1000


@pytest.mark.parametrize("text", [None, "", "hello", "[]", "{}", '{"first": "", "last": {"growth": {}}}'])
def test_what_is_not_remembered_is_a_first_look(text: str | None) -> None:
    assert Remembered.from_json(text) is None


@pytest.mark.parametrize(
    ("variables", "settings"),
    [
        ({}, GrowthSettings(on=True, rows=100, terms=10, seconds=30)),
        ({"FLYWHEEL_GROWTH": "off"}, GrowthSettings(on=False)),
        ({"FLYWHEEL_GROWTH": "on", "FLYWHEEL_GROWTH_ROWS": ""}, GrowthSettings()),
        ({"FLYWHEEL_GROWTH_ROWS": "7", "FLYWHEEL_GROWTH_TERMS": "3"}, GrowthSettings(rows=7, terms=3)),
        ({"FLYWHEEL_GROWTH_SECONDS": "5"}, GrowthSettings(seconds=5)),
    ],
)
def test_settings_come_from_the_environment(variables: dict[str, str], settings: GrowthSettings) -> None:
    assert GrowthSettings.from_environment(variables) == settings


def test_settings_that_cannot_be_used_are_named_all_at_once() -> None:
    with pytest.raises(Problems) as caught:
        GrowthSettings.from_environment(
            {"FLYWHEEL_GROWTH": "yes", "FLYWHEEL_GROWTH_ROWS": "0", "FLYWHEEL_GROWTH_TERMS": "ten"}
        )
    assert caught.value.problems == (
        "FLYWHEEL_GROWTH: found 'yes'; allowed: on, off",
        "FLYWHEEL_GROWTH_ROWS: found '0'; allowed: a whole number from 1",
        "FLYWHEEL_GROWTH_TERMS: found 'ten'; allowed: a whole number from 1",
    )


def test_what_a_cycle_lacks_until_it_is_finished(tmp_path: Path) -> None:
    """The same folder, at one step after another."""
    folder = CycleFolder(tmp_path, "cycle1")
    folder.root.mkdir(parents=True)
    registry = Registry(tmp_path / "models")
    assert unfinished(folder, registry) == f"there is no {folder.term_seed} yet"
    write_text(folder.term_seed, HEADER + "cefazolin,drug\n")
    assert unfinished(folder, registry) == "its gate has not decided yet"
    write_json(folder.audition / "state.json", waiting := dict(WAITING))
    assert unfinished(folder, registry) == "the synthesis waits for verdicts"
    write_json(folder.audition / "state.json", waiting | {"open": True})
    baseline_cycle(tmp_path, minimum_rows=100_000)
    assert unfinished(folder, registry) == ""
    baseline_cycle(tmp_path)
    assert unfinished(folder, registry) == "its gate is open, and nothing is decided about its model yet"
    trained_cycle(tmp_path)
    assert unfinished(folder, registry) == ""
    registry.log.unlink()
    assert unfinished(folder, registry) == "its model is to be kept, and is not promoted yet"
    write_json(folder.gate, {"closed": False})
    stamped(folder)
    with pytest.raises(
        FlywheelError, match=r"gate\.json: open: missing; .*; materialise gate_decision again"
    ):
        unfinished(folder, registry)


WAITING = {
    "policy": "require",
    "open": False,
    "advice": "the synthesis waits for verdicts",
    "counts": {},
    "page": "",
    "verdicts": "",
}


def test_many_recordings_are_new_then_offered_already_then_some_more(outside: Outside) -> None:
    many = 20_000
    outside.has([f'{{"audio_filepath": "ward/{n:07d}.wav", "text": "{"x" * 120}"}}' for n in range(many)])
    newest = outside.turned()
    sources = Sources(outside.seed, outside.recordings, newest)
    for new in (many, 0, 150):
        if new == many:
            newest.offered.rename(offered := newest.root / "aside.txt")
        elif new == 0:
            offered.rename(newest.offered)
        else:
            write_text(outside.recordings / "b.jsonl", "".join(f"{n}\n" for n in range(150)))
        assert look(sources, now=LATER).growth.new_rows == new
