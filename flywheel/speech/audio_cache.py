"""Takes become 16 kHz mono PCM16 files, cached by content; refused where there is no audio or it is bad.

What has to be made is found out here. An engine on this machine makes it in worker processes (`production`); an engine
that is paid for is asked for each utterance once (`purchasing`), and only noise is mixed on this machine.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from flywheel.errors import FlywheelError, Problems
from flywheel.scoring.numbers_as_text import counted
from flywheel.speech.cached_files import note_files, whole_files
from flywheel.speech.purchasing.purchases import Log, Purchases, buy_speech
from flywheel.speech.synthesis_workers import produce
from flywheel.speech.synthesizer import PaidSynthesizer, Synthesizer
from flywheel.speech.take import Take

__all__ = ["OnProgress", "Rendering", "SpeechRefused", "joined", "render"]

OnProgress = Callable[[int, int], None]
"""Called with the number of takes done and the number of all, as takes are done."""

_STALE_SECONDS = 3600.0
"""Age from which a temporary file is taken for a killed run's; a file takes less than a second to write."""
_NAMED = 5


class SpeechRefused(Problems):
    """Takes whose audio must not enter a corpus; each line names the text, the voice and the fault."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The result of `render`.

    Args:
        seconds: of audio of each take; those that were dropped are not in it.
        synthesised: utterances spoken, also those of which only noisy takes were asked for.
        mixed: noisy files made.
        cache_hits: takes whose file was there.
        dropped: takes that have no audio, each with the reason; at most as many as were allowed.
        purchases: what was bought from an engine that is paid for.
    """

    seconds: dict[Take, float]
    synthesised: int
    mixed: int
    cache_hits: int
    dropped: Mapping[Take, str] = field(default_factory=dict)
    purchases: Purchases = field(default_factory=Purchases)


def render(
    takes: Sequence[Take],
    cache: Path,
    synthesizer: Synthesizer,
    *,
    workers: int | None = None,
    on_progress: OnProgress = lambda done, total: None,
    log: Log = lambda line: None,
    allowed_drops: int = 0,
) -> Rendering:
    """Make every take's file in `cache` that is not there yet.

    Args:
        takes: what to speak; takes that share an utterance share one synthesis.
        cache: the folder of `Take.path`. Files already there are held against what they held when they were made, see
            `cached_files`, and made again where they hold something else. Temporary files that a killed run left there
            more than an hour ago are removed.
        synthesizer: copied into each worker process, so it must be picklable.
        workers: processes; by default one a core.
        on_progress: called in the calling thread.
        log: told what a paid engine will cost before it is called, and how that gets on.
        allowed_drops: how many takes may be without audio in the end.

    Raises:
        SpeechRefused: with every refused take, where these are more than are allowed, or all; those that are fine
            are kept in the cache.
        ConsentMissing, ServiceRefused: of a paid engine; see `buy_speech`.
    """
    cache.mkdir(parents=True, exist_ok=True)
    _sweep(cache)
    missing = _missing(takes, cache, synthesizer, log)
    progress = _Progress(missing, total=len(set(takes)), report=on_progress)
    purchases = Purchases()
    faults: dict[str, Sequence[str]] = {}
    if isinstance(synthesizer, PaidSynthesizer):
        purchases = _buy(missing, cache, synthesizer, log, progress)
        faults |= {group: [reason] for group, reason in purchases.refused.items()}
    spoken = purchases.kept
    to_produce = [
        group
        for key, group in missing.items()
        if key not in faults and not all(take.path(cache, synthesizer).exists() for take in group)
    ]
    for produced in produce(to_produce, cache, synthesizer, workers):
        for group, was_spoken, found in produced:
            spoken += was_spoken
            if found:
                faults[group[0].synthesis_group(synthesizer)] = found
        progress.done([take for group, _spoken, _found in produced for take in group])
    dropped = {take: "; ".join(found) for key, found in faults.items() for take in missing[key]}
    if len(dropped) > allowed_drops or (dropped and len(dropped) == progress.total):
        raise SpeechRefused(
            f"speech ({len(dropped)} of {progress.total} rows; allowed_drops is {allowed_drops})",
            _lines(missing, faults),
        )
    note_files(cache, [take.path(cache, synthesizer) for take in takes if take not in dropped])
    made = [take for group in missing.values() for take in group if take not in dropped]
    return Rendering(
        seconds=_seconds([take for take in takes if take not in dropped], cache, synthesizer),
        synthesised=spoken,
        mixed=sum(take.noise_kind is not None for take in made),
        cache_hits=progress.total - sum(map(len, missing.values())),
        dropped=dropped,
        purchases=purchases,
    )


