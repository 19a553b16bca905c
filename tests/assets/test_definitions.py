"""The graph as Dagster sees it."""

import dagster as dg
import pytest

from assets.cycles import CYCLES, EVAL_POOL, GPU_POOL
from assets.definitions import defs
from flywheel.corpus.split.leaks import LEAK_CHECKS
from flywheel.verdict.gate import GATE_CRITERIA

GRAPH = {
    "term_seed": ("corpus", set()),
    "sentences": ("corpus", {"term_seed"}),
    "pronunciations": ("corpus", {"term_seed", "sentences"}),
    "audition_page": ("corpus", {"pronunciations"}),
    "speech_ticket": ("corpus", {"pronunciations"}),
    "speech": ("corpus", {"sentences", "pronunciations", "speech_ticket"}),
    "recordings": ("corpus", {"term_seed"}),
    "manifest": ("corpus", {"speech", "recordings"}),
    "split": ("corpus", {"manifest"}),
    "base_model": ("evaluation", set()),
    "baseline_eval": ("evaluation", {"base_model", "split"}),
    "boosted_eval": ("evaluation", {"base_model", "split", "baseline_eval"}),
    "gate_decision": ("training", {"baseline_eval"}),
    "training_ticket": ("training", {"baseline_eval"}),
    "adapted_model": ("training", {"base_model", "split", "training_ticket", "boosted_eval"}),
    "next_eval": ("evaluation", {"adapted_model", "base_model", "split"}),
    "decision": ("decision", {"baseline_eval", "boosted_eval", "gate_decision", "next_eval"}),
    "promoted_model": ("decision", {"adapted_model", "base_model", "decision"}),
    "leaderboard": ("decision", {"gate_decision", "boosted_eval", "decision"}),
    "tracked_run": ("decision", {"leaderboard", "promoted_model"}),
    "history": ("decision", {"leaderboard", "promoted_model"}),
    "bucket_copy": ("decision", {"leaderboard", "promoted_model", "history"}),
}
BLOCKING = {
    ("term_seed", "ready"),
    ("manifest", "schema"),
    ("manifest", "audio"),
    *(("split", name) for name in LEAK_CHECKS),
}
RENTS = ("baseline_eval", "boosted_eval", "adapted_model", "next_eval")
CHECKS = {
    *BLOCKING,
    ("audition_page", "judged"),
    ("recordings", "quarantine_empty"),
    *(("gate_decision", name) for name in GATE_CRITERIA),
    ("adapted_model", "rows_seen"),
    *((name, "nothing_left_running") for name in RENTS),
    *((name, "agrees_with_jiwer") for name in ("baseline_eval", "boosted_eval", "next_eval")),
    ("decision", "forgetting"),
}


@pytest.fixture(scope="module")
def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_the_definitions_are_loadable() -> None:
    dg.Definitions.validate_loadable(defs)


def test_these_are_the_assets(specs: dict[str, dg.AssetSpec]) -> None:
    assert set(specs) == set(GRAPH)


@pytest.mark.parametrize("name", GRAPH)
def test_an_asset_stands_in_its_group_behind_what_it_is_made_of(
    specs: dict[str, dg.AssetSpec], name: str
) -> None:
    group, parents = GRAPH[name]
    assert specs[name].group_name == group
    assert {dep.asset_key.to_user_string() for dep in specs[name].deps} == parents


@pytest.mark.parametrize("name", GRAPH)
def test_an_asset_says_what_it_is(specs: dict[str, dg.AssetSpec], name: str) -> None:
    spec = specs[name]
    assert spec.owners
    assert spec.kinds
    assert spec.code_version
    assert spec.partitions_def is CYCLES
    assert spec.description is not None and len(spec.description.split()) >= 8
    assert spec.description.endswith(".")


def test_only_what_a_decision_a_selection_or_a_service_that_is_off_may_withhold_can_be_skipped(
    specs: dict[str, dg.AssetSpec],
) -> None:
    skippable = {name for name, spec in specs.items() if spec.skippable}
    assert skippable == {
        *("audition_page", "speech_ticket", "gate_decision", "training_ticket", "promoted_model"),
        *("tracked_run", "bucket_copy"),
    }


def test_these_are_the_checks() -> None:
    keys = defs.resolve_asset_graph().asset_check_keys
    assert {(key.asset_key.to_user_string(), key.name) for key in keys} == CHECKS


def test_what_is_missing_a_damaged_corpus_or_a_leak_stops_the_run() -> None:
    graph = defs.resolve_asset_graph()
    blocking = {key for key in graph.asset_check_keys if graph.get_check_spec(key).blocking}
    assert {(key.asset_key.to_user_string(), key.name) for key in blocking} == BLOCKING


def test_one_fine_tuning_and_one_evaluation_run_at_a_time() -> None:
    graph = defs.resolve_asset_graph()
    pools = {key.to_user_string(): graph.get(key).pools for key in graph.get_all_asset_keys()}
    assert {name: pool for name, pool in pools.items() if pool} == {
        "adapted_model": {GPU_POOL},
        "baseline_eval": {EVAL_POOL},
        "boosted_eval": {EVAL_POOL},
        "next_eval": {EVAL_POOL},
    }
