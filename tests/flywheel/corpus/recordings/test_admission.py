"""Which recordings join, which stay, and which are left alone: over cycles, and beside each other."""

import json
import os
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flywheel.corpus.cached_rows import write_cached_rows
from flywheel.corpus.recordings import (
    DropFolder,
    RecordingsError,
    read_recordings,
    take_in,
    write_quarantine,
)
from flywheel.corpus.split.earlier_decisions import NOTHING_ASSIGNED
from flywheel.files.atomic import read_jsonl, sha256_of_file
from tests.drop_folder import HUMAN, SYNTHETIC, Drop


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)


def test_a_folder_that_is_empty_or_not_there_offers_nothing(drop: Drop) -> None:
    assert drop.take_in().offered == 0
    drop.root.rmdir()
    assert drop.look().rows == ()


def test_lines_of_all_manifests_at_any_depth_join_in_their_order(drop: Drop) -> None:
    drop.manifest(drop.recording("one.wav", 1), "\n", drop.recording("two.wav", 2), name="b.jsonl")
    drop.wav("a/deep/three.wav", 3)
    drop.manifest({"audio_filepath": "../deep/three.wav", **SYNTHETIC}, name="a/deep/m.jsonl")
    taken = drop.take_in()
    assert (taken.offered, taken.joined, taken.quarantined) == (3, 3, ())
    again = drop.take_in(taken.rows)
    assert (again.offered, again.joined, again.joined_before, again.rows) == (3, 0, 3, taken.rows)


def test_the_same_audio_joins_once(drop: Drop) -> None:
    first = drop.recording("one.wav", 1)
    drop.manifest(first, drop.recording("two.wav", 1, speaker="voice-2"), first)
    taken = drop.take_in()
    assert [row.voice_id for row in taken.rows] == ["recording:voice-1"]
    assert [(each.line, each.reasons) for each in taken.quarantined] == [
        (2, ("audio: found the same as in manifest.jsonl:1; allowed: each once",)),
        (3, ("audio: found the same as in manifest.jsonl:1; allowed: each once",)),
    ]


def test_what_joined_stays_when_its_line_and_its_file_are_gone(drop: Drop) -> None:
    drop.manifest(drop.recording("one.wav", 1))
    first = drop.take_in()
    (drop.root / "one.wav").unlink()
    drop.manifest(drop.recording("two.wav", 2))
    second = drop.take_in(first.rows)
    assert (second.joined, second.joined_before) == (1, 0)
    assert second.rows[: len(first.rows)] == first.rows


def test_a_copy_that_is_gone_is_made_again_or_missed(drop: Drop) -> None:
    drop.manifest(drop.recording("one.wav", 1))
    (row,) = drop.take_in().rows
    content = sha256_of_file(Path(row.audio_filepath))
    Path(row.audio_filepath).unlink()
    drop.take_in((row,))
    assert sha256_of_file(Path(row.audio_filepath)) == content
    Path(row.audio_filepath).unlink()
    drop.manifest()
    with pytest.raises(
        RecordingsError,
        match=r"found no such file, or a damaged one \(recording:voice-1\)[\s\S]*drop them again",
    ):
        drop.take_in((row,))


def test_what_a_line_says_of_audio_that_joined_never_changes_it(drop: Drop) -> None:
    line = drop.recording("one.wav", 1)
    drop.manifest(line)
    first = drop.take_in()
    mended = line | {"text": "Cefazolin was given."}
    drop.manifest(mended)
    second = drop.take_in(first.rows)
    assert second.rows == first.rows
    (reason,) = second.quarantined[0].reasons
    assert reason.startswith(
        f"audio: found that of the recording {first.rows[0].id}, which joined with text 'The pat"
    )

    (drop.root / "withdrawn.txt").write_text(f"{first.rows[0].id}  # misheard\n")
    third = drop.take_in(first.rows)
    assert [row.text for row in third.rows] == ["Cefazolin was given."]
    assert (third.withdrawn_rows, third.withdrawn_nobody) == (first.rows, ())


