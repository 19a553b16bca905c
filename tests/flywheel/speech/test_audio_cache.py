"""From takes to files: the format, the cache, faulty audio, and a kill in the middle."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flywheel.speech.audio_cache import SpeechRefused, render
from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer
from flywheel.speech.noise import CLEAN, active_speech
from flywheel.speech.synthesizer import SynthesisError, Utterance, Voice, Waveform
from flywheel.speech.take import Take, with_noise

REPOSITORY = Path(__file__).parents[3]
ESPEAK = EspeakSynthesizer()
VOICE = Voice("espeak:en-us+m3")


def takes_of(*texts: str, levels: Sequence[str] = (CLEAN, "snr_5db")) -> list[Take]:
    return [take for text in texts for take in with_noise(Utterance(text, VOICE), levels)]


def wav_files(folder: Path) -> dict[str, bytes]:
    """Files under their final names: temporary ones begin with a dot."""
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*.wav")}


@dataclass(frozen=True)
class FaultySynthesizer:
    """Speaks with espeak, and does what the first word of the text says to the recording."""

    name: str = "espeak"
    version: str = "faulty/1"
    engine: EspeakSynthesizer = field(default_factory=EspeakSynthesizer)

    def synthesize(self, utterance: Utterance) -> Waveform:
        spoken = self.engine.synthesize(utterance)
        samples, rate = spoken.samples, spoken.sampling_rate
        match utterance.text.split()[0]:
            case "unspoken":
                raise SynthesisError("the engine gave up")
            case "silent":
                samples = np.zeros_like(samples)
            case "clipped":
                samples = np.clip(30 * samples, -1, 1)
            case "cut":
                samples = samples / np.abs(samples).max()
                samples = samples[: int(np.argmax(np.abs(samples)))]
            case "hasty":
                samples = samples[: rate // 4]
            case "fast":
                rate *= 4
            case "broken":
                samples = np.where(np.arange(len(samples)) == 500, np.nan, samples).astype(np.float32)
            case "empty":
                samples = samples[:0]
        return Waveform(samples, rate)


FAULTS = {
    "unspoken words in this recording": "the engine gave up",
    "silent words in this recording": "silent: RMS",
    "clipped words in this recording": "clipped: ",
    "cut off words in this recording": "truncated: still at",
    "hasty words in this recording": "truncated: 5 words in 0.25 s",
    "fast words in this recording": "truncated: 5 words in",
    "broken words in this recording": "not finite: ",
    "empty words in this recording": "silent: it has no samples",
}


def test_every_fault_is_named_and_the_good_files_are_kept(tmp_path: Path) -> None:
    synthesizer = FaultySynthesizer()
    good = takes_of("good words before them", "and good words after them")
    takes = [good[0], good[1], *takes_of(*FAULTS), good[2], good[3]]
    with pytest.raises(SpeechRefused) as caught:
        render(takes, tmp_path, synthesizer, workers=1)
    problems = caught.value.problems
    for text, said in FAULTS.items():
        expected = f"{text!r} in voice espeak:en-us+m3: {said}"
        assert any(problem.startswith(expected) for problem in problems), expected
    assert not any("good words" in problem for problem in problems)
    assert set(wav_files(tmp_path)) == {take.path(tmp_path, synthesizer).name for take in good}
    assert render(good, tmp_path, synthesizer).cache_hits == len(good)


def test_as_many_takes_may_be_dropped_as_are_allowed(tmp_path: Path) -> None:
    synthesizer = FaultySynthesizer()
    takes = takes_of("good words before them", "silent words in this recording", "unspoken words")
    with pytest.raises(SpeechRefused, match="speech \\(4 of 6 rows; allowed_drops is 3\\): 2 problems"):
        render(takes, tmp_path, synthesizer, workers=1, allowed_drops=3)
    rendering = render(takes, tmp_path, synthesizer, workers=1, allowed_drops=4)
    assert list(rendering.dropped) == takes[2:]
    assert list(rendering.seconds) == takes[:2]
    assert rendering.dropped[takes[2]].startswith("silent: RMS")
    assert rendering.dropped[takes[5]] == "the engine gave up"
    assert render(takes[:2], tmp_path, synthesizer).dropped == {}


def test_an_unknown_voice_is_refused_with_its_row(tmp_path: Path) -> None:
    unknown = Take(Utterance("give cefazolin", Voice("espeak:en-us+nobody")))
    with pytest.raises(SpeechRefused, match=r"'give cefazolin' in voice espeak:en-us\+nobody: .* no voice"):
        render([unknown], tmp_path, ESPEAK)
    assert wav_files(tmp_path) == {}


def test_files_have_the_format_of_the_corpus_and_the_noise_that_was_asked_for(tmp_path: Path) -> None:
    takes = takes_of(
        "the patient was given cefazolin before the operation", levels=(CLEAN, "snr_15db", "snr_5db")
    )
    rendering = render(takes, tmp_path, ESPEAK, workers=1)
    audio = {}
    for take in takes:
        path = take.path(tmp_path, ESPEAK)
        header = soundfile.info(path)
        assert (header.samplerate, header.channels, header.format, header.subtype) == (
            16_000,
            1,
            "WAV",
            "PCM_16",
        )
        assert rendering.seconds[take] == pytest.approx(header.frames / 16_000)
        audio[take.noise_level] = soundfile.read(path)[0]
    speech = np.mean(active_speech(audio[CLEAN], 16_000) ** 2)
    for level, snr in (("snr_15db", 15.0), ("snr_5db", 5.0)):
        noise = np.mean((audio[level] - audio[CLEAN]) ** 2)
        assert 10 * np.log10(speech / noise) == pytest.approx(snr, abs=0.1)
    spoken = ESPEAK.synthesize(takes[0].utterance)
    assert rendering.seconds[takes[0]] == pytest.approx(spoken.seconds, abs=0.001)


def test_a_clean_file_is_what_the_engine_spoke_and_noise_does_not_touch_it(tmp_path: Path) -> None:
    clean, noisy = takes_of("give cefazolin before the operation")
    render([clean], tmp_path / "alone", ESPEAK, workers=1)
    render([noisy, clean], tmp_path / "with noise", ESPEAK, workers=1)
    alone, together = (clean.path(tmp_path / name, ESPEAK).read_bytes() for name in ("alone", "with noise"))
    assert alone == together


def test_the_cache_makes_only_what_is_missing(tmp_path: Path) -> None:
    takes = takes_of("give cefazolin now", "give metoprolol now")
    first = render(takes, tmp_path, ESPEAK, workers=1)
    assert (first.synthesised, first.mixed, first.cache_hits) == (2, 2, 0)
    made = wav_files(tmp_path)
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in made}

    second = render(takes, tmp_path, ESPEAK, workers=1)
    assert (second.synthesised, second.mixed, second.cache_hits) == (0, 0, 4)
    assert second.seconds == first.seconds

    for take, synthesised, mixed in ((takes[1], 0, 1), (takes[2], 1, 0)):
        gone = take.path(tmp_path, ESPEAK)
        gone.unlink()
        again = render(takes, tmp_path, ESPEAK, workers=1)
        assert (again.synthesised, again.mixed, again.cache_hits) == (synthesised, mixed, 3)
        assert wav_files(tmp_path) == made
        changed = {name for name, before in times.items() if (tmp_path / name).stat().st_mtime_ns != before}
        assert changed == {gone.name}
        times[gone.name] = gone.stat().st_mtime_ns


def test_files_do_not_depend_on_the_order_nor_on_who_makes_them(tmp_path: Path) -> None:
    texts = [f"give dose number {number} of cefazolin" for number in range(18)]
    progress: list[tuple[int, int]] = []
    render(
        takes_of(*texts), tmp_path / "two", ESPEAK, workers=2, on_progress=lambda *done: progress.append(done)
    )
    render(takes_of(*reversed(texts)), tmp_path / "one", ESPEAK, workers=1)
    assert wav_files(tmp_path / "two") == wav_files(tmp_path / "one")
    assert len(wav_files(tmp_path / "one")) == 36
    assert progress[0] == (0, 36)
    assert progress[-1] == (36, 36)
    assert progress == sorted(progress)


def test_a_take_asked_for_twice_is_made_once(tmp_path: Path) -> None:
    [take] = takes_of("give cefazolin now", levels=(CLEAN,))
    rendering = render([take, take], tmp_path, ESPEAK, workers=1)
    assert rendering.synthesised == 1
    assert list(rendering.seconds) == [take]


def test_noisy_takes_alone_need_one_synthesis(tmp_path: Path) -> None:
    takes = takes_of("give cefazolin now", levels=("snr_15db", "snr_5db"))
    rendering = render(takes, tmp_path, ESPEAK, workers=1)
    assert (rendering.synthesised, rendering.mixed, rendering.cache_hits) == (1, 2, 0)


def test_what_a_killed_run_left_is_swept_after_an_hour(tmp_path: Path) -> None:
    [take] = takes_of("give cefazolin now", levels=(CLEAN,))
    render([take], tmp_path, ESPEAK, workers=1)
    stale, young = tmp_path / ".stale.x1.wav", tmp_path / ".young.x2.wav"
    whole = take.path(tmp_path, ESPEAK)
    for path, age in ((stale, 3700), (young, 3500), (whole, 3700)):
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    assert render([take], tmp_path, ESPEAK).cache_hits == 1
    assert {*tmp_path.iterdir()} - {tmp_path / "contents.jsonl"} == {young, whole}


MANY = 64
RENDER_MANY = f"""
from pathlib import Path
import sys
from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer
from flywheel.speech.audio_cache import render
from flywheel.speech.synthesizer import Utterance
from flywheel.speech.take import with_noise

