"""What a person works with in the UI: a job by name, runs that can be found, answers at a glance, links to the code."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import pytest

from assets.code_links import CODE_URL, with_code_links
from assets.corpus import term_seed
from assets.cycles import CYCLE_TAG, CYCLES, OUTCOME_TAG, OWNERS
from assets.definitions import defs
from assets.leaderboard import DecisionConfig
from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_json
from flywheel.verdict.decision import DecisionSettings
from tests.cycle_on_disk import baseline_cycle, trained_cycle

REPOSITORY = Path(__file__).parents[2]
PUBLISHED = "https://code.example.org/team/flywheel/tree/main"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = tmp_path / "data"
    monkeypatch.setenv("FLYWHEEL_DATA", str(data))
    return data


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


class TestTheJob:
    @pytest.fixture
    def job(self) -> dg.JobDefinition:
        return defs.resolve_job_def("flywheel_cycle")

    def test_it_makes_and_checks_everything(self, job: dg.JobDefinition) -> None:
        graph = defs.resolve_asset_graph()
        assert job.asset_layer.executable_asset_keys == graph.executable_asset_keys
        assert job.asset_layer.asset_graph.asset_check_keys == graph.asset_check_keys

    def test_it_works_as_the_button_does(self, job: dg.JobDefinition) -> None:
        implicit = defs.resolve_implicit_global_asset_job_def()
        assert {node.name for node in job.nodes} == {node.name for node in implicit.nodes}
        assert job.partitions_def is CYCLES
        assert job.executor_def.name == implicit.executor_def.name == "in_process"

    def test_it_says_what_it_does_and_whose_it_is(self, job: dg.JobDefinition) -> None:
        assert job.description is not None and "One whole cycle" in job.description
        assert job.owners == OWNERS

    def test_it_takes_a_cycle_that_nobody_added(
        self, job: dg.JobDefinition, data: Path, instance: dg.DagsterInstance
    ) -> None:
        ran = job.execute_in_process(
            partition_key="cycle3", instance=instance, asset_selection=[dg.AssetKey("term_seed")]
        )
        assert ran.success
        assert instance.get_dynamic_partitions("cycle") == ["cycle3"]
        assert (data / "cycles" / "cycle3" / "term_seed.csv").is_file()


Made = tuple[dg.DagsterRun, dict[str, dict[str, object]]]


def made(
    instance: dg.DagsterInstance,
    *assets: str,
    cycle: str = "cycle1",
    tags: dict[str, str] | None = None,
    minimum_rows: int = 100,
) -> Made:
    """The run that made these assets, as the runs page has it, and the metadata of each."""
    ran = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        partition_key=cycle,
        instance=instance,
        tags=tags,
        run_config={"ops": {"gate": {"config": {"minimum_rows": minimum_rows}}}},
        raise_on_error=False,
        asset_selection=[dg.AssetKey(name) for name in assets],
    )
    (run,) = instance.get_runs(dg.RunsFilter(run_ids=[ran.run_id]))
    events = (event.materialization for event in ran.get_asset_materialization_events())
    return run, {
        event.asset_key.to_user_string(): {name: value.value for name, value in event.metadata.items()}
        for event in events
    }


class TestTags:
    def test_runs_of_a_cycle_are_found_by_its_name(self, data: Path, instance: dg.DagsterInstance) -> None:
        first, _made = made(instance, "term_seed", "sentences")
        second, _made = made(instance, "term_seed", cycle="cycle2")
        for cycle, run in (("cycle1", first), ("cycle2", second)):
            found = instance.get_runs(dg.RunsFilter(tags={CYCLE_TAG: cycle}))
            assert [each.run_id for each in found] == [run.run_id]

    def test_what_a_run_was_started_with_stays(self, data: Path, instance: dg.DagsterInstance) -> None:
        run, _made = made(
            instance, ["term_seed"], tags={CYCLE_TAG: "cycle1", "flywheel/reason": "10 new terms"}
        )
        assert run.tags[CYCLE_TAG] == "cycle1"
        assert run.tags["flywheel/reason"] == "10 new terms"

    def test_a_run_that_failed_is_found_too(
        self, data: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FLYWHEEL_SEED", str(data / "nowhere.csv"))
        run, _made = made(instance, "term_seed")
        assert (run.status, run.tags[CYCLE_TAG]) == (dg.DagsterRunStatus.FAILURE, "cycle1")

    @pytest.mark.parametrize(("minimum_rows", "outcome"), [(100_000, "gate closed"), (100, "gate open")])
    def test_what_the_gate_says_is_an_outcome(
        self, data: Path, instance: dg.DagsterInstance, minimum_rows: int, outcome: str
    ) -> None:
        baseline_cycle(data)
        run, metadata = made(instance, "gate_decision", "training_ticket", minimum_rows=minimum_rows)
        assert run.tags[OUTCOME_TAG] == outcome
        assert ("training_ticket" in metadata) is (outcome == "gate open")

    def test_what_is_decided_last_is_the_outcome(self, data: Path, instance: dg.DagsterInstance) -> None:
        trained_cycle(data)
        run, metadata = made(instance, "decision")
        assert run.tags[OUTCOME_TAG] == metadata["decision"]["action"] == "keep"


def links(asset: dg.AssetsDefinition) -> list[str]:
    """Where an asset's links to its code lead."""
    (spec,) = asset.specs
    return [each.source for each in spec.metadata["dagster/code_references"].code_references]


