"""Cycles go into a real S3 service over HTTP, and come out of it on another machine."""

import json
import shutil
from pathlib import Path

import pytest

from flywheel.corpus.manifest import read_manifest
from flywheel.errors import Problems
from flywheel.files.atomic import read_json, sha256_of_file
from flywheel.recognisers.registry import RegistryError
from resources.object_store.bucket import Bucket, Mismatch, StoreError
from resources.object_store.checking import verify
from resources.object_store.pulling import pull
from resources.object_store.pushing import push
from tests.real.object_store.cycle_place import ADAPTED, SECOND, CyclePlace, copy_of
from tests.real.object_store.s3_server import CuttingLine, S3Server, other_bytes

pytestmark = pytest.mark.real

SILENT = [].append


def test_a_cycle_is_pushed_whole_and_the_originals_stay(
    server: S3Server, bucket: Bucket, place: CyclePlace
) -> None:
    before = place.contents()
    done = push(bucket, place.data, "cycle1", SILENT)
    assert place.contents() == before, "no file here is edited"
    kept = server.objects(bucket.options.name)
    assert {key for key in kept if not key.startswith("asr/flywheel/")} == set()
    there = {key.removeprefix("asr/flywheel/"): content for key, content in kept.items()}
    index = json.loads(there.pop("cycles/cycle1/index.json"))
    assert {entry["key"] for entry in index["files"]} == set(there)
    assert (done.files, done.sent, done.already_there) == (len(index["files"]), len(there), 0)

    audio = {name for name in before if name.startswith("speech/")}
    assert {name: there[name] for name in audio} == {name: before[name] for name in audio}
    model = f"models/{sha256_of_file(place.cycle().adapted_model)}.nemo"
    assert [name for name, content in there.items() if content == ADAPTED] == [model], "sent once"
    assert not any(".half" in name or "lock" in name for name in there)
    manifest = [json.loads(line) for line in there["cycles/cycle1/manifest.jsonl"].splitlines()]
    assert {row["audio_filepath"] for row in manifest} == {f"{bucket.options.url}/{name}" for name in audio}
    rewritten = {entry["path"] for entry in index["files"] if entry["original_sha256"]}
    assert rewritten == {
        *(f"cycles/cycle1/{name}.jsonl" for name in ("manifest", "train", "development", "validation")),
        *(f"cycles/cycle1/{name}/rows.jsonl" for name in ("baseline", "next")),
        *("cycles/cycle1/base_model.json", "cycles/cycle1/training_run_info.json"),
    }
    here = str(place.root).encode()
    assert [name for name, content in there.items() if here in content] == [], "no path of this machine"


def test_pushed_again_unchanged_nothing_is_sent(bucket: Bucket, line: CuttingLine, place: CyclePlace) -> None:
    first = push(bucket, place.data, "cycle1", SILENT)
    line.mend()
    again = push(bucket, place.data, "cycle1", SILENT)
    assert (again.sent, again.bytes_sent, again.already_there) == (0, 0, first.sent)
    assert again.index_sha256 == first.index_sha256
    assert {request.split()[0] for request in line.requests} <= {"GET", "HEAD"}
    assert len(line.requests) < 12, "a listing tells of all audio at once"

    place.cycle().leaderboard(2).write_text("# Another answer\n")
    assert push(bucket, place.data, "cycle1", SILENT).sent == 1


def test_a_second_cycle_sends_the_audio_of_the_first_not_again(
    bucket: Bucket, line: CuttingLine, place: CyclePlace
) -> None:
    push(bucket, place.data, "cycle1", SILENT)
    shutil.copytree(place.cycle().root, place.cycle("cycle2").root)
    line.mend()
    push(bucket, place.data, "cycle2", SILENT)
    sent = [request.split()[1] for request in line.requests if request.startswith(("PUT", "POST"))]
    assert sent
    assert [path for path in sent if "/cycles/cycle2/" not in path] == []
    assert verify(bucket, "cycle1", SILENT).objects == verify(bucket, "cycle2", SILENT).objects