def joined(renderings: Sequence[Rendering]) -> Rendering:
    """The renderings of different takes as one; at most one of their engines is paid for."""
    purchases = [each.purchases for each in renderings if each.purchases != Purchases()]
    return Rendering(
        seconds={take: seconds for each in renderings for take, seconds in each.seconds.items()},
        synthesised=sum(each.synthesised for each in renderings),
        mixed=sum(each.mixed for each in renderings),
        cache_hits=sum(each.cache_hits for each in renderings),
        dropped={take: reason for each in renderings for take, reason in each.dropped.items()},
        purchases=purchases[0] if purchases else Purchases(),
    )


class _Progress:
    """Counts the takes that are done, each once."""

    def __init__(self, missing: Mapping[str, Sequence[Take]], total: int, report: OnProgress) -> None:
        self.total = total
        self._left = {take for group in missing.values() for take in group}
        self._report = report
        report(total - len(self._left), total)

    def done(self, takes: Collection[Take]) -> None:
        before = len(self._left)
        self._left.difference_update(takes)
        if len(self._left) < before:
            self._report(self.total - len(self._left), self.total)


def _missing(takes: Sequence[Take], cache: Path, synthesizer: Synthesizer, log: Log) -> dict[str, list[Take]]:
    """Takes without a whole file, those of one utterance together, by its key. Damaged files are removed."""
    paths = {take: take.path(cache, synthesizer) for take in dict.fromkeys(takes)}
    # A noisy take is mixed from the clean one, which may not be among those that were asked for.
    clean = {take: Take(take.utterance).path(cache, synthesizer) for take in paths}
    whole = whole_files(cache, {*paths.values(), *clean.values()})
    damaged = sorted(path for path in {*paths.values(), *clean.values()} - whole if path.exists())
    if damaged:
        named = ", ".join(path.name for path in damaged[:3])
        what = (
            f"{cache}: {counted(len(damaged), 'file')} damaged ({named}{', ...' if len(damaged) > 3 else ''})"
        )
        if isinstance(synthesizer, PaidSynthesizer):
            raise FlywheelError(
                f"{what}, and {synthesizer.name} is paid for: put them back (flywheel pull), or remove them to have "
                "them bought again"
            )
        log(f"{what}: they are made again")
        for path in damaged:
            path.unlink()
    missing: dict[str, list[Take]] = defaultdict(list)
    for take, path in paths.items():
        if path not in whole:
            missing[take.synthesis_group(synthesizer)].append(take)
    return dict(missing)


def _buy(
    missing: Mapping[str, Sequence[Take]],
    cache: Path,
    synthesizer: PaidSynthesizer,
    log: Log,
    progress: _Progress,
) -> Purchases:
    """Have the speech of every group in the cache, without noise."""
    wanted = {
        key: group[0].utterance
        for key, group in missing.items()
        if not Take(group[0].utterance).path(cache, synthesizer).exists()
    }
    if not wanted:
        return Purchases()

    def kept(key: str) -> None:
        progress.done([take for take in missing[key] if take.noise_kind is None])

    return buy_speech(wanted, cache, synthesizer, log=log, on_kept=kept)


def _lines(missing: Mapping[str, Sequence[Take]], faults: Mapping[str, Sequence[str]]) -> list[str]:
    return sorted(f"{_name(missing[key][0])}: {fault}" for key, found in faults.items() for fault in found)


def _name(take: Take) -> str:
    return f"{take.utterance.text!r} in voice {take.utterance.voice.voice_id}"


def _seconds(takes: Sequence[Take], cache: Path, synthesizer: Synthesizer) -> dict[Take, float]:
    return {take: soundfile.info(take.path(cache, synthesizer)).duration for take in takes}


def _sweep(cache: Path) -> None:
    """Remove the temporary files of runs that were killed; younger ones may belong to a run beside this one."""
    for path in cache.glob(".*.wav"):
        with suppress(FileNotFoundError):  # the run it belongs to was faster
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()
