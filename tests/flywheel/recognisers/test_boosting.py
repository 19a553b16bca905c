"""Boosting as the free alternative: rows to try it on, the strength that is chosen, and what is measured once."""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flywheel.compute.job import ComputeJob, JobOutcome
from flywheel.compute.programs.transcribe import hypotheses_of
from flywheel.corpus.manifest import ManifestRow, read_manifest, write_manifest
from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_json, sha256_of_file, write_json, write_jsonl
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import plain, read_record, record_in, record_text, write_record
from flywheel.recognisers.bases import Base, read_base
from flywheel.recognisers.boosting import (
    Boosting,
    BoostingChoice,
    BoostingPlan,
    BoostingSettings,
    BoostingSettingsError,
    BoostingTrial,
    against_finetune,
    boost,
    chosen_alpha,
    read_boosting,
    trial_rows,
    try_strengths,
)
from flywheel.recognisers.evaluation import TranscriptionRecord, what_is_heard
from flywheel.scoring import Transcript, read_transcripts
from tests.cycle_on_disk import baseline_cycle, evaluation, heard, trained_cycle
from tests.flywheel.verdict.test_decision import TERMS, clinical, compared, general

CAP = 0.005
PLAN = BoostingPlan(TERMS, (0.5, 1.0, 2.0), CAP, "beam", 4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"alphas": ()}, "alphas: found []; allowed: one or more above 0", id="no strengths"),
        pytest.param({"alphas": (0.0, 1.0)}, "alphas: found [0.0, 1.0]", id="a strength of nothing"),
        pytest.param({"alphas": (-1.0,)}, "alphas: found [-1.0]", id="a negative strength"),
        pytest.param({"alphas": (1.0, 0.5)}, "each above the one before", id="falling strengths"),
        pytest.param({"alphas": (1.0, 1.0)}, "each above the one before", id="one strength twice"),
        pytest.param({"alphas": (1.0, math.inf)}, "alphas: found [1.0, inf]", id="an endless strength"),
        pytest.param({"alphas": (math.nan,)}, "alphas: found [nan]", id="a strength that is no number"),
        pytest.param({"general_wer_cap": 5}, "general_wer_cap: found 5; allowed: a fraction", id="percent"),
        pytest.param({"search": "mbr"}, "search: found 'mbr'; allowed: beam or greedy", id="unknown search"),
        pytest.param({"beam_size": 1}, "beam_size: found 1; allowed: a whole number from 2", id="no beam"),
        pytest.param({"clinical_rows": 0}, "clinical_rows: found 0; allowed", id="no rows with a term"),
        pytest.param({"general_rows": 0}, "general_rows: found 0; allowed", id="no general speech"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BoostingSettingsError) as caught:
        BoostingSettings(**settings)
    assert said in str(caught.value)
    assert len(caught.value.problems) == 1


def test_all_settings_out_of_range_are_named_at_once() -> None:
    with pytest.raises(BoostingSettingsError) as caught:
        BoostingSettings(alphas=(), general_wer_cap=-1, beam_size=0, clinical_rows=0, general_rows=0)
    assert len(caught.value.problems) == 5


def row(subset: str, number: int, *, term: str | None = "cefazolin") -> ManifestRow:
    name = f"{subset}-{'general' if term is None else 'term'}-{number:03}"
    return ManifestRow(
        id=name,
        audio_filepath=f"{name}.wav",
        text=f"we give {term or 'it'} now",
        duration=1.0,
        sampling_rate=16000,
        term=term,
        entity_category=term and "drug",
        ipa_source="espeak_g2p",
        voice_id="espeak:en-us+m3",
        noise_level="clean",
        context_type=term and "dictation",
        synthesis_group=name,
        subset=subset,
    )


ROWS = (
    *(row("development", number) for number in range(10)),
    *(row("train", number) for number in range(30)),
    *(row("replay", number, term=None) for number in range(20)),
)


