"""Other programs, bounded in time and ended with the process that uses them: with real processes and kills."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resources.compute.commands import RunningCommand, run_command, words_of

REPOSITORY = Path(__file__).parents[3]
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def running(pid: int) -> bool:
    """Whether it is there and more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pids: list[int], within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(running, pids))


@pytest.mark.parametrize(
    ("command", "exit_code", "output", "words"),
    [
        pytest.param(
            ["sh", "-c", "echo out; echo why >&2"], 0, b"out\n", "exit status 0; why", id="ends well"
        ),
        pytest.param(["sh", "-c", "echo out; exit 3"], 3, b"out\n", "exit status 3; out", id="fails"),
        pytest.param(["sh", "-c", "kill -9 $$"], -9, b"", "exit status -9", id="killed"),
        pytest.param(
            ["no-such-program"], None, b"", "No such file or directory: no-such-program", id="absent"
        ),
        pytest.param(
            ["sh", "-c", "echo a; sleep 3600"], None, b"a\n", "no end after 0.5 s; a", id="time-out"
        ),
        pytest.param(["cat"], 0, b"", "exit status 0", id="no input"),
    ],
)
def test_how_a_command_ends(command: list[str], exit_code: int | None, output: bytes, words: str) -> None:
    ended = run_command(command, timeout=0.5 if words.startswith("no end") else 20)
    assert (ended.exit_code, ended.output, ended.words) == (exit_code, output, words)


def test_much_on_both_outputs_is_read() -> None:
    ended = run_command(["sh", "-c", "seq 200000; seq 100000 >&2"], timeout=20)
    assert ended.output.split() == [str(number).encode() for number in range(1, 200001)]
    assert len(ended.errors.split()) == 100000


def test_output_comes_while_it_runs_and_after_it_was_closed(tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    waits = "while [ ! -e {} ]; do sleep 0.01; done"
    script = f"echo a; {waits.format(first)}; echo b; exec >&-; {waits.format(second)}; exit 4"
    with RunningCommand(["sh", "-c", script], timeout=20) as it:
        assert it.read(5) == b"a\n"
        assert it.read(0.05) == b""
        first.touch()
        assert it.read(5) == b"b\n"
        assert it.read(0.05) == b""
        assert not it.finished, "it does not wait for the end"
        second.touch()
        while not it.finished:
            assert it.read(1) == b""
        assert it.ended().exit_code == 4


def test_progress_is_told() -> None:
    told: list[str] = []
    run_command(["sh", "-c", "echo 1 %; sleep 2.5"], timeout=20, progress=told.append, every=0.5)
    assert told
    assert all(each.endswith(" s: 1 %") for each in told)


TREE = "echo $$; sleep 60 & echo $!; setsid sleep 60 & echo $!; wait"


@ON_LINUX
def test_nothing_is_left_of_one_that_is_not_wanted_any_more() -> None:
    with RunningCommand(["sh", "-c", TREE], timeout=60) as it:
        output = b""
        while output.count(b"\n") < 3:
            assert not it.finished, output
            output += it.read(1)
        pids = [int(word) for word in output.split()]
        assert all(map(running, pids))
    assert gone(pids, within=1)


@ON_LINUX
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_process_that_uses_it(number: signal.Signals) -> None:
    program = (
        "from resources.compute.commands import RunningCommand\n"
        f"with RunningCommand(['sh', '-c', {TREE!r}], timeout=60) as it:\n"
        "    while True: print(it.read(1).decode(), end='', flush=True)"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert user.stdout is not None
    pids = [int(user.stdout.readline()) for _ in range(3)]
    user.send_signal(number)
    assert user.wait(20) != 0
    assert gone(pids)
    user.stdout.close()


def test_no_descriptor_is_left() -> None:
    run_command(["true"], timeout=20)
    before = len(list(Path("/dev/fd").iterdir()))
    for command in (["true"], ["no-such-program"], ["false"]):
        run_command(command, timeout=20)
    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (b"", ""),
        (b"one\n\n  two \n", "one | two"),
        (b"10 %\r20 %\r", "10 % | 20 %"),
        (b"\xff\n", "\ufffd"),
        (b"\n".join(b"%d" % number for number in range(20)), "14 | 15 | 16 | 17 | 18 | 19"),
    ],
)
def test_last_words(written: bytes, words: str) -> None:
    assert words_of(written) == words
