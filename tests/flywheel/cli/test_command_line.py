"""`flywheel` as a process: quick to start, quiet to end, and never with a traceback."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flywheel.cli import COMMANDS, all_commands
from flywheel.cli import Command as Line
from tests.flywheel.cli.conftest import Command, Write

HEAVY = {"torch", "nemo", "dagster", "matplotlib", "scipy", "pandas", "lhotse", "boto3", "httpx"}
PROGRAM = [sys.executable, "-m", "flywheel"]
ON_FILES = ("score", "compare", "validate", "split", "leaderboard")
OF_THIS_PACKAGE = [each.name for each in COMMANDS]
EVERY = list(all_commands())
named = pytest.mark.parametrize("line", EVERY, ids=[each.name for each in EVERY])


def test_the_commands_are_these() -> None:
    on_cycles = ("page", "rollback", "retention", "push", "pull", "verify", "free", "doctor", "sweep")
    assert tuple(each.name for each in EVERY) == (*ON_FILES, *on_cycles)


@named
def test_the_manual_names_every_command(line: Line) -> None:
    manual = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text(encoding="utf-8")
    table, _, chapters = manual.partition("## ")
    assert f"`{line.name}`" in table
    assert f"    flywheel {line.name}" in chapters


@named
def test_help_has_examples_and_exit_codes(line: Line, command: Command) -> None:
    outcome = command(line.name, "--help")
    assert outcome.status == 0
    assert f"usage: flywheel {line.name} " in outcome.out
    for part in (
        line.summary[1:],
        "Examples:\n",
        f"  flywheel {line.name}",
        "Exit codes: 0",
        "; 2 wrong use",
    ):
        assert part in outcome.out
    assert ("--json" in outcome.out) == (line.name in ON_FILES)


def test_help_lists_the_commands_in_groups(command: Command) -> None:
    outcome = command("--help")
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    for each in EVERY:
        (place,) = (number for number, line in enumerate(lines) if line.split("  ")[1:2] == [each.name])
        assert lines[place].endswith(f"  {each.summary}")
        headings = [line for line in lines[:place] if line.endswith(":")]
        assert headings[-1] == f"{each.group}:"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the examples of `--help` name, twenty rows in each, in the folder that they run in."""
    drugs = ("heparin", "warfarin", "cefazolin", "apixaban")
    texts = {
        f"u{n}": f"give {drugs[n % 4]} to bed {n}" if n % 2 else f"the lift to {n} is late" for n in range(20)
    }
    heard = {key: text.replace("cef", "cough") for key, text in texts.items()}

    def lines(name: str, rows: dict[str, str], field: str, **others: str) -> None:
        made = [
            {
                "audio_filepath": f"{key}.wav",
                "duration": 1.0,
                field: text,
                "speaker": f"nurse-0{n % 4 + 5}",
                **others,
            }
            | ({"text": texts[key]} if field == "pred_text" and name == "transcribed.jsonl" else {})
            for n, (key, text) in enumerate(rows.items())
        ]
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in made))

    for name in ("manifest.jsonl", "train.jsonl", "larger.jsonl"):
        lines(name, texts, "text")
    for name in ("hypotheses.jsonl", "transcribed.jsonl", "before.jsonl", "after.jsonl"):
        lines(name, heard, "pred_text")
    for name in ("baseline", "next"):
        lines(f"cycle1/{name}/offline_hyps.jsonl", texts, "text", pred_text="give heparin")
    for name in ("hypotheses.csv", "a.csv", "b.csv"):
        (tmp_path / name).write_text("id,hyp\n" + "".join(f"{key},{text}\n" for key, text in heard.items()))
    for name, rows in (("ref.txt", texts), ("hyp.txt", heard), ("a.txt", heard), ("b.txt", texts)):
        (tmp_path / name).write_text("".join(f"{key} {text}\n" for key, text in rows.items()))
    (tmp_path / "terms.csv").write_text(
        "term,entity_category\n" + "".join(f"{drug},drug\n" for drug in drugs)
    )
    for key in texts:
        soundfile.write(tmp_path / f"{key}.wav", np.zeros(16000, dtype=np.int16), 16000, subtype="PCM_16")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ON_FILES)
