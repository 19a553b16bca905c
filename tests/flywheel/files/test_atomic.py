"""Files are whole or not there, and a broken one is named."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.atomic import (
    atomic_path,
    read_json,
    read_jsonl,
    sha256_of_file,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)

REPOSITORY = Path(__file__).parents[3]


def test_a_write_replaces_its_target_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "page.md"
    write_text(target, "first\n")
    write_text(target, "sécond\n")
    assert target.read_bytes() == "sécond\n".encode()
    assert [path.name for path in target.parent.iterdir()] == ["page.md"]
    assert target.stat().st_mode & 0o777 == 0o644


def test_the_temporary_path_keeps_the_suffix_and_hides(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "speech.wav") as path:
        assert (path.parent, path.suffix, path.name[0]) == (tmp_path, ".wav", ".")
        assert not (tmp_path / "speech.wav").exists()
    assert (tmp_path / "speech.wav").exists()


@pytest.mark.parametrize("before", [None, b"whole"])
def test_an_error_leaves_the_target_as_it_was(tmp_path: Path, before: bytes | None) -> None:
    target = tmp_path / "model.nemo"
    if before is not None:
        write_bytes(target, before)

    def write_half() -> None:
        with atomic_path(target) as path:
            path.write_bytes(b"ha")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_half()
    assert (target.read_bytes() if target.exists() else None) == before
    assert len(list(tmp_path.iterdir())) == (before is not None)


def test_a_kill_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "model.nemo"
    write_bytes(target, b"whole")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom flywheel.files.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as path:\n"
        "    path.write_bytes(b'ha')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run([sys.executable, "-c", script, str(target)], env=environment, timeout=60)
    assert run.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"whole"


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"name": "Sjögren", "rates": [0.1, None, 1e-9], "n": 3}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "Sjögren" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_json_lines_come_back_as_they_were(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": "a line\nfeed and a separator\u2028 inside"},
        {"text": "x", "n": 1},
    ]
    write_jsonl(tmp_path / "a.jsonl", iter(rows))
    assert read_jsonl(tmp_path / "a.jsonl") == rows
    assert (tmp_path / "a.jsonl").read_bytes().count(b"\n") == len(rows)


def test_what_is_not_json_is_not_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"ker": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_jsonl(tmp_path / "b.jsonl", [{"n": 1}, {"ker": float("inf")}])
    assert read_json(tmp_path / "a.json") == 1
    assert not (tmp_path / "b.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param(b"", ":1: not JSON: Expecting value", id="empty"),
        pytest.param(b'{"a": 1,\n "b": }', ":2: not JSON: Expecting value", id="broken in its second line"),
        pytest.param(b'{"a": 1', ":1: not JSON", id="cut off"),
        pytest.param(b"\xff\xfe{}", ":1: not UTF-8: byte 0xff", id="not UTF-8"),
    ],
)
def test_broken_json_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FlywheelError) as caught:
        read_json(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, ": no such file", id="missing"),
        pytest.param(b'{"a": 1}\n{"a": \n', ":2: not JSON", id="broken line"),
        pytest.param(b'{"a": 1}\n\n{"a": 2', ":3: not JSON", id="cut off after a blank line"),
        pytest.param(b'{"a": 1}\n[1]\n', ":2: a JSON object is expected, found list", id="not an object"),
        pytest.param(b'{"a": 1}\n{"a": "\xe9"}\n', ":2: not UTF-8: byte 0xe9", id="not UTF-8"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "a.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FlywheelError) as caught:
        read_jsonl(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    # The test vector of FIPS 180-2.
    write_bytes(tmp_path / "abc", b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of_file(tmp_path / "abc") == expected
