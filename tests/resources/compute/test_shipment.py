"""A job's workspace as it is sent elsewhere, and what is made of how the job ended there."""

import json
import os
import stat
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import flywheel
from flywheel.compute.job import (
    ComputeJob,
    InputMissing,
    JobError,
    JobFailed,
    JobNotStarted,
    JobTimedOut,
    OutputMissing,
)
from flywheel.corpus.audio_headers import AudioError
from flywheel.corpus.manifest import ManifestError, ManifestRow, read_manifest, write_manifest
from flywheel.errors import FlywheelError
from resources.compute.shipment import (
    FOLDER,
    Ending,
    StageInFailed,
    bring,
    check_inputs,
    missing_outputs,
    pack,
    read_rows,
    runner_environment,
)

ROOT = PurePosixPath("/workspace")


def job(**fields: Any) -> ComputeJob:
    return ComputeJob(**{"name": "train", "argv": ("python", "-m", "x"), "timeout": 60.0, **fields})


def write_wav(path: Path, level: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes([level, 0]) * 8000)
    return path


def row(audio: Path | str) -> ManifestRow:
    name = PurePosixPath(audio).stem
    return ManifestRow(
        id=name,
        audio_filepath=str(audio),
        text="the weather is fine",
        duration=0.5,
        sampling_rate=16000,
        ipa_source="espeak_g2p",
        voice_id="espeak:en-us+m1",
        noise_level="clean",
        synthesis_group=str(audio),
    )


def packed(tmp_path: Path, given: ComputeJob, root: PurePosixPath = ROOT) -> Path:
    folder = tmp_path / "packed"
    folder.mkdir()
    pack(given, folder, root, grace=10.0)
    return folder


def description(folder: Path) -> dict[str, Any]:
    return json.loads((folder / FOLDER / "job.json").read_text())


def here(folder: Path, there: str) -> Path:
    """The file in `folder` that the job sees as `there`."""
    return folder / PurePosixPath(there).relative_to(ROOT)


# --- packing --------------------------------------------------------------------------------------------


def test_inputs_are_links_to_the_originals_under_their_names_there(tmp_path: Path) -> None:
    model = tmp_path / "model.nemo"
    model.write_text("weights")
    folder = packed(tmp_path, job(inputs={"base/model.nemo": model}))
    there = folder / "base" / "model.nemo"
    assert there.samefile(model)
    assert not there.is_symlink(), "where it goes, a symbolic link leads nowhere"


