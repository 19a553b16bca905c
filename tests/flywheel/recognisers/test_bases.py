"""Which models may be fine-tuned, which are refused and why, and what a cycle starts from."""

import json
from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.recognisers.bases import (
    BUNDLED,
    DEFAULT_WITH_GPU,
    Base,
    BaseRefusedError,
    Mode,
    base_of_cycle,
    find_base,
    read_base,
    write_base,
)
from flywheel.recognisers.registry import Registry, RegistryError

PUBLISHED = (
    "nvidia/parakeet-tdt-0.6b-v2",
    "nvidia/stt_en_conformer_ctc_large",
    "nvidia/parakeet-ctc-0.6b",
    "nvidia/parakeet-ctc-1.1b",
    "nvidia/parakeet-rnnt-0.6b",
    "nvidia/parakeet-rnnt-1.1b",
)


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        (
            "nvidia/nemotron-speech-streaming-en-0.6b",
            "full",
            "collapses to unknown tokens after its first step",
        ),
        ("nvidia/nemotron-speech-streaming-en-0.6b", "adapter", "collapses to unknown tokens"),
        ("nvidia/parakeet-tdt-0.6b-v2", "adapter", "NaN weights with TDT and RNNT"),
        ("nvidia/parakeet-rnnt-0.6b", "adapter", "NaN weights with TDT and RNNT"),
        ("nvidia/parakeet-rnnt-1.1b", "adapter", "NaN weights with TDT and RNNT"),
        ("nvidia/canary-qwen-2.5b", "full", "it is tuned by LoRA only"),
        ("nvidia/canary-qwen-2.5b", "adapter", "it is tuned by LoRA only"),
        ("nvidia/canary-qwen-2.5b", "lora", "has no recipe here yet"),
        ("nvidia/parakeet-tdt-0.6b-v2", "lora", "mode 'lora' has no recipe"),
        ("nvidia/parakeet-ctc-0.6b", "adapter", "mode 'adapter' has no recipe"),
        (BUNDLED, "lora", "mode 'lora' has no recipe"),
    ],
)
def test_what_is_known_to_fail_is_refused_with_its_reason(name: str, mode: Mode, reason: str) -> None:
    with pytest.raises(BaseRefusedError) as caught:
        find_base(name, mode)
    assert repr(name) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["", "nvidia/parakeet", "bundeled", "parakeet-tdt-0.6b-v2"])
def test_an_unknown_name_is_refused_with_what_is_allowed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BaseRefusedError) as caught:
        find_base(name)
    assert f"base model {name!r}" in str(caught.value)
    if name:
        for allowed in (BUNDLED, *PUBLISHED, "the path of a .nemo file"):
            assert allowed in str(caught.value)


@pytest.mark.parametrize("kind", ["missing.nemo", "folder.nemo", "folder", "weights.pt"])
def test_a_base_that_is_no_nemo_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind.startswith("folder"):
        path.mkdir()
    elif not kind.startswith("missing"):
        path.write_bytes(b"weights")
    with pytest.raises(BaseRefusedError) as caught:
        find_base(str(path))
    assert str(caught.value) == (
        f"base model {str(path)!r} is not a file that ends in .nemo; give the path of one"
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_is_fetched_by_the_job_and_needs_a_gpu(name: str) -> None:
    assert find_base(name) == Base(name, None, name)
    assert find_base(name).needs_accelerator
    assert find_base(name).sha256 is None


def test_a_file_is_a_base_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ward.nemo").write_bytes(b"abc")
    monkeypatch.chdir(tmp_path)
    base = find_base("ward.nemo")
    assert base == Base("ward", tmp_path / "ward.nemo", "ward.nemo")
    assert not base.needs_accelerator
    assert base.sha256 is not None
    assert base.sha256.startswith("ba7816bf")


def test_a_file_named_like_the_bundled_model_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "bundled.nemo").write_bytes(b"abc")
    assert find_base(str(tmp_path / "bundled.nemo")).origin != BUNDLED


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def promote(registry: Registry, cycle: str, base_model: str = BUNDLED) -> None:
    model = registry.folder.parent / f"{cycle}.nemo"
    model.write_text(f"weights of {cycle}")
    registry.promote(model, cycle=cycle, base_model=base_model, decision="KER down")


def test_a_cycle_starts_from_the_newest_model_that_an_earlier_one_promoted(registry: Registry) -> None:
    for cycle in ("cycle1", "cycle3", "cycle10"):
        promote(registry, cycle)
    starts = {number: base_of_cycle(number, registry, "", accelerator=True) for number in (2, 3, 4, 10, 11)}
    names = {number: base.name for number, base in starts.items()}
    assert names == {
        2: "model of cycle1",
        3: "model of cycle1",
        4: "model of cycle3",
        10: "model of cycle3",
        11: "model of cycle10",
    }
    assert starts[4].file is not None
    assert starts[4].file.read_text() == "weights of cycle3"
    assert starts[4].origin == BUNDLED


def test_a_promoted_model_of_a_published_one_still_needs_a_gpu(registry: Registry) -> None:
    promote(registry, "cycle1", base_model=DEFAULT_WITH_GPU)
    assert base_of_cycle(2, registry, "", accelerator=True).needs_accelerator


def test_a_name_goes_before_what_was_promoted(registry: Registry) -> None:
    promote(registry, "cycle1")
    name = "nvidia/parakeet-ctc-0.6b"
    assert base_of_cycle(2, registry, name, accelerator=True) == find_base(name)
    with pytest.raises(BaseRefusedError, match="collapses"):
        base_of_cycle(2, registry, "nvidia/nemotron-speech-streaming-en-0.6b", accelerator=True)


def test_the_first_cycle_starts_from_the_published_model_where_there_is_a_gpu(registry: Registry) -> None:
    promote(registry, "cycle1")
    assert base_of_cycle(1, registry, "", accelerator=True) == find_base(DEFAULT_WITH_GPU)


def test_a_damaged_promoted_model_is_not_passed_over(registry: Registry) -> None:
    promote(registry, "cycle1")
    promote(registry, "cycle2")
    base = base_of_cycle(3, registry, "", accelerator=False)
    assert base.file is not None
    base.file.write_text("damaged")
    with pytest.raises(RegistryError, match="it is damaged"):
        base_of_cycle(3, registry, "", accelerator=False)


def test_a_chosen_base_comes_back_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "ward.nemo").write_bytes(b"weights")
    for base in (find_base(str(tmp_path / "ward.nemo")), find_base(DEFAULT_WITH_GPU)):
        write_base(tmp_path / "base_model.json", base)
        assert read_base(tmp_path / "base_model.json") == base
        assert json.loads((tmp_path / "base_model.json").read_text())["sha256"] == base.sha256


@pytest.mark.parametrize("damage", ["changed", "gone", "a folder"])
def test_a_base_that_changed_since_it_was_chosen_is_noticed(tmp_path: Path, damage: str) -> None:
    model = tmp_path / "ward.nemo"
    model.write_bytes(b"weights")
    write_base(tmp_path / "base_model.json", find_base(str(model)))
    model.unlink()
    if damage == "changed":
        model.write_bytes(b"weightz")
    elif damage == "a folder":
        model.mkdir()
    with pytest.raises(FlywheelError) as caught:
        read_base(tmp_path / "base_model.json")
    assert str(caught.value).startswith(f"{model}: the base of this cycle is gone or has changed")
