"""Boosting as NeMo does it, on a CPU: the bundled base, and tiny models of the other decoders that can be boosted."""

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flywheel.compute.programs.boost import BoostedModel, main
from flywheel.compute.programs.transcribe import TranscriptionOptions, hypotheses_of, transcribe
from flywheel.corpus.manifest import ManifestRow, write_manifest
from flywheel.files import bundled
from flywheel.files.atomic import read_json, read_jsonl
from flywheel.files.records import write_record
from flywheel.recognisers.boosting import BoostingPlan, Search
from flywheel.speech.audio_cache import render
from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer
from flywheel.speech.synthesizer import Utterance
from flywheel.speech.take import Take

pytestmark = pytest.mark.real

BASE = str(bundled.path("base_fastconformer_ctc.nemo"))
TERMS = ("cefazolin", "metoprolol", "bronchoscopy", "mediastinum")
CLINICAL = ("we gave {} before the round", "please write {} in the chart")
GENERAL = ("the bus was late again this morning", "they painted the door green", "she left her coat at home")
VOICES = SEEN_VOICES[:2]
PLAN = BoostingPlan((*TERMS, "vitamin b12"), (1.0, 8.0), 0.05, "beam", 4)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[ManifestRow, ...]:
    """Each term in each sentence and some general speech, in two voices, as espeak speaks it."""
    cache = tmp_path_factory.mktemp("speech")
    synthesizer = EspeakSynthesizer()
    said = [(text.format(term), term) for term in TERMS for text in CLINICAL]
    takes = {
        Take(Utterance(text, voice)): term
        for text, term in [*said, *((g, None) for g in GENERAL)]
        for voice in VOICES
    }
    seconds = render(list(takes), cache, synthesizer).seconds
    return tuple(
        ManifestRow(
            id=take.key(synthesizer),
            audio_filepath=str(take.path(cache, synthesizer)),
            text=take.utterance.text,
            duration=seconds[take],
            sampling_rate=16_000,
            term=term,
            entity_category=term and "drug",
            ipa_source="espeak_g2p",
            voice_id=take.utterance.voice.voice_id,
            noise_level="clean",
            context_type=term and "dictation",
            synthesis_group=take.key(synthesizer),
            subset="train" if term else "replay",
        )
        for take, term in takes.items()
    )


@pytest.fixture(scope="module")
def bases() -> Mapping[Search, BoostedModel]:
    """The bundled base, for either search."""
    return {
        search: BoostedModel(BASE, replace(PLAN, search=search), batch_size=16)
        for search in ("beam", "greedy")
    }


