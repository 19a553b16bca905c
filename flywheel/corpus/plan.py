"""From sentences to the rows of a manifest: who speaks what, and with which noise."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from flywheel.corpus.manifest import ManifestRow
from flywheel.corpus.sentences import Sentence
from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_jsonl, write_jsonl
from flywheel.pronunciation.lexicon import Lexicon, g2p_source
from flywheel.pronunciation.prescriptions import Prescription
from flywheel.scoring.slices import UNSEEN_ENGINE
from flywheel.speech.audio_cache import Rendering, joined, render
from flywheel.speech.noise import CLEAN, snr_db
from flywheel.speech.synthesizer import SAMPLING_RATE, Synthesizer, Utterance, Voice
from flywheel.speech.take import Take, with_noise

Engines = Mapping[str, Synthesizer]
"""Each engine that speaks in a cycle, by its name as in the voices' ids."""


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
class SecondEngine:
    """Another synthesiser than the corpus's: no training row is ever spoken by it, so that its rows show whether a
    model has learned the terms or one engine's way of saying them.

    Args:
        synthesizer: who speaks.
        voices: all of this engine.
        speaks_ipa: whether it follows a prescribed pronunciation; if not, every word is left to its own rules.
    """

    synthesizer: Synthesizer
    voices: tuple[Voice, ...]
    speaks_ipa: bool

    def __post_init__(self) -> None:
        strange = [voice.voice_id for voice in self.voices if voice.engine != self.synthesizer.name]
        if strange or not self.voices:
            raise FlywheelError(
                f"second engine {self.synthesizer.name!r}: found the voices {', '.join(strange) or 'none'}; "
                "allowed: one or more of its own"
            )


def engines_of(synthesizer: Synthesizer, second: SecondEngine | None) -> Engines:
    """Everyone who speaks; a `FlywheelError` where the second engine is the corpus's own."""
    if second is None:
        return MappingProxyType({synthesizer.name: synthesizer})
    if second.synthesizer.name == synthesizer.name:
        raise FlywheelError(
            f"second engine: found {synthesizer.name!r}, which speaks the corpus itself; allowed: another one, or none"
        )
    return MappingProxyType({each.name: each for each in (synthesizer, second.synthesizer)})


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row before its audio exists; `ipa_source` is that of its term, `subset` None where the split decides."""

    sentence: Sentence
    take: Take
    ipa_source: str
    subset: str | None = None

    @property
    def engine(self) -> str:
        """Who speaks it."""
        return self.take.utterance.voice.engine


def plan_rows(
    sentences: Sequence[Sentence], casting: Casting, lexicon: Lexicon, second: SecondEngine | None = None
) -> tuple[PlannedRow, ...]:
    """The rows of a cycle. What a sentence gets depends on nothing but the sentence, the casting and what is
    prescribed for its words, so a cycle that grows repeats the rows of the one before.

    A second engine speaks one sentence of each term, clean and with noise, in one of its voices; which sentence
    that is depends on the term's sentences alone. Its rows come after the sentence's others, and these are the same
    without it.
    """
    both_speak = _sentence_of_each_term(sentences) if second else frozenset()
    planned: list[PlannedRow] = []
    for sentence in sentences:
        prescribed = lexicon.prescribed_in(sentence.text)
        source = _source(sentence, casting, lexicon)
        planned += [PlannedRow(sentence, take, source) for take in _takes(sentence, casting, prescribed)]
        if second and sentence in both_speak:
            planned += _second_rows(sentence, casting, second, prescribed, lexicon)
    return tuple(planned)


def _sentence_of_each_term(sentences: Sequence[Sentence]) -> frozenset[Sentence]:
    """The sentence of each term that is drawn for the second engine."""
    of_term: dict[str, list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        if sentence.term is not None:
            of_term[sentence.term].append(sentence)
    return frozenset(
        min(each, key=lambda sentence: _draw(UNSEEN_ENGINE, sentence.text)) for each in of_term.values()
    )


def _second_rows(
    sentence: Sentence,
    casting: Casting,
    second: SecondEngine,
    prescribed: tuple[Prescription, ...],
    lexicon: Lexicon,
) -> list[PlannedRow]:
    followed = prescribed if second.speaks_ipa else ()
    term = sentence.term or ""
    is_followed = any(each.words == term for each in followed)
    source = lexicon.source_of(term) if is_followed else g2p_source(second.synthesizer.name)
    voice = second.voices[_draw(UNSEEN_ENGINE, "voice", sentence.text) % len(second.voices)]
    takes = _clean_and_noisy(Utterance(sentence.text, voice, followed), casting)
    return [PlannedRow(sentence, take, source, UNSEEN_ENGINE) for take in takes]


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
    return [take for voice in voices for take in _clean_and_noisy(Utterance(sentence.text, voice), casting)]


def _clean_and_noisy(utterance: Utterance, casting: Casting) -> tuple[Take, ...]:
    drawn = _draw(utterance.text, utterance.voice.voice_id) % len(casting.noise_levels)
    return with_noise(utterance, (CLEAN, casting.noise_levels[drawn]))


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
    engines: Engines,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None],
    log: Callable[[str], None] = lambda line: None,
    allowed_drops: int = 0,
) -> Rendering:
    """Make the audio of every planned row that is not in `cache` yet, one engine after the other.

    See `render` for what it takes and raises; progress and drops are counted over all engines.
    """
    takes = _takes_by_engine(planned)
    total = len({row.take for row in planned})
    renderings: list[Rendering] = []
    for engine, of_engine in takes.items():
        before = sum(len(each.seconds) + len(each.dropped) for each in renderings)

        def report(done: int, _of_engine: int, before: int = before) -> None:
            on_progress(before + done, total)

        renderings.append(
            render(
                of_engine,
                cache,
                engines[engine],
                workers=workers,
                on_progress=report,
                log=log,
                allowed_drops=allowed_drops - sum(len(each.dropped) for each in renderings),
            )
        )
    return joined(renderings)


def _takes_by_engine(planned: Sequence[PlannedRow]) -> dict[str, list[Take]]:
    """In the order in which the engines first speak."""
    takes: dict[str, list[Take]] = defaultdict(list)
    for row in planned:
        takes[row.engine].append(row.take)
    return dict(takes)


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
    planned: Sequence[PlannedRow], rendering: Rendering, engines: Engines
) -> tuple[DroppedRow, ...]:
    """The rows that `rendering` dropped, in the order planned."""
    return tuple(
        DroppedRow(
            id=row.take.key(engines[row.engine]),
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
    planned: Sequence[PlannedRow], rendering: Rendering, cache: Path, engines: Engines
) -> tuple[ManifestRow, ...]:
    """The manifest's rows, in the order planned, with absolute audio paths; without those that were dropped."""
    return tuple(
        ManifestRow(
            id=row.take.key(engines[row.engine]),
            audio_filepath=str(row.take.path(cache, engines[row.engine]).resolve()),
            text=row.sentence.text,
            duration=rendering.seconds[row.take],
            sampling_rate=SAMPLING_RATE,
            term=row.sentence.term,
            entity_category=row.sentence.entity_category,
            context_type=row.sentence.context_type,
            ipa_source=row.ipa_source,
            voice_id=row.take.utterance.voice.voice_id,
            noise_level=row.take.noise_level,
            synthesis_group=row.take.synthesis_group(engines[row.engine]),
            subset=row.subset,
        )
        for row in planned
        if row.take not in rendering.dropped
    )
