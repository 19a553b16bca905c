"""The history: cycles that were really scored, compared and decided, read back as one page."""

import io
import itertools
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from matplotlib import image

from flywheel.corpus.manifest import read_manifest, write_manifest
from flywheel.files.atomic import read_json, read_jsonl, write_jsonl
from flywheel.files.cycles import CycleFolder, EvalFolder
from flywheel.files.records import write_record
from flywheel.recognisers.evaluation import read_scored_rows, score
from flywheel.recognisers.registry import Registry
from flywheel.report.history import (
    History,
    figure_description,
    headline,
    read_history,
    render,
    render_figure,
    write_history,
)
from flywheel.report.history.turns import Measured
from flywheel.report.leaderboard import render_figure as render_leaderboard_figure
from flywheel.report.theme import LIGHT
from flywheel.scoring import CLINICAL, RowScore, compare, keyword_error_rate
from flywheel.scoring.intervals import wilson
from flywheel.scoring.numbers_as_text import missed_of
from flywheel.verdict.decision import decide, earlier_drops
from tests.cycle_on_disk import baseline_cycle, evaluation
from tests.leaderboard_page import page_of
from tests.stamps import stamped


def listened(folder: EvalFolder, label: str, *, misses_every: int, forgets: bool = False) -> None:
    """The evaluation of a model that misses some terms, and may have forgotten the last words of general speech."""
    evaluation(folder, label, misses_every=misses_every)
    if forgets:
        rows = read_jsonl(folder.hyps)
        last_lost = (row | {"pred_text": row["text"].rsplit(" ", 1)[0]} for row in rows)
        write_jsonl(
            folder.hyps,
            (row if "term" in row else heard for row, heard in zip(rows, last_lost, strict=True)),
        )
        score(folder, label)


def turned(
    data: Path, cycle: str, before: int, after: int, *, forgets: bool = False, rows: int = 0
) -> CycleFolder:
    """A trained cycle whose models miss the term of one row in `before` and in `after`; `rows` are held out at most."""
    folder = baseline_cycle(data, cycle)
    if rows:
        for each in (folder.baseline, folder.next):
            kept = list(read_manifest(each.rows))
            held_out = [row for row in kept if row.subset == "validation"]
            write_manifest(each.rows, [row for row in kept if row not in held_out[rows:]])
    listened(folder.baseline, "the base", misses_every=before, forgets=forgets)
    listened(folder.next, f"fine-tuned in {cycle}", misses_every=after, forgets=forgets)
    compared = compare(
        read_scored_rows(folder.baseline), read_scored_rows(folder.next), priority_categories=("drug",)
    )
    decided = decide(compared, previous_drops=earlier_drops(folder))
    write_record(folder.comparison, compared)
    write_record(folder.decision, decided)
    if decided.promote:
        folder.adapted_model.write_bytes(f"the model of {cycle}".encode())
        Registry(data / "models").promote(
            folder.adapted_model, cycle=cycle, base_model="bundled", decision=" ".join(decided.reasons)
        )
    return stamped(folder, also=("adapted_model",))


@dataclass(frozen=True)
class Told:
    """A history as a reader meets it."""

    history: History
    page: str

    def section(self, number: int) -> str:
        (found,) = re.findall(rf"^## {number}\. .*?(?=^## |\Z)", self.page, re.M | re.S)
        return found

    def table(self, number: int) -> list[list[str]]:
        """The cells of the first table of a section, without its header."""
        lines = [line for line in self.section(number).splitlines() if line.startswith("|")]
        own = list(itertools.takewhile(lambda line: not re.match(r"\| \D", line), lines[2:]))
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in own]


