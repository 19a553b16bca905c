"""Who speaks, and why: by configuration, by the environment, else by whether there is a key."""

import pytest

from flywheel.errors import FlywheelError
from flywheel.speech import espeak
from flywheel.speech.synthesis import PaidSynthesizer
from resources.speech import hume
from resources.speech.hume import HumeSynthesizer
from resources.speech.resource import Speech

KEY = "a-key-that-nobody-sees"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLYWHEEL_SPEECH", "HUME_API_KEY", "FLYWHEEL_HUME_URL"):
        monkeypatch.delenv(name, raising=False)


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
    assert [(each.what, each.ok) for each in Speech().readiness()] == [("engine", True), ("hume", True)]
    lacking = Speech(engine="hume").readiness()
    assert [(each.what, each.ok) for each in lacking] == [("engine", True), ("key", False)]
    assert "HUME_API_KEY is not set" in lacking[1].detail
    monkeypatch.setenv("HUME_API_KEY", KEY)
    monkeypatch.setenv("FLYWHEEL_HUME_URL", "http://127.0.0.1:1")
    assert [each.detail for each in Speech(engine="espeak").readiness()][1] == "off: espeak is chosen"
    unreachable = Speech().readiness()[1]
    assert not unreachable.ok
    assert unreachable.detail.startswith("http://127.0.0.1:1 does not answer (ConnectError)")
