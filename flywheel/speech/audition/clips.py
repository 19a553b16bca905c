"""What is heard in an audition: each pronunciation once, in the first voice, without noise."""

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flywheel.files.atomic import write_bytes
from flywheel.pronunciation.lexicon import Lexicon, Pronunciation
from flywheel.pronunciation.prescriptions import Prescription
from flywheel.speech.audio_cache import render
from flywheel.speech.audition.judgements import heard_as
from flywheel.speech.engines.espeak import EspeakSynthesizer
from flywheel.speech.synthesizer import SynthesisError, Synthesizer, Utterance, Voice
from flywheel.speech.take import Take

__all__ = ["Clip", "Heard", "Speaker", "plan_clips", "publish_clips", "reported_ipa", "speak_clips"]

CLIPS = "clips"
"""The folder of the audio, beside the page."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One thing to hear.

    Args:
        ipa: what a verdict on it is about, see `heard_as`.
        take: what is spoken.
        file: the name of the audio file in the page's folder of clips.
    """

    ipa: str
    take: Take
    file: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A pronunciation with its clip and one clip for each of its candidates, or none for any of them."""

    pronunciation: Pronunciation
    clip: Clip
    candidates: tuple[Clip, ...]


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks, and how.

    Args:
        voice: of every clip: the first one of those that training hears.
        cache: the content-addressed audio cache of the corpus.
        workers: processes; None for one a core.
        on_progress: called with the number of clips done and of all.
        log: told what is worth knowing, e.g. what paid speech will cost.
    """

    synthesizer: Synthesizer
    voice: Voice
    cache: Path
    workers: int | None = None
    on_progress: Callable[[int, int], None] = lambda done, total: None
    log: Callable[[str], None] = lambda line: None

    @property
    def engine(self) -> str:
        """Name and version of the engine, as verdicts have it."""
        return f"{self.synthesizer.name} {self.synthesizer.version}"

    @property
    def voice_id(self) -> str:
        """The voice of every clip: the first one of those that training hears."""
        return self.voice.voice_id


def plan_clips(lexicon: Lexicon, speaker: Speaker, *, with_candidates: bool) -> tuple[Heard, ...]:
    """What is to be heard of each entry, in the lexicon's order."""
    planned = []
    for entry in lexicon.entries:
        now = _clip(entry, heard_as(entry, lexicon), lexicon.prescribed_in(entry.words), speaker)
        proposed = entry.candidates if with_candidates else ()
        clips = (_clip(entry, each.ipa, (Prescription(entry.words, each.ipa),), speaker) for each in proposed)
        planned.append(Heard(entry, now, tuple(clips)))
    return tuple(planned)


def _clip(entry: Pronunciation, ipa: str, prescribed: tuple[Prescription, ...], speaker: Speaker) -> Clip:
    """The words alone: paid speech is paid by the character, and a carrier would only hide them. The full stop lets
    an engine end its sentence."""
    take = Take(Utterance(f"{entry.words}.", speaker.voice, prescribed))
    # Named by how it sounds, too: a page that is still open never plays one pronunciation for another.
    return Clip(ipa, take, f"{_slug(entry.words)}-{take.key(speaker.synthesizer)[:8]}.wav")


def _slug(words: str) -> str:
    """`crohn-s-disease` for ``crohn's disease``; at most 40 characters that every file system takes."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower())[:40].strip("-") or "word"


def speak_clips(heard: Sequence[Heard], speaker: Speaker) -> dict[str, str]:
    """Render every clip that the cache does not have.

    Returns:
        Why a clip could not be made, by its file's name: one word that an engine cannot speak holds nobody up here.

    Raises:
        SpeechRefused: none of the clips could be made.
    """
    clips = _all_clips(heard)
    takes = {clip.take: clip.file for clip in clips}
    rendering = render(
        list(takes),
        speaker.cache,
        speaker.synthesizer,
        workers=speaker.workers,
        on_progress=speaker.on_progress,
        log=speaker.log,
        allowed_drops=max(0, len(takes) - 1),
    )
    return {takes[take]: reason for take, reason in rendering.dropped.items()}


def reported_ipa(heard: Sequence[Heard], speaker: Speaker) -> dict[str, str]:
    """The IPA of what was left to the engine, by the clip's file, as far as the engine says what it speaks."""
    engine = speaker.synthesizer
    if not isinstance(engine, EspeakSynthesizer):
        return {}
    reported: dict[str, str] = {}
    for each in heard:
        if each.pronunciation.ipa is None:
            # A sound that the project's IPA lacks is heard all the same.
            with suppress(SynthesisError):
                reported[each.clip.file] = " ".join(engine.reported_phonemes(each.clip.take.utterance))
    return reported


def publish_clips(
    heard: Sequence[Heard], speaker: Speaker, folder: Path, *, without: Collection[str] = ()
) -> None:
    """Copy the clips to `folder`, but for the files `without`, and remove those of earlier pages from it."""
    sources = {
        clip.file: clip.take.path(speaker.cache, speaker.synthesizer)
        for clip in _all_clips(heard)
        if clip.file not in without
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, source in sources.items():
        content = source.read_bytes()
        if not (folder / file).exists() or (folder / file).read_bytes() != content:
            write_bytes(folder / file, content)
    for path in folder.iterdir():
        if path.name not in sources:
            path.unlink()


def _all_clips(heard: Sequence[Heard]) -> list[Clip]:
    return [clip for each in heard for clip in (each.clip, *each.candidates)]