def told(folder: CycleFolder) -> Told:
    history = read_history(folder)
    return Told(history, render(history, "history.png"))


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kept model, two trainings in vain on more rows, and a closed gate."""
    data = tmp_path_factory.mktemp("four")
    turned(data, "cycle1", 1, 9, rows=8)
    turned(data, "cycle2", 2, 2)
    turned(data, "cycle3", 2, 2, forgets=True)
    baseline_cycle(data, "cycle4", minimum_rows=1000)
    return data


@pytest.fixture
def data(four: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(four, tmp_path / "data")


def test_each_cycle_is_a_line_with_its_result(four: Path) -> None:
    page = told(CycleFolder(four, "cycle4"))
    assert [(cells[0], cells[2], cells[3]) for cells in page.table(1)] == [
        ("1", "keep", "**yes**"),
        ("2", "no_change", "no"),
        ("3", "no_change", "no"),
        ("4", "gate closed", "no"),
    ]
    assert [cells[4] for cells in page.table(1)] == [
        # Of too few terms to have an interval, as the others of too few misses.
        "-100.0 % [no interval]",
        *["0.0 % [no interval]"] * 2,
        "-",
    ]
    assert "1000 are needed" in page.table(1)[3][6]
    assert "Not in this history" not in page.page


def test_rates_are_those_of_the_cycles_own_files(four: Path) -> None:
    page = told(CycleFolder(four, "cycle4"))
    for turn in page.history.turns:
        scores = read_json(turn.folder.baseline.scores)["slices"]
        assert turn.before.wer is not None
        assert turn.before.wer.value == scores["held_out"]["wer"]["value"]
        assert turn.before.general_wer is not None
        bounds = ("value", "low", "high", "n")
        assert [getattr(turn.before.general_wer, bound) for bound in bounds] == [
            scores["general"]["wer"][bound] for bound in bounds
        ]
        assert turn.before.priority_ker is not None
        assert (
            turn.before.priority_ker.value
            == scores["held_out"]["by"]["entity_category"]["drug"]["ker"]["value"]
        )
    assert "not measured (gate closed)" in page.table(2)[3]


def test_two_trainings_in_vain_are_told_to_stop(four: Path) -> None:
    """The rule is the decision's; a closed gate since then changes nothing about it."""
    third, fourth = told(CycleFolder(four, "cycle3")), told(CycleFolder(four, "cycle4"))
    for page in (third, fourth):
        assert page.history.stop is not None
        assert page.history.stop.number == 3
        assert page.page.splitlines()[2].startswith("**Stop tuning.** ")
        assert "two cycles running gained less than 5.0 %" in page.page.splitlines()[2]
    assert fourth.page.splitlines()[4].startswith(
        "**Cycle 4: nothing was trained because the gate is closed.** "
    )
    assert told(CycleFolder(four, "cycle2")).history.stop is None


@pytest.mark.parametrize(
    ("cycle", "verdict"),
    [
        ("cycle1", "**Cycle 1: the new model was kept.** Use the new model"),
        (
            "cycle2",
            "**Cycle 2: the new model was not kept.** The new model misses as many terms as the old one.",
        ),
    ],
)
def test_the_answer_comes_first(four: Path, cycle: str, verdict: str) -> None:
    page = told(CycleFolder(four, cycle))
    assert page.page.splitlines()[2].startswith(verdict)
    assert headline(page.history).splitlines()[0].startswith(verdict.replace("*", ""))


