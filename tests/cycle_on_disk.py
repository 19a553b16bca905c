"""A cycle's folder as a cycle leaves it, made by the domain's own functions; speech and models alone are not real."""

import hashlib
import itertools
import wave
from collections.abc import Iterator
from pathlib import Path

from flywheel.corpus.manifest import ManifestRow, clinical_rows_by_category, read_manifest, write_manifest
from flywheel.corpus.split.subsets import SplitSettings, split_rows
from flywheel.cycle.page import write_page
from flywheel.files.atomic import sha256_of_file, write_jsonl
from flywheel.files.cycles import CycleFolder, EvalFolder
from flywheel.files.records import write_record
from flywheel.pronunciation.lexicon import Lexicon, Pronunciation, write_lexicon
from flywheel.recognisers.bases import BUNDLED, Base, read_base, write_base
from flywheel.recognisers.boosting import Boosting, BoostingTrial
from flywheel.recognisers.evaluation import (
    TranscriptionRecord,
    evaluated_rows,
    read_scored_rows,
    read_scores,
    score,
)
from flywheel.recognisers.nemo_asr import TINY, Epoch, TrainingRecord, TrainingRequest
from flywheel.recognisers.registry import Registry
from flywheel.scoring.comparison import compare
from flywheel.scoring.intervals import wilson
from flywheel.verdict.decision import decide
from flywheel.verdict.gate import GateSettings, evaluate_gate
from tests.stamps import stamped

TERMS = {
    "drug": ("cefazolin", "metoprolol", "apixaban", "enoxaparin", "amiodarone", "rivaroxaban"),
    "procedure": ("cholecystectomy", "thoracentesis", "colonoscopy"),
}
CONTEXTS = (
    "the patient was given five milligrams of {} today",
    "please review {} with the team",
    "there is a history of {} in the chart",
    "we noted {} before the round",
)
GENERAL = (
    *("the bus was late again this morning", "we walked along the river", "she left her coat at home"),
    *("the shop opens at nine", "he plays the piano", "it rained all night", "they painted the door green"),
    *("a letter came today", "the kettle is on", "we met at the market"),
)
"""Enough for an interval over the sentences that are not replayed."""
SECONDS = 0.1
VOICES = ("espeak:en-us+m3", "espeak:en-gb+f2")
UNSEEN_VOICE = "espeak:en-gb-x-rp+f4"
EPOCHS = (
    Epoch(1, 20, train_loss=2.123456789, val_wer=0.4123456789, val_loss=1.987654321),
    Epoch(2, 40, train_loss=0.512345678, val_wer=0.1298765432, val_loss=0.487654321),
)
LINES = (
    "loading NeMo, 12 s",
    "rows seen: train 60 of 60",
    "epoch 1 step 20 of 40 loss 2.1235 (0.10 s a step, 2 s left)",
    "epoch 1 done: train_loss 2.1235, val_wer 0.4123, val_loss 1.9877",
    "epoch 2 step 40 of 40 loss 0.5123 (0.10 s a step, 0 s left)",
    "epoch 2 done: train_loss 0.5123, val_wer 0.1299, val_loss 0.4877",
)
"""What the job of this cycle's training printed."""