def test_cycle2_goes_on_from_a_pulled_cycle1_in_an_empty_folder(
    bucket: Bucket, made: CyclePlace, tmp_path: Path, there: CyclePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copy_of(made, tmp_path / "here")
    push(bucket, place.data, "cycle1", SILENT)
    monkeypatch.setenv("FLYWHEEL_DATA", str(there.data.path))
    done = pull(bucket, there.data, "cycle1", SILENT)
    assert (done.files, done.placed) == (done.files, done.files)
    expected = {
        name: content.replace(str(place.root).encode(), str(there.root).encode())
        for name, content in place.contents().items()
        if "/." not in name and not name.endswith("lock")
    }
    pulled = there.contents()
    assert {name: content for name, content in pulled.items() if not name.endswith("lock")} == expected
    assert pull(bucket, there.data, "cycle1", SILENT).placed == 0

    there.seed(*SECOND)
    there.materialize("cycle2", "term_seed", "sentences")
    there.few_general_sentences("cycle2")
    made = there.materialize("cycle2", "pronunciations", "speech", "manifest", "split", "base_model")
    old, new = read_manifest(there.cycle().manifest), read_manifest(there.cycle("cycle2").manifest)
    assert {row.id: row for row in new}.items() >= {row.id: row for row in old}.items(), (
        "rows stay as they were"
    )
    assert made["speech"]["cache_hits"] == len(old)
    assert made["speech"]["files"] == len(new) > len(old)
    assert there.contents(below="cycles/cycle1") == {
        name: content for name, content in pulled.items() if name.startswith("cycles/cycle1/")
    }
    base = read_json(there.cycle("cycle2").base_model)
    assert base["name"] == "model of cycle1"
    assert Path(base["file"]).is_relative_to(there.data.path)
    assert Path(base["file"]).read_bytes() == ADAPTED
    again = push(bucket, there.data, "cycle2", SILENT)
    assert again.already_there >= len(old), "and it goes back into the same bucket"


def test_a_file_that_differs_here_is_replaced_only_when_that_is_asked_for(
    bucket: Bucket, place: CyclePlace, there: CyclePlace
) -> None:
    push(bucket, place.data, "cycle1", SILENT)
    mine = {"leaderboard_cycle2.md": b"# Mine\n", "manifest.jsonl": b"", "term_seed.csv": b"mine\n"}
    there.cycle().root.mkdir(parents=True)
    for file, content in mine.items():
        (there.cycle().root / file).write_bytes(content)
    before = there.contents()
    with pytest.raises(Problems) as caught:
        pull(bucket, there.data, "cycle1", SILENT)
    for file in mine:
        assert str(there.cycle().root / file) in str(caught.value)
        assert bucket.url(f"cycles/cycle1/{file}") in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert there.contents() == before
    pull(bucket, there.data, "cycle1", SILENT, overwrite=True)
    assert there.cycle().leaderboard(2).read_text() == "# The answer\n"


def test_two_machines_do_not_write_over_each_other(
    bucket: Bucket, place: CyclePlace, there: CyclePlace
) -> None:
    push(bucket, place.data, "cycle1", SILENT)
    pull(bucket, there.data, "cycle1", SILENT)
    there.cycle().leaderboard(2).write_text("# Made there\n")
    assert push(bucket, there.data, "cycle1", SILENT).sent == 1, "it knew the bucket's copy"
    place.cycle().leaderboard(2).write_text("# Made here\n")
    with pytest.raises(StoreError, match=r"was pushed from another data folder on .* push with --overwrite"):
        push(bucket, place.data, "cycle1", SILENT)
    assert push(bucket, place.data, "cycle1", SILENT, overwrite=True).sent == 1


def test_another_recording_of_the_same_name_is_not_replaced_unasked(
    bucket: Bucket, place: CyclePlace
) -> None:
    push(bucket, place.data, "cycle1", SILENT)
    path, local = place.an_audio()
    local.write_bytes(other_bytes(local.read_bytes()))
    with pytest.raises(Problems, match="nothing was sent") as caught:
        push(bucket, place.data, "cycle1", SILENT)
    assert f"{path}: {local} is another recording" in str(caught.value)
    assert push(bucket, place.data, "cycle1", SILENT, overwrite=True).sent == 1
    assert verify(bucket, "cycle1", SILENT).objects


def test_files_that_only_grow_keep_the_longer_one(
    bucket: Bucket, place: CyclePlace, there: CyclePlace
) -> None:
    header = "term,ipa,verified_by,verified_at,notes\n"
    place.data.overrides.write_text(header + "one,wʌn,a,2026-01-01,\n")
    push(bucket, place.data, "cycle1", SILENT)
    there.data.path.mkdir()
    for here, after in {
        header: header + "one,wʌn,a,2026-01-01,\n",
        header + "one,wʌn,a,2026-01-01,\ntwo,tu,b,2026-01-02,\n": None,
    }.items():
        there.data.overrides.write_text(here)
        pull(bucket, there.data, "cycle1", SILENT)
        assert there.data.overrides.read_text() == (after or here)
    there.data.overrides.write_text(header + "three,θɹi,c,2026-01-03,\n")
    with pytest.raises(Problems, match=r"pronunciation_overrides\.csv: differs"):
        pull(bucket, there.data, "cycle1", SILENT)


def test_models_that_were_promoted_on_both_sides_are_refused(
    bucket: Bucket, place: CyclePlace, there: CyclePlace
) -> None:
    push(bucket, place.data, "cycle1", SILENT)
    there.root.joinpath("other.nemo").write_bytes(b"another model")
    there.data.registry.promote(
        there.root / "other.nemo", cycle="cycle1", base_model="bundled", decision="trained there"
    )
    before = there.contents()
    with pytest.raises(RegistryError, match="models were promoted on both sides"):
        pull(bucket, there.data, "cycle1", SILENT, overwrite=True)
    assert there.contents() == before


def test_an_index_that_leads_out_of_the_data_folder_is_refused(
    server: S3Server, bucket: Bucket, place: CyclePlace, there: CyclePlace
) -> None:
    push(bucket, place.data, "cycle1", SILENT)
    index = json.loads(bucket.get("cycles/cycle1/index.json")[0])
    index["files"][0]["path"] = "../../escaped"
    bucket.put("cycles/cycle1/index.json", json.dumps(index).encode())
    with pytest.raises(Problems, match=r"found '../../escaped'; allowed: a path below the data folder"):
        pull(bucket, there.data, "cycle1", SILENT)
    index["files"][0]["path"] = "cycles/cycle2/manifest.jsonl"
    server.spoil(bucket, "cycles/cycle1/index.json", json.dumps(index).encode())
    with pytest.raises(Mismatch, match="its SHA-256 is not the one it was sent with"):
        pull(bucket, there.data, "cycle1", SILENT)