def test_a_history_knows_nothing_of_later_cycles(four: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    for part in ("models", "cycles/cycle1"):
        shutil.copytree(four / part, alone / part)
    log = alone / "models" / "registry.json"
    assert len(read_json(log)) == 1
    first = told(CycleFolder(alone, "cycle1"))
    assert told(CycleFolder(four, "cycle1")).page == first.page
    assert first.history.shared is None
    assert "The same rows in every cycle" not in first.page


def rows_of(folder: EvalFolder, ids: set[str]) -> list[RowScore]:
    return [row for row in read_scored_rows(folder) if row.id in ids]


def test_cycles_are_compared_on_the_rows_that_all_of_them_hold_out(four: Path) -> None:
    """Held against the scoring itself: cycle 1 held out 8 rows, the others more."""
    folders = [CycleFolder(four, f"cycle{number}") for number in range(1, 5)]
    shared = set.intersection(
        *(
            {row.id for row in read_manifest(folder.baseline.rows) if row.subset == "validation"}
            for folder in folders
        )
    )
    page = told(folders[-1])
    assert page.history.shared is not None
    sizes = [turn.before.wer.n for turn in page.history.turns if turn.before.wer is not None]
    assert sizes[0] == len(shared) < sizes[1]
    for folder, found in zip(folders, page.history.shared.before, strict=True):
        drugs = [row for row in rows_of(folder.baseline, shared) if row.transcript.entity_category == "drug"]
        assert found.priority_ker == keyword_error_rate(drugs)
    assert page.history.shared.after[-1] is None


def test_what_general_speech_lost_over_all_cycles_is_added_up(data: Path) -> None:
    """Each cycle may be within its cap; from the first base to the last model it is what it is."""
    page = told(turned(data, "cycle5", 1, 9, forgets=True))
    first, last = CycleFolder(data, "cycle1").baseline, CycleFolder(data, "cycle5").next
    general = {row.id for row in read_scored_rows(last) if row.transcript.subset == "general"}
    whole = compare(rows_of(first, general), rows_of(last, general), priority_categories=()).general_wer
    assert page.history.turns[-1].decision.promote
    assert page.history.shared is not None
    assert whole is not None
    assert page.history.shared.general_change == whole.difference
    assert whole.difference.value > 0.02
    kept = page.history.shared.kept.priority_ker
    assert kept is not None
    assert (
        f"drug mentions missed at first, {missed_of(kept)} in the end; the WER on general speech changed by +"
        in page.page
    )


Spoil = Callable[[CycleFolder], None]


def without(name: str) -> Spoil:
    return lambda folder: (folder.root / name).unlink()


def edited(name: str, find: str, put: str) -> Spoil:
    def spoil(folder: CycleFolder) -> None:
        text = (folder.root / name).read_text()
        assert find in text
        (folder.root / name).write_text(text.replace(find, put))
        stamped(folder, also=("adapted_model",))

    return spoil


def rescored(folder: CycleFolder) -> None:
    edited("baseline/scores.json", f'"version": "{CLINICAL.version}"', '"version": "0"')(folder)
    edited("comparison.json", CLINICAL.label, "flywheel_clinical 0")(folder)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(
            without("baseline/scores.json"),
            "baseline/scores.json is missing; materialise baseline_eval again",
            id="no baseline",
        ),
        pytest.param(
            without("gate.json"), "gate.json is missing; materialise gate_decision again", id="no gate"
        ),
        pytest.param(
            without("comparison.json"),
            "comparison.json is missing; materialise decision again",
            id="no comparison",
        ),
        pytest.param(
            without("decision.json"), "decision.json is missing; materialise decision again", id="no decision"
        ),
        pytest.param(edited("gate.json", "{", ""), "gate.json: not JSON", id="broken gate"),
        pytest.param(
            without("next/rows.parquet"),
            "next/rows.parquet is missing; materialise next_eval again",
            id="no rows",
        ),
        pytest.param(
            edited("baseline/scores.json", '"cer"', '"rec"'),
            "slices.held_out.rec: found",
            id="scores of another version",
        ),
        pytest.param(edited("decision.json", '"no_change"', '"shrug"'), "found 'shrug'", id="unknown action"),
        pytest.param(
            edited("comparison.json", CLINICAL.label, "flywheel_clinical 0"),
            f"its baseline is scored with {CLINICAL.label}, its comparison with flywheel_clinical 0",
            id="half scored",
        ),
        pytest.param(
            rescored,
            f"scored with flywheel_clinical 0, but the newest cycle with {CLINICAL.label}",
            id="rescored",
        ),
    ],
)
def test_a_cycle_that_cannot_be_shown_is_named(data: Path, spoil: Spoil, why: str) -> None:
    spoil(CycleFolder(data, "cycle2"))
    page = told(CycleFolder(data, "cycle4"))
    assert [turn.number for turn in page.history.turns] == [1, 3, 4]
    ((left_out),) = page.history.left_out
    assert left_out.cycle == "cycle2"
    assert why in left_out.why
    assert "- cycle2: " in page.section(7)


def test_cycles_without_a_folder_are_named(data: Path) -> None:
    for number in (1, 3):
        shutil.rmtree(CycleFolder(data, f"cycle{number}").root)
    CycleFolder(data, "cycle9").root.mkdir()
    page = told(CycleFolder(data, "cycle9"))
    assert [each.cycle for each in page.history.left_out] == [
        "cycle1",
        "cycle3",
        "cycle5 to cycle8",
        "cycle9",
    ]


def test_before_any_cycle_is_finished_the_page_says_so(tmp_path: Path) -> None:
    folder = CycleFolder(tmp_path, "cycle1")
    page = told(folder)
    write_history(folder)
    assert page.page.startswith("# History: cycle 1\n\n**No cycle is finished yet.**\n")
    assert "- cycle1: no folder here" in page.page
    assert folder.history.with_suffix(".png").stat().st_size > 1000


def test_a_cycle_whose_table_of_rows_is_damaged_is_left_out(data: Path) -> None:
    """It would be in every table but one."""
    CycleFolder(data, "cycle2").next.scored_rows.write_bytes(b"PAR1")
    (left_out,) = read_history(CycleFolder(data, "cycle4")).left_out
    assert left_out.cycle == "cycle2"
    assert left_out.why.endswith(
        "next/rows.parquet is not what next_eval left there; materialise next_eval again"
    )