if __name__ == "__main__":
    takes = [
        take
        for number in range({MANY})
        for take in with_noise(
            Utterance(f"give dose number {{number}}", SEEN_VOICES[number % len(SEEN_VOICES)]), ("clean", "snr_5db")
        )
    ]
    rendering = render(takes, Path(sys.argv[1]), EspeakSynthesizer(), workers=2)
    print(rendering.synthesised, rendering.mixed, rendering.cache_hits)
"""


def children_of(parent: int) -> set[int]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[1]) == parent:
            found.add(int(entry.parent.name))
    return found


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"  # ended, but nobody has asked for its status yet


def wait_until(condition: bool, what: str, deadline: float) -> None:
    assert condition or time.monotonic() < deadline, what
    time.sleep(0.01)


def test_a_killed_render_leaves_whole_files_and_no_workers_and_can_be_run_again(tmp_path: Path) -> None:
    cache, script = tmp_path / "cache", tmp_path / "render_many.py"
    script.write_text(RENDER_MANY)
    command = [sys.executable, str(script), str(cache)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while len(list(cache.glob("[!.]*.wav"))) < 12:
            assert run.poll() is None, "it ended before it could be killed"
            wait_until(False, "no files were made", deadline)
        workers = children_of(run.pid)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert len(workers) >= 2
    deadline = time.monotonic() + 10
    while running := [process for process in workers if is_running(process)]:
        wait_until(False, f"workers {running} outlive their parent", deadline)

    left = wav_files(cache)
    assert 12 <= len(left) < 2 * MANY, "the kill must come in the middle"
    for name, content in left.items():
        header = soundfile.info(cache / name)
        assert len(content) == 44 + 2 * header.frames, name
    for name in sorted(left)[:10]:
        (cache / name).unlink()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    synthesised, mixed, hits = map(int, again.stdout.split())
    assert hits == len(left) - 10
    assert synthesised + mixed + hits == 2 * MANY
    complete = wav_files(cache)
    assert len(complete) == 2 * MANY
    assert {name: complete[name] for name in left} == left


def test_the_voices_of_a_sentence_are_rendered_apart(tmp_path: Path) -> None:
    takes = [Take(Utterance("give cefazolin now", voice)) for voice in SEEN_VOICES]
    render(takes, tmp_path, ESPEAK, workers=1)
    assert len(set(wav_files(tmp_path).values())) == len(SEEN_VOICES)