class TestCodeLinks:
    def test_every_asset_leads_to_the_function_that_makes_it(self) -> None:
        for spec in defs.resolve_all_asset_specs():
            (link,) = spec.metadata["dagster/code_references"].code_references
            path = Path(link.file_path)
            assert path.is_relative_to(REPOSITORY / "assets")
            line = path.read_text(encoding="utf-8").splitlines()[link.line_number - 1]
            assert line.startswith("@"), f"{spec.key}: {link.source}: {line}"

    def test_they_lead_to_where_the_code_is_published(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (local,) = links(with_code_links([term_seed])[0])
        monkeypatch.setenv(CODE_URL, f"{PUBLISHED}/")
        assert links(with_code_links([term_seed])[0]) == [
            f"{PUBLISHED}/assets/corpus.py#L{local.rpartition(':')[2]}"
        ]

    @pytest.mark.parametrize(
        "url",
        [
            "code.example.org/team",
            "ssh://git@code.example.org/team",
            "https://me:s3cret@code.example.org/team",
            "https://code.example.org/team#readme",
            "https:///team",
        ],
    )
    def test_an_address_that_nobody_may_see_or_can_open_is_refused(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(CODE_URL, url)
        with pytest.raises(FlywheelError, match=f"{CODE_URL} is no address .*; allowed: ") as refused:
            with_code_links([term_seed])
        assert "s3cret" not in str(refused.value)

    def test_an_installed_package_has_none(self, tmp_path: Path) -> None:
        for package in ("assets", "flywheel", "resources"):
            (tmp_path / package).symlink_to(REPOSITORY / package)
        program = (
            "from assets.definitions import defs\n"
            "print([s.key for s in defs.resolve_all_asset_specs() if 'dagster/code_references' in s.metadata])"
        )
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert (done.stdout.strip(), done.stderr) == ("[]", "")


class TestTheLeaderboard:
    def test_it_answers_in_the_ui_without_a_file_beside_it(
        self, data: Path, instance: dg.DagsterInstance
    ) -> None:
        folder = trained_cycle(data, boosted=True)
        _run, metadata = made(instance, "decision", "leaderboard")
        shown = metadata["leaderboard"]
        page, headline = str(shown["leaderboard"]), str(shown["headline"])
        assert headline.startswith("Keep the new model.")
        assert "](data:image/png;base64," in page
        assert not re.findall(r"\]\((?!data:)", page), "the UI shows no file beside the page"
        assert len(page) < 400_000, "Dagster keeps it with every event"
        assert shown["page"] == str(folder.leaderboard(2))
        assert shown["page with figures and sound"] == str(folder.leaderboard_html(2))
        alternative = read_json(folder.decision)["alternative"]
        assert alternative.startswith("Phrase boosting alone (alpha 1, 9 terms, no training)")
        assert alternative in headline and alternative in page

    def test_what_a_decision_asks_for_is_what_the_domain_asks_for(self) -> None:
        assert DecisionConfig().model_dump() == {
            name: value for name, value in asdict(DecisionSettings()).items() if name != "small_drop"
        }
