"""Who speaks: the synthesiser and its voices, chosen by configuration."""

import os

import dagster as dg

from flywheel.corpus.plan import Casting, SecondEngine
from flywheel.errors import FlywheelError
from flywheel.speech.engines import espeak, flite
from flywheel.speech.synthesizer import Synthesizer
from resources.readiness import Finding
from resources.speech import hume

ENGINE_VARIABLE = "FLYWHEEL_SPEECH"
SECOND_ENGINE_VARIABLE = "FLYWHEEL_SECOND_ENGINE"
_ENGINES = {"espeak": espeak, "hume": hume}
_AUTO, _OFF, _FLITE = "auto", "off", "flite"
_SECOND_ENGINES = (_AUTO, _FLITE, *_ENGINES, _OFF)
_MISSING = "flite is not installed"
_INSTALL_FLITE = "install the package flite, e.g. `apt-get install flite`"


class Speech(dg.ConfigurableResource):
    """The speech service.

    `engine` is `espeak`, the embedded one, or `hume`, which is paid by the character; where neither it nor
    `FLYWHEEL_SPEECH` says, `hume` where `HUME_API_KEY` is set, else `espeak`. `workers` is the number of synthesis
    processes, 0 for one a core. `noise_levels` are those that a sentence is spoken at besides clean; a level that
    stands twice is used twice as often. `allowed_drops` is how many rows may be left out that cannot be spoken.

    `second_engine`, or `FLYWHEEL_SECOND_ENGINE`, is another engine whose speech is only ever measured on: `auto`, the
    default, is `flite` where it is installed, else none; `flite` is an error where it is missing; `espeak` or `hume`
    where the corpus is not their own; `off` is none.

    For a paid engine: `concurrency` calls at a time, `requests_per_minute` of them begun, 0 for any number;
    `consent_to_cost`, or `FLYWHEEL_CONSENT_TO_COST`, is `YES` where speech may be bought.
    """

    engine: str = ""
    workers: int = 0
    noise_levels: list[str] = ["snr_15db", "snr_15db", "snr_5db"]
    allowed_drops: int = 0
    second_engine: str = ""
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
        return self._synthesizer(self.choice[0])

    @property
    def second_choice(self) -> tuple[str | None, str]:
        """The second engine's name, None where there is none, and why; a `FlywheelError` where it cannot be."""
        given = os.environ.get(SECOND_ENGINE_VARIABLE, "")
        chosen = self.second_engine or given or _AUTO
        why = "by the configuration" if self.second_engine else f"by {SECOND_ENGINE_VARIABLE}"
        if chosen not in _SECOND_ENGINES:
            raise FlywheelError(
                f"second speech engine {chosen!r} ({why}) is unknown; allowed: {', '.join(_SECOND_ENGINES)}"
            )
        if chosen == self.choice[0]:
            raise FlywheelError(
                f"second speech engine {chosen!r} ({why}) speaks the corpus already; allowed: another one, {_AUTO} "
                f"or {_OFF}"
            )
        if chosen == _OFF:
            return None, why
        if chosen == _AUTO:
            return (_FLITE, "it is installed") if flite.is_installed() else (None, _MISSING)
        if chosen == _FLITE and not flite.is_installed():
            raise FlywheelError(f"second speech engine ({why}): {_MISSING}; {_INSTALL_FLITE}")
        return chosen, why

    @property
    def second_said(self) -> str:
        """One line for the log: who speaks second, why, and what leaves the machine; or how to get it."""
        engine, why = self.second_choice
        if engine is None:
            hint = f"; {_INSTALL_FLITE}" if why == _MISSING else ""
            return (
                f"no second engine ({why}): nothing is measured on speech of an engine never trained on{hint}"
            )
        leaves = "; these sentences go to Hume" if engine == "hume" else ""
        return f"{engine} speaks one sentence of each term, only to be measured on ({why}){leaves}"

    @property
    def second(self) -> SecondEngine | None:
        """The second engine with its voices, if any."""
        engine, _ = self.second_choice
        if engine is None:
            return None
        if engine == _FLITE:
            spoken = flite.FliteSynthesizer()
            return SecondEngine(spoken, spoken.voices, speaks_ipa=False)
        return SecondEngine(self._synthesizer(engine), _ENGINES[engine].SEEN_VOICES, speaks_ipa=True)

    def _synthesizer(self, engine: str) -> Synthesizer:
        if engine == "espeak":
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
        """Which engines are chosen, and what they need."""
        engine, why = self.choice
        second, why_second = self.second_choice
        chosen = (
            Finding("engine", True, f"{engine} {why}"),
            Finding("second engine", why_second != _MISSING, self.second_said, needed=False),
        )
        if "hume" not in (engine, second):
            return (*chosen, Finding("hume", True, f"off: {engine} is chosen"))
        if not os.environ.get(hume.KEY_VARIABLE):
            return (
                *chosen,
                Finding("key", False, f"{hume.KEY_VARIABLE} is not set: only cached speech can be used"),
            )
        return (*chosen, *hume.readiness())