@pytest.fixture(scope="module")
def plain(rows: tuple[ManifestRow, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the transcription job leaves, which knows nothing of boosting."""
    folder = tmp_path_factory.mktemp("plain")
    write_manifest(folder / "rows.jsonl", rows)
    transcribe(TranscriptionOptions(folder / "rows.jsonl", BASE, folder / "hyps.jsonl"))
    return folder / "hyps.jsonl"


def found(rows: Sequence[ManifestRow], heard: Mapping[str, str]) -> int:
    return sum(row.term in heard[row.id] for row in rows if row.term)


def inserted(rows: Sequence[ManifestRow], heard: Mapping[str, str]) -> int:
    return sum(any(term in heard[row.id] for term in TERMS) for row in rows if not row.term)


@pytest.mark.parametrize("search", ["beam", "greedy"])
def test_terms_are_found_that_the_base_misses_and_too_strong_is_heard_where_nobody_said_them(
    search: Search, bases: Mapping[Search, BoostedModel], rows: tuple[ManifestRow, ...]
) -> None:
    hears = {alpha: bases[search].hear(rows, alpha) for alpha in (0.0, 1.0, 2.0, 8.0)}
    finds = {alpha: found(rows, heard) for alpha, heard in hears.items()}
    assert 0 == finds[0.0] < finds[1.0] < finds[2.0]
    assert inserted(rows, hears[0.0]) == inserted(rows, hears[1.0]) == 0
    assert inserted(rows, hears[8.0]) > 0


@pytest.mark.parametrize("search", ["beam", "greedy"])
def test_at_zero_it_hears_what_plain_transcription_does(
    search: Search, bases: Mapping[Search, BoostedModel], rows: tuple[ManifestRow, ...], plain: Path
) -> None:
    model = bases[search]
    model.hear(rows[:2], 2.0)
    assert list(hypotheses_of(rows, model.hear(rows, 0.0))) == read_jsonl(plain)


def job(
    folder: Path, rows: Sequence[ManifestRow], plan: BoostingPlan, model: str, baseline: Path
) -> dict[str, Any]:
    """Run the command line; returns what it chose. It leaves `hyps.jsonl`."""
    write_manifest(folder / "rows.jsonl", rows)
    write_record(folder / "plan.json", plan)
    main(
        [
            *("--model", model, "--plan", str(folder / "plan.json"), "--baseline", str(baseline)),
            *("--trials", str(folder / "rows.jsonl"), "--manifest", str(folder / "rows.jsonl")),
            *("--output", str(folder / "hyps.jsonl"), "--choice", str(folder / "choice.json")),
            *("--batch-size", "16"),
        ]
    )
    choice: dict[str, Any] = read_json(folder / "choice.json")
    return choice


def test_the_job_chooses_a_strength_and_transcribes_with_it(
    rows: tuple[ManifestRow, ...], bases: Mapping[Search, BoostedModel], plain: Path, tmp_path: Path
) -> None:
    choice = job(tmp_path, rows, PLAN, BASE, plain)
    assert (choice["alpha"], choice["unwritable"]) == (1.0, ["vitamin b12"])
    assert [trial["alpha"] for trial in choice["trials"]] == [0.0, 1.0, 8.0]
    assert choice["trials"][2]["false_insertions"]["value"] > 0
    assert read_jsonl(tmp_path / "hyps.jsonl") == list(hypotheses_of(rows, bases["beam"].hear(rows, 1.0)))


def test_where_no_strength_helps_the_job_leaves_the_baseline(
    rows: tuple[ManifestRow, ...], plain: Path, tmp_path: Path
) -> None:
    """Strong enough to be heard in general speech at once."""
    choice = job(tmp_path, rows, replace(PLAN, alphas=(8.0,), general_wer_cap=0.0), BASE, plain)
    assert choice["alpha"] == 0.0
    assert (tmp_path / "hyps.jsonl").read_bytes() == plain.read_bytes()


HIDDEN = 32


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bundled model's tokens, as NeMo's configuration names its files."""
    folder = tmp_path_factory.mktemp("tokenizer")
    with tarfile.open(BASE) as archive:
        for member in archive.getmembers():
            name = member.name.rpartition("_")[2]
            content = archive.extractfile(member)
            if name in ("tokenizer.model", "tokenizer.vocab", "vocab.txt") and content is not None:
                (folder / name).write_bytes(content.read())
    return folder


def small(config: Any) -> dict[str, Any]:
    """The bundled model's configuration with one narrow layer, and without what its decoder is."""
    parts = {name: dict(config[name]) for name in ("preprocessor", "encoder")}
    parts["encoder"] |= {"n_layers": 1, "d_model": HIDDEN, "n_heads": 2, "subsampling_conv_channels": 8}
    return {"sample_rate": 16_000, "validation_ds": {"manifest_filepath": None, "shuffle": False}, **parts}


def transducer(durations: Sequence[int] = ()) -> dict[str, Any]:
    """An RNNT; with durations a TDT."""
    loss: dict[str, Any] = (
        {"loss_name": "tdt", "tdt_kwargs": {"durations": list(durations)}}
        if durations
        else {"loss_name": "default"}
    )
    decoding: dict[str, Any] = {
        "strategy": "greedy_batch",
        "greedy": {"max_symbols": 2},
        "beam": {"max_symbols": 2, "beam_size": 2},
    }
    if durations:
        decoding |= {"model_type": "tdt", "durations": list(durations)}
    return {
        "model_defaults": {"enc_hidden": HIDDEN, "pred_hidden": HIDDEN},
        "decoder": {
            "_target_": "nemo.collections.asr.modules.RNNTDecoder",
            "prednet": {"pred_hidden": HIDDEN, "pred_rnn_layers": 1},
            "blank_as_pad": True,
        },
        "joint": {
            "_target_": "nemo.collections.asr.modules.RNNTJoint",
            "jointnet": {"joint_hidden": HIDDEN, "activation": "relu"},
            "num_extra_outputs": len(durations),
        },
        "decoding": decoding,
        "loss": loss,
    }


def convolutions(vocabulary: Sequence[str]) -> dict[str, Any]:
    """The decoder of a CTC model."""
    return {
        "_target_": "nemo.collections.asr.modules.ConvASRDecoder",
        "feat_in": HIDDEN,
        "num_classes": len(vocabulary) or -1,
        "vocabulary": list(vocabulary),
    }


def model_file(kind: str, tokenizer: Path, folder: Path) -> str:
    """A model of this kind that has learned nothing."""
    import torch
    from nemo.collections.asr import models
    from omegaconf import OmegaConf

    config = small(models.ASRModel.restore_from(BASE, return_config=True))
    subwords = {"tokenizer": {"dir": str(tokenizer), "type": "bpe"}}
    torch.manual_seed(1)
    if kind == "letters":
        config |= {"decoder": convolutions("abcdefghijklmnopqrstuvwxyz '")}
        model = models.EncDecCTCModel(OmegaConf.create(config))
    elif kind == "hybrid":
        ctc = {
            "aux_ctc": {
                "ctc_loss_weight": 0.3,
                "decoder": convolutions(()),
                "decoding": {"strategy": "greedy"},
            }
        }
        model = models.EncDecHybridRNNTCTCBPEModel(OmegaConf.create(config | subwords | transducer() | ctc))
    else:
        durations = (0, 1, 2) if kind == "tdt" else ()
        model = models.EncDecRNNTBPEModel(OmegaConf.create(config | subwords | transducer(durations)))
    model.save_to(str(folder / f"{kind}.nemo"))
    return str(folder / f"{kind}.nemo")


@pytest.mark.parametrize("search", ["beam", "greedy"])
@pytest.mark.parametrize("kind", ["rnnt", "tdt", "hybrid"])
def test_other_decoders_are_boosted_on_a_cpu(
    kind: str, search: Search, rows: tuple[ManifestRow, ...], plain: Path, tokenizer: Path, tmp_path: Path
) -> None:
    """A model that has learned nothing says what is boosted, wherever it is boosted strongly enough."""
    few = (*rows[:2], *rows[-1:])
    plan = replace(PLAN, alphas=(30.0,), general_wer_cap=1.0, search=search)
    name = model_file(kind, tokenizer, tmp_path)
    before, after = job(tmp_path, few, plan, name, plain)["trials"]
    assert (before["alpha"], after["alpha"]) == (0.0, 30.0)
    assert before["false_insertions"]["value"] == 0.0
    assert after["false_insertions"]["value"] > 0.0


def test_a_model_that_cannot_be_boosted_is_refused_with_the_way_on(
    rows: tuple[ManifestRow, ...], plain: Path, tokenizer: Path, tmp_path: Path
) -> None:
    name = model_file("letters", tokenizer, tmp_path)
    with pytest.raises(SystemExit) as caught:
        job(tmp_path, rows[:1], PLAN, name, plain)
    assert str(caught.value) == (
        f"error: {name}: the terms cannot be boosted when this model decodes: it is a EncDecCTCModel; CTC, RNNT and "
        "TDT models with subword tokens can be. To go on without, set boosted_eval's `enabled` to false"
    )
    assert not (tmp_path / "hyps.jsonl").exists()
