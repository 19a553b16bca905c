"""What the last command of a run says of a cycle."""

from pathlib import Path

import pytest

from flywheel.audition.judgements import Judgement
from flywheel.audition.policy import decide_audition, state_file
from flywheel.cycle_page import main
from flywheel.cycles import CycleFolder
from flywheel.files import write_json
from flywheel.pronunciation.lexicon import Pronunciation


def audition(data: Path, policy: str) -> None:
    """Leave what an audition leaves of which one term is not judged."""
    folder = CycleFolder(data, "cycle1")
    state = decide_audition(
        policy,
        [Judgement(Pronunciation("cefazolin", None, "espeak_g2p"), "unjudged")],
        page=folder.audition / "index.html",
        verdicts=data / "verdicts.csv",
    )
    write_json(state_file(folder), state.to_dict())


def test_a_cycle_that_waits_for_verdicts_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audition(tmp_path, "require")
    main(["cycle1", "--data", str(tmp_path)])
    said = capsys.readouterr().out
    assert "cycle1: the synthesis waits for verdicts: 1 pronunciation: 1 not judged (cefazolin)" in said
    assert f"{tmp_path}/cycles/cycle1/audition/index.html" in said.splitlines()
    assert f"{tmp_path}/verdicts.csv" in said.splitlines()


@pytest.mark.parametrize("policy", ["off", "warn"])
def test_a_cycle_that_waits_for_nothing_and_has_no_page_is_one(tmp_path: Path, policy: str) -> None:
    audition(tmp_path, policy)
    with pytest.raises(SystemExit, match=r"error: .*cycle1 has no leaderboard; run the cycle first"):
        main(["cycle1", "--data", str(tmp_path)])
