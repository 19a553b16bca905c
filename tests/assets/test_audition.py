"""The audition in the graph, with real speech: what each policy lets through, and what a verdict changes."""

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from assets.audition import audition
from assets.cycles import CYCLES
from flywheel.corpus.terms import Term, write_term_seed
from flywheel.cycle.page import main as cycle_page
from flywheel.files.cycles import CycleFolder
from flywheel.files.steps import CycleSteps
from flywheel.pronunciation.choosing import choose_pronunciations
from flywheel.pronunciation.lexicon import Candidate, Lexicon, Pronunciation, write_lexicon
from flywheel.pronunciation.overrides import Override, append_override, read_overrides
from flywheel.speech.audition.policy import read_state
from flywheel.speech.audition.verdicts import COLUMNS
from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer
from resources.data_folder import DataFolder
from resources.speech.resource import Speech

CANDIDATE = Candidate("ˌvæŋkəˈmaɪsən", "clinical suffix -mycin")
TERMS = ("vancomycin", "ferritin")


@dg.asset(deps=[dg.AssetKey("speech_ticket")], partitions_def=CYCLES)
def spoken(context: dg.AssetExecutionContext) -> None:
    """Stands where speech stands."""


@dataclass(frozen=True)
class Ran:
    """What a run did: its steps' assets, the check, and what it said."""

    success: bool
    materialised: dict[str, dg.AssetMaterialization]
    check: dg.AssetCheckEvaluation | None
    said: str

    @property
    def versions(self) -> dict[str, str]:
        return {name: (each.tags or {})["dagster/data_version"] for name, each in self.materialised.items()}


