"""A whole trained cycle through the graph, on a backend that loads no model: what is counted, and how often."""

import cProfile
import pstats
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import jiwer
import pytest

from assets.definitions import defs
from flywheel.compute.job import ComputeJob, JobOutcome
from flywheel.compute.programs.transcribe import hypotheses_of
from flywheel.corpus.manifest import read_manifest
from flywheel.files.atomic import write_jsonl
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import read_record, write_record
from flywheel.recognisers.boosting import BoostingChoice, BoostingTrial
from flywheel.recognisers.nemo_asr import METRICS_OUTPUT, MODEL_OUTPUT, TrainingMetrics
from flywheel.scoring import Scores
from flywheel.scoring.intervals import wilson
from flywheel.verdict.decision import Decision
from resources.compute.resource import Compute
from tests.cycle_on_disk import EPOCHS, baseline_cycle, heard

ASSETS = (
    *("baseline_eval", "gate_decision", "training_ticket", "boosted_eval", "adapted_model", "next_eval"),
    *("decision", "promoted_model", "leaderboard", "history"),
)
EVALUATIONS = ("baseline_eval", "boosted_eval", "next_eval")


class Backend:
    """Leaves what each job would: the base misses every term, with boosting every second one, tuned a few."""

    name = "in the test"
    has_accelerator = False

    def run(self, job: ComputeJob, outputs_to: Path, on_line: Callable[[str], None]) -> JobOutcome:
        outputs = {name: outputs_to / name for name in job.outputs}
        for path in outputs.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        if job.name == "finetune":
            outputs[MODEL_OUTPUT].write_bytes(b"the tuned model")
            seen = {
                name: len(read_manifest(job.manifests[f"{name}.jsonl"])) for name in ("train", "development")
            }
            metrics = TrainingMetrics(
                {"train": seen["train"], "validation": seen["development"]}, EPOCHS, 40, 42, 1.0, {}
            )
            write_record(outputs[METRICS_OUTPUT], metrics)
        else:
            rows = read_manifest(job.manifests["rows.jsonl"])
            is_tuned = job.inputs["model.nemo"].read_bytes() == b"the tuned model"
            misses_every = 2 if job.name == "boost" else 9 if is_tuned else 1
            words = {row.id: heard(row, misses_every=misses_every) for row in rows}
            write_jsonl(outputs["offline_hyps.jsonl"], hypotheses_of(rows, words))
        if job.name == "boost":
            trials = tuple(BoostingTrial(alpha, wilson(1, 2), None, wilson(0, 8)) for alpha in (0.0, 1.0))
            write_record(outputs["choice.json"], BoostingChoice(1.0, (), trials))
        return JobOutcome(0, 1.0, outputs, datetime.now(UTC))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CycleFolder:
    """A cycle with its split and its base, and nothing that was heard."""
    data = tmp_path / "data"
    monkeypatch.setenv("FLYWHEEL_DATA", str(data))
    monkeypatch.setattr(Compute, "connect", lambda self, name="": Backend())
    folder = baseline_cycle(data, page=False)
    folder.gate.unlink()
    for evaluation in (folder.baseline, folder.boosted, folder.next):
        for path in evaluation.root.iterdir():
            if path != evaluation.rows:
                path.unlink()
    return folder


def turn(instance: dg.DagsterInstance, *assets: str) -> dg.ExecuteInProcessResult:
    settings = {"gate": {"minimum_rows": 50}, "decision": {"general_wer_cap": 0.5}}
    chosen = assets or ASSETS
    return defs.resolve_implicit_global_asset_job_def().execute_in_process(
        partition_key="cycle1",
        instance=instance,
        run_config={
            "ops": {
                name: {"config": config} for name, config in settings.items() if name in chosen or not assets
            }
        },
        asset_selection=[dg.AssetKey(name) for name in chosen],
    )


def test_a_trained_cycle_scores_each_evaluation_once(
    folder: CycleFolder, instance: dg.DagsterInstance
) -> None:
    """Decision, boosting, misses, page and history read what was counted where it was heard."""
    profile = cProfile.Profile()
    result = profile.runcall(turn, instance)
    assert result.success
    assert read_record(folder.decision, Decision).promote
    calls: Counter[str] = Counter()
    for (_file, _line, function), (_primitive, count, *_rest) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if function in ("score_rows", "read_transcripts", "score"):
            calls[function] += count
    normalizers = 2
    assert calls == {"score": 3, "read_transcripts": 3, "score_rows": 3 * normalizers}


def test_jiwer_agrees_with_every_evaluation(folder: CycleFolder, instance: dg.DagsterInstance) -> None:
    found = {
        each.asset_key.to_user_string(): each
        for each in turn(instance).get_asset_check_evaluations()
        if each.check_name == "agrees_with_jiwer"
    }
    assert found.keys() == set(EVALUATIONS)
    assert all(each.passed for each in found.values())
    slices = len(read_record(folder.next.scores, Scores).slices)
    assert {each.metadata["slices"].value for each in found.values()} == {slices}


def test_where_jiwer_counts_otherwise_the_check_fails(
    folder: CycleFolder, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = jiwer.process_words

    def one_more(*texts: list[str]) -> jiwer.WordOutput:
        output = count(*texts)
        return replace(output, substitutions=output.substitutions + 1)

    monkeypatch.setattr(jiwer, "process_words", one_more)
    checks = turn(instance, "baseline_eval").get_asset_check_evaluations()
    (check,) = (each for each in checks if each.check_name == "agrees_with_jiwer")
    assert not check.passed
    assert check.description is not None and check.description.startswith("held_out, WER: ")