def test_an_input_that_is_a_link_is_sent_as_what_it_leads_to(tmp_path: Path) -> None:
    model = tmp_path / "model.nemo"
    model.write_text("weights")
    (tmp_path / "newest").symlink_to("model.nemo")
    there = packed(tmp_path, job(inputs={"base": tmp_path / "newest"})) / "base"
    assert not there.is_symlink()
    assert there.read_text() == "weights"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system, where no hard link leads."""
    folder = Path(f"/dev/shm/flywheel-test-{os.getpid()}")
    if not folder.parent.is_dir() or folder.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    folder.mkdir()
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_inputs_from_another_file_system_are_copies_with_their_mode(tmp_path: Path, elsewhere: Path) -> None:
    script = elsewhere / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    there = packed(tmp_path, job(inputs={"run.sh": script})) / "run.sh"
    assert there.read_text() == "#!/bin/sh\n"
    assert stat.S_IMODE(there.stat().st_mode) == 0o755


def test_a_manifest_names_its_audio_where_the_job_will_see_it(tmp_path: Path) -> None:
    """Of two folders, one named relative to the manifest; in both is a file of the same name."""
    corpus = tmp_path / "corpus"
    first = write_wav(corpus / "speech" / "one.wav", level=1)
    second = write_wav(tmp_path / "cache" / "two.wav", level=2)
    write_wav(tmp_path / "cache" / "one.wav", level=3)
    manifest = corpus / "rows.jsonl"
    write_manifest(manifest, [row("speech/one.wav"), row(second)])
    before = manifest.read_bytes()
    folder = packed(tmp_path, job(manifests={"in/rows.jsonl": manifest}))

    moved = read_manifest(folder / "in" / "rows.jsonl")
    assert [PurePosixPath(each.audio_filepath).is_relative_to(ROOT) for each in moved] == [True, True]
    assert here(folder, moved[0].audio_filepath).samefile(first)
    assert here(folder, moved[1].audio_filepath).samefile(second)
    changed = {"audio_filepath", "synthesis_group"}
    assert [each.model_dump(exclude=changed) for each in moved] == [
        each.model_dump(exclude=changed) for each in read_rows(manifest)
    ]
    assert manifest.read_bytes() == before
    assert len(list(folder.rglob("*.wav"))) == 2, "only what a row names is sent"


def test_files_of_the_same_name_in_two_folders_do_not_meet(tmp_path: Path) -> None:
    audio = {name: write_wav(tmp_path / name / "one.wav", level) for level, name in enumerate("ab", 1)}
    for name, path in audio.items():
        write_manifest(tmp_path / f"{name}.jsonl", [row(path)])
    folder = packed(tmp_path, job(manifests={f"{name}.jsonl": tmp_path / f"{name}.jsonl" for name in audio}))
    for name, path in audio.items():
        (moved,) = read_manifest(folder / f"{name}.jsonl")
        assert here(folder, moved.audio_filepath).samefile(path)


def test_audio_of_two_manifests_is_sent_once(tmp_path: Path) -> None:
    audio = write_wav(tmp_path / "speech" / "one.wav")
    other = write_wav(tmp_path / "speech" / "two.wav")
    write_manifest(tmp_path / "a.jsonl", [row(audio), row(other)])
    write_manifest(tmp_path / "b.jsonl", [row(audio)])
    folder = packed(
        tmp_path, job(manifests={"a.jsonl": tmp_path / "a.jsonl", "b.jsonl": tmp_path / "b.jsonl"})
    )
    (first, _), (again,) = read_manifest(folder / "a.jsonl"), read_manifest(folder / "b.jsonl")
    assert first.audio_filepath == again.audio_filepath
    assert len(list(folder.rglob("*.wav"))) == 2


def test_an_input_cannot_take_the_place_of_audio(tmp_path: Path) -> None:
    audio = write_wav(tmp_path / "speech" / "one.wav")
    mine = tmp_path / "mine"
    mine.write_text("not audio")
    write_manifest(tmp_path / "rows.jsonl", [row(audio)])
    folder = packed(
        tmp_path, job(inputs={"audio/0/one.wav": mine}, manifests={"rows.jsonl": tmp_path / "rows.jsonl"})
    )
    (moved,) = read_manifest(folder / "rows.jsonl")
    assert here(folder, moved.audio_filepath).samefile(audio)
    assert (folder / "audio/0/one.wav").samefile(mine)


def test_a_manifest_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    given = job(manifests={"development.jsonl": tmp_path / "rows.jsonl"})
    check_inputs(given)
    assert read_manifest(packed(tmp_path, given) / "development.jsonl", allow_empty=True) == ()


def test_the_runner_is_told_what_to_do_and_what_must_be_there(tmp_path: Path) -> None:
    audio = write_wav(tmp_path / "speech" / "one.wav")
    write_manifest(tmp_path / "rows.jsonl", [row(audio)])
    (tmp_path / "model").write_text("weights")
    given = job(
        inputs={"base/model": tmp_path / "model"},
        manifests={"rows.jsonl": tmp_path / "rows.jsonl"},
        outputs=("deep/out",),
        environment={"API_KEY": "s3cret"},
    )
    folder = packed(tmp_path, given)
    told = description(folder)
    files = told.pop("files")
    assert told == {
        "argv": ["python", "-m", "x"],
        "timeout": 60.0,
        "grace": 10.0,
        "outputs": ["deep/out"],
    }
    (moved,) = read_manifest(folder / "rows.jsonl")
    assert set(files) == {
        "base/model",
        "rows.jsonl",
        str(PurePosixPath(moved.audio_filepath).relative_to(ROOT)),
    }
    assert files == {name: (folder / name).stat().st_size for name in files}
    assert files["base/model"] == len("weights")


def test_nothing_of_the_jobs_variables_is_written(tmp_path: Path) -> None:
    given = job(environment={"RECOGNISABLE_NAME": "s3cret"})
    for path in filter(Path.is_file, packed(tmp_path, given).rglob("*")):
        content = path.read_bytes()
        assert b"s3cret" not in content, path
        assert b"RECOGNISABLE_NAME" not in content, path


def test_the_package_goes_along_without_its_model(tmp_path: Path) -> None:
    source = packed(tmp_path, job()) / FOLDER / "source"
    assert [path.name for path in source.iterdir()] == ["flywheel"]
    assert (source / "flywheel" / "compute" / "programs" / "finetune.py").is_file()
    assert (source / "flywheel" / "compute" / "programs" / "conf").is_dir()
    assert [path for path in source.rglob("*") if path.suffix in (".nemo", ".pyc")] == []
    assert list(Path(flywheel.__file__).parent.rglob("*.nemo")), "which there is"
    assert sum(path.stat().st_size for path in source.rglob("*") if path.is_file()) < 5e6


def test_the_runner_starts_from_what_was_packed_and_nothing_else(tmp_path: Path) -> None:
    given = job(argv=("python", "-c", "import flywheel; print(flywheel.__file__); open('out', 'w')"))
    folder = packed(tmp_path, given, root=PurePosixPath(tmp_path / "packed"))
    ran = subprocess.run(
        # -S: without the packages of this environment, among which the package may be.
        [sys.executable, "-S", "-m", "flywheel.compute.programs.runner", "run", folder],
        env={"PATH": os.environ["PATH"], **runner_environment(PurePosixPath(folder))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()) == folder / FOLDER / "source" / "flywheel" / "__init__.py"
    assert Ending.read(folder / FOLDER / "ending.json") is not None
    assert not list(folder.rglob("*.pyc")), "nothing is written beside the sources"


# --- the look before anything starts ----------------------------------------------------------------------


def test_all_missing_files_are_named(tmp_path: Path) -> None:
    given = job(
        inputs={"a": tmp_path / "no-a", "folder": tmp_path}, manifests={"m.jsonl": tmp_path / "no-m.jsonl"}
    )
    with pytest.raises(InputMissing) as caught:
        check_inputs(given)
    assert set(caught.value.missing) == {"a", "folder", "m.jsonl"}


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        pytest.param(["no.wav"], AudioError, "no.wav", id="audio that is not there"),
        pytest.param(["speech/one.wav", "speech/cut.wav"], AudioError, "cut.wav", id="audio that is cut"),
        pytest.param(None, ManifestError, "rows.jsonl", id="no manifest"),
    ],
)
def test_manifests_and_audio_are_checked(
    tmp_path: Path, rows: list[str] | None, error: type[FlywheelError], said: str
) -> None:
    write_wav(tmp_path / "speech" / "one.wav")
    whole = write_wav(tmp_path / "speech" / "cut.wav").read_bytes()
    (tmp_path / "speech" / "cut.wav").write_bytes(whole[:1000])
    manifest = tmp_path / "rows.jsonl"
    if rows is None:
        manifest.write_text('{"id": "one"}\n')
    else:
        write_manifest(manifest, [row(each) for each in rows])
    with pytest.raises(error, match=said):
        check_inputs(job(manifests={"rows.jsonl": manifest}))


# --- endings ------------------------------------------------------------------------------------------------


LINES = ("one", "last words")


@pytest.mark.parametrize(
    ("ending", "error", "said"),
    [
        pytest.param({"exit_code": 0}, None, "", id="well"),
        pytest.param({"exit_code": 3}, JobFailed, "exit code 3", id="failed"),
        pytest.param({"exit_code": -9}, JobFailed, "SIGKILL (out of memory?)", id="killed"),
        pytest.param({"exit_code": None}, JobFailed, "exit status is unknown", id="unknown"),
        pytest.param({"exit_code": 0, "stopped": "time-out"}, JobTimedOut, "time-out of 60 s", id="time-out"),
        pytest.param({"exit_code": -15, "stopped": "time-out"}, JobTimedOut, "60 s", id="time-out by TERM"),
        pytest.param({"exit_code": -15, "stopped": "request"}, JobFailed, "SIGTERM", id="stopped"),
        pytest.param(
            {"exit_code": 0, "stopped": "request"},
            JobFailed,
            "stopped from outside",
            id="stopped, and tidied up",
        ),
        pytest.param({"error": "No such file: x"}, JobNotStarted, "No such file: x", id="not a command"),
        pytest.param(
            {"problems": ["a: is not there", "b: 1 bytes are there"]},
            StageInFailed,
            "could not be brought there: a: is not there; b: 1 bytes are there",
            id="files missing and cut",
        ),
    ],
)
def test_the_error_of_each_ending(ending: dict[str, Any], error: type[JobError] | None, said: str) -> None:
    whole = {"exit_code": None, "seconds": 1.5, "stopped": None, "error": None, "problems": [], **ending}
    ended = Ending.from_json(json.dumps(whole))
    assert ended == Ending.from_dict(whole)
    failure = ended.failure(job(), LINES)
    if error is None:
        assert failure is None
        return
    assert type(failure) is error
    assert said in str(failure)
    started = error in (JobFailed, JobTimedOut)
    assert ("    last words" in str(failure)) == started


def test_no_file_is_no_ending(tmp_path: Path) -> None:
    assert Ending.read(tmp_path / "ending.json") is None


def test_outputs_that_are_not_there_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "folder").mkdir()
    failure = missing_outputs(job(outputs=("a", "b", "folder")), tmp_path, LINES, kept=tmp_path)
    assert isinstance(failure, OutputMissing)
    assert failure.missing == ("b", "folder")
    assert f"kept in {tmp_path}" in str(failure)
    assert missing_outputs(job(outputs=("a",)), tmp_path, LINES) is None


# --- bringing outputs back ------------------------------------------------------------------------------------


def test_an_output_is_moved_over_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    target = tmp_path / "deep" / "er" / "target"
    target.parent.mkdir(parents=True)
    target.write_text("old")
    assert bring(tmp_path / "new", target) == target
    assert target.read_text() == "new"
    assert not (tmp_path / "new").exists()


def test_a_link_is_brought_as_a_copy_of_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("weights")
    (tmp_path / "best").symlink_to("model")
    brought = bring(tmp_path / "best", tmp_path / "out" / "best")
    assert not brought.is_symlink()
    assert brought.read_text() == (tmp_path / "model").read_text() == "weights"


def test_an_output_comes_whole_from_another_file_system(tmp_path: Path, elsewhere: Path) -> None:
    (elsewhere / "far").write_text("far")
    assert bring(elsewhere / "far", tmp_path / "out" / "far").read_text() == "far"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["far"]