class Place:
    """A data folder with a cycle of two terms, up to its pronunciations."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.folder = CycleFolder(self.data, "cycle1")
        self.verdicts = self.data / "verdicts.csv"
        self.overrides = self.data / "pronunciation_overrides.csv"
        write_term_seed(self.folder.term_seed, [Term("vancomycin", "drug"), Term("ferritin", "lab")])
        CycleSteps(self.folder).stamp("term_seed")
        entries = (
            Pronunciation("vancomycin", None, "espeak_g2p", candidates=(CANDIDATE,)),
            Pronunciation("ferritin", None, "espeak_g2p"),
        )
        write_lexicon(self.folder.pronunciations, Lexicon(entries))
        CycleSteps(self.folder).stamp("pronunciations")

    def run(self, policy: str = "") -> Ran:
        with dg.DagsterInstance.ephemeral() as instance:
            done = dg.materialize(
                [audition, spoken],
                instance=instance,
                partition_key="cycle1",
                raise_on_error=False,
                resources={"data": DataFolder(), "voices": Speech()},
                run_config={"ops": {"audition": {"config": {"policy": policy}}}},
            )
            lines = [record.user_message for record in instance.all_logs(done.run_id)]
        failures = [
            event.step_failure_data.user_failure_data.description or ""
            for event in done.all_events
            if event.is_step_failure and event.step_failure_data.user_failure_data
        ]
        checks = done.get_asset_check_evaluations()
        return Ran(
            done.success,
            {
                event.step_materialization_data.materialization.asset_key.to_user_string(): (
                    event.step_materialization_data.materialization
                )
                for event in done.get_asset_materialization_events()
            },
            checks[0] if checks else None,
            "\n".join([*lines, *failures]),
        )

    def judge(self, *rows: tuple[str, str, str], at: str = "2026-01-31T10:00:00Z") -> None:
        """Add verdicts: term, verdict and the IPA that was heard."""
        engine = f"espeak {EspeakSynthesizer().version}"
        lines = [
            f"{term},{verdict},{ipa},,A. Person,{at},espeak_g2p,{engine},{SEEN_VOICES[0].voice_id}\n"
            for term, verdict, ipa in rows
        ]
        before = self.verdicts.read_text() if self.verdicts.exists() else ""
        self.verdicts.write_text(f"{before}{','.join(COLUMNS)}\n{''.join(lines)}")

    def choose_again(self) -> None:
        """What materialising pronunciations does."""
        chosen = choose_pronunciations(TERMS, read_overrides(self.overrides), None, "espeak", None)
        write_lexicon(self.folder.pronunciations, chosen.lexicon)
        CycleSteps(self.folder).stamp("pronunciations")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("FLYWHEEL_AUDITION", "FLYWHEEL_VERDICTS", "FLYWHEEL_OVERRIDES"):
        monkeypatch.delenv(name, raising=False)
    made = Place(tmp_path)
    monkeypatch.setenv("FLYWHEEL_DATA", str(made.data))
    return made


ALL = {"audition_page", "speech_ticket", "spoken"}


def test_off_asks_nobody(place: Place) -> None:
    ran = place.run("off")
    assert ran.success and set(ran.materialised) == ALL
    assert not (place.folder.audition / "index.html").exists()
    assert not (place.data / "speech").exists()
    assert ran.check is not None and ran.check.passed
    assert "nobody is asked how the terms sound (policy off)" in ran.said


def test_warn_is_the_default_and_goes_on(place: Place) -> None:
    ran = place.run()
    assert ran.success and set(ran.materialised) == ALL
    assert ran.materialised["audition_page"].metadata["policy"].value == "warn"
    assert ran.check is not None and not ran.check.passed
    assert ran.check.severity == dg.AssetCheckSeverity.WARN
    assert "2 not judged (vancomycin, ferritin)" in str(ran.check.description)
    clips = sorted(path.name for path in (place.folder.audition / "clips").iterdir())
    assert [name.rpartition("-")[0] for name in clips] == ["ferritin", "vancomycin", "vancomycin"]
    html = (place.folder.audition / "index.html").read_text()
    assert [f"clips/{name}" in html for name in clips] == [True] * 3


def test_require_waits_without_failing_until_all_are_approved(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLYWHEEL_AUDITION", "require")
    waiting = place.run()
    assert waiting.success and set(waiting.materialised) == {"audition_page"}
    assert "the synthesis waits for verdicts: 2 pronunciations: 2 not judged" in waiting.said
    assert "| vancomycin | unjudged |" in str(
        waiting.materialised["audition_page"].metadata["not approved"].value
    )
    cycle_page(["cycle1", "--data", str(place.data)])
    assert str(place.verdicts) in capsys.readouterr().out

    place.judge(("vancomycin", "approve", ""), ("ferritin", "reject", ""))
    waiting = place.run()
    assert waiting.success and set(waiting.materialised) == {"audition_page"}
    assert "1 rejected (ferritin)" in waiting.said

    place.judge(("ferritin", "approve", ""), at="2026-02-01")
    through = place.run()
    assert through.success and set(through.materialised) == ALL
    assert through.check is not None and through.check.passed
    state = read_state(place.folder)
    assert state is not None and state.open


def test_an_approved_candidate_becomes_an_override_once(place: Place) -> None:
    place.judge(("vancomycin", "approve", CANDIDATE.ipa), ("ferritin", "approve", ""))
    for _ in range(2):
        waiting = place.run("require")
        assert waiting.success and set(waiting.materialised) == {"audition_page"}
        assert "materialise pronunciations again" in waiting.said
    assert len(place.overrides.read_text().splitlines()) == 2
    (override,) = read_overrides(place.overrides)
    assert (override.term, override.ipa, override.verified_by) == ("vancomycin", CANDIDATE.ipa, "A. Person")
    assert override.notes == "approved in the audition of cycle1: clinical suffix -mycin"

    place.choose_again()
    through = place.run("require")
    assert through.success and set(through.materialised) == ALL
    assert len(place.overrides.read_text().splitlines()) == 2


def test_with_warn_an_approved_candidate_is_an_override_from_the_next_time_on(place: Place) -> None:
    place.judge(("vancomycin", "approve", CANDIDATE.ipa))
    ran = place.run("warn")
    assert set(ran.materialised) == ALL
    assert "counts once pronunciations are materialised again" in ran.said
    assert [each.ipa for each in read_overrides(place.overrides)] == [CANDIDATE.ipa]


def test_an_override_of_a_persons_is_not_overruled_by_an_approved_candidate(place: Place) -> None:
    append_override(place.overrides, Override("vancomycin", "ˈvæŋkoʊ", "B. Person", "2026-03-01", ""))
    place.judge(("vancomycin", "approve", CANDIDATE.ipa))
    ran = place.run("warn")
    assert "has ˈvæŋkoʊ by B. Person, which holds" in ran.said
    assert [each.ipa for each in read_overrides(place.overrides)] == ["ˈvæŋkoʊ"]


def test_the_ticket_does_not_change_with_what_people_say(place: Place) -> None:
    before = place.run().versions
    assert place.run().versions["audition_page"] == before["audition_page"]
    place.judge(("ferritin", "approve", ""))
    after = place.run().versions
    assert after["audition_page"] != before["audition_page"]
    assert after["speech_ticket"] == before["speech_ticket"] == place.run("off").versions["speech_ticket"]


def test_a_changed_pronunciation_asks_for_a_new_verdict(place: Place) -> None:
    place.judge(("vancomycin", "approve", ""), ("ferritin", "approve", ""))
    assert set(place.run("require").materialised) == ALL
    append_override(place.overrides, Override("ferritin", "ˈfɛɹətən", "B. Person", "2026-03-01", ""))
    place.choose_again()
    waiting = place.run("require")
    assert set(waiting.materialised) == {"audition_page"}
    assert "1 not judged (ferritin)" in waiting.said


@pytest.mark.parametrize(
    ("policy", "content", "expected"),
    [
        ("strict", "", "found 'strict'; allowed: off, warn, require"),
        ("warn", "term,verdict\n", "verdicts.csv: 1 problem"),
    ],
)
def test_a_mistake_fails_with_its_message(place: Place, policy: str, content: str, expected: str) -> None:
    if content:
        place.verdicts.write_text(content)
    ran = place.run(policy)
    assert not ran.success and ran.materialised == {}
    assert expected in ran.said


def test_verdicts_may_lie_elsewhere(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.judge(("vancomycin", "approve", ""), ("ferritin", "approve", ""))
    monkeypatch.setenv("FLYWHEEL_VERDICTS", str(place.verdicts.rename(tmp_path / "mine.csv")))
    assert set(place.run("require").materialised) == ALL
