"""Who speaks: the synthesiser and its voices, chosen by configuration."""

import os

import dagster as dg

from flywheel.corpus import Casting
from flywheel.errors import FlywheelError
from flywheel.speech import espeak
from flywheel.speech.synthesis import Synthesizer
from resources.readiness import Finding
from resources.speech import hume

ENGINE_VARIABLE = "FLYWHEEL_SPEECH"
_ENGINES = {"espeak": espeak, "hume": hume}


class Speech(dg.ConfigurableResource):
    """The speech service.

    `engine` is `espeak`, the embedded one, or `hume`, which is paid by the character; where neither it nor
    `FLYWHEEL_SPEECH` says, `hume` where `HUME_API_KEY` is set, else `espeak`. `workers` is the number of synthesis
    processes, 0 for one a core. `noise_levels` are those that a sentence is spoken at besides clean; a level that
    stands twice is used twice as often. `allowed_drops` is how many rows may be left out that cannot be spoken.

    For a paid engine: `concurrency` calls at a time, `requests_per_minute` of them begun, 0 for any number;
    `consent_to_cost`, or `FLYWHEEL_CONSENT_TO_COST`, is `YES` where speech may be bought.
    """

    engine: str = ""
    workers: int = 0
    noise_levels: list[str] = ["snr_15db", "snr_15db", "snr_5db"]
    allowed_drops: int = 0
    concurrency: int = 4
    requests_per_minute: float = 60.0
    consent_to_cost: str = ""

    @property
    def choice(self) -> tuple[str, str]:
        """The engine's name, and why it is that one; a wrong name is a `FlywheelError` that lists the right ones."""
        given = os.environ.get(ENGINE_VARIABLE, "")
        if self.engine:
            engine, why = self.engine, "by the configuration"
        elif given:
            engine, why = given, f"by {ENGINE_VARIABLE}"
        elif os.environ.get(hume.KEY_VARIABLE):
            engine, why = "hume", f"since {hume.KEY_VARIABLE} is set"
        else:
            engine, why = "espeak", f"the embedded engine, since no {hume.KEY_VARIABLE} is set"
        if engine not in _ENGINES:
            raise FlywheelError(
                f"speech engine {engine!r} ({why}) is unknown; allowed: {', '.join(_ENGINES)}"
            )
        return engine, why

    @property
    def said(self) -> str:
        """One line for the log: who speaks, why, and what leaves the machine."""
        engine, why = self.choice
        leaves = "the sentences go to Hume" if engine == "hume" else "nothing leaves this machine"
        return f"{engine} speaks ({why}); {leaves}"

    @property
    def synthesizer(self) -> Synthesizer:
        """The engine. A key that it lacks is missed when something has to be bought."""
        if self.choice[0] == "espeak":
            return espeak.EspeakSynthesizer()
        for name, found, least in (
            ("concurrency", self.concurrency, 1),
            ("requests_per_minute", self.requests_per_minute, 0),
        ):
            if found < least:
                raise FlywheelError(f"voices, {name}: found {found:g}; allowed: {least} or more")
        return hume.HumeSynthesizer(
            concurrency=self.concurrency,
            requests_per_minute=self.requests_per_minute,
            consent=self.consent_to_cost,
        )

    @property
    def casting(self) -> Casting:
        """The engine's default voices at the configured noise levels."""
        voices = _ENGINES[self.choice[0]]
        return Casting(voices.SEEN_VOICES, voices.UNSEEN_VOICES, noise_levels=tuple(self.noise_levels))

    def readiness(self) -> tuple[Finding, ...]:
        """Which engine is chosen, and what it needs."""
        engine, why = self.choice
        chosen = Finding("engine", True, f"{engine} {why}")
        if engine != "hume":
            return (chosen, Finding("hume", True, f"off: {engine} is chosen"))
        if not os.environ.get(hume.KEY_VARIABLE):
            return (
                chosen,
                Finding("key", False, f"{hume.KEY_VARIABLE} is not set: only cached speech can be used"),
            )
        return (chosen, *hume.readiness())
