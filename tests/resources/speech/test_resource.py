"""Who speaks, and why: by configuration, by the environment, else by whether there is a key."""

import os
from pathlib import Path

import pytest

from flywheel.corpus.plan import engines_of
from flywheel.errors import FlywheelError
from flywheel.speech.engines import espeak, flite
from flywheel.speech.synthesizer import PaidSynthesizer
from resources.speech import hume
from resources.speech.hume import HumeSynthesizer
from resources.speech.resource import Speech

KEY = "a-key-that-nobody-sees"


FLITE = """#!/bin/sh
[ "$1" = --version ] && { echo '  version: flite-2.2-current Sep 2018'; exit 1; }
[ "$1" = -lv ] && { echo 'Voices available: kal awb_time kal16 slt '; exit 0; }
exit 3
"""


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither variables nor commands: what this machine has decides nothing."""
    for name in ("FLYWHEEL_SPEECH", "FLYWHEEL_SECOND_ENGINE", "HUME_API_KEY", "FLYWHEEL_HUME_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def flite_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that says what flite says of itself, and speaks nothing."""
    (tmp_path / "flite").write_text(FLITE)
    (tmp_path / "flite").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")


@pytest.mark.parametrize(
    ("configured", "variables", "engine", "why"),
    [
        ("", {}, "espeak", "the embedded engine, since no HUME_API_KEY is set"),
        ("", {"HUME_API_KEY": KEY}, "hume", "since HUME_API_KEY is set"),
        ("", {"HUME_API_KEY": ""}, "espeak", "the embedded engine, since no HUME_API_KEY is set"),
        ("", {"HUME_API_KEY": KEY, "FLYWHEEL_SPEECH": "espeak"}, "espeak", "by FLYWHEEL_SPEECH"),
        ("", {"FLYWHEEL_SPEECH": "hume"}, "hume", "by FLYWHEEL_SPEECH"),
        ("espeak", {"HUME_API_KEY": KEY, "FLYWHEEL_SPEECH": "hume"}, "espeak", "by the configuration"),
        ("hume", {"FLYWHEEL_SPEECH": "espeak"}, "hume", "by the configuration"),
    ],
)
def test_the_engine_is_chosen_and_the_run_says_why(
    monkeypatch: pytest.MonkeyPatch, configured: str, variables: dict[str, str], engine: str, why: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    voices = Speech(engine=configured)
    assert voices.choice == (engine, why)
    assert voices.synthesizer.name == voices.casting.engine == engine
    assert voices.said.startswith(f"{engine} speaks ({why}); ")
    assert KEY not in voices.said + repr(voices) + repr(voices.synthesizer)


@pytest.mark.parametrize(("configured", "variable"), [("magpie", ""), ("", "magpie")])
def test_an_unknown_engine_lists_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, configured: str, variable: str
) -> None:
    monkeypatch.setenv("FLYWHEEL_SPEECH", variable)
    with pytest.raises(FlywheelError, match=r"'magpie' \(by .*\) is unknown; allowed: espeak, hume"):
        _ = Speech(engine=configured).synthesizer


def test_the_paid_engine_gets_its_limits_and_the_consent() -> None:
    voices = Speech(engine="hume", concurrency=2, requests_per_minute=30, consent_to_cost="YES")
    assert voices.synthesizer == HumeSynthesizer(concurrency=2, requests_per_minute=30, consent="YES")
    assert isinstance(voices.synthesizer, PaidSynthesizer)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency": 0}, "voices, concurrency: found 0; allowed: 1 or more"),
        ({"requests_per_minute": -1}, "voices, requests_per_minute: found -1; allowed: 0 or more"),
    ],
)
def test_limits_that_cannot_be_held_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(FlywheelError, match=said):
        _ = Speech(engine="hume", **options).synthesizer


def test_each_engine_has_its_own_voices() -> None:
    assert Speech(engine="espeak").casting.seen_voices == espeak.SEEN_VOICES
    casting = Speech(engine="hume").casting
    assert (casting.seen_voices, casting.unseen_voices) == (hume.SEEN_VOICES, hume.UNSEEN_VOICES)


