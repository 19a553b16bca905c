"""Takes become 16 kHz mono PCM16 files: in parallel, cached by content, refused where the audio is bad."""

import multiprocessing
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import soundfile
import soxr

from flywheel.errors import Problems
from flywheel.files import atomic_path
from flywheel.speech import noise
from flywheel.speech.quality import audio_faults
from flywheel.speech.synthesis import SAMPLING_RATE, Samples, SynthesisError, Synthesizer, Waveform
from flywheel.speech.takes import Take

OnProgress = Callable[[int, int], None]
"""Called with the number of takes done and the number of all, as takes are done."""

_BATCH = 16
"""Utterances a worker gets at a time: small enough for lively progress, large enough to be cheap."""

_STALE_SECONDS = 3600.0
"""Age from which a temporary file is taken for a killed run's; a file takes less than a second to write."""


class SpeechRefused(Problems):
    """Takes whose audio must not enter a corpus; each line names the text, the voice and the fault."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The result of `render`.

    Args:
        seconds: of audio of each take.
        synthesised: utterances spoken, also those of which only noisy takes were asked for.
        mixed: noisy files made.
        cache_hits: takes whose file was there.
    """

    seconds: dict[Take, float]
    synthesised: int
    mixed: int
    cache_hits: int


def render(
    takes: Sequence[Take],
    cache: Path,
    synthesizer: Synthesizer,
    *,
    workers: int | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Rendering:
    """Make every take's file in `cache` that is not there yet.

    Args:
        takes: what to speak; takes that share an utterance share one synthesis.
        cache: the folder of `Take.path`; files already there are trusted, as they are only ever whole.
            Temporary files that a killed run left there more than an hour ago are removed.
        synthesizer: copied into each worker process, so it must be picklable.
        workers: processes; by default one a core.
        on_progress: called in the calling thread.

    Raises:
        SpeechRefused: with every refused take; those that are fine are kept in the cache.
    """
    cache.mkdir(parents=True, exist_ok=True)
    _sweep(cache)
    missing: dict[str, list[Take]] = defaultdict(list)
    for take in dict.fromkeys(takes):
        if not take.path(cache, synthesizer).exists():
            missing[take.synthesis_group(synthesizer)].append(take)
    total = len(set(takes))
    to_make = sum(map(len, missing.values()))
    done = total - to_make
    on_progress(done, total)
    groups = list(missing.values())
    batches = [groups[start : start + _BATCH] for start in range(0, len(groups), _BATCH)]
    synthesised = 0
    refused: list[str] = []
    if batches:
        with ProcessPoolExecutor(
            min(workers or os.cpu_count() or 1, len(batches)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_end_with_parent,
        ) as pool:
            futures = [pool.submit(_render_batch, batch, cache, synthesizer) for batch in batches]
            for future in as_completed(futures):
                rendered, spoken, faults = future.result()
                done += rendered
                synthesised += spoken
                refused += faults
                on_progress(done, total)
    if refused:
        raise SpeechRefused("speech", sorted(refused))
    return Rendering(
        seconds={take: soundfile.info(take.path(cache, synthesizer)).duration for take in takes},
        synthesised=synthesised,
        mixed=sum(take.noise_kind is not None for group in groups for take in group),
        cache_hits=total - to_make,
    )


def _sweep(cache: Path) -> None:
    """Remove the temporary files of runs that were killed; younger ones may belong to a run beside this one."""
    for path in cache.glob(".*.wav"):
        with suppress(FileNotFoundError):  # the run it belongs to was faster
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed; the pool's own queue would keep it waiting for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("a rendering worker is started by a pool, never by hand")
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _render_batch(
    groups: list[list[Take]], cache: Path, synthesizer: Synthesizer
) -> tuple[int, int, list[str]]:
    """Render the takes of some utterances; returns how many takes, how many syntheses and the faults found."""
    results = [_render_group(group, cache, synthesizer) for group in groups]
    faults = [fault for _, of_group in results for fault in of_group]
    return sum(map(len, groups)), sum(spoken for spoken, _ in results), faults


def _render_group(takes: list[Take], cache: Path, synthesizer: Synthesizer) -> tuple[bool, list[str]]:
    """Render the takes of one utterance; returns whether it had to be spoken, and the faults found."""
    utterance = takes[0].utterance
    name = f"{utterance.text!r} in voice {utterance.voice.voice_id}"
    clean_path = Take(utterance).path(cache, synthesizer)
    cached = clean_path.exists()
    if cached:
        speech, _rate = soundfile.read(clean_path, dtype="float32")
    else:
        try:
            spoken = synthesizer.synthesize(utterance)
        except SynthesisError as error:
            return False, [f"{name}: {error}"]
        samples = soxr.resample(spoken.samples, spoken.sampling_rate, SAMPLING_RATE)
        faults = audio_faults(Waveform(samples, SAMPLING_RATE), words=len(utterance.text.split()))
        if faults:
            return True, [f"{name}: {fault}" for fault in faults]
        speech = _write(clean_path, samples)
    for take in takes:
        snr = noise.snr_db(take.noise_level)
        if snr is not None and take.noise_kind is not None:
            key = take.key(synthesizer)
            mixed = noise.mix(speech, SAMPLING_RATE, snr, take.noise_kind, seed=int(key[:16], 16))
            _write(take.path(cache, synthesizer), mixed)
    return not cached, []


def _write(path: Path, samples: Samples) -> Samples:
    """Write PCM16 and return what a reader of the file gets."""
    pcm = np.round(np.clip(samples, -1.0, 32767 / 32768) * 32768).astype(np.int16)
    with atomic_path(path) as temporary:
        soundfile.write(temporary, pcm, SAMPLING_RATE, subtype="PCM_16")
    return np.divide(pcm, 32768, dtype=np.float32)
