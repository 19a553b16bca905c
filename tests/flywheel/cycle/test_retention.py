"""Which audio an old cycle may lose, and that nothing else is ever touched."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from flywheel.cli import main
from flywheel.cycle.retention import RetentionRefused, plan, report, retain
from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_jsonl
from flywheel.files.cycles import CycleFolder
from flywheel.files.locks import try_lock
from flywheel.speech.purchasing.purchases import BUYER_LOCK
from tests.cycle_on_disk import trained_cycle
from tests.named_audio import ESPEAK, HUME, TEAM, Case, Row, built, name

A, B = Row("a"), Row("b")
NOISY = Row("a in noise", mixed_from="a")
BOUGHT = Row("bought", HUME)
BOUGHT_NOISY = Row("bought in noise", HUME, mixed_from="bought")
TAKEN = Row("taken", TEAM)

CASES: Mapping[str, Case] = {
    "no cycle at all": Case([], set(), unnamed={"a"}),
    "no old cycle": Case([[A], [A, B]], set(), keep=2),
    "more to keep than there are": Case([[A], [B]], set(), keep=5),
    "only an old cycle names it": Case([[A], [B]], {"a"}),
    "only old cycles name it": Case([[A], [A], [B]], {"a"}),
    "a kept cycle names it, too": Case([[A, B], [B]], {"a"}),
    "a cycle that grew": Case([[A], [A, B], [A, B, NOISY]], set()),
    "an earlier kept cycle names it": Case([[A], [A, B], [B]], set(), keep=2),
    "noise goes with the speech under it": Case([[NOISY], [B]], {"a", "a in noise"}),
    "a kept noisy row keeps the speech under it": Case([[A], [NOISY]], set()),
    "what no manifest names": Case([[A], [B]], {"a"}, unnamed={"a clip of an audition"}),
    "an old cycle that never had a manifest": Case([None, [A], [B]], {"a"}),
    "bought speech": Case([[BOUGHT, BOUGHT_NOISY], [B]], {"bought in noise"}),
    "bought speech of which only the noisy file is left": Case(
        [[BOUGHT_NOISY], [B]], set(), lacking={"bought"}
    ),
    "bought speech, asked for": Case([[BOUGHT, BOUGHT_NOISY], [B]], {"bought", "bought in noise"}, paid=True),
    "an engine that nobody knows may be a paid one": Case([[Row("x", "elsewhere:voice")], [B]], set()),
    "a recording": Case([[TAKEN], [B]], set(), paid=True),
    "audio that is gone already": Case([[A], [B]], set(), lacking={"a"}),
}


def contents(data: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(data)): path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_goes_is_gone_and_nothing_else(tmp_path: Path, case: Case) -> None:
    data = built(tmp_path, case)
    before = contents(data)
    planned = plan(data, keep=case.keep, paid=case.paid)
    assert contents(data) == before
    gone = {f"speech/{name(sound)}.wav" for sound in case.removed}
    assert retain(data, keep=case.keep, paid=case.paid) == planned
    after = contents(data)
    ours = {"retention.jsonl", "retention.lock", f"speech/{BUYER_LOCK}"}
    assert {each: after[each] for each in after.keys() - ours} == {
        each: before[each] for each in before.keys() - gone
    }
    assert {f"speech/{each.file}" for each in planned.removable} == gone
    assert (data / "retention.jsonl").exists() == bool(gone)


def test_what_was_removed_is_written_down(tmp_path: Path) -> None:
    data = built(tmp_path, Case([[A, B], [A, BOUGHT_NOISY, BOUGHT], [B]], set()))
    retain(data, keep=1)
    retain(data, keep=1)
    record = {row["file"]: row for row in read_jsonl(data / "retention.jsonl")}
    assert {each: (row["voice_id"], row["cycles"], row["bytes"]) for each, row in record.items()} == {
        f"{name('a')}.wav": (ESPEAK, ["cycle1", "cycle2"], 5),
        f"{name('bought in noise')}.wav": (HUME, ["cycle2"], 19),
    }
    assert len({row["at"] for row in record.values()}) == 1


def test_files_of_other_kinds_are_not_looked_at(tmp_path: Path) -> None:
    """A half-written file, a link, a folder, the ledger: whatever their names."""
    data = built(tmp_path, Case([[A], [B]], set(), lacking={"a"}))
    speech, wav = data / "speech", f"{name('a')}.wav"
    (speech / f".{wav}").write_bytes(b"half")
    (speech / "purchases.jsonl").write_text("{}\n")
    (speech / "deep").mkdir()
    (speech / "deep" / wav).write_bytes(b"RIFF")
    elsewhere = tmp_path / "elsewhere.wav"
    elsewhere.write_bytes(b"RIFF")
    (speech / wav).symlink_to(elsewhere)
    before = contents(data)
    assert retain(data, keep=1).removable == ()
    assert before.items() <= contents(data).items()


def test_a_data_folder_that_was_moved_is_read_all_the_same(tmp_path: Path) -> None:
    built(tmp_path / "old", Case([[A, B], [B]], set()))
    (tmp_path / "old").rename(tmp_path / "new")
    assert [each.file for each in retain(tmp_path / "new", keep=1).removable] == [f"{name('a')}.wav"]


def test_whole_cycles_lose_nothing_while_the_newest_has_all_their_rows(tmp_path: Path) -> None:
    """What a flywheel looks like that only grows: there is no old audio."""
    for cycle in ("cycle1", "cycle2", "cycle3"):
        trained_cycle(tmp_path, cycle)
    before = contents(tmp_path)
    assert retain(tmp_path, keep=1).removable == ()
    assert before.items() <= contents(tmp_path).items()


@pytest.mark.parametrize(
    ("lock", "why"),
    [
        (f"speech/{BUYER_LOCK}", "speech is being bought; nothing is removed. Try again when it has ended"),
        ("retention.lock", "another retention is at work; nothing is removed. Try again when it has ended"),
    ],
)
def test_beside_who_works_on_the_audio_nothing_goes(tmp_path: Path, lock: str, why: str) -> None:
    data = built(tmp_path, Case([[A], [B]], set()))
    held = try_lock(data / lock)
    assert held is not None
    with pytest.raises(RetentionRefused) as caught:
        retain(data, keep=1)
    assert str(caught.value) == f"{data / lock}: {why}"
    assert (data / "speech" / f"{name('a')}.wav").exists()
    os.close(held)
    assert len(retain(data, keep=1).removable) == 1


@pytest.mark.parametrize(
    ("cycle", "manifest", "why"),
    [
        (
            "cycle2",
            None,
            "nobody knows which audio cycle2 needs; nothing is removed. Finish the cycle, or remove its",
        ),
        ("cycle2", "{}\n", "row 1 has no 'voice_id'; materialise the manifest again"),
        ("cycle1", '{"voice_id": "espeak:a", "audio_filepath": 3}\n', "row 1 has no"),
        ("cycle1", "rows\n", "manifest.jsonl:1: not JSON"),
    ],
)
def test_where_it_is_not_known_what_is_needed_nothing_goes(
    tmp_path: Path, cycle: str, manifest: str | None, why: str
) -> None:
    data = built(tmp_path, Case([[A], [B]], set()))
    path = CycleFolder(data, cycle).manifest
    path.unlink() if manifest is None else path.write_text(manifest)
    with pytest.raises(FlywheelError) as caught:
        retain(data, keep=1)
    assert why in str(caught.value)
    assert (data / "speech" / f"{name('a')}.wav").exists()
    assert not (data / "retention.jsonl").exists()


def test_locks_are_let_go_of_after_a_refusal(tmp_path: Path) -> None:
    data = built(tmp_path, Case([[A], None], set()))
    for _ in range(2):
        with pytest.raises(RetentionRefused, match="cycle2"):
            retain(data, keep=1)
    (data / "cycles" / "cycle2").rmdir()
    assert retain(data, keep=1).removable == ()


def test_a_buyer_that_waits_is_told_for_whom(tmp_path: Path) -> None:
    data = built(tmp_path, Case([[A], [B]], set()))
    retain(data, keep=1)
    assert json.loads((data / "speech" / BUYER_LOCK).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(
    ("only_planned", "first"),
    [(True, "would be removed: 1 file, 0.0 MiB"), (False, "removed: 1 file, 0.0 MiB")],
)
def test_the_report_says_what_stays_and_why(tmp_path: Path, only_planned: bool, first: str) -> None:
    case = Case([[A, BOUGHT, TAKEN], [B]], set(), unnamed={"a clip"})
    assert report(plan(built(tmp_path, case), keep=1), only_planned=only_planned).splitlines() == [
        f"{first} that only cycle1 named",
        "stays: 1 file, 0.0 MiB, recordings",
        "stays: 1 file, 0.0 MiB, which kept cycles name",
        "stays: 1 file, 0.0 MiB, which no manifest names, e.g. of an audition",
        "stays: 1 file, 0.0 MiB, which was bought; it goes only where that is asked for",
        "kept cycles: cycle2",
    ]


def test_the_command_line_keeps_three_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = built(tmp_path, Case([[A], [B], [B], [B]], set()))
    main(["retention", "--data", str(data), "--dry-run"])
    assert "kept cycles: cycle2, cycle3 and cycle4" in capsys.readouterr().out
    monkeypatch.setenv("FLYWHEEL_KEEP_AUDIO_OF", "4")
    main(["retention", "--data", str(data)])
    assert capsys.readouterr().out == "nothing removed: 4 cycles, and all keep their audio\n"
    main(["retention", "--data", str(data), "--keep", "2"])
    assert capsys.readouterr().out.startswith("removed: 1 file, 0.0 MiB that only cycle1 or cycle2 named\n")


@pytest.mark.parametrize(
    ("arguments", "variable", "said"),
    [
        (["--keep", "0"], None, "error: cycles to keep: found 0; allowed: a whole number from 1"),
        ([], "all", "error: FLYWHEEL_KEEP_AUDIO_OF: found 'all'; allowed: a whole number of cycles from 1"),
        ([], "0", "error: FLYWHEEL_KEEP_AUDIO_OF: found '0'; allowed: a whole number of cycles from 1"),
    ],
)
def test_a_mistake_is_one_line_without_a_traceback(
    tmp_path: Path, arguments: list[str], variable: str | None, said: str
) -> None:
    set_to = {} if variable is None else {"FLYWHEEL_KEEP_AUDIO_OF": variable}
    done = subprocess.run(
        [sys.executable, "-m", "flywheel", "retention", "--data", str(tmp_path), *arguments],
        env={**os.environ, **set_to},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{said}\n")