def test_promotions_and_rollbacks_come_with_their_right(data: Path) -> None:
    registry = Registry(data / "models")
    registry.rollback(reason="worse | on the ward")
    (promotion, rollback) = registry.entries()
    page = told(CycleFolder(data, "cycle4"))
    first, second = page.section(6).strip().splitlines()[-2:]
    assert first.startswith(
        f"- {promotion.time}: **promoted** the model of cycle1 (`{promotion.sha256[:12]}`), fine-tuned from bundled. "
    )
    assert "Exact McNemar test: p = 0." in first
    assert second == f"- {rollback.time}: **rolled back** to the base. Reason: worse \\| on the ward."
    assert "In use after these cycles: the base, because all models were rolled back." in page.page
    registry.rollback("cycle1")
    page = told(CycleFolder(data, "cycle4"))
    assert f"In use after these cycles: the model of cycle1 ({promotion.sha256[:12]})." in page.page
    assert page.section(6).strip().endswith("Reason: none was given.")


def test_a_model_that_was_to_be_kept_but_is_not_registered_is_no_promotion(data: Path) -> None:
    Registry(data / "models").log.unlink()
    page = told(CycleFolder(data, "cycle4"))
    assert page.table(1)[0][3] == "decided, but not in the registry"
    assert "None: every cycle starts from the base." in page.section(6)


def test_cycles_with_other_priorities_say_so(data: Path) -> None:
    edited("gate.json", '"drug"\n', '"drug",\n    "procedure"\n')(CycleFolder(data, "cycle4"))
    page = told(CycleFolder(data, "cycle4"))
    assert "2. KER of drug or drug and procedure terms" in page.section(2)
    assert [cells[0] for cells in page.table(2)] == [
        "1 (drug)",
        "2 (drug)",
        "3 (drug)",
        "4 (drug and procedure)",
    ]


def test_the_page_is_markdown_with_its_figure_beside_it(four: Path) -> None:
    folder = CycleFolder(four, "cycle4")
    page = told(folder)
    write_history(folder)
    assert folder.history.read_text(encoding="utf-8") == page.page
    html = MarkdownIt("commonmark").enable("table").render(page.page)
    assert html.count("<table>") == 6
    assert re.findall(r'<img src="([^"]+)"', html) == ["history.png"]
    assert folder.history.with_suffix(".png").read_bytes() == render_figure(page.history)
    assert "history.png" not in render(page.history)
    assert "cycle 1 100.0 % to 0.0 %" in figure_description(page.history)


def many(history: History, cycles: int) -> History:
    """As many turns as asked for, from those there are."""
    turns = [
        replace(turn, folder=CycleFolder(turn.folder.data, f"cycle{number}"))
        for number, turn in zip(range(1, cycles + 1), itertools.cycle(history.turns), strict=False)
    ]
    return replace(history, turns=tuple(turns), number=cycles)


def pixels(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_the_figure_grows_with_the_cycles(four: Path) -> None:
    history = read_history(CycleFolder(four, "cycle4"))
    figures = [render_figure(many(history, cycles), dots_per_inch=80) for cycles in (1, 3, 12, 12)]
    widths = [pixels(png)[0] for png in figures]
    assert widths[0] == widths[1] == 576 < widths[2]
    assert max(map(len, figures)) < 100_000
    assert figures[2] == figures[3]


def test_the_figure_has_the_colours_of_the_leaderboards(four: Path) -> None:
    history = read_history(CycleFolder(four, "cycle1"))
    leaderboards = render_leaderboard_figure(page_of("trained")[0], "category")
    for png in (render_figure(history), leaderboards):
        colours = {
            tuple(colour)
            for colour in (image.imread(io.BytesIO(png))[..., :3] * 255).astype(int).reshape(-1, 3)
        }
        for name in ("before", "after", "surface"):
            assert tuple(bytes.fromhex(LIGHT[name][1:])) in colours, name


@pytest.mark.parametrize("lacking", ["priority_ker", "wer", "general_wer"])
def test_what_was_not_measured_is_left_out_of_the_figure_and_said_on_the_page(
    four: Path, lacking: str
) -> None:
    history = read_history(CycleFolder(four, "cycle1"))
    (turn,) = history.turns
    assert turn.after is not None
    one = replace(turn, before=_lacking(turn.before, lacking), after=_lacking(turn.after, lacking))
    history = replace(history, turns=(one,))
    assert pixels(render_figure(history, dots_per_inch=80))[0] == 576
    assert "not measured (no such rows)" in render(history)


def _lacking(measured: Measured, name: str) -> Measured:
    return replace(measured, **{name: None})


def test_the_model_in_use_is_the_one_that_was_kept(four: Path) -> None:
    kept: Sequence[Measured] = [turn.kept for turn in read_history(CycleFolder(four, "cycle4")).turns]
    assert [each.priority_ker and each.priority_ker.value == 0 for each in kept] == [
        True,
        False,
        False,
        False,
    ]
    assert kept[0].priority_ker == wilson(0, kept[0].priority_ker.n if kept[0].priority_ker else 0)
