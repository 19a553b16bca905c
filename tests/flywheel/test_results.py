"""What a notebook gets: the rows and rates of a cycle as pandas tables."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from flywheel import results
from flywheel.errors import FlywheelError
from flywheel.files.cycles import CycleFolder
from flywheel.recognisers.evaluation import read_scored_rows, read_scores
from tests.cycle_on_disk import trained_cycle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> CycleFolder:
    return trained_cycle(tmp_path_factory.mktemp("data"), boosted=True)


def test_rows_have_a_line_an_utterance_and_every_described_column(folder: CycleFolder) -> None:
    rows = results.rows("cycle1", data=folder.data)
    scored = read_scored_rows(folder.baseline)
    assert rows["id"].tolist() == [row.id for row in scored]
    assert list(rows.columns) == list(results.row_columns().index)
    assert rows["ker"].sum() == sum(bool(row.term_missed) for row in scored)
    assert rows.loc[rows["term"].isna(), "ker"].isna().all(), "what a row does not have is null"


def test_groups_of_rows_have_the_rates_of_the_scores(folder: CycleFolder) -> None:
    held_out = results.rows("cycle1", "next", folder.data).query("subset == 'validation'")
    by_category = held_out.groupby("entity_category")["ker"].mean()
    expected = read_scores(folder.next).ker_by("held_out", "entity_category")
    assert by_category.to_dict() == {name: ker.value for name, ker in expected.items()}


@pytest.mark.parametrize("evaluation", ["baseline", "boosted", "next"])
def test_scores_have_a_line_a_rate(folder: CycleFolder, evaluation: results.Evaluation) -> None:
    found = results.scores("cycle1", evaluation, folder.data)
    assert list(found.columns) == ["slice", "breakdown", "level", "metric", "value", "low", "high", "n"]
    scores = read_scores(getattr(folder, evaluation))
    (ker,) = found.query("slice == 'held_out' and metric == 'ker' and breakdown == ''").to_dict("records")
    expected = scores.metric("held_out", "ker")
    assert expected is not None
    assert (ker["value"], ker["low"], ker["n"]) == (expected.value, expected.low, expected.n)
    assert found.query("slice == 'general' and metric == 'ker'").empty, "what was not measured has no line"
    assert (found["low"].isna() == found["high"].isna()).all()


def test_the_data_folder_is_that_of_the_environment(
    folder: CycleFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYWHEEL_DATA", str(folder.data))
    pd.testing.assert_frame_equal(results.rows("cycle1"), results.rows("cycle1", data=folder.data))
    monkeypatch.setenv("HOME", str(folder.data.parent))
    monkeypatch.setenv("FLYWHEEL_DATA", f"~/{folder.data.name}")
    assert len(results.scores("cycle1"))


def test_an_evaluation_that_is_not_there_says_what_to_materialise(tmp_path: Path) -> None:
    with pytest.raises(
        FlywheelError, match=r"cycle2/boosted/rows\.parquet: no such file; materialise boosted_eval"
    ):
        results.rows("cycle2", "boosted", tmp_path)
    with pytest.raises(
        FlywheelError, match=r"cycle2/next/scores\.json: no such file; materialise next_eval again"
    ):
        results.scores("cycle2", "next", tmp_path)


def test_the_documentation_names_every_column_with_what_it_holds() -> None:
    text = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    table = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]
    documented = {name: meaning for name, _kind, meaning in table[2:]}
    assert documented == results.row_columns()["meaning"].to_dict()


def test_the_documentations_code_runs(folder: CycleFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_DATA", str(folder.data))
    text = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    found: dict[str, pd.DataFrame] = {}
    exec(code, found)
    assert len(found["rows"]) and len(found["scores"])


def test_the_package_itself_stays_light() -> None:
    program = (
        "import sys, flywheel; print(*{'pandas', 'pydantic', 'numpy', 'flywheel.results'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