def write_sound(path: Path, seed: bytes) -> None:
    """A tenth of a second that no other row has: 16 kHz, mono, 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(seed * (int(SECONDS * 16000) * 2 // len(seed)))


def rows(speech: Path) -> Iterator[ManifestRow]:
    clinical = [
        (context.format(term), term, category, voice)
        for category, terms in TERMS.items()
        for term, context, voice in itertools.product(terms, CONTEXTS, (*VOICES, UNSEEN_VOICE))
    ]
    general = [(text, None, None, voice) for text, voice in itertools.product(GENERAL, VOICES)]
    for text, term, category, voice in [*clinical, *general]:
        name = hashlib.sha256(f"{text}{voice}".encode()).hexdigest()
        write_sound(speech / f"{name}.wav", bytes.fromhex(name))
        yield ManifestRow(
            id=name,
            audio_filepath=str(speech / f"{name}.wav"),
            text=text,
            duration=SECONDS,
            sampling_rate=16000,
            term=term,
            entity_category=category,
            ipa_source="espeak_g2p",
            voice_id=voice,
            noise_level="clean",
            context_type="dictation" if term else None,
            synthesis_group=name,
        )


def heard(row: ManifestRow, *, misses_every: int) -> str:
    """What a model hears that misses the term of one row in `misses_every`, and its dose with it."""
    missed = row.term is not None and int(row.id[:8], 16) % misses_every == 0
    return row.text.replace(row.term or "", "something").replace("five", "fifty") if missed else row.text


def evaluation(folder: EvalFolder, label: str, *, misses_every: int) -> None:
    write_jsonl(
        folder.hyps,
        (
            {
                **row.model_dump(exclude={"audio_filepath", "duration", "sampling_rate"}, exclude_none=True),
                "pred_text": heard(row, misses_every=misses_every),
            }
            for row in read_manifest(folder.rows)
        ),
    )
    write_record(
        folder.transcription,
        TranscriptionRecord(asked={}, hypotheses=sha256_of_file(folder.hyps), backend="local", seconds=21.4),
    )
    score(folder, label)


def boosting(folder: CycleFolder) -> None:
    """What boosting leaves: every other term is found then."""
    evaluation(folder.boosted, "bundled, terms boosted", misses_every=2)
    comparison = compare(
        read_scored_rows(folder.baseline), read_scored_rows(folder.boosted), priority_categories=("drug",)
    )
    trials = (
        BoostingTrial(0.0, wilson(2, 2), wilson(0, 6), wilson(0, 8)),
        BoostingTrial(1.0, wilson(1, 2), wilson(0, 6), wilson(0, 8)),
    )
    found = Boosting(1.0, sum(map(len, TERMS.values())), "the development rows", trials, comparison)
    write_record(folder.boosting, found)


def baseline_cycle(
    data: Path, cycle: str = "cycle1", *, minimum_rows: int = 50, boosted: bool = False, page: bool = True
) -> CycleFolder:
    """A cycle up to its gate, which more `minimum_rows` than there are keep closed; its page takes half a second."""
    folder = CycleFolder(data, cycle)
    (data / "speech").mkdir(parents=True, exist_ok=True)
    write_manifest(folder.manifest, tuple(rows(data / "speech")))
    settings = SplitSettings(unseen_voices=(UNSEEN_VOICE,), replay_fraction=0.3)
    done = split_rows(read_manifest(folder.manifest), settings)
    write_manifest(folder.train, [row for row in done.rows if row.subset in ("train", "replay")])
    write_manifest(folder.development, done.subset("development"))
    write_manifest(folder.validation, done.subset("validation"))
    for each in (folder.baseline, folder.boosted, folder.next):
        write_manifest(each.rows, evaluated_rows(done.rows))
    write_lexicon(
        folder.pronunciations,
        Lexicon(tuple(Pronunciation(term, None, "espeak_g2p") for terms in TERMS.values() for term in terms)),
    )
    write_record(folder.split, done.record(settings))
    base = data / "base.nemo"
    base.write_bytes(b"the base")
    write_base(folder.base_model, Base("bundled", base, BUNDLED))
    evaluation(folder.baseline, "bundled", misses_every=1)
    if boosted:
        boosting(folder)
    gate = evaluate_gate(
        read_scores(folder.baseline),
        clinical_rows_by_category(read_manifest(folder.manifest)),
        cycle=folder.number,
        settings=GateSettings(minimum_rows=minimum_rows, minimum_rows_per_category=1),
    )
    assert gate.open == (minimum_rows <= 108), gate.advice
    write_record(folder.gate, gate)
    stamped(folder)
    if page:
        write_page(folder)
    return folder


def trained_cycle(data: Path, cycle: str = "cycle1", *, boosted: bool = False) -> CycleFolder:
    """A whole cycle whose model was promoted; without the page that the baseline had."""
    folder = baseline_cycle(data, cycle, boosted=boosted, page=False)
    folder.adapted_model.write_bytes(f"the model of {cycle}".encode())
    write_record(
        folder.training_run_info,
        TrainingRecord(
            asked=TrainingRequest("the base", "the training rows", "the development rows", TINY),
            base=read_base(folder.base_model).record,
            backend="local",
            hyperparameters=TINY,
            rows_seen={"train": 60, "validation": 8},
            epochs=EPOCHS,
            steps=40,
            seed=TINY.seed,
            versions={"torch": "2.13.0"},
            best=EPOCHS[-1],
            seconds=61.5,
            model_sha256=sha256_of_file(folder.adapted_model),
        ),
    )
    evaluation(folder.next, f"fine-tuned in {cycle}", misses_every=9)
    comparison = compare(
        read_scored_rows(folder.baseline), read_scored_rows(folder.next), priority_categories=("drug",)
    )
    decision = decide(comparison)
    assert decision.promote, decision.reasons
    write_record(folder.comparison, comparison)
    write_record(folder.decision, decision)
    Registry(data / "models").promote(
        folder.adapted_model, cycle=cycle, base_model=BUNDLED, decision=" ".join(decision.reasons)
    )
    stamped(folder)
    write_page(folder)
    return folder
