"""Mistakes of a user's: each ends the run with a clear error, and nothing that was good is written over."""

import json
import os
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.definitions import defs
from flywheel.corpus.sentences import read_sentences
from flywheel.files.atomic import read_jsonl, write_jsonl
from flywheel.files.cycles import CycleFolder
from flywheel.files.steps import CycleSteps

REPOSITORY = Path(__file__).parents[2]
HEADER = "term,entity_category\n"
GOOD_SEED = f"{HEADER}cefazolin,drug\nferritin,lab\n"
CATEGORIES = "drug, procedure, anatomy, condition, lab, role"


@dataclass(frozen=True)
class Ran:
    """How a run ended: `errors` is what it says of each step that failed, or of each check that did."""

    success: bool
    errors: str


class Workplace:
    """A data folder and a Dagster instance of its own."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root = root
        self.instance = instance
        self.seed = root / "seed.csv"
        self.data = root / "data"
        self.cycle = self.data / "cycles" / "cycle1"

    def materialize(self, *names: str, **config: dict[str, Any]) -> Ran:
        """Materialise assets, with their checks."""
        job = defs.resolve_implicit_global_asset_job_def()
        return self._run(job.get_subset(asset_selection={dg.AssetKey(name) for name in names}), config)

    def check(self, name: str) -> Ran:
        """Run one check of the manifest that is there."""
        job = defs.resolve_implicit_global_asset_job_def()
        key = dg.AssetCheckKey(dg.AssetKey("manifest"), name)
        return self._run(job.get_subset(asset_selection=set(), asset_check_selection={key}), {})

    def _run(self, job: dg.JobDefinition, config: dict[str, dict[str, Any]]) -> Ran:
        ran = job.execute_in_process(
            partition_key="cycle1",
            instance=self.instance,
            raise_on_error=False,
            run_config={
                "loggers": {"console": {}},
                "ops": {name: {"config": values} for name, values in config.items()},
            },
        )
        said = [
            event.step_failure_data.user_failure_data.description
            for event in ran.all_events
            if event.is_step_failure and event.step_failure_data.user_failure_data
        ]
        said += [check.description for check in ran.get_asset_check_evaluations() if not check.passed]
        return Ran(ran.success, "\n".join(filter(None, said)))

    def contents(self) -> dict[str, bytes]:
        """The bytes of every file of the data folder, by its path."""
        files = (path for path in sorted(self.data.rglob("*")) if path.is_file())
        return {str(path.relative_to(self.data)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A good run up to the manifest, over a few sentences. Tests copy it."""
    place = Workplace(tmp_path_factory.mktemp("spoken"), dg.DagsterInstance.ephemeral())
    place.seed.write_text(GOOD_SEED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYWHEEL_DATA", str(place.data))
        assert place.materialize("term_seed", "sentences", term_seed={"seed_file": str(place.seed)}).success
        sentences = read_jsonl(place.cycle / "sentences.jsonl")
        clinical = [row for row in sentences if "term" in row]
        general = [row for row in sentences if "term" not in row]
        write_jsonl(place.cycle / "sentences.jsonl", [*clinical, *general[:3]])
        for step in ("sentences", "recordings"):
            CycleSteps(CycleFolder(place.cycle.parents[1], "cycle1")).stamp(step)
        assert place.materialize("pronunciations", "speech", "manifest").success
    return place


@pytest.fixture
def place(spoken: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """A copy of the good run, whose manifest names the audio of the copy."""
    shutil.copytree(spoken.root, tmp_path, dirs_exist_ok=True)
    with dg.DagsterInstance.ephemeral() as instance:
        copy = Workplace(tmp_path, instance)
        manifest = copy.cycle / "manifest.jsonl"
        manifest.write_text(manifest.read_text().replace(str(spoken.data), str(copy.data)))
        monkeypatch.setenv("FLYWHEEL_DATA", str(copy.data))
        for name in ("FLYWHEEL_SEED", "FLYWHEEL_GENERAL", "FLYWHEEL_BASE", "FLYWHEEL_COMPUTE"):
            monkeypatch.delenv(name, raising=False)
        yield copy


SEEDS = {
    "unknown category": (f"{HEADER}cefazolin,drug\nferritin,labs\n", ["line 3", "'labs'", CATEGORIES]),
    "duplicate term": (f"{HEADER}cefazolin,drug\ncefazolin,drug\n", ["line 3", "duplicate 'cefazolin'", "line 2"]),
    "nothing at all": ("", ["an empty file", "term,entity_category"]),
    "no terms": (HEADER, ["a header without terms", "at least one term"]),
    "wrong header": ("word,kind\ncefazolin,drug\n", ["line 1", "'word,kind'", "'term,entity_category'"]),
    "unquoted comma": (f"{HEADER}one, two,drug\n", ["line 2", "3 values", "a comma separates values"]),
    "quoted comma": (f'{HEADER}"one, two",drug\n', ["line 2", "','", "give each term a line of its own"]),
    "byte-order mark": (f"\ufeff{GOOD_SEED}", ["line 1", "byte-order mark", "plain UTF-8"]),
    "byte-order mark inside": (f"{HEADER}\ufeffcefazolin,drug\n", ["line 2", "byte-order mark"]),
    "all at once": (
        f"{HEADER}Cefazolin,drug\nferritin,lap\nferritin,lab\n",
        ["3 problems", "line 2", "upper case", "line 3", "'lap'", "line 4", "duplicate 'ferritin'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SEEDS)
def test_a_wrong_seed_is_refused(place: Workplace, case: str) -> None:
    text, expected = SEEDS[case]
    place.seed.write_text(text, encoding="utf-8")
    before = place.contents()
    ran = place.materialize("term_seed", "sentences", term_seed={"seed_file": str(place.seed)})
    assert not ran.success
    assert str(place.seed) in ran.errors
    assert [part for part in expected if part not in ran.errors] == [], ran.errors
    assert place.contents() == before


def test_a_seed_that_is_not_there_is_named(place: Workplace) -> None:
    before = place.contents()
    ran = place.materialize("term_seed", term_seed={"seed_file": str(place.root / "sead.csv")})
    assert not ran.success
    assert f"{place.root / 'sead.csv'}: 1 problem" in ran.errors
    assert "no such file" in ran.errors
    assert place.contents() == before


def test_the_seed_of_the_environment_is_refused_alike(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYWHEEL_SEED", str(place.root / "sead.csv"))
    ran = place.materialize("term_seed")
    assert not ran.success
    assert "sead.csv" in ran.errors


def test_general_sentences_of_ones_own_take_the_place_of_the_bundled_ones(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    general = place.root / "general.csv"
    general.write_text("wording,sentence\neveryday,the ferry to the island leaves at noon\n")
    monkeypatch.setenv("FLYWHEEL_GENERAL", str(general))
    assert place.materialize("sentences").success
    spoken = read_sentences(place.cycle / "sentences.jsonl")
    assert [sentence.text for sentence in spoken if sentence.term is None] == [
        "the ferry to the island leaves at noon"
    ]


def test_wrong_general_sentences_are_refused(place: Workplace) -> None:
    general = place.root / "general.csv"
    general.write_text("wording,sentence\nformal,The ferry leaves at noon\n")
    before = place.contents()
    ran = place.materialize("sentences", sentences={"general_file": str(general)})
    assert not ran.success
    assert [part for part in (str(general), "line 2", "'formal'", "everyday") if part not in ran.errors] == []
    assert place.contents() == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nvidia/nemotron-speech-streaming-en-0.6b", ["refused", "nvidia/parakeet-tdt-0.6b-v2"]),
        ("nvidia/canary-qwen-2.5b", ["refused", "LoRA only"]),
        ("nvidia/no-such-model", ["unknown", "allowed are bundled, nvidia/parakeet-tdt-0.6b-v2"]),
        ("no_such_file.nemo", ["not a file that ends in .nemo"]),
        (str(REPOSITORY), ["not a file that ends in .nemo"]),
        (str(REPOSITORY / "pyproject.toml"), ["not a file that ends in .nemo"]),
    ],
)
@pytest.mark.parametrize("by_environment", [False, True])
def test_a_base_that_must_not_be_trained_or_is_none_is_refused(
    place: Workplace,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    expected: list[str],
    by_environment: bool,
) -> None:
    assert place.materialize("base_model").success
    before = place.contents()
    if by_environment:
        monkeypatch.setenv("FLYWHEEL_BASE", name)
    ran = place.materialize("base_model", base_model={} if by_environment else {"name": name})
    assert not ran.success
    assert [part for part in (repr(name), *expected) if part not in ran.errors] == [], ran.errors
    assert place.contents() == before


def test_a_base_that_was_exchanged_after_it_was_chosen_is_refused(place: Workplace) -> None:
    base = place.root / "mine.nemo"
    base.write_bytes(b"one model")
    assert place.materialize("base_model", base_model={"name": str(base)}).success
    assert place.materialize("split").success
    base.write_bytes(b"another model")
    before = place.contents()
    ran = place.materialize("baseline_eval")
    assert not ran.success
    assert f"{base}: the base of this cycle is gone or has changed; choose the base again" in ran.errors
    assert place.contents() == before


def test_an_unknown_compute_backend_is_refused(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.materialize("base_model").success
    assert place.materialize("split").success
    monkeypatch.setenv("FLYWHEEL_COMPUTE", "abacus")
    before = place.contents()
    ran = place.materialize("baseline_eval")
    assert not ran.success
    assert (
        "unknown compute backend 'abacus'; FLYWHEEL_COMPUTE may be: brev, docker, local, modal" in ran.errors
    )
    assert place.contents() == before


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit the first row of a manifest by hand."""
    rows = read_jsonl(path)
    change(rows[0])
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda row: row.pop("text"), ["line 1, text: found nothing"]),
        (lambda row: row.update(text="  "), ["line 1, text: found '  ', which is empty"]),
        (lambda row: row.update(entity_category="pill"), ["line 1, entity_category: found 'pill'", CATEGORIES]),
        (lambda row: row.update(note="hello"), ["line 1, note: found 'hello'", "only the fields"]),
        (lambda row: row.update(sampling_rate=8000), ["line 1, sampling_rate: found 8000", "16000"]),
    ],
    ids=["no text", "empty text", "unknown category", "unknown field", "wrong rate"],
)  # fmt: skip
@pytest.mark.parametrize("check", ["schema", "audio"])
def test_a_wrong_row_of_a_manifest_fails_its_checks(
    place: Workplace, change: Callable[[dict[str, Any]], None], expected: list[str], check: str
) -> None:
    rewrite(place.cycle / "manifest.jsonl", change)
    before = place.contents()
    ran = place.check(check)
    assert not ran.success
    assert str(place.cycle / "manifest.jsonl") in ran.errors
    assert [part for part in expected if part not in ran.errors] == [], ran.errors
    assert place.contents() == before


def test_what_follows_refuses_such_a_manifest_by_itself(place: Workplace) -> None:
    assert place.materialize("split").success
    rewrite(place.cycle / "manifest.jsonl", lambda row: row.pop("text"))
    before = place.contents()
    ran = place.materialize("split")
    assert not ran.success
    assert "manifest.jsonl is not what manifest left there; materialise manifest again" in ran.errors
    assert place.contents() == before


def write_wav(path: Path, *, channels: int = 1, rate: int = 16_000, seconds: float = 1.0) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\1\0" * channels * round(rate * seconds))


DAMAGES: dict[str, tuple[Callable[[Path, float], object], str]] = {
    "missing": (lambda path, _: path.unlink(), "found no such file"),
    "stereo": (
        lambda path, seconds: write_wav(path, channels=2, seconds=seconds),
        "found 2 channels; allowed: 1 (mono)",
    ),
    "8 kHz": (
        lambda path, seconds: write_wav(path, rate=8_000, seconds=seconds),
        "found 8000 Hz; allowed: 16000 Hz",
    ),
    "truncated": (
        lambda path, _: path.write_bytes(path.read_bytes()[:-1000]),
        "bytes of samples that its header claims; allowed: a whole file, this one was cut off",
    ),
    "another recording": (
        lambda path, seconds: write_wav(path, seconds=seconds + 0.5),
        "allowed: the manifest's",
    ),
    "no WAV": (lambda path, _: path.write_text("hello"), "allowed: a WAV file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_audio_fails_its_check(place: Workplace, damage: str) -> None:
    row = read_jsonl(place.cycle / "manifest.jsonl")[4]
    spoil, expected = DAMAGES[damage]
    assert place.check("audio").success
    spoil(Path(row["audio_filepath"]), row["duration"])
    before = place.contents()
    ran = place.check("audio")
    assert not ran.success
    assert row["audio_filepath"] in ran.errors
    assert expected in ran.errors
    assert place.contents() == before


@pytest.mark.parametrize("damage", ["stereo", "8 kHz", "truncated"])
def test_a_manifest_over_damaged_audio_stops_before_the_split(place: Workplace, damage: str) -> None:
    row = read_jsonl(place.cycle / "manifest.jsonl")[4]
    spoil, expected = DAMAGES[damage]
    assert place.materialize("split").success
    spoil(Path(row["audio_filepath"]), row["duration"])
    before = place.contents()
    ran = place.materialize("manifest", "split")
    assert not ran.success
    assert row["audio_filepath"] in ran.errors
    assert expected in ran.errors
    assert place.contents()["cycles/cycle1/split.json"] == before["cycles/cycle1/split.json"]


def test_a_file_that_is_gone_is_spoken_again(place: Workplace) -> None:
    row = read_jsonl(place.cycle / "manifest.jsonl")[4]
    before = place.contents()
    Path(row["audio_filepath"]).unlink()
    assert place.materialize("speech", "manifest").success
    assert place.contents() == before


def test_the_command_line_says_it_without_a_trace_and_with_status_1(place: Workplace) -> None:
    place.seed.write_text(f"{HEADER}ferritin,labs\n")
    before = place.contents()
    home = place.root / "home"
    home.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    command = ("dagster", "asset", "materialize", "-m", "assets.definitions", "--select", "group:corpus")
    done = subprocess.run(
        [sys.executable, "-m", *command, "--partition", "cycle1", "--config-json", '{"loggers": {"console": {}}}'],
        capture_output=True,
        text=True,
        cwd=home,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "DAGSTER_HOME": str(home),
            "FLYWHEEL_SEED": str(place.seed),
        },
    )  # fmt: skip
    assert done.returncode == 1
    assert f"term_seed: failed: {place.seed}: 1 problem" in done.stderr
    assert f"line 2, entity_category: found 'labs'; allowed: {CATEGORIES}" in done.stderr
    assert "Traceback" not in done.stderr and "Stack Trace" not in done.stderr
    assert place.contents() == before