def test_a_speaker_who_withdraws_is_in_no_later_cycle(drop: Drop) -> None:
    drop.manifest(drop.recording("one.wav", 1, HUMAN), drop.recording("two.wav", 2, HUMAN, speaker="nurse-2"))
    first = drop.take_in()
    withdrawn = drop.root / "withdrawn.txt"
    withdrawn.write_text("# asked on the phone\nnurse-1\nnurse-9\n")
    second = drop.take_in(first.rows)
    assert [row.voice_id for row in second.rows] == ["recording:nurse-2"]
    assert [row.voice_id for row in second.withdrawn_rows] == ["recording:nurse-1"]
    assert (second.withdrawn_lines, second.quarantined, second.withdrawn_nobody) == (1, (), ("nurse-9",))

    withdrawn.write_text("Nurse 1\n")
    with pytest.raises(RecordingsError, match="line 1: found 'Nurse 1'; allowed: a speaker's code"):
        drop.take_in(first.rows)


def test_a_speaker_is_a_person_or_a_machine(drop: Drop) -> None:
    drop.manifest(
        drop.recording("one.wav", 1, HUMAN),
        drop.recording("two.wav", 2, speaker="nurse-1"),
        drop.recording("three.wav", 3, speaker="nurse-2"),
    )
    first = drop.take_in()
    assert [row.is_human for row in first.rows] == [True, False]
    (reason,) = first.quarantined[0].reasons
    assert reason.startswith(
        "speaker: found 'nurse-1' as synthetic, but as human in manifest.jsonl:1; allowed: one"
    )

    drop.manifest(drop.recording("four.wav", 4, HUMAN, speaker="nurse-2"))
    (quarantined,) = drop.take_in(first.rows).quarantined
    assert "'nurse-2' as human, but as synthetic in a recording that joined before" in quarantined.reasons[0]


def test_who_was_trained_on_in_an_earlier_cycle_is_no_held_out_speech(drop: Drop) -> None:
    drop.manifest(drop.recording("one.wav", 1))
    group = drop.take_in().rows[0].synthesis_group
    trained = replace(NOTHING_ASSIGNED, voices={"recording:voice-1": "seen"}, groups={group: "train"})
    drop.manifest(drop.recording("one.wav", 1, HUMAN), drop.recording("two.wav", 2, HUMAN, speaker="voice-1"))
    taken = drop.take_in(earlier=trained)
    assert [each.reasons[0].partition(";")[0] for each in taken.quarantined] == [
        "audio: found human speech, but it stood in 'train' in an earlier cycle",
        "speaker: found 'voice-1' as human, but as synthetic in an earlier cycle",
    ]
    held_out = replace(NOTHING_ASSIGNED, groups={group: "human"})
    drop.manifest(drop.recording("one.wav", 1))
    assert (
        "synthetic speech, but it stood in 'human' in an"
        in drop.take_in(earlier=held_out).quarantined[0].reasons[0]
    )


class TestWhatIsBeingWritten:
    """It is neither offered nor quarantined, and joins when it is finished."""

    def test_a_manifest_that_was_just_changed(self, drop: Drop) -> None:
        drop.manifest(drop.recording("one.wav", 1))
        assert (drop.look().offered, drop.offered.read_text()) == (0, "")
        drop.settle()
        assert drop.look().joined == 1

    def test_audio_that_was_just_changed(self, drop: Drop) -> None:
        drop.manifest(drop.recording("one.wav", 1), drop.recording("two.wav", 2))
        drop.settle()
        os.utime(drop.root / "one.wav")
        taken = drop.look()
        assert (taken.offered, taken.joined, taken.quarantined) == (1, 1, ())
        assert taken.left_alone == ("manifest.jsonl:1: one.wav is being written",)

    @pytest.mark.parametrize("name", [".one.wav.Xk2f", "one.wav.part", "one.wav.tmp", "one.wav.crdownload"])
    def test_audio_of_which_a_copy_is_on_its_way(self, drop: Drop, name: str) -> None:
        drop.manifest(drop.recording("one.wav", 1))
        (drop.root / "one.wav").rename(drop.root / name)
        taken = drop.take_in()
        assert (taken.offered, taken.quarantined) == (0, ())
        assert taken.left_alone == ("manifest.jsonl:1: one.wav is being written",)
        (drop.root / name).rename(drop.root / "one.wav")
        assert drop.take_in().joined == 1

    def test_a_stale_copy_keeps_nothing_out(self, drop: Drop) -> None:
        drop.manifest(drop.recording("one.wav", 1))
        (drop.root / "one.wav.part").write_bytes(b"of a copy that was given up")
        assert drop.take_in().joined == 1

    def test_a_last_line_without_its_end(self, drop: Drop) -> None:
        line = drop.recording("two.wav", 2)
        drop.manifest(drop.recording("one.wav", 1), json.dumps(line))
        taken = drop.take_in()
        assert (taken.offered, taken.joined) == (1, 1)
        assert taken.left_alone == ("manifest.jsonl:2: its last line has no line end",)
        assert len(drop.offered.read_text().splitlines()) == 1

    def test_names_that_begin_with_a_dot_or_end_in_part(self, drop: Drop) -> None:
        for name in (".hidden.jsonl", "m.jsonl.part", "m.jsonl.tmp", ".rsync/m.jsonl"):
            drop.manifest("not a line\n", name=name)
        assert drop.take_in().offered == 0

    def test_a_clock_that_runs_ahead_keeps_nothing_out(self, drop: Drop) -> None:
        drop.manifest(drop.recording("one.wav", 1))
        drop.settle()
        tomorrow = time.time() + 86_400
        os.utime(drop.root / "one.wav", (tomorrow, tomorrow))
        assert drop.look().joined == 1