def test_the_examples_run_as_they_are_printed(name: str, command: Command, folder: Path) -> None:
    printed = command(name, "--help").out.replace("\\\n", "")
    examples = [
        line.removeprefix("  flywheel ") for line in printed.splitlines() if line.startswith("  flywheel ")
    ]
    assert len(examples) > 1
    for example in examples:
        outcome = command(*shlex.split(example))
        # The files of the examples are no answer to what `validate --clinical` and `compare --require` ask.
        assert outcome.status in ((0, 1) if name in ("validate", "compare") else (0,)), (example, outcome.err)


def test_the_first_examples_run_in_an_empty_folder(command: Command, tmp_path: Path) -> None:
    lines = command("--help").out.splitlines()
    first = lines.index("Examples, the first two from an empty folder:") + 1
    shell = "\n".join(lines[first : first + 2]).replace("  flywheel ", f"{shlex.join(PROGRAM)} ")
    done = subprocess.run(["sh", "-ec", shell], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert json.loads(done.stdout)["every_row"]["wer"]["reference_length"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), ""),
        (("transcribe",), "found the command 'transcribe'; allowed: score, compare"),
        (("score",), "the following arguments are required: REFERENCES"),
        (("score", "a", "b", "c"), "unrecognized arguments: c"),
        (("score", "a", "--normalizer", "whisper"), "invalid choice: 'whisper'"),
        (("score", "."), "a folder; a file is needed"),
        (("push", "cycle01"), "'cycle01' is not a cycle"),
        (("rollback", "cycle1"), "unrecognized arguments: cycle1"),
        (("validate", "."), "a folder; a file is needed"),
        (("score", "a", "--seed", "-1"), "--seed: found '-1'; allowed: a whole number"),
        (("score", "a", "--seed", "x"), "--seed: found 'x'; allowed: a whole number"),
    ],
)
def test_wrong_use_exits_with_2(arguments: tuple[str, ...], said: str, command: Command) -> None:
    outcome = command(*arguments)
    assert (outcome.status, said in outcome.err) == (2, True), outcome.err


@pytest.mark.parametrize("name", OF_THIS_PACKAGE)
def test_a_command_imports_no_more_than_it_needs(name: str) -> None:
    program = (
        f"import sys; from flywheel.cli import main; main([{name!r}, '--help']); "
        f"print(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.split() == []


def test_the_list_of_commands_imports_none_of_them() -> None:
    program = (
        "import sys; from flywheel.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stderr.split())
    assert imported & {each.module for each in EVERY} == set()
    assert imported & {*HEAVY, "numpy", "pydantic"} == set()


def test_standard_output_holds_the_document_alone(write: Write) -> None:
    both = write("b.csv", "id,text,hyp,á\na,été,,é\nb,,x,é\n")
    done = subprocess.run(
        [*PROGRAM, "score", str(both), "--by", "á", "--json"],
        capture_output=True,
        check=True,
        # A terminal that knows no accents is no reason to fail.
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    document = json.loads(done.stdout)
    assert (document["empty_references"], list(document["by"]["á"])) == (["b"], ["é"])
    assert done.stderr.startswith(b"note: ")


def test_a_reader_that_stops_reading_ends_it_quietly(write: Write) -> None:
    rows = "".join(f"{number},word {number},word\n" for number in range(500))
    both = write("b.csv", f"id,text,hyp\n{rows}")
    process = subprocess.Popen(
        [*PROGRAM, "score", str(both), "--by", "id", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=120), errors) == (141, b"")


def test_help_whose_reader_stops_reading_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run([*PROGRAM, "--help"], stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_interrupt_ends_it_with_one_line(tmp_path: Path) -> None:
    pipe = tmp_path / "never.jsonl"
    os.mkfifo(pipe)
    process = subprocess.Popen([*PROGRAM, "score", str(pipe)], stderr=subprocess.PIPE)
    # Opening for writing returns when the command has opened it for reading.
    with pipe.open("wb"):
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, b"interrupted\n")


def test_a_pipe_can_be_read(write: Write) -> None:
    references = write("ref.csv", "id,text\na,hello there\n")
    done = subprocess.run(
        [*PROGRAM, "score", str(references), "/dev/stdin", "--json"],
        input=b'{"id": "a", "hyp": "hello there"}\n',
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["every_row"]["wer"]["value"] == 0


def test_a_folder_that_cannot_be_written_to_is_named(command: Command, write: Write, tmp_path: Path) -> None:
    both = write("b.csv", "id,text,hyp\na,x,x\n")
    outcome = command("score", both, "--output", both / "scores")
    assert outcome.status == 2
    assert str(both) in outcome.err
