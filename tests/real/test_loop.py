"""The whole loop on a few terms and for one epoch: real speech, NeMo's own training and transcription."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.definitions import defs
from flywheel.corpus.manifest import ManifestRow, read_manifest
from flywheel.files.content import content_of_file
from flywheel.files.cycles import CycleFolder
from flywheel.files.steps import CycleSteps
from tests.real.wandb_file import history

pytestmark = pytest.mark.real

SECTIONS = [
    "1. Headline",
    "2. KER by entity_category",
    "3. KER by ipa_source",
    "4. KER by noise_level",
    "5. KER by term, worst first",
]
SLICES = {"held_out", "train", "all", "unseen_term", "unseen_voice", "general"}
AFTER_THE_GATE = ("training_ticket", "adapted_model", "next_eval", "decision", "promoted_model")


def json_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def sections_of(page: Path) -> list[str]:
    return re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def rows_of_slice(rows: tuple[ManifestRow, ...], name: str) -> list[ManifestRow]:
    """The rows that a slice of the scores is over."""
    subsets = {"held_out": {"validation"}, "train": {"train", "development"}}.get(name, {name})
    if name == "all":
        return [row for row in rows if row.is_clinical]
    return [row for row in rows if row.subset in subsets]


class TestGateOpen:
    def test_the_gate_lets_it_through(self, turned: Any) -> None:
        gate = json_of(turned.place.cycle / "gate.json")
        assert gate["open"] is True
        assert [criterion["passed"] for criterion in gate["criteria"]] == [True] * 4
        assert [event["open"] for event in turned.place.materialisations("gate_decision")] == [True]

    def test_the_page_of_the_next_cycle_has_its_sections_in_order(self, turned: Any) -> None:
        sections = sections_of(turned.place.cycle / "leaderboard_cycle2.md")
        assert [name.split(":")[0] for name in sections[:5]] == SECTIONS
        assert [int(name.split(".")[0]) for name in sections] == list(range(1, len(sections) + 1))

    def test_the_run_ends_by_saying_what_is_on_the_page(self, turned: Any) -> None:
        said = turned.ran.lines
        verdict = re.search(r"render_leaderboard: ((Keep|Do not keep) the new model\..*)", said)
        assert verdict is not None, said[-3000:]
        page = (turned.place.cycle / "leaderboard_cycle2.md").read_text(encoding="utf-8")
        assert f"{verdict[2]} the new model." in page

    @pytest.mark.parametrize("evaluation", ["baseline", "boosted", "next"])
    @pytest.mark.parametrize("file", ["scores.json", "scores_published.json"])
    def test_scores_are_over_the_rows_of_the_split(self, turned: Any, evaluation: str, file: str) -> None:
        folder = turned.place.cycle / evaluation
        scores = json_of(folder / file)
        rows = read_manifest(folder / "rows.jsonl")
        assert set(scores["normalizer"]) == {"name", "version"}
        assert set(scores["slices"]) == SLICES
        for name, of_slice in scores["slices"].items():
            expected = rows_of_slice(rows, name)
            for metric in ("wer", "cer", "ser"):
                assert of_slice[metric]["value"] >= 0
            assert of_slice["ser"]["n"] == len(expected)
            if name == "general":
                assert "ker" not in of_slice  # absent, never 0
                continue
            ker = of_slice["ker"]
            assert 0 <= ker["low"] <= ker["value"] <= ker["high"] <= 1
            assert ker["n"] == len(expected)
            assert set(of_slice["by"]) >= {"entity_category", "ipa_source", "noise_level", "term"}
            assert sum(part["ker"]["n"] for part in of_slice["by"]["term"].values()) == len(expected)

    def test_both_evaluations_hear_the_same_rows_in_the_same_order(self, turned: Any) -> None:
        heard = [
            [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            for path in (turned.place.cycle / name / "offline_hyps.jsonl" for name in ("baseline", "next"))
        ]
        assert [row["id"] for row in heard[0]] == [row["id"] for row in heard[1]]
        assert all(isinstance(row["pred_text"], str) for rows in heard for row in rows)
        assert heard[0] != heard[1]  # training changed something

    def test_boosting_was_tried_on_rows_that_are_not_held_out(self, turned: Any) -> None:
        cycle = turned.place.cycle
        boosting = json_of(cycle / "boosting.json")
        assert [trial["alpha"] for trial in boosting["trials"]] == [0.0, 1.0]
        assert boosting["alpha"] in (0.0, 1.0)
        tried = read_manifest(cycle / "boosted" / "trials.jsonl")
        assert {row.subset for row in tried} <= {"development", "train", "replay"}
        page = (cycle / "leaderboard_cycle2.md").read_text(encoding="utf-8")
        assert json_of(cycle / "decision.json")["alternative"].split(":")[0] in page.replace("\\", "")

    def test_the_trainer_saw_the_rows_of_its_manifests(self, turned: Any) -> None:
        cycle = turned.place.cycle
        info = json_of(cycle / "training_run_info.json")
        train, development = (read_manifest(cycle / name) for name in ("train.jsonl", "development.jsonl"))
        assert info["rows_seen"] == {"train": len(train), "validation": len(development)}
        assert {row.subset for row in train} == {"train", "replay"}
        assert {row.subset for row in development} == {"development"}

    def test_what_was_trained_can_be_told_from_its_record(self, turned: Any) -> None:
        cycle = turned.place.cycle
        info = json_of(cycle / "training_run_info.json")
        assert info["hyperparameters"]["max_epochs"] == 1
        assert info["backend"] == "local"
        assert info["seed"] == info["hyperparameters"]["seed"] == 42
        assert set(info["versions"]) == {"torch", "nemo_toolkit", "lightning"}
        assert info["cost_usd"] == 0.0
        assert info["seconds"] > 0
        assert [epoch["epoch"] for epoch in info["epochs"]] == [1]
        assert info["best"] == info["epochs"][0]
        assert info["steps"] == info["epochs"][0]["steps"] > 0
        assert info["model_sha256"] == content_of_file(cycle / "adapted_model.nemo")
        assert info["base"] == json_of(cycle / "base_model.json")

    def test_the_decision_follows_from_what_was_measured(self, turned: Any) -> None:
        place = turned.place
        decision = json_of(place.cycle / "decision.json")
        assert decision["promote"] is (decision["action"] == "keep")
        assert decision["reasons"] and decision["advice"]
        before, after = (
            json_of(place.cycle / name / "scores.json")["slices"]["held_out"]["by"]["entity_category"]["drug"]
            for name in ("baseline", "next")
        )
        drop = 1 - after["ker"]["value"] / before["ker"]["value"]
        assert decision["relative_drop"] == pytest.approx(drop)
        assert (place.data / "models" / "registry.json").exists() is decision["promote"]
        assert len(place.materialisations("promoted_model")) == decision["promote"]

    def test_the_cycle_is_a_run_of_weights_and_biases_with_its_losses_and_scores(self, turned: Any) -> None:
        training, results = (
            next((turned.place.data / "tracking").glob(f"cycle1/{part}-*/wandb/offline-run-*/*.wandb"))
            for part in ("training", "results")
        )
        losses = [row["training/loss"] for row in history(training) if "training/loss" in row]
        assert losses and all(loss > 0 for loss in losses)
        assert turned.ran.lines.count(f"loss {losses[0]:.4f}") >= 1, "as they came from the job"
        (row,) = history(results)
        for name in ("baseline", "next"):
            slices = json_of(turned.place.cycle / name / "scores.json")["slices"]
            for slice_name, scores in slices.items():
                for metric in {"ker", "wer", "cer", "ser"} & scores.keys():
                    assert row[f"{name}/{slice_name}/{metric}"] == scores[metric]["value"]

    def test_nothing_is_left_of_the_jobs(self, turned: Any) -> None:
        assert [path.name for path in (turned.place.data / "work").iterdir()] == ["lock"]
        assert [name for name in turned.contents if "/." in name or name.startswith(".")] == []

    def test_again_unchanged_it_does_nothing_twice(self, turned: Any) -> None:
        again = turned.place.run()
        assert again.exit_code == 0, again.lines[-6000:]
        assert changed(turned.contents, turned.place.contents()) == []
        for asset in ("baseline_eval", "boosted_eval", "adapted_model", "next_eval"):
            latest, first = turned.place.materialisations(asset)
            assert (latest["cache_hits"], first["cache_hits"]) == (1, 0), asset
        latest, _first = turned.place.materialisations("speech")
        assert (latest["synthesised"], latest["mixed with noise"]) == (0, 0)
        assert latest["cache_hits"] == latest["files"] > 0


def changed(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    """Paths of files that differ, or are on one side only."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


