"""What a job may say, what its errors tell, and how its output becomes lines."""

import math
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flywheel.compute.job import (
    ComputeJob,
    InputMissing,
    InvalidJob,
    JobFailed,
    JobTimedOut,
    LineSplitter,
    OutputMissing,
)
from flywheel.errors import FlywheelError

HERE = Path(__file__)


JOB = ComputeJob(name="train", argv=("python", "-m", "x"), timeout=60.0)


def job(**changes: object) -> ComputeJob:
    return replace(JOB, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"name": ""}, "name: ''", id="no name"),
        pytest.param({"name": "Train it"}, "name: 'Train it'", id="name with capitals and spaces"),
        pytest.param({"name": "../x"}, "name: '../x'", id="name that is a path"),
        pytest.param({"name": "x" * 41}, "1 to 40", id="name too long"),
        pytest.param({"name": "train\n"}, "name: 'train\\n'", id="name with a line feed"),
        pytest.param({"argv": ()}, "argv: a command is needed", id="no command"),
        pytest.param({"argv": ("",)}, "argv: a command is needed", id="empty command"),
        pytest.param({"argv": ("a", "b\0")}, "argv: a word holds a NUL", id="NUL in a word"),
        pytest.param({"argv": "python -m x"}, "argv: a tuple of strings", id="command as one string"),
        pytest.param({"outputs": "model.nemo"}, "outputs: a tuple of strings", id="outputs as one string"),
        pytest.param({"timeout": 0}, "timeout: 0", id="no time"),
        pytest.param({"timeout": -1.0}, "timeout: -1.0", id="negative time"),
        pytest.param({"timeout": math.inf}, "timeout: inf", id="endless time"),
        pytest.param({"timeout": math.nan}, "timeout: nan", id="time that is no number"),
        pytest.param({"outputs": ("/etc/x",)}, "outputs: '/etc/x': absolute", id="absolute output"),
        pytest.param({"inputs": {"a/../../b": HERE}}, "leads out of the workspace", id="path with .."),
        pytest.param({"inputs": {"..": HERE}}, "leads out of the workspace", id="path that is .."),
        pytest.param({"manifests": {"": HERE}}, "manifests: '': a file name", id="empty path"),
        pytest.param({"manifests": {".": HERE}}, "manifests: '.': a file name", id="path that is ."),
        pytest.param({"outputs": ("./a",)}, "write it as 'a'", id="path with ./"),
        pytest.param({"outputs": ("a//b",)}, "write it as 'a/b'", id="path with //"),
        pytest.param({"outputs": ("a/",)}, "write it as 'a'", id="path that is a folder"),
        pytest.param({"outputs": ("a\nb",)}, "control characters", id="path with a line feed"),
        pytest.param({"outputs": ("a", "a")}, "'a' is already one of outputs", id="output twice"),
        pytest.param(
            {"inputs": {"a": HERE}, "outputs": ("a",)}, "'a' is already one of inputs", id="input is output"
        ),
        pytest.param(
            {"inputs": {"a": HERE}, "outputs": ("a/b",)}, "'a/b' lies below 'a'", id="file below a file"
        ),
        pytest.param({"environment": {"A=B": "x"}}, "environment: 'A=B'", id="variable with ="),
        pytest.param({"environment": {"A": "x\0"}}, "the value of A holds a NUL", id="value with NUL"),
    ],
)
def test_a_job_that_cannot_be_right_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        job(**changes)
    assert said in str(caught.value)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(InvalidJob) as caught:
        job(name="A", argv=(), timeout=0, outputs=("/a", "../b"))
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize("name", ["a", "train-cycle1", "7", "x" * 40])
def test_names_that_folders_containers_and_machines_can_have(name: str) -> None:
    assert job(name=name).name == name


def test_a_job_does_not_change_with_what_it_was_made_from() -> None:
    environment = {"A": "1"}
    made = job(environment=environment)
    environment["B"] = "2"
    assert made.environment == {"A": "1"}


def test_keys_do_not_show_in_a_jobs_representation_nor_in_its_problems() -> None:
    assert "s3cret" not in repr(job(environment={"API_KEY": "s3cret"}))
    with pytest.raises(InvalidJob) as caught:
        job(environment={"API_KEY": "s3cret\0"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(JobFailed(job(), 3, ["a", "b"]), "exit code 3", id="exit code"),
        pytest.param(JobFailed(job(), -9, []), "SIGKILL (out of memory?)", id="killed"),
        pytest.param(JobFailed(job(), -11, []), "ended by SIGSEGV", id="crashed"),
        pytest.param(JobFailed(job(), None, []), "exit status is unknown", id="lost"),
        pytest.param(JobFailed(job(), 3, ["a", "last words"]), "    last words", id="last lines"),
        pytest.param(JobFailed(job(), 3, []), "it wrote no lines", id="no lines"),
        pytest.param(JobFailed(job(), 3, []), "command: python -m x", id="command"),
        pytest.param(JobFailed(job(), 3, [], kept=Path("/w/x")), "kept in /w/x", id="kept workspace"),
        pytest.param(JobTimedOut(job(timeout=1.5), []), "time-out of 1.5 s", id="time-out"),
        pytest.param(OutputMissing(job(), ["a", "b"], []), "did not leave a, b", id="outputs missing"),
        pytest.param(InputMissing(job(), {"m": Path("/x/m")}), "m: no such file: /x/m", id="input missing"),
    ],
)
def test_an_error_says_which_job_and_what_happened(error: FlywheelError, said: str) -> None:
    assert isinstance(error, FlywheelError)
    assert "job train" in str(error)
    assert said in str(error)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"one\ntwo\n", ["one", "two"], id="line feeds"),
        pytest.param(b"one\ntwo", ["one", "two"], id="last line not ended"),
        pytest.param(b"10%\r20%\r\n", ["10%", "20%"], id="a progress bar"),
        pytest.param(b"one\r\n\r\n \t\ntwo\n", ["one", "two"], id="blank lines"),
        pytest.param(b"  kept  \n", ["  kept"], id="indentation stays, trailing space goes"),
        pytest.param("µ→💊\n".encode(), ["µ→💊"], id="UTF-8"),
        pytest.param(b"a\xffb\xe2\x82\n", ["a\ufffdb\ufffd"], id="not UTF-8"),
        pytest.param(b"ends amid \xe2\x82", ["ends amid \ufffd"], id="cut off in a character"),
        pytest.param("a\u2028b\x0cc\x85d\n".encode(), ["a\u2028b\x0cc\x85d"], id="only LF and CR end a line"),
        pytest.param(b"0123456789ab\nc\n", ["0123456789 … [2 more characters]", "c"], id="a long line"),
        pytest.param(b"0123456789\n", ["0123456789"], id="a line of just the length"),
    ],
)
@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_output_becomes_lines_however_it_arrives(data: bytes, lines: list[str], piece: int) -> None:
    splitter = LineSplitter(longest=10 if b"0123" in data else 100)
    found = [
        line for start in range(0, len(data), piece) for line in splitter.feed(data[start : start + piece])
    ]
    assert found + splitter.close() == lines


def test_output_without_line_ends_is_not_hoarded() -> None:
    splitter = LineSplitter(longest=100)
    piece = b"x" * 65536
    tracemalloc.start()
    try:
        for _ in range(500):
            assert splitter.feed(piece) == []
        kept, _most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < len(piece)
    assert splitter.close() == ["x" * 100 + f" … [{500 * 65536 - 100} more characters]"]
