"""Selections of assets are read beside NeMo, whose Hydra holds the runtime of their grammar back."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from assets.antlr import read_new_tables
from assets.definitions import defs

REPOSITORY = Path(__file__).parents[2]
AUDITION = {"audition_page", "speech_ticket"}
CORPUS = {"term_seed", "sentences", "pronunciations", "speech", "recordings", "manifest", "split"} | AUDITION
TRAINING = {"gate_decision", "training_ticket", "adapted_model"}
AFTERWARDS = {"tracked_run", "bucket_copy"}
DECISION = {"decision", "promoted_model", "leaderboard", "history"} | AFTERWARDS
EVALUATION = {"base_model", "baseline_eval", "boosted_eval", "next_eval"}
ALL = CORPUS | TRAINING | DECISION | EVALUATION


@pytest.mark.parametrize(
    ("selection", "selected"),
    [
        ("*", ALL),
        ("term_seed", {"term_seed"}),
        ("key:term_seed", {"term_seed"}),
        ('key:"*_eval"', {"baseline_eval", "boosted_eval", "next_eval"}),
        ("group:corpus", CORPUS),
        ("not group:corpus", ALL - CORPUS),
        ("group:training or group:decision", TRAINING | DECISION),
        ("group:training and kind:nemo", {"adapted_model"}),
        ("+key:split", CORPUS - {"audition_page"}),
        ("1+key:split", {"manifest", "split"}),
        ("gate_decision+", {"gate_decision", "decision", "leaderboard"}),
        ("key:adapted_model+", {"adapted_model", "next_eval"} | DECISION),
        ("key:adapted_model+1", {"adapted_model", "next_eval", "promoted_model"}),
        ("(key:split or key:manifest) and group:corpus", {"split", "manifest"}),
        ("sinks(*)", {"audition_page"} | AFTERWARDS),
        ('owner:"team:clinical-asr"', ALL),
    ],
)
# Dagster's own mark on what `dagster asset materialize --select` itself calls.
@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")
def test_a_selection_means_what_dagster_documents(selection: str, selected: set[str]) -> None:
    graph = defs.resolve_asset_graph()
    found = dg.AssetSelection.from_string(selection).resolve(graph)
    assert {key.to_user_string() for key in found} == selected


@pytest.mark.parametrize("alone", ["audition_page", "speech_ticket", "gate_decision", "training_ticket"])
def test_one_of_two_assets_of_a_step_can_be_run_alone(alone: str) -> None:
    job = defs.resolve_implicit_global_asset_job_def()
    subset = job.get_subset(asset_selection={dg.AssetKey(alone)})
    assert subset.asset_layer.selected_asset_keys == {dg.AssetKey(alone)}


@pytest.mark.parametrize("selection", ["key:split and", "group:", "key:split key:manifest", "(key:split"])
def test_a_selection_that_is_none_is_refused(selection: str) -> None:
    with pytest.raises(dg.DagsterError, match="Invalid selection string"):
        dg.AssetSelection.from_string(selection)


OF_DAGSTER = """
import dagster, assets
keys = dagster.AssetSelection.from_string('key:gate_decision or group:corpus')
assert 'corpus' in str(keys), keys
"""
OF_HYDRA = """
import omegaconf
from hydra.core.override_parser.overrides_parser import OverridesParser
config = omegaconf.OmegaConf.create(
    {'rate': 16000, 'window': '${rate}', 'home': '${oc.env:NOT_SET,[1, two]}', 'text': 'at ${rate} Hz'}
)
assert (config.window, config.home, config.text) == (16000, "[1, 'two']", 'at 16000 Hz')
parser = OverridesParser.create()
overrides = parser.parse_overrides(['+a.b=[1,two]', 'lr=3e-4', '~c', 'd={e:1}'])
assert [each.value() for each in overrides] == [[1, 'two'], 3e-4, None, {'e': 1}], overrides
"""


@pytest.mark.parametrize(
    "program",
    [OF_DAGSTER + OF_HYDRA, OF_HYDRA + OF_DAGSTER + OF_HYDRA],
    ids=["dagster first", "hydra first"],
)
def test_both_grammars_work_in_one_process_without_a_word(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_teaching_the_runtime_twice_changes_nothing() -> None:
    from antlr4.atn.ATNDeserializer import ATNDeserializer

    taught = ATNDeserializer.deserialize
    read_new_tables()
    assert ATNDeserializer.deserialize is taught


def test_a_table_of_yet_another_format_is_refused() -> None:
    from antlr4.atn.ATNDeserializer import ATNDeserializer

    with pytest.raises(ValueError, match="format 5 cannot be read; known is 4"):
        ATNDeserializer().deserialize([5, 0, 0])