class TestGateClosed:
    SEED = "term,entity_category\ncefazolin,drug\nferritin,lab\nbronchoscopy,procedure\n"

    @pytest.fixture(scope="class")
    def closed(self, turned: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
        place = type(turned.place)(tmp_path_factory.mktemp("closed"), seed=self.SEED)
        # Much of what is said is the same, and speech is found by its content.
        place.data.mkdir()
        (place.data / "speech").symlink_to(turned.place.data / "speech")
        yield place, place.run()

    def test_it_ends_well(self, closed: Any) -> None:
        _place, ran = closed
        assert ran.exit_code == 0, ran.lines[-6000:]

    def test_the_gate_says_why(self, closed: Any) -> None:
        place, _ran = closed
        gate = json_of(place.cycle / "gate.json")
        failed = [criterion for criterion in gate["criteria"] if not criterion["passed"]]
        assert gate["open"] is False
        assert "manifest_rows" in {criterion["name"] for criterion in failed}

    @pytest.mark.parametrize("asset", AFTER_THE_GATE)
    def test_what_follows_is_skipped(self, closed: Any, asset: str) -> None:
        place, _ran = closed
        assert place.materialisations(asset) == []

    def test_what_something_free_would_have_done_is_measured_all_the_same(self, closed: Any) -> None:
        place, _ran = closed
        page = (place.cycle / "leaderboard_cycle1.md").read_text(encoding="utf-8")
        assert "| base as it is |" in page
        assert "Boosted while decoding (" in page

    def test_nothing_of_a_training_is_there(self, closed: Any) -> None:
        place, _ran = closed
        names = {path.name for path in place.cycle.iterdir()}
        assert names.isdisjoint(
            {"adapted_model.nemo", "training_run_info.json", "decision.json", "leaderboard_cycle2.md"}
        )

    def test_the_page_gives_reasons_and_advice(self, closed: Any) -> None:
        place, ran = closed
        page = (place.cycle / "leaderboard_cycle1.md").read_text(encoding="utf-8")
        gate = json_of(place.cycle / "gate.json")
        assert [
            name.split(":")[0] for name in sections_of(place.cycle / "leaderboard_cycle1.md")[:5]
        ] == SECTIONS
        assert "Nothing was trained: the gate is closed." in page
        assert "Nothing was trained: the gate is closed." in ran.lines
        assert "not_trained" in page
        plain = page.replace("\\", "")
        for criterion in gate["criteria"]:
            assert criterion["passed"] or criterion["reason"] in plain
        assert gate["advice"] in plain


def test_a_kept_model_is_what_the_next_cycle_starts_from(
    copy_of_turned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copy_of_turned
    monkeypatch.setenv("FLYWHEEL_DATA", str(place.data))
    for name in ("FLYWHEEL_BASE", "FLYWHEEL_COMPUTE"):
        monkeypatch.delenv(name, raising=False)
    decision = json_of(place.cycle / "decision.json")
    kept = {**decision, "action": "keep", "promote": True}
    (place.cycle / "decision.json").write_text(json.dumps(kept), encoding="utf-8")
    CycleSteps(CycleFolder(place.data, "cycle1")).stamp("decision")
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        for cycle, asset in (
            ("cycle1", "promoted_model"),
            ("cycle1", "promoted_model"),
            ("cycle2", "base_model"),
        ):
            assert job.execute_in_process(
                partition_key=cycle, instance=instance, asset_selection=[dg.AssetKey(asset)]
            ).success
        assert len(instance.fetch_materializations(dg.AssetKey("promoted_model"), limit=5).records) == 2
    base = json_of(place.data / "cycles" / "cycle2" / "base_model.json")
    assert base["sha256"] == content_of_file(place.cycle / "adapted_model.nemo")
    assert base["origin"] == "bundled"
    assert Path(base["file"]).is_relative_to(place.data / "models")
    assert len(json_of(place.data / "models" / "registry.json")) == 1