def test_readiness_looks_at_hume_only_where_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Speech(second_engine="off").readiness()
    assert [(each.what, each.ok) for each in found] == [
        ("engine", True),
        ("second engine", True),
        ("hume", True),
    ]
    lacking = Speech(engine="hume").readiness()
    assert [(each.what, each.stops) for each in lacking] == [
        ("engine", False),
        ("second engine", False),
        ("key", True),
    ]
    assert "HUME_API_KEY is not set" in lacking[2].detail
    assert Speech(second_engine="hume").readiness()[2].what == "key", "it speaks, if only second"
    monkeypatch.setenv("HUME_API_KEY", KEY)
    monkeypatch.setenv("FLYWHEEL_HUME_URL", "http://127.0.0.1:1")
    assert [each.detail for each in Speech(engine="espeak").readiness()][2] == "off: espeak is chosen"
    unreachable = Speech().readiness()[2]
    assert not unreachable.ok
    assert unreachable.detail.startswith("http://127.0.0.1:1 does not answer (ConnectError)")


NOTHING = "nothing is measured on speech of an engine never trained on"


class TestSecondEngine:
    """Who speaks what is only measured on: another engine than the corpus's, or nobody."""

    def test_without_flite_there_is_none_and_it_is_said_how_to_get_it(self) -> None:
        voices = Speech()
        assert voices.second is None
        hint = "install the package flite, e.g. `apt-get install flite`"
        assert voices.second_said == f"no second engine (flite is not installed): {NOTHING}; {hint}"
        finding = voices.readiness()[1]
        assert (finding.ok, finding.needed, finding.detail) == (False, False, voices.second_said)

    @pytest.mark.usefixtures("flite_installed")
    def test_flite_is_taken_where_it_is_installed_with_the_voices_that_it_has(self) -> None:
        voices = Speech()
        second = voices.second
        assert second is not None
        assert (second.synthesizer.name, second.synthesizer.version) == ("flite", "2.2-current/1")
        assert [voice.voice_id for voice in second.voices] == ["flite:slt", "flite:kal16"]
        assert set(second.voices) < set(flite.VOICES)
        assert not second.speaks_ipa
        assert (
            voices.second_said
            == "flite speaks one sentence of each term, only to be measured on (it is installed)"
        )
        assert list(engines_of(voices.synthesizer, second)) == ["espeak", "flite"]

    @pytest.mark.usefixtures("flite_installed")
    @pytest.mark.parametrize(
        ("options", "variable", "engine"),
        [
            ({}, "off", None),
            ({}, "auto", "flite"),
            ({}, "flite", "flite"),
            ({"second_engine": "off"}, "flite", None),
            ({"engine": "hume"}, "espeak", "espeak"),
            ({"engine": "hume"}, "", "flite"),
            ({}, "hume", "hume"),
        ],
    )
    def test_it_is_chosen(
        self, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], variable: str, engine: str | None
    ) -> None:
        monkeypatch.setenv("FLYWHEEL_SECOND_ENGINE", variable)
        voices = Speech(**options)
        assert voices.second_choice[0] == engine
        second = voices.second
        assert (second.synthesizer.name if second else None) == engine
        assert ("go to Hume" in voices.second_said) == (engine == "hume")
        assert (NOTHING in voices.second_said) == (engine is None)
        assert voices.readiness()[1].ok, "off on purpose is no lack"

    @pytest.mark.parametrize(
        ("variable", "said"),
        [
            (
                "festival",
                "second speech engine 'festival' (by FLYWHEEL_SECOND_ENGINE) is unknown; allowed: auto, flite, espeak, "
                "hume, off",
            ),
            (
                "espeak",
                "second speech engine 'espeak' (by FLYWHEEL_SECOND_ENGINE) speaks the corpus already; allowed: another "
                "one, auto or off",
            ),
            (
                "flite",
                "second speech engine (by FLYWHEEL_SECOND_ENGINE): flite is not installed; install the package flite, "
                "e.g. `apt-get install flite`",
            ),
        ],
    )
    def test_one_that_cannot_be_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, said: str
    ) -> None:
        monkeypatch.setenv("FLYWHEEL_SECOND_ENGINE", variable)
        with pytest.raises(FlywheelError) as caught:
            _ = Speech().second
        assert str(caught.value) == said
