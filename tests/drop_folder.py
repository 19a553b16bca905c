"""A folder into which a team drops recordings: real WAV files, and manifests that name them."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from flywheel.corpus.manifest import ManifestRow
from flywheel.corpus.recordings import Admission, DropFolder, take_in
from flywheel.corpus.recordings.offered_lines import write_offered
from flywheel.corpus.split.earlier_decisions import Assignments

SYNTHETIC: Mapping[str, Any] = {
    "text": "The patient was given cefazolin before the incision.",
    "speaker": "voice-1",
    "source": "synthetic",
    "term": "cefazolin",
    "entity_category": "drug",
    "context_type": "dictation",
}
HUMAN: Mapping[str, Any] = {**SYNTHETIC, "speaker": "nurse-1", "source": "human", "consent": True}


def sounds(seed: int, seconds: float = 3.0, rate: int = 16_000) -> np.ndarray:
    """Something as loud as speech, that begins and ends in silence; another one for each seed."""
    count = round(seconds * rate)
    noise = np.random.default_rng(seed).standard_normal(count)
    return (0.1 * noise * np.hanning(count)).astype(np.float32)


class Drop:
    """A drop folder below `root`, and the audio beside which its recordings would be copied."""

    def __init__(self, root: Path) -> None:
        self.root = root / "drop"
        self.speech = root / "speech"
        self.offered = root / "offered.txt"
        self.root.mkdir(parents=True, exist_ok=True)

    def wav(
        self, name: str, samples: np.ndarray | int = 0, rate: int = 16_000, subtype: str = "PCM_16"
    ) -> Path:
        """Write a recording; of a number, the sounds of that seed."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sounds(samples) if isinstance(samples, int) else samples, rate, subtype=subtype)
        return path

    def manifest(self, *lines: Mapping[str, Any] | str, name: str = "manifest.jsonl") -> Path:
        """Write a manifest; a line that is text is written as it is."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = [line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines]
        path.write_text("".join(texts), encoding="utf-8")
        return path

    def recording(
        self, name: str, seed: int, says: Mapping[str, Any] = SYNTHETIC, **more: Any
    ) -> dict[str, Any]:
        """Write a recording of the sounds of `seed`; returns its line."""
        self.wav(name, seed)
        return {"audio_filepath": name, **says, **more}

    def settle(self) -> None:
        """Let everything be as old as what is finished."""
        hour_ago = time.time() - 3600
        for path in [self.root, *self.root.rglob("*")]:
            os.utime(path, (hour_ago, hour_ago))

    def take_in(self, known: tuple[ManifestRow, ...] = (), earlier: Assignments | None = None) -> Admission:
        """What becomes of the folder as it is, everything settled."""
        self.settle()
        return self.look(known, earlier)

    def look(self, known: tuple[ManifestRow, ...] = (), earlier: Assignments | None = None) -> Admission:
        """What becomes of the folder now."""
        now = time.time()
        manifests = write_offered(self.offered, self.root, now=now)
        return take_in(DropFolder(self.root, manifests, now), self.speech, known, earlier=earlier)
