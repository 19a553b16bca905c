"""The speech that the bundled base model learns from and is measured on: general English, many voices, noise."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from flywheel.corpus.general_english import general_english
from flywheel.files.atomic import write_jsonl
from flywheel.speech.audio_cache import OnProgress, render
from flywheel.speech.engines.espeak import SEEN_VOICES, UNSEEN_VOICES, EspeakSynthesizer
from flywheel.speech.noise import CLEAN, NOISE_KINDS
from flywheel.speech.synthesizer import SAMPLING_RATE, Utterance, Voice
from flywheel.speech.take import Take

ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc", "en-gb-x-gbcwmd", "en-029")
VARIANTS = (
    *("m1", "m2", "m3", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4"),
    *("adam", "Andy", "Annie", "belinda", "benjamin", "caleb", "david", "ed", "edward", "Gene", "grandma"),
    *("john", "klatt", "linda", "max", "miguel", "paul", "quincy", "rob", "robert", "shelby", "steph"),
    *("travis", "victor", "zac"),
)
RATES = (120, 165)
"""Slowest and fastest pace of the training speech, in words a minute, around the pace of dictation."""
CYCLE_VOICE_SHARE = 0.4
"""How often a sentence is spoken by one of the voices of a cycle; otherwise any accent has any variant."""
CLEAN_SHARE = 0.6
"""How many sentences are spoken without noise."""
_SNRS_DB = (5, 6, 8, 10, 12, 15, 18, 20)


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence and how it is spoken."""

    text: str
    take: Take


def training_sentences(count: int, *, seed: int, without: Collection[str]) -> tuple[SpokenSentence, ...]:
    """`count` sentences, each in a random known voice, rate and pitch; four in ten with noise of 5 to 20 dB.

    None holds a word of `without`, none is in an accent or a variant of `UNSEEN_VOICES` that is reserved.
    """
    generator = random.Random(seed)
    texts = islice(general_english(seed=seed, without=without), count)
    return tuple(SpokenSentence(text, _random_take(text, generator)) for text in texts)


def _random_take(text: str, generator: random.Random) -> Take:
    if generator.random() < CYCLE_VOICE_SHARE:
        name = generator.choice(SEEN_VOICES).voice_id
    else:
        name = f"espeak:{generator.choice(ACCENTS)}+{generator.choice(VARIANTS)}"
    if name in {voice.voice_id for voice in UNSEEN_VOICES}:
        raise ValueError(f"{name} is a held-out voice: it must not be among the base model's training voices")
    voice = Voice(name, rate=generator.randint(*RATES), pitch=generator.randint(32, 68))
    if generator.random() < CLEAN_SHARE:
        return Take(Utterance(text, voice))
    return Take(Utterance(text, voice), f"snr_{generator.choice(_SNRS_DB)}db", generator.choice(NOISE_KINDS))


def spoken_by(
    texts: Sequence[str], voices: Sequence[Voice], noise_level: str = CLEAN
) -> tuple[SpokenSentence, ...]:
    """Each text once, the voices taking turns, at one noise level, the kinds of noise taking turns too."""
    return tuple(
        SpokenSentence(
            text,
            Take(Utterance(text, voices[place % len(voices)]))
            if noise_level == CLEAN
            else Take(
                Utterance(text, voices[place % len(voices)]),
                noise_level,
                NOISE_KINDS[place % len(NOISE_KINDS)],
            ),
        )
        for place, text in enumerate(texts)
    )


def write_spoken(
    manifest: Path, sentences: Sequence[SpokenSentence], cache: Path, on_progress: OnProgress
) -> float:
    """Render the sentences into `cache` and write their NeMo manifest; returns the seconds of audio."""
    synthesizer = EspeakSynthesizer()
    rendering = render([sentence.take for sentence in sentences], cache, synthesizer, on_progress=on_progress)
    write_jsonl(
        manifest,
        (
            {
                "audio_filepath": str(sentence.take.path(cache, synthesizer).resolve()),
                "text": sentence.text,
                "duration": rendering.seconds[sentence.take],
                "sampling_rate": SAMPLING_RATE,
            }
            for sentence in sentences
        ),
    )
    return sum(rendering.seconds[sentence.take] for sentence in sentences)
