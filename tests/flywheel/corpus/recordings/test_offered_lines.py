"""Which lines of dropped recordings count, and how they are remembered."""

import os
from pathlib import Path

import pytest

from flywheel.corpus.recordings.offered_lines import (
    SETTLE_SECONDS,
    find_manifests,
    line_digests,
    read_offered,
    write_offered,
)
from flywheel.errors import FlywheelError

LONG_AGO = 1_000_000.0
NOW = LONG_AGO + 1000


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


def drop(recordings: Path, name: str, text: str, *, changed: float = LONG_AGO) -> Path:
    path = recordings / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    set_changed(path, changed)
    return path


def set_changed(path: Path, changed: float) -> None:
    """The time of `path`; the folders it lies in are as old as everything else."""
    for folder in path.parents[: path.parts[::-1].index("recordings")]:
        os.utime(folder, (LONG_AGO, LONG_AGO))
    os.utime(path, (changed, changed))


def lines(recordings: Path) -> int:
    return len(line_digests(each.path for each in find_manifests(recordings, NOW).settled))


@pytest.mark.parametrize(
    ("name", "changed", "found"),
    [
        pytest.param("a.jsonl", LONG_AGO, "settled", id="long ago"),
        pytest.param("ward/day/a.jsonl", LONG_AGO, "settled", id="at any depth"),
        pytest.param("a.jsonl", NOW - SETTLE_SECONDS, "settled", id="just long enough ago"),
        pytest.param("a.jsonl", NOW - SETTLE_SECONDS + 0.5, "unsettled", id="just now"),
        pytest.param("a.jsonl", NOW + 1, "unsettled", id="by a clock that runs ahead a little"),
        pytest.param("a.jsonl", NOW + 86400, "settled", id="by a clock that is plainly wrong"),
        pytest.param(".a.jsonl", LONG_AGO, "passed over", id="begins with a dot"),
        pytest.param(".partial/a.jsonl", LONG_AGO, "passed over", id="in a folder that begins with a dot"),
        pytest.param("a.jsonl.part", LONG_AGO, "passed over", id="ends in .part"),
        pytest.param("a.jsonl.tmp", LONG_AGO, "passed over", id="ends in .tmp"),
        pytest.param("a.json", LONG_AGO, "passed over", id="no JSON Lines"),
    ],
)
def test_which_files_are_settled(recordings: Path, name: str, changed: float, found: str) -> None:
    path = drop(recordings, name, "{}\n", changed=changed)
    dropped = find_manifests(recordings, NOW)
    assert [each.path for each in dropped.settled] == ([path] if found == "settled" else [])
    assert list(dropped.unsettled) == ([path] if found == "unsettled" else [])


@pytest.mark.parametrize(
    ("arriving", "unsettled"),
    [
        pytest.param("ward/a.wav", ["ward/a.jsonl"], id="beside it"),
        pytest.param("ward/audio/a.wav", ["ward/a.jsonl"], id="below it"),
        pytest.param("other/a.wav", [], id="elsewhere"),
    ],
)
def test_a_manifest_whose_audio_is_still_coming_is_left_alone(
    recordings: Path, arriving: str, unsettled: list[str]
) -> None:
    """Who copies a folder may copy the manifest first."""
    for name in (arriving, "ward/a.jsonl", "older/a.jsonl"):
        drop(recordings, name, "{}\n")
    os.utime((recordings / arriving).parent, (NOW - 1, NOW - 1))
    dropped = find_manifests(recordings, NOW)
    assert [str(path.relative_to(recordings)) for path in dropped.unsettled] == unsettled
    assert recordings / "older/a.jsonl" in [each.path for each in dropped.settled]


def test_a_folder_that_is_not_there_offers_nothing(tmp_path: Path) -> None:
    assert find_manifests(tmp_path / "absent", NOW).settled == ()
    assert write_offered(tmp_path / "offered.txt", tmp_path / "absent", now=NOW) == ()
    assert len(read_offered(tmp_path / "offered.txt")) == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param("", 0, id="empty"),
        pytest.param('{"a": 1}\n{"a": 2}\n', 2, id="two lines"),
        pytest.param('{"a": 1}\n\n  \n{"a": 2}\n', 2, id="blank lines"),
        pytest.param('{"a": 1}\n{"a": 2}', 1, id="a last line that is still being written"),
        pytest.param('{"a": 1}', 0, id="nothing but that"),
        pytest.param('{"a": 1}\n{"a": 1}\n', 1, id="the same twice"),
        pytest.param('{"a": 1}\r\n {"a": 1} \n', 1, id="the same with other white space"),
        pytest.param("not JSON\n", 1, id="what it says is for others to judge"),
    ],
)
def test_which_lines_count(recordings: Path, text: str, count: int) -> None:
    drop(recordings, "a.jsonl", text)
    assert lines(recordings) == count


def test_what_was_offered_reads_back_whatever_the_order_and_the_file(
    recordings: Path, tmp_path: Path
) -> None:
    numbers = [f'{{"n": {number}}}\n' for number in range(1000)]
    drop(recordings, "a.jsonl", "".join(numbers))
    written = write_offered(tmp_path / "offered.txt", recordings, now=NOW)
    assert written == (recordings / "a.jsonl",)
    (recordings / "a.jsonl").unlink()
    drop(recordings, "ward/b.jsonl", "".join(numbers[:300:-1]))
    drop(recordings, "c.jsonl", "".join(numbers[:301]))
    now = line_digests(each.path for each in find_manifests(recordings, NOW).settled)
    assert list(read_offered(tmp_path / "offered.txt")) == list(now)
    assert len((tmp_path / "offered.txt").read_text().splitlines()) == 1000


def test_an_unsettled_file_is_not_offered(recordings: Path, tmp_path: Path) -> None:
    drop(recordings, "a.jsonl", '{"a": 1}\n')
    drop(recordings, "b.jsonl", '{"b": 1}\n', changed=NOW - 1)
    assert write_offered(tmp_path / "offered.txt", recordings, now=NOW) == (recordings / "a.jsonl",)
    assert len(read_offered(tmp_path / "offered.txt")) == 1


@pytest.mark.parametrize("text", ["hello\n", "0123\n", "0123456789abcdef\n01\n", "é\n"])
def test_a_list_that_is_something_else_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "offered.txt"
    path.write_text(text)
    with pytest.raises(FlywheelError, match=r"offered\.txt: found something else than a list of digests"):
        read_offered(path)


def test_what_cannot_be_read_is_named(recordings: Path) -> None:
    (recordings / "a.jsonl").symlink_to(recordings / "nowhere")
    with pytest.raises(FlywheelError, match=r"a\.jsonl: no such file"):
        find_manifests(recordings, NOW)
