"""Rows as a cycle has them, and what models heard of them, scored by the project's own scoring."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from flywheel.corpus.manifest import ManifestRow
from flywheel.scoring import CLINICAL, RowScore, Transcript, score_rows

SENTENCE = "the patient was given {} in the evening"


@dataclass(frozen=True)
class Heard:
    """One row: `term` as the base heard it (`before`) and as the model does (`now`); both as it is, if None.

    Of a `mumbled` row neither hears any other word.
    """

    term: str | None
    now: str | None = None
    before: str | None = None
    subset: str = "validation"
    noise_level: str = "clean"
    ipa_source: str = "espeak_g2p"
    voice_id: str = "espeak:en-us+m3"
    sentence: str = SENTENCE
    mumbled: bool = False

    @property
    def group(self) -> str:
        return hashlib.sha256(f"{self.term}{self.voice_id}{self.sentence}".encode()).hexdigest()

    @property
    def row(self) -> ManifestRow:
        name = hashlib.sha256(
            f"{self.group}{self.subset}{self.noise_level}{self.ipa_source}".encode()
        ).hexdigest()
        return ManifestRow(
            id=name,
            audio_filepath=f"/speech/{name}.wav",
            text=self.said(self.term),
            duration=2.5,
            sampling_rate=16000,
            term=self.term,
            entity_category="drug" if self.term else None,
            ipa_source=self.ipa_source,
            voice_id=self.voice_id,
            noise_level=self.noise_level,
            context_type="dictation" if self.term else None,
            synthesis_group=self.group,
            subset=self.subset,
        )

    def heard(self, heard: str | None) -> str:
        return self.said(heard) if not self.mumbled else heard or "mm"

    def said(self, heard: str | None) -> str:
        return " ".join(self.sentence.format((self.term or "nothing") if heard is None else heard).split())


def manifest(rows: Sequence[Heard]) -> list[ManifestRow]:
    return [each.row for each in rows]


def scored(rows: Sequence[Heard], *, base: bool) -> list[RowScore]:
    return score_rows(
        [
            Transcript(
                pred_text=each.heard(each.before if base else each.now),
                **each.row.model_dump(exclude={"audio_filepath", "duration", "sampling_rate"}),
            )
            for each in rows
        ],
        CLINICAL,
    )