def trial_ids(
    rows: Sequence[ManifestRow] = ROWS, trained_on: Sequence[str] = (), **settings: Any
) -> list[str]:
    return [each.id for each in trial_rows(rows, BoostingSettings(**settings), frozenset(trained_on))]


def kinds(ids: Sequence[str]) -> list[str]:
    """Their beginnings, each once, in their order."""
    return list(dict.fromkeys(each.rpartition("-")[0] for each in ids))


class TestTrialRows:
    def test_development_rows_come_first_then_training_rows_then_general_speech(self) -> None:
        ids = trial_ids()
        assert kinds(ids) == ["development-term", "train-term", "replay-general"]
        assert sorted(ids) == sorted(each.id for each in ROWS), "each once"

    def test_there_are_no_more_of_a_kind_than_asked_for(self) -> None:
        ids = trial_ids(clinical_rows=12, general_rows=5)
        assert [sum(each.startswith(kind) for each in ids) for kind in ("dev", "train", "replay")] == [
            10,
            2,
            5,
        ]

    def test_fewer_of_a_kind_leave_the_others_as_they_are(self) -> None:
        assert trial_ids(clinical_rows=12, general_rows=5)[:12] == trial_ids()[:12]

    def test_they_do_not_depend_on_the_order_of_the_rows(self) -> None:
        assert trial_ids(tuple(reversed(ROWS)), clinical_rows=20) == trial_ids(clinical_rows=20)

    def test_another_seed_draws_others(self) -> None:
        assert trial_ids(seed=1, clinical_rows=20) != trial_ids(clinical_rows=20)

    def test_what_an_earlier_cycle_trained_on_comes_last(self) -> None:
        known = [each.id for each in ROWS[:35] if each.id.endswith(("1", "2", "3"))]
        ids = trial_ids(trained_on=known, general_rows=1)
        assert set(ids[40 - len(known) : 40]) == set(known)
        assert not set(trial_ids(trained_on=known, clinical_rows=20)) & set(known)


def hearing(
    table: Mapping[float, tuple[str, int]], *, spoken: int = 20
) -> tuple[Callable[[float], list[Transcript]], list[float]]:
    """What is heard at each strength, and the strengths asked for: a character for each term as `clinical` has it,
    and wrong words among `spoken` rows of general speech, ten words each."""
    asked = []

    def hear(alpha: float) -> list[Transcript]:
        asked.append(alpha)
        missed, wrong = table[alpha]
        return [each.transcript for each in (*clinical(missed), *general(wrong, rows=spoken))]

    return hear, asked


