"""What a tracker is told: figures out of a job's lines, and a cycle's record out of its folder."""

import json
import math
from pathlib import Path

import pytest

from flywheel.cycle.tracking import cycle_record, eval_figures, losses_in, portable_manifests
from flywheel.files.atomic import read_json
from flywheel.files.cycles import CycleFolder
from flywheel.scoring import CLINICAL, Transcript, score_rows, summarise
from tests.cycle_on_disk import EPOCHS, LINES, baseline_cycle, trained_cycle


@pytest.mark.parametrize(
    ("line", "figures"),
    [
        (
            "epoch 1 step 20 of 400 loss 1.2345 (0.33 s a step, 125 s left)",
            {"training/epoch": 1, "training/step": 20, "training/loss": 1.2345},
        ),
        ("step 21 loss 0.0512", {"training/step": 21, "training/loss": 0.0512}),
        (
            "epoch 3 done: train_loss 0.5123, val_wer 0.1299, val_loss 0.4877",
            {
                "epochs/epoch": 3,
                "epochs/train_loss": 0.5123,
                "epochs/val_wer": 0.1299,
                "epochs/val_loss": 0.4877,
            },
        ),
        ("epoch 1 done: train_loss 2.5000", {"epochs/epoch": 1, "epochs/train_loss": 2.5}),
        ("  step 3 loss 1.5e-05  ", {"training/step": 3, "training/loss": 1.5e-05}),
    ],
)
def test_a_line_with_losses_gives_them(line: str, figures: dict[str, float]) -> None:
    assert losses_in(line) == figures


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_loss_that_is_no_number_is_told(value: str) -> None:
    found = losses_in(f"epoch 1 step 20 of 400 loss {value} (0.33 s a step, 125 s left)")
    assert found is not None and not math.isfinite(found["training/loss"])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "loading NeMo, 12 s",
        "rows seen: train 60 of 60",
        "epoch 1 done: ",
        "Epoch 0, global step 66: 'val_wer' reached 0.50000",
        "step by step loss of patience",
        "the loss 1.5 of step 3",
    ],
)
def test_other_lines_give_none(line: str) -> None:
    assert losses_in(line) is None


def test_what_was_not_measured_is_left_out() -> None:
    row = Transcript("a", "bring a blanket", "bring it", subset="general")
    scores = summarise(score_rows([row], CLINICAL), model="tiny", normalizer=CLINICAL)
    figures = eval_figures("next", scores)
    assert figures["next/general/wer"] == 2 / 3 and figures["next/general/wer_n"] == 1
    measured = ("wer", "cer", "ser", "false_insertions")
    assert figures.keys() == {
        *(f"next/general/{metric}{part}" for metric in measured for part in ("", "_n")),
        # Of one sentence there is no interval of a WER; a share of rows has one.
        *(f"next/general/{metric}{part}" for metric in measured[2:] for part in ("_low", "_high")),
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> CycleFolder:
    return trained_cycle(tmp_path_factory.mktemp("data"))


def test_the_figures_are_those_of_the_scores(trained: CycleFolder) -> None:
    figures = cycle_record(trained).figures
    for name, folder in (("baseline", trained.baseline), ("next", trained.next)):
        for slice_name, scores in read_json(folder.scores)["slices"].items():
            for metric in {"ker", "wer", "cer", "ser"} & scores.keys():
                assert figures[f"{name}/{slice_name}/{metric}"] == scores[metric]["value"]
                assert figures[f"{name}/{slice_name}/{metric}_n"] == scores[metric]["n"]
                assert figures.get(f"{name}/{slice_name}/{metric}_low") == scores[metric]["low"]
            for level, metrics in scores["by"].get("entity_category", {}).items():
                assert figures[f"{name}/{slice_name}/entity_category/{level}/ker"] == metrics["ker"]["value"]
    assert figures["decision/promote"] == 1 and figures["gate/open"] == 1
    assert figures["finetune/best_val_wer"] == EPOCHS[-1].val_wer


def test_the_table_holds_both_sides_of_every_estimate(trained: CycleFolder) -> None:
    table = cycle_record(trained).tables["leaderboard"]
    assert table.columns[:5] == ("slice", "breakdown", "level", "metric", "before")
    assert {len(row) for row in table.rows} == {len(table.columns)}
    found = {row[:4]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    before, after = (
        read_json(each.scores)["slices"]["held_out"]["by"]["term"]
        for each in (trained.baseline, trained.next)
    )
    for term, metrics in before.items():
        row = found["held_out", "term", term, "ker"]
        assert (row["before"], row["before low"]) == (metrics["ker"]["value"], metrics["ker"]["low"])
        assert (row["after"], row["after n"]) == (after[term]["ker"]["value"], after[term]["ker"]["n"])


def test_the_configuration_says_what_the_cycle_was_run_with(trained: CycleFolder) -> None:
    config = cycle_record(trained).config
    assert config["hyperparameters"] == read_json(trained.training_run_info)["hyperparameters"]
    assert config["split"]["seed"] == 42 and config["seed"] == 42
    assert config["gate"]["priority_categories"] == ["drug"]
    assert config["normalizer"] == CLINICAL.label
    assert len(config["manifest"]) == 64
    assert config["base"]["name"] == "bundled" and "file" not in config["base"]
    assert "torch" in config["versions"]
    assert str(trained.data) not in json.dumps(config), "no path of this machine"


def test_a_cycle_that_was_not_trained_has_one_evaluation(tmp_path: Path) -> None:
    record = cycle_record(baseline_cycle(tmp_path, minimum_rows=1000))
    assert record.config["stage"] == "gate_closed" and "hyperparameters" not in record.config
    assert record.figures["gate/open"] == 0
    assert {name.partition("/")[0] for name in record.figures} == {"baseline", "gate"}
    assert set(record.tables) == {"leaderboard"}
    assert (
        "before" in record.tables["leaderboard"].columns
        and "after" not in record.tables["leaderboard"].columns
    )
    assert "the gate is closed" in record.headline and record.headline.splitlines()[0] in record.page.replace(
        "**", ""
    )


def test_manifests_name_their_audio_beside_them(trained: CycleFolder) -> None:
    manifests = portable_manifests(trained)
    assert set(manifests) == {"manifest.jsonl", "train.jsonl", "development.jsonl", "validation.jsonl"}
    assert all(row.audio_filepath == f"audio/{row.id}.wav" for rows in manifests.values() for row in rows)


def test_all_losses_of_a_training_are_seen() -> None:
    seen = [found for line in LINES if (found := losses_in(line))]
    assert [each.get("training/step") for each in seen] == [20, None, 40, None]
