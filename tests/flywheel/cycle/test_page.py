"""What a person reads of a cycle: the files that are written, and what the last command of a run says."""

import re
import shutil
from pathlib import Path

import pytest

from flywheel.corpus.manifest import read_manifest, write_manifest
from flywheel.cycle.page import cycle_headline, main, page_inputs, write_page
from flywheel.files.atomic import read_json, write_json
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import write_record
from flywheel.files.steps import CycleSteps, StepNotCurrent
from flywheel.pronunciation.lexicon import Pronunciation
from flywheel.speech.audition.judgements import Judgement
from flywheel.speech.audition.policy import decide_audition, state_file
from flywheel.verdict.misses import read_misses
from tests.cycle_on_disk import trained_cycle
from tests.stamps import stamped


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> CycleFolder:
    return trained_cycle(tmp_path_factory.mktemp("finished"), boosted=True)


@pytest.fixture
def folder(finished: CycleFolder, tmp_path: Path) -> CycleFolder:
    """A copy to change; its manifests still name the audio of the original."""
    shutil.copytree(finished.data, tmp_path, dirs_exist_ok=True)
    return CycleFolder(tmp_path, finished.cycle)


class TestFiles:
    def test_whatever_the_page_names_lies_beside_it_or_in_the_data_folder(
        self, finished: CycleFolder
    ) -> None:
        page = finished.leaderboard(2)
        markdown = page.read_text(encoding="utf-8")
        targets = re.findall(r"\]\(([^)]+)\)", markdown)
        sounds = re.findall(r"`([^`]+\.wav)`", markdown)
        assert "leaderboard_cycle2.html" in targets and "leaderboard_cycle2.category.png" in targets
        assert sounds
        assert not [name for name in targets if not (page.parent / name).is_file()]
        assert not [name for name in sounds if not (finished.data / name).is_file()]

    def test_the_html_page_says_the_same(self, finished: CycleFolder) -> None:
        html = finished.leaderboard_html(2).read_text(encoding="utf-8")
        assert "Keep the new model." in html
        assert "data:audio/" in html, "what went wrong can be heard"

    def test_a_breakdown_with_one_level_has_no_figure(self, finished: CycleFolder) -> None:
        assert sorted(page_inputs(finished).figures) == ["category", "terms"]

    def test_writing_again_changes_nothing(self, folder: CycleFolder) -> None:
        write_page(folder)
        first = {path.name: path.read_bytes() for path in folder.root.glob("leaderboard_cycle2*")}
        write_page(folder)
        assert {path.name: path.read_bytes() for path in folder.root.glob("leaderboard_cycle2*")} == first


class TestWhatCounts:
    def test_what_went_wrong_is_of_the_newest_model(self, finished: CycleFolder) -> None:
        misses = read_misses(finished)
        assert misses is not None and misses.model == "fine-tuned in cycle1"
        assert page_inputs(finished).misses is not None

    def test_misses_of_another_model_do_not_count(self, folder: CycleFolder) -> None:
        write_json(folder.misses, {**read_json(folder.misses), "model": "another"})
        assert page_inputs(folder).misses is None

    def test_a_data_folder_that_has_moved_has_the_same_page(self, folder: CycleFolder) -> None:
        shown = page_inputs(folder).misses
        assert shown is not None and shown.rows
        assert all(re.fullmatch(r"speech/[0-9a-f]{64}\.wav", row.audio_filepath) for row in shown.rows)

    def test_boosting_of_another_baseline_does_not_count(self, folder: CycleFolder) -> None:
        assert page_inputs(folder).boosting is not None
        scores = read_json(folder.baseline.scores)
        scores["slices"]["held_out"]["wer"]["value"] = 0.5
        write_json(folder.baseline.scores, scores)
        CycleSteps(folder).stamp("baseline_eval")
        assert page_inputs(folder).boosting is None
        assert "Phrase boosting alone" not in cycle_headline(folder)

    def test_how_many_held_out_sentences_training_knows_is_counted(self, folder: CycleFolder) -> None:
        assert page_inputs(folder).known_sentences == 0
        held_out = read_manifest(folder.validation)
        (first, *train) = read_manifest(folder.train)
        write_manifest(folder.train, [first.model_copy(update={"text": held_out[0].text.upper()}), *train])
        stamped(folder)
        assert page_inputs(folder).known_sentences == sum(row.text == held_out[0].text for row in held_out)

    def test_a_cycle_of_an_earlier_version_says_what_to_materialise(self, folder: CycleFolder) -> None:
        shutil.rmtree(folder.root / "made")
        with pytest.raises(StepNotCurrent) as refused:
            write_page(folder)
        assert str(refused.value) == (
            "cycle1: baseline_eval is of an earlier version of the flywheel; materialise baseline_eval again"
        )


def audition(data: Path, policy: str) -> None:
    """Leave what an audition leaves of which one term is not judged."""
    folder = CycleFolder(data, "cycle1")
    state = decide_audition(
        policy,
        [Judgement(Pronunciation("cefazolin", None, "espeak_g2p"), "unjudged")],
        page=folder.audition / "index.html",
        verdicts=data / "verdicts.csv",
    )
    write_record(state_file(folder), state)


class TestTheCommand:
    def test_it_prints_the_answer_and_both_pages(
        self, finished: CycleFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main([finished.cycle, "--data", str(finished.data)])
        said = capsys.readouterr().out
        assert said.startswith(f"\n{cycle_headline(finished)}\n\n")
        assert said.splitlines()[-2:] == [str(finished.leaderboard(2)), str(finished.leaderboard_html(2))]
        assert "Phrase boosting alone (alpha 1, 9 terms, no training)" in said

    def test_a_cycle_that_waits_for_verdicts_is_no_error(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        audition(tmp_path, "require")
        main(["cycle1", "--data", str(tmp_path)])
        said = capsys.readouterr().out
        assert "cycle1: the synthesis waits for verdicts: 1 pronunciation: 1 not judged (cefazolin)" in said
        assert f"{tmp_path}/cycles/cycle1/audition/index.html" in said.splitlines()
        assert f"{tmp_path}/verdicts.csv" in said.splitlines()

    @pytest.mark.parametrize("policy", ["off", "warn"])
    def test_a_cycle_that_waits_for_nothing_and_has_no_page_is_one(self, tmp_path: Path, policy: str) -> None:
        audition(tmp_path, policy)
        with pytest.raises(SystemExit, match=r"error: .*cycle1 has no leaderboard; run the cycle first"):
            main(["cycle1", "--data", str(tmp_path)])