class TestStrengths:
    @pytest.mark.parametrize(
        ("table", "tried", "chosen"),
        [
            pytest.param(
                {0: ("xxxxxxxx", 4), 0.5: ("xxxxxx..", 4), 1: ("xxxx....", 4), 2: ("xx......", 4)},
                [0, 0.5, 1, 2],
                2,
                id="the stronger the better",
            ),
            pytest.param(
                {0: ("xxxxxxxx", 4), 0.5: ("xxxxxx..", 4), 1: ("........", 6)},
                [0, 0.5, 1],
                0.5,
                id="nothing is tried beyond the cap, nor chosen there",
            ),
            pytest.param(
                {0: ("xxxxxxxx", 4), 0.5: ("xxxxxx..", 4), 1: ("xxxx....", 5), 2: ("xxxxx...", 5)},
                [0, 0.5, 1, 2],
                1,
                id="one word of 200 equals the cap",
            ),
            pytest.param(
                {0: ("xxxxxxxx", 4), 0.5: ("xxxx....", 3), 1: ("..xxxx..", 2), 2: ("xxxxx...", 2)},
                [0, 0.5, 1, 2],
                0.5,
                id="the weakest of those that miss equally few",
            ),
            pytest.param(
                {0: ("xx......", 4), 0.5: ("..xx....", 4), 1: ("xxx.....", 4), 2: ("xxxxxxxx", 4)},
                [0, 0.5, 1, 2],
                0,
                id="none misses fewer",
            ),
            pytest.param(
                {0: ("xxxxxxxx", 4), 0.5: ("........", 9)}, [0, 0.5], 0, id="the weakest is beyond the cap"
            ),
            pytest.param(
                {0: ("", 4), 0.5: ("", 3), 1: ("", 2), 2: ("", 1)}, [0, 0.5, 1, 2], 0, id="no terms to miss"
            ),
        ],
    )
    def test_the_strength_that_misses_fewest_within_the_cap_is_chosen(
        self, table: dict[float, tuple[str, int]], tried: list[float], chosen: float
    ) -> None:
        hear, asked = hearing(table)
        trials = try_strengths(PLAN, hear)
        assert [trial.alpha for trial in trials] == asked == tried
        assert chosen_alpha(trials, CAP) == chosen

    def test_a_trial_says_what_was_measured_and_on_how_many_rows(self) -> None:
        hear, _asked = hearing({0: ("xxxxxxxx", 4), 0.5: ("xxxxxx..", 5)})
        plain, boosted = try_strengths(replace(PLAN, alphas=(0.5,)), hear)
        assert plain.change is None
        found = (boosted.ker, boosted.general_wer, boosted.false_insertions, boosted.change)
        assert [each and (each.value, each.n) for each in found] == [
            (0.75, 8),
            (0.025, 20),
            (0.0, 28),
            (pytest.approx(0.005), 20),
        ]

    def test_a_term_that_nobody_said_counts(self) -> None:
        def hear(alpha: float) -> list[Transcript]:
            first, *others = (each.transcript for each in general(0))
            return [replace(first, pred_text=f"{first.pred_text} cefazolin") if alpha else first, *others]

        plain, boosted = try_strengths(PLAN, hear)
        assert plain.false_insertions is not None
        assert boosted.false_insertions is not None
        assert (plain.false_insertions.value, boosted.false_insertions.value) == (0.0, 0.1)
        assert not boosted.is_within(CAP)

    def test_without_general_speech_the_words_beside_the_term_are_the_control(self) -> None:
        def hear(alpha: float) -> list[Transcript]:
            rows = [each.transcript for each in clinical("x" * 10 if alpha < 1 else "." * 10)]
            return [
                replace(each, pred_text=each.pred_text.replace("check", "uh")) if alpha > 1 else each
                for each in rows
            ]

        trials = try_strengths(PLAN, hear)
        changes = [trial.change and (trial.change.value, trial.change.n) for trial in trials]
        assert changes == [None, (0.0, 10), (0.0, 10), (0.25, 10)]
        assert trials[-1].general_wer is None
        assert chosen_alpha(trials, CAP) == 1


