"""What the policies make of judgements."""

from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_json
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import write_record
from flywheel.pronunciation.lexicon import Pronunciation
from flywheel.speech.audition.judgements import Judgement, Status
from flywheel.speech.audition.policy import POLICIES, decide_audition, policy_named, read_state, state_file

PAGE, VERDICTS = Path("/data/audition/index.html"), Path("/data/verdicts.csv")


def judgements(*statuses: Status) -> list[Judgement]:
    return [
        Judgement(Pronunciation(f"term{number}", None, "espeak_g2p"), status)
        for number, status in enumerate(statuses)
    ]


@pytest.mark.parametrize(
    ("policy", "statuses", "is_open", "expected"),
    [
        ("off", [], True, ["nobody is asked"]),
        ("warn", ["unjudged", "approved"], True, ["2 pronunciations: 1 not judged (term0)", str(PAGE)]),
        ("warn", ["approved"], True, ["nothing is left to judge: 1 pronunciation approved"]),
        ("require", ["approved", "approved"], True, ["2 pronunciations approved"]),
        ("require", [], True, ["0 pronunciations approved"]),
        (
            "require",
            ["approved", "unjudged"],
            False,
            ["the synthesis waits for verdicts", "1 not judged (term1)", str(PAGE), str(VERDICTS)],
        ),
        ("require", ["approved", "rejected"], False, ["1 rejected (term1)", "an IPA in the overrides"]),
        (
            "require",
            ["chosen"],
            False,
            ["1 approved in another form (term0)", "materialise pronunciations again"],
        ),
        ("require", ["unjudged"] * 7, False, ["term0, term1, term2, term3, term4 and 2 more"]),
    ],
)
def test_a_policy(policy: str, statuses: list[Status], is_open: bool, expected: list[str]) -> None:
    state = decide_audition(policy, judgements(*statuses), page=PAGE, verdicts=VERDICTS)
    assert state.open is is_open
    assert [part for part in expected if part not in state.advice] == [], state.advice
    assert sum(state.counts.values()) == len(statuses)
    assert state.all_approved == (set(statuses) <= {"approved"})


def test_what_cannot_be_spoken_is_said() -> None:
    state = decide_audition(
        "warn", judgements("unjudged"), page=PAGE, verdicts=VERDICTS, unspoken={"term0": "silent"}
    )
    assert "no clip could be made of term0: silent" in state.advice


def test_the_state_is_read_back(tmp_path: Path) -> None:
    folder = CycleFolder(tmp_path, "cycle1")
    assert read_state(folder) is None
    state = decide_audition("require", judgements("unjudged"), page=PAGE, verdicts=VERDICTS)
    write_record(state_file(folder), state)
    assert read_state(folder) == state


@pytest.mark.parametrize("content", [{"policy": "warn"}, ["warn"]])
def test_another_file_in_its_place_is_named(tmp_path: Path, content: object) -> None:
    folder = CycleFolder(tmp_path, "cycle1")
    write_json(state_file(folder), content)
    with pytest.raises(FlywheelError, match=r"state\.json: .*; materialise audition_page again"):
        read_state(folder)


@pytest.mark.parametrize("name", ["", "Require", "yes"])
def test_a_wrong_policy_is_refused_with_the_right_ones(name: str) -> None:
    assert [policy_named(each) for each in POLICIES] == list(POLICIES)
    with pytest.raises(FlywheelError, match="allowed: off, warn, require"):
        policy_named(name)