def test_rows_survive_their_file_and_move_with_it(drop: Drop, tmp_path: Path) -> None:
    drop.manifest(drop.recording("one.wav", 1, HUMAN), drop.recording("two.wav", 2))
    rows = drop.take_in().rows
    path = tmp_path / "cycles" / "cycle1" / "recordings.jsonl"
    write_cached_rows(path, rows, drop.speech)
    assert str(tmp_path) not in path.read_text(), "it says nothing of this machine"
    assert read_recordings(path, drop.speech) == rows
    assert (path.parent / read_jsonl(path)[0]["audio_filepath"]).is_file()
    assert read_recordings(None, drop.speech) == read_recordings(tmp_path / "none", drop.speech) == ()


def test_the_quarantine_names_line_audio_and_reasons(drop: Drop, tmp_path: Path) -> None:
    drop.manifest(drop.recording("one.wav", 1, HUMAN, consent=None), "nothing\n")
    write_quarantine(tmp_path / "quarantine.jsonl", drop.take_in().quarantined)
    first, second = read_jsonl(tmp_path / "quarantine.jsonl")
    assert (first["manifest"], first["line"], first["audio"]) == ("manifest.jsonl", 1, "one.wav")
    assert [reason.partition(",")[0] for reason in first["reasons"]] == ["consent: found nothing"]
    assert (second["line"], second["audio"]) == (2, "")


def test_many_lines_are_read_as_a_stream_and_counted(drop: Drop) -> None:
    """The manifest is not in memory: twenty times the lines take no more of it."""
    long = "x" * 20_000
    seen: list[tuple[int, int]] = []
    drop.manifest(*(f'{{"text": "{number} {long}"}}\n' for number in range(1000)))
    drop.settle()
    tracemalloc.start()
    manifests = tuple(drop.root.glob("*.jsonl"))
    taken = take_in(
        DropFolder(drop.root, manifests, time.time()),
        drop.speech,
        (),
        on_progress=lambda done, total: seen.append((done, total)),
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(taken.quarantined) == 1000
    assert seen[0] == (1, 1000) and seen[-1] == (1000, 1000)
    assert peak < 8_000_000, "the manifest has 20 million bytes"


def test_samples_stay_what_they_are_to_the_bit(drop: Drop) -> None:
    """All 16-bit values but those that would be clipping go through."""
    ramp = np.linspace(-32_000, 32_000, 32_000).astype(np.int16)
    ramp[-100:] = 0
    soundfile.write(drop.root / "ramp.wav", ramp, 16_000, subtype="PCM_16")
    drop.manifest({"audio_filepath": "ramp.wav", **SYNTHETIC})
    (row,) = drop.take_in().rows
    np.testing.assert_array_equal(soundfile.read(row.audio_filepath, dtype="int16")[0], ramp)