@dataclass
class Ears:
    """A backend whose jobs leave what the program `boost` does, of a model that knows no term of its own: it finds
    a fourth of them for each 0.5 of strength, and says one too many in general speech from `harm` on."""

    harm: float = 1.5
    jobs: list[ComputeJob] = field(default_factory=list)
    name: str = "ears"
    has_accelerator: bool = False

    def run(self, job: ComputeJob, outputs_to: Path, on_line: Callable[[str], None]) -> JobOutcome:
        self.jobs.append(job)
        plan = read_record(job.inputs["plan.json"], BoostingPlan)
        rows, trials = (read_manifest(job.manifests[name]) for name in ("rows.jsonl", "trials.jsonl"))
        tried = try_strengths(
            plan,
            lambda alpha: [Transcript(**line) for line in hypotheses_of(trials, self._hear(trials, alpha))],
        )
        alpha = chosen_alpha(tried, plan.general_wer_cap)
        hypotheses, choice = (outputs_to / name for name in job.outputs)
        if alpha:
            write_jsonl(hypotheses, hypotheses_of(rows, self._hear(rows, alpha)))
        else:
            shutil.copyfile(job.inputs["baseline.jsonl"], hypotheses)
        write_record(choice, BoostingChoice(alpha, ("apixaban",), tried))
        on_line(f"chosen: alpha {alpha:g}")
        outputs = {name: outputs_to / name for name in job.outputs}
        return JobOutcome(0, 12.34, outputs, datetime.now(UTC), billed_seconds=15.0, cost_usd=0.01)

    def _hear(self, rows: Sequence[ManifestRow], alpha: float) -> dict[str, str]:
        return {each.id: self._words(each, alpha) for each in rows}

    def _words(self, row: ManifestRow, alpha: float) -> str:
        if row.term is None:
            return f"{row.text} cefazolin" if alpha >= self.harm else row.text
        return row.text if int(row.id[:8], 16) % 4 < 2 * alpha else heard(row, misses_every=1)


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a cycle with a finished baseline, for copies."""
    data = tmp_path_factory.mktemp("cycle")
    folder = baseline_cycle(data, page=False)
    hear_baseline_again(folder)
    return data


@pytest.fixture
def folder(turned: Path, tmp_path: Path) -> CycleFolder:
    """A cycle of its own; the sound lies where the first one has it."""
    shutil.copytree(turned / "cycles", tmp_path / "cycles")
    return CycleFolder(tmp_path, "cycle1")


def hear_baseline_again(folder: CycleFolder, *, misses_every: int = 1) -> None:
    evaluation(folder.baseline, "bundled", misses_every=misses_every)
    asked = what_is_heard(read_base(folder.base_model), read_manifest(folder.baseline.rows))
    heard_of = sha256_of_file(folder.baseline.hyps)
    write_record(folder.baseline.transcription, TranscriptionRecord(asked, heard_of, "ears", 21.4))


def boosted(folder: CycleFolder, ears: Ears | None = None, **settings: Any) -> Boosting:
    found, _done = boost(
        read_base(folder.base_model), folder, ears or Ears(), lambda line: None, BoostingSettings(**settings)
    )
    return found


class TestBoost:
    def test_a_strength_is_chosen_and_the_rows_of_the_baseline_are_heard_with_it(
        self, folder: CycleFolder
    ) -> None:
        ears = Ears()
        lines: list[str] = []
        boosting, done = boost(read_base(folder.base_model), folder, ears, lines.append)
        assert (boosting.alpha, boosting.search, boosting.unwritable) == (1.25, "beam of 4", ("apixaban",))
        assert [trial.alpha for trial in boosting.trials] == [0.0, 0.5, 0.75, 1.0, 1.25, 1.5]
        assert boosting.phrases == len(
            {row.term for row in read_manifest(folder.manifest)} - {None, "apixaban"}
        )
        assert (done.cached, done.seconds, done.cost_usd, lines) == (
            False,
            12.3,
            0.01,
            ["chosen: alpha 1.25"],
        )
        ker = boosting.comparison.priority_ker
        assert ker is not None
        assert (ker.before.value, ker.broken) == (1.0, 0)
        assert ker.mended > 0
        assert folder.boosted.rows.read_bytes() == folder.baseline.rows.read_bytes()
        assert read_json(folder.boosted.scores)["model"].endswith(", terms boosted at 1.25")
        assert read_boosting(folder) == boosting

    def test_no_held_out_row_has_a_say_in_the_strength(self, folder: CycleFolder) -> None:
        boosting = boosted(folder)
        trials = read_manifest(folder.boosting_trials)
        assert {row.subset for row in trials} == {"development", "train", "replay"}
        heard_twice = {row.id for row in trials} & {row.id for row in read_manifest(folder.validation)}
        assert not heard_twice
        counts = [
            sum(row.subset == subset for row in trials) for subset in ("development", "train", "replay")
        ]
        assert boosting.chosen_on == (
            "{} development and {} training rows with a term, {} rows of general speech: none of them held out"
        ).format(*counts)

    def test_all_terms_are_boosted_those_that_training_leaves_out_as_well(self, folder: CycleFolder) -> None:
        boosted(folder)
        terms = set(read_json(folder.boosting_plan)["terms"])
        assert terms == {row.term for row in read_manifest(folder.manifest)} - {None}
        assert terms > {row.term for row in read_manifest(folder.train)} - {None}

    def test_what_an_earlier_cycle_trained_on_is_told(self, folder: CycleFolder) -> None:
        later = CycleFolder(folder.data, "cycle2")
        shutil.copytree(folder.root, later.root)
        known = [row for row in read_manifest(folder.train) if row.is_clinical][:7]
        write_manifest(folder.train, known)
        assert boosted(later).chosen_on.endswith("; an earlier cycle trained on 7 of them")
        trials = read_manifest(later.boosting_trials)
        clinical_trials = [row.id for row in trials if row.is_clinical]
        assert set(clinical_trials[-7:]) == {row.id for row in known}

    def test_the_same_is_not_heard_again(self, folder: CycleFolder) -> None:
        ears = Ears()
        first = boosted(folder, ears)
        again, done = boost(read_base(folder.base_model), folder, ears, lambda line: None)
        assert (again, done.cached, done.cost_usd, len(ears.jobs)) == (first, True, 0.0, 1)

    @pytest.mark.parametrize(
        "settings",
        [
            pytest.param({"alphas": (1.0, 2.0)}, id="strengths"),
            pytest.param({"general_wer_cap": 1.0}, id="cap"),
            pytest.param({"search": "greedy"}, id="search"),
            pytest.param({"beam_size": 8}, id="beam"),
            pytest.param({"general_rows": 3}, id="rows to try it on"),
        ],
    )
    def test_with_other_settings_it_is_heard_again(
        self, folder: CycleFolder, settings: dict[str, Any]
    ) -> None:
        ears = Ears()
        boosted(folder, ears)
        boosted(folder, ears, **settings)
        assert len(ears.jobs) == 2

    def test_with_other_terms_it_is_heard_again(self, folder: CycleFolder) -> None:
        ears = Ears()
        boosted(folder, ears)
        rows = [row for row in read_manifest(folder.baseline.rows) if row.term != "cefazolin"]
        write_manifest(folder.baseline.rows, rows)
        hear_baseline_again(folder)
        boosted(folder, ears)
        assert len(ears.jobs) == 2
        assert "cefazolin" not in read_json(folder.boosting_plan)["terms"]

    def test_beside_another_baseline_it_is_heard_again(self, folder: CycleFolder) -> None:
        ears = Ears()
        boosted(folder, ears)
        hear_baseline_again(folder, misses_every=2)
        boosted(folder, ears)
        assert len(ears.jobs) == 2

    @pytest.mark.parametrize("lost", ["offline_hyps.jsonl", "choice.json", "transcription.json"])
    def test_what_is_lost_is_made_again(self, folder: CycleFolder, lost: str) -> None:
        ears = Ears()
        first = boosted(folder, ears)
        (folder.boosted.root / lost).unlink()
        assert boosted(folder, ears) == first
        assert len(ears.jobs) == 2

    def test_where_no_strength_helps_nothing_is_boosted(self, folder: CycleFolder) -> None:
        boosting = boosted(folder, Ears(harm=0.1))
        assert boosting.alpha == 0.0
        assert [trial.alpha for trial in boosting.trials] == [0.0, 0.5]
        assert read_transcripts(folder.boosted.hyps) == read_transcripts(folder.baseline.hyps)
        assert read_json(folder.boosted.scores)["model"].endswith(", nothing boosted")
        ker = boosting.comparison.priority_ker
        assert ker is not None
        assert (ker.mended, ker.broken) == (0, 0)

    def test_without_a_baseline_nothing_is_started(self, folder: CycleFolder) -> None:
        folder.baseline.transcription.unlink()
        ears = Ears()
        with pytest.raises(FlywheelError, match="nothing was heard there; materialise baseline_eval first"):
            boosted(folder, ears)
        assert not ears.jobs

    def test_the_baseline_of_another_model_is_refused(self, folder: CycleFolder, tmp_path: Path) -> None:
        other = tmp_path / "other.nemo"
        other.write_bytes(b"another base")
        ears = Ears()
        with pytest.raises(FlywheelError, match="of another model or of other rows"):
            boost(Base("other", other, "other.nemo"), folder, ears, lambda line: None)
        assert not ears.jobs

    def test_the_baseline_of_other_rows_is_refused(self, folder: CycleFolder) -> None:
        write_manifest(folder.baseline.rows, read_manifest(folder.baseline.rows)[1:])
        with pytest.raises(FlywheelError, match="of another model or of other rows"):
            boosted(folder)


class TestReading:
    def test_before_it_was_measured_there_is_none(self, folder: CycleFolder) -> None:
        assert read_boosting(folder) is None

    def test_beside_another_baseline_there_is_none(self, folder: CycleFolder) -> None:
        boosted(folder)
        hear_baseline_again(folder, misses_every=2)
        assert read_boosting(folder) is None

    def test_without_its_baseline_there_is_none(self, folder: CycleFolder) -> None:
        boosted(folder)
        folder.baseline.scores.unlink()
        assert read_boosting(folder) is None

    def test_it_is_about_the_categories_that_the_gate_looks_at(self, folder: CycleFolder) -> None:
        of_drugs = boosted(folder).comparison
        boosting = read_boosting(folder, ("procedure",))
        assert boosting is not None
        assert boosting.comparison.priority_categories == ("procedure",)
        found = boosting.comparison.priority_ker
        assert found == replace(of_drugs.slices["held_out"].by_category["procedure"], p_holm=None)

    def test_before_there_is_a_gate_it_is_about_the_default_categories(self, folder: CycleFolder) -> None:
        assert boosted(folder).comparison.priority_categories == ("drug",)

    def test_it_stands_beside_a_fine_tuned_model_on_the_same_rows(self, tmp_path: Path) -> None:
        folder = trained_cycle(tmp_path, boosted=True)
        boosting = read_boosting(folder)
        assert boosting is not None
        before, after = boosting.comparison.priority_ker, against_finetune(folder, ("drug",)).priority_ker
        assert before is not None
        assert after is not None
        assert after.before == before.after
        assert after.after.value < after.before.value

    def test_what_is_written_is_what_is_read(self) -> None:
        hear, _asked = hearing({0: ("xxxxxxxx", 4), 0.5: ("xxxxxx..", 4), 1: ("........", 6)})
        comparison = compared("xxxx", "xx..")
        boosting = Boosting(
            0.5, 5, "8 rows", try_strengths(PLAN, hear), comparison, "beam of 4", unwritable=("apixaban",)
        )
        assert record_in(record_text(boosting), Boosting, "boosting", "") == boosting
        assert record_in(record_text(PLAN), BoostingPlan, "plan", "") == PLAN

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"trials": None}, id="a field of another kind"),
            pytest.param({"search": 0, "beam": 4}, id="an unknown field"),
            pytest.param({"trials": [{"ker": None}]}, id="a trial without its strength"),
        ],
    )
    def test_a_file_of_another_version_is_refused(self, change: dict[str, Any], tmp_path: Path) -> None:
        trial, file = BoostingTrial(0.0, None, None, None), tmp_path / "boosting.json"
        values = plain(Boosting(0.0, 0, "no rows", (trial,), compared("xxxx", "xx..")))
        without = {name: value for name, value in values.items() if name != "trials"}
        for broken in ({**values, **change}, without):
            write_json(file, broken)
            with pytest.raises(FlywheelError, match="materialise boosted_eval again"):
                read_record(file, Boosting)
