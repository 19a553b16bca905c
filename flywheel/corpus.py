"""From sentences to the rows of a manifest: who speaks what, and with which noise."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from flywheel.errors import FlywheelError
from flywheel.files import read_jsonl, write_jsonl
from flywheel.manifest import ManifestRow
from flywheel.pronunciation.lexicon import Lexicon
from flywheel.sentences import Sentence
from flywheel.speech.noise import CLEAN, snr_db
from flywheel.speech.prescriptions import Prescription
from flywheel.speech.rendering import Rendering, render, rendered_before
from flywheel.speech.synthesis import SAMPLING_RATE, Synthesizer, Utterance, Voice, g2p_source
from flywheel.speech.takes import Take, with_noise


@dataclass(frozen=True, slots=True)
class Casting:
    """How many voices speak a sentence, and at which noise levels.

    Args:
        seen_voices: voices that training may hear.
        unseen_voices: voices that only evaluations hear.
        seen_per_sentence, unseen_per_sentence: how many of each speak a clinical sentence. Each speaks it
            clean and once more with noise.
        seen_per_general: how many seen voices speak a general sentence, each at one level.
        noise_levels: levels other than clean; a row gets one of them, the first ones more often.
    """

    seen_voices: tuple[Voice, ...]
    unseen_voices: tuple[Voice, ...]
    seen_per_sentence: int = 3
    unseen_per_sentence: int = 1
    seen_per_general: int = 1
    noise_levels: tuple[str, ...] = ("snr_15db", "snr_15db", "snr_5db")

    @property
    def engine(self) -> str:
        """Who speaks, as in the voices' ids."""
        return self.seen_voices[0].engine

    def __post_init__(self) -> None:
        both = {voice.voice_id for voice in self.seen_voices} & {
            voice.voice_id for voice in self.unseen_voices
        }
        if both:
            raise FlywheelError(f"voices cannot be both seen and unseen: {', '.join(sorted(both))}")
        counts = Counter(voice.voice_id for voice in self.seen_voices + self.unseen_voices)
        twice = sorted(voice_id for voice_id, count in counts.items() if count > 1)
        if twice:
            raise FlywheelError(f"voices are listed more than once: {', '.join(twice)}")
        if not self.noise_levels or CLEAN in self.noise_levels:
            raise FlywheelError(
                f"noise_levels: found {list(self.noise_levels)}; give one or more of the form 'snr_<n>db', "
                f"without {CLEAN!r}, which every sentence gets anyway"
            )
        for level in self.noise_levels:
            snr_db(level)
        for wanted, voices, name in (
            (self.seen_per_sentence, self.seen_voices, "seen_voices"),
            (self.unseen_per_sentence, self.unseen_voices, "unseen_voices"),
            (self.seen_per_general, self.seen_voices, "seen_voices"),
        ):
            if not 0 < wanted <= len(voices):
                raise FlywheelError(f"{name}: {wanted} for each sentence are wanted, {len(voices)} are given")


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row before its audio exists; `ipa_source` is that of its term."""

    sentence: Sentence
    take: Take
    ipa_source: str


def plan_rows(sentences: Sequence[Sentence], casting: Casting, lexicon: Lexicon) -> tuple[PlannedRow, ...]:
    """The rows of a cycle. What a sentence gets depends on nothing but the sentence, the casting and what is
    prescribed for its words, so a cycle that grows repeats the rows of the one before."""
    return tuple(
        PlannedRow(sentence, take, _source(sentence, casting, lexicon))
        for sentence in sentences
        for take in _takes(sentence, casting, lexicon.prescribed_in(sentence.text))
    )


def _source(sentence: Sentence, casting: Casting, lexicon: Lexicon) -> str:
    """Of a general sentence, that of the engine: it has no term to be about."""
    return g2p_source(casting.engine) if sentence.term is None else lexicon.source_of(sentence.term)


def _takes(sentence: Sentence, casting: Casting, prescribed: tuple[Prescription, ...]) -> list[Take]:
    takes = _general_takes(sentence, casting) if sentence.term is None else _clinical_takes(sentence, casting)
    return [replace(take, utterance=replace(take.utterance, prescribed=prescribed)) for take in takes]


def _clinical_takes(sentence: Sentence, casting: Casting) -> list[Take]:
    draw = _draw(sentence.text)
    voices = _turn(casting.seen_voices, casting.seen_per_sentence, draw)
    voices += _turn(casting.unseen_voices, casting.unseen_per_sentence, draw)
    takes: list[Take] = []
    for voice in voices:
        level = casting.noise_levels[_draw(sentence.text, voice.voice_id) % len(casting.noise_levels)]
        takes += with_noise(Utterance(sentence.text, voice), (CLEAN, level))
    return takes


def _general_takes(sentence: Sentence, casting: Casting) -> list[Take]:
    draw = _draw(sentence.text)
    voices = _turn(casting.seen_voices, casting.seen_per_general, draw)
    levels = (CLEAN, *casting.noise_levels[:1])
    return [
        take
        for place, voice in enumerate(voices)
        for take in with_noise(Utterance(sentence.text, voice), [levels[(draw + place) % len(levels)]])
    ]


def _turn(voices: Sequence[Voice], count: int, draw: int) -> list[Voice]:
    """`count` different voices, spread over the list, beginning at a drawn place."""
    step = next(step for step in (3, 5, 7, 1) if step == 1 or len(voices) % step)
    return [voices[(draw + place * step) % len(voices)] for place in range(count)]


def _draw(*keys: str) -> int:
    return int.from_bytes(sha256("|".join(keys).encode()).digest()[:8], "big")


def speak(
    planned: Sequence[PlannedRow],
    cache: Path,
    synthesizer: Synthesizer,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None],
    log: Callable[[str], None] = lambda line: None,
    allowed_drops: int = 0,
) -> Rendering:
    """Make the audio of every planned row that is not in `cache` yet; see `render` for what it takes and raises."""
    return render(
        [row.take for row in planned],
        cache,
        synthesizer,
        workers=workers,
        on_progress=on_progress,
        log=log,
        allowed_drops=allowed_drops,
    )


def spoken_before(
    planned: Sequence[PlannedRow], cache: Path, synthesizer: Synthesizer, dropped: Sequence["DroppedRow"]
) -> Rendering:
    """The audio of the planned rows as it lies in `cache`, without those that were dropped.

    Raises `SpeechMissing` where a row has no audio and was not dropped: nothing is spoken here.
    """
    return rendered_before(
        [row.take for row in planned], cache, synthesizer, dropped={row.id for row in dropped}
    )


@dataclass(frozen=True, slots=True)
class DroppedRow:
    """A row that is not in the manifest for want of audio, with the `reason`; `id` is the one it would have."""

    id: str
    text: str
    term: str | None
    voice_id: str
    noise_level: str
    reason: str


def dropped_rows(
    planned: Sequence[PlannedRow], rendering: Rendering, synthesizer: Synthesizer
) -> tuple[DroppedRow, ...]:
    """The rows that `rendering` dropped, in the order planned."""
    return tuple(
        DroppedRow(
            id=row.take.key(synthesizer),
            text=row.sentence.text,
            term=row.sentence.term,
            voice_id=row.take.utterance.voice.voice_id,
            noise_level=row.take.noise_level,
            reason=rendering.dropped[row.take],
        )
        for row in planned
        if row.take in rendering.dropped
    )


def write_dropped(path: Path, rows: Sequence[DroppedRow]) -> None:
    """Write one JSON object a row; where there are none, there is no file."""
    if rows:
        write_jsonl(path, map(asdict, rows))
    else:
        path.unlink(missing_ok=True)


def read_dropped(path: Path) -> tuple[DroppedRow, ...]:
    """The rows that `write_dropped` wrote; a file that holds something else is a `FlywheelError`."""
    if not path.exists():
        return ()
    try:
        return tuple(DroppedRow(**row) for row in read_jsonl(path))
    except TypeError:
        raise FlywheelError(f"{path}: not a list of dropped rows; materialise speech again") from None


def manifest_rows(
    planned: Sequence[PlannedRow], rendering: Rendering, cache: Path, synthesizer: Synthesizer
) -> tuple[ManifestRow, ...]:
    """The manifest's rows, in the order planned, with absolute audio paths; without those that were dropped."""
    return tuple(
        ManifestRow(
            id=row.take.key(synthesizer),
            audio_filepath=str(row.take.path(cache, synthesizer).resolve()),
            text=row.sentence.text,
            duration=rendering.seconds[row.take],
            sampling_rate=SAMPLING_RATE,
            term=row.sentence.term,
            entity_category=row.sentence.entity_category,
            context_type=row.sentence.context_type,
            ipa_source=row.ipa_source,
            voice_id=row.take.utterance.voice.voice_id,
            noise_level=row.take.noise_level,
            synthesis_group=row.take.synthesis_group(synthesizer),
        )
        for row in planned
        if row.take not in rendering.dropped
    )
