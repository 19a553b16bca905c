"""Hume's own client against Hume's routes: every row arrives once, whatever happens, and the key goes nowhere."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import soundfile
import soxr

from assets.corpus import manifest, speech
from flywheel.compute.costs import ConsentMissing
from flywheel.corpus.manifest import read_manifest
from flywheel.corpus.plan import read_dropped
from flywheel.corpus.sentences import Sentence, write_sentences
from flywheel.errors import FlywheelError
from flywheel.files.cycles import CycleFolder
from flywheel.pronunciation.lexicon import Lexicon, Pronunciation, write_lexicon
from flywheel.pronunciation.prescriptions import Prescription
from flywheel.speech.audio_cache import SpeechRefused, render
from flywheel.speech.purchasing.ledger import KEPT, UNANSWERED, read_ledger
from flywheel.speech.synthesizer import ServiceRefused, Utterance
from flywheel.speech.take import Take
from loopback.hume_server import KEY, TAKES, TEXTS, VOICES, HumeServer, audio_of
from resources.data_folder import DataFolder
from resources.speech.hume import HumeSynthesizer, readiness
from resources.speech.resource import Speech
from tests.stamps import stamped

pytestmark = pytest.mark.real

REPOSITORY = Path(__file__).parents[2]
ROWS = [(text, voice) for text in TEXTS for voice in VOICES]
NAMES = [(text, voice.name) for text, voice in ROWS]
HUME = HumeSynthesizer(concurrency=8, requests_per_minute=0, timeout=2.0)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUME_API_KEY", KEY)
    monkeypatch.setenv("FLYWHEEL_CONSENT_TO_COST", "YES")
    for name in ("FLYWHEEL_HUME_URL", "FLYWHEEL_SPEECH_PRICES", "FLYWHEEL_SPEECH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HumeServer]:
    with HumeServer() as running:
        running.prepare()
        monkeypatch.setenv("FLYWHEEL_HUME_URL", running.url)
        yield running


def held_by(folder: Path) -> list[str]:
    """The files below `folder` that hold the key."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def clean_files(cache: Path) -> set[tuple[str, str]]:
    """Which rows have their audio."""
    return {name for name, take in zip(NAMES, TAKES, strict=True) if take.path(cache, HUME).exists()}


def test_200_rows_are_bought_once_and_never_again(
    server: HumeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(TAKES) == 200
    said: list[str] = []
    rendering = render([*TAKES, *TAKES[:20]], tmp_path, HUME, log=said.append)
    assert server.spoken == Counter(NAMES)
    assert (rendering.synthesised, rendering.cache_hits, rendering.dropped) == (200, 0, {})
    characters = sum(len(text) for text, _voice in NAMES)
    assert rendering.purchases.characters == characters
    assert f"200 requests of {characters} characters, about ${0.15 * characters / 1000:.2f}" in said[0]
    ledger = read_ledger(tmp_path)
    assert {entry.key for entry in ledger} == {take.key(HUME) for take in TAKES}
    assert len({entry.request_id for entry in ledger}) == len(ledger) == 200
    assert {entry.outcome for entry in ledger} == {KEPT}

    monkeypatch.delenv("FLYWHEEL_CONSENT_TO_COST")
    monkeypatch.delenv("HUME_API_KEY")
    said.clear()
    again = render(TAKES, tmp_path, HUME, log=said.append)
    assert (again.synthesised, again.cache_hits, said) == (0, 200, [])
    assert again.seconds == rendering.seconds
    assert sum(server.asked.values()) == 200


def test_a_row_holds_what_the_server_sent_at_16_khz(server: HumeServer, tmp_path: Path) -> None:
    render(TAKES[::13], tmp_path, HUME)
    for (text, name), take in zip(NAMES[::13], TAKES[::13], strict=True):
        audio, rate = soundfile.read(take.path(tmp_path, HUME), dtype="float32")
        sent = audio_of(text, name).astype(np.float32) / 32768
        assert rate == 16_000
        assert np.abs(audio - soxr.resample(sent, 48_000, 16_000)).max() <= 1 / 32768, (text, name)


FAULTS = {
    **{name: ["429"] for name in NAMES[5::10]},
    **{name: ["503"] for name in NAMES[7::20]},
    NAMES[0]: ["422!"],
    NAMES[1]: ["truncated"],
    NAMES[2]: ["stall"],
    NAMES[3]: ["undecodable"],
}


def test_all_rows_but_the_invalid_one_arrive_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []
    with HumeServer(faults=FAULTS) as server:
        server.prepare()
        monkeypatch.setenv("FLYWHEEL_HUME_URL", server.url)
        with pytest.raises(SpeechRefused) as caught:
            render(TAKES, tmp_path, HUME, log=said.append)
        assert caught.value.problems == (
            "'give cefazolin now' in voice hume:Ava Song: Hume refuses it: 422 (the text of the owner of (key) is "
            "not allowed)",
        )
        assert "1 of 200 rows; allowed_drops is 0" in str(caught.value)
        assert clean_files(tmp_path) == set(NAMES[1:])
        # Paid for twice is only what did not arrive whole.
        assert server.twice() == {NAMES[1]: 2, NAMES[2]: 2, NAMES[3]: 2}
        assert server.asked == Counter({name: 1 + (name in FAULTS) for name in NAMES}) - Counter([NAMES[0]])
        assert f"requests repeated: {20 + 10 + 3}" in said[-1]
        kept = Counter(entry.key for entry in read_ledger(tmp_path) if entry.outcome == KEPT)
        assert kept == Counter(take.key(HUME) for take in TAKES[1:])
        failed = {entry.outcome for entry in read_ledger(tmp_path) if entry.outcome != KEPT}
        assert {each.partition(" ")[0] for each in failed} == {"the", UNANSWERED.strip()}

        allowed = render(TAKES, tmp_path, HUME, allowed_drops=1)
        assert list(allowed.dropped) == TAKES[:1]
        assert set(allowed.seconds) == set(TAKES[1:])
        assert sum(server.spoken.values()) == 199 + 3
    assert held_by(tmp_path) == []
    assert KEY not in "".join([*said, *traceback.format_exception(caught.value)])


BUY = """
import sys
from pathlib import Path
from flywheel.speech.audio_cache import render
from loopback.hume_server import TAKES
from resources.speech.hume import HumeSynthesizer

HUME = HumeSynthesizer(concurrency=8, requests_per_minute=0, timeout=2.0)
if __name__ == "__main__":
    print("ready", flush=True)
    render(TAKES, Path(sys.argv[1]), HUME, log=lambda line: print(line, flush=True))
"""


@pytest.fixture
def slow_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HumeServer]:
    with HumeServer(latency=0.06) as running:
        running.prepare()
        monkeypatch.setenv("FLYWHEEL_HUME_URL", running.url)
        yield running


def start(script: Path, cache: Path) -> subprocess.Popen[str]:
    script.write_text(BUY)
    return subprocess.Popen(
        [sys.executable, str(script), str(cache)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_half(cache: Path, run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while len(list(cache.glob("[!.]*.wav"))) < 100:
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_killed_run_resumes_and_buys_nothing_twice_but_what_was_under_way(
    slow_server: HumeServer, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run = start(tmp_path / "buy.py", cache)
    wait_for_half(cache, run)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    time.sleep(0.2)  # the server has taken what was on its way
    here = clean_files(cache)
    paid = set(slow_server.spoken)
    under_way = paid - here
    assert 100 <= len(here) < 200
    # Calls under way, and two answers at most that had arrived and were being written.
    assert len(under_way) <= HUME.concurrency + 2
    assert {entry.key for entry in read_ledger(cache)} >= {
        take.key(HUME) for name, take in zip(NAMES, TAKES, strict=True) if name in here
    }

    rendering = render(TAKES, cache, HUME)
    assert (rendering.cache_hits, rendering.synthesised) == (len(here), 200 - len(here))
    assert slow_server.twice() == dict.fromkeys(under_way, 2)
    assert clean_files(cache) == set(NAMES)


def test_a_stopped_run_waits_for_what_is_under_way_and_buys_nothing_twice(
    slow_server: HumeServer, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run = start(tmp_path / "buy.py", cache)
    wait_for_half(cache, run)
    run.send_signal(signal.SIGTERM)
    printed, _nothing = run.communicate(timeout=30)
    assert run.returncode == 128 + signal.SIGTERM, printed
    assert "the calls under way are paid for and are waited for" in printed
    assert set(slow_server.spoken) == clean_files(cache)
    assert 100 <= len(clean_files(cache)) < 200

    render(TAKES, cache, HUME)
    assert slow_server.twice() == {}
    assert clean_files(cache) == set(NAMES)


def test_two_runs_at_a_time_share_one_purchase(slow_server: HumeServer, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    other = start(tmp_path / "buy.py", cache)
    deadline = time.monotonic() + 60
    while not slow_server.spoken:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    said: list[str] = []
    rendering = render(TAKES[:120], cache, HUME, log=said.append)
    assert other.communicate(timeout=30)[0].startswith("ready")
    assert other.returncode == 0
    assert said[0].startswith(f"speech: process {other.pid} on ")
    assert "waiting until it has ended" in said[0]
    assert len(said) == 1
    assert rendering.synthesised == 0
    assert slow_server.spoken == Counter(NAMES)


def test_no_more_calls_at_a_time_and_in_a_minute_than_allowed(
    slow_server: HumeServer, tmp_path: Path
) -> None:
    render(TAKES[:12], tmp_path, replace(HUME, concurrency=3))
    assert slow_server.most_at_once == 3
    slow_server.begun.clear()
    render(TAKES[12:24], tmp_path, replace(HUME, requests_per_minute=1200))
    begun = slow_server.begun
    assert len(begun) == 12
    assert begun[-1] - begun[0] >= 11 * 0.05 - 0.02


def test_nothing_is_asked_for_without_consent(
    server: HumeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLYWHEEL_CONSENT_TO_COST")
    with pytest.raises(ConsentMissing, match=r"hume: 3 requests of 54 characters, about \$0\.01"):
        render(TAKES[:3], tmp_path, HUME)
    with pytest.raises(ConsentMissing):
        HUME.synthesize(TAKES[0].utterance)
    assert not server.asked
    consenting = replace(HUME, consent="YES")
    assert render(TAKES[:3], tmp_path, consenting).synthesised == 3
    assert consenting.synthesize(TAKES[0].utterance).sampling_rate == 48_000


def test_a_pronunciation_is_sent_in_plain_letters_and_written_down(
    server: HumeServer, tmp_path: Path
) -> None:
    text = "give sef-uh-ZOH-lin now"
    utterance = Utterance("Give Cefazolin now", VOICES[0], (Prescription("cefazolin", "sɛfəˈzoʊlɪn"),))
    render([Take(utterance)], tmp_path, HUME)
    assert server.spoken == {(text.replace("give", "Give"), VOICES[0].name): 1}
    [entry] = read_ledger(tmp_path)
    assert entry.sent == "Give sef-uh-ZOH-lin now"
    assert (entry.text, entry.characters) == ("Give Cefazolin now", len(entry.sent))
    assert list(entry.prescribed) == ["sɛfəˈzoʊlɪn"]


@pytest.mark.parametrize("status", ["401", "402", "403", "404", "410"])
def test_a_service_that_refuses_everything_is_asked_no_further(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: str
) -> None:
    with HumeServer(faults={name: [status] for name in NAMES}) as server:
        monkeypatch.setenv("FLYWHEEL_HUME_URL", server.url)
        with pytest.raises(ServiceRefused, match=f"Hume answered {status}.*FLYWHEEL_SPEECH=espeak"):
            render(TAKES, tmp_path, HUME)
        assert sum(server.asked.values()) < 2 * HUME.concurrency


def test_a_refused_key_is_named_by_its_variable_and_shown_nowhere(
    server: HumeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "wrong-key-77aa"
    monkeypatch.setenv("HUME_API_KEY", wrong)
    said: list[str] = []
    with pytest.raises(
        ServiceRefused, match=r"401 \(Invalid credentials: \(key\)\): check HUME_API_KEY"
    ) as caught:
        render(TAKES[:5], tmp_path, HUME, log=said.append)
    [finding] = readiness()
    assert (finding.what, finding.ok) == ("key", False)
    shown = [
        *said,
        *traceback.format_exception(caught.value),
        repr(finding),
        repr(HUME),
        str(pickle.dumps(HUME)),
    ]
    assert wrong not in "".join(shown)
    assert caught.value.__context__ is None
    assert not [path for path in tmp_path.rglob("*") if wrong.encode() in path.read_bytes()]


def test_a_key_that_is_accepted_and_one_that_is_missing(
    server: HumeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    accepted = readiness()
    assert [finding.ok for finding in accepted] == [True, True]
    assert "all 8 default voices" in accepted[1].detail
    assert KEY not in repr(accepted)
    assert not server.asked
    monkeypatch.delenv("HUME_API_KEY")
    assert [(each.ok, each.detail) for each in readiness()] == [(True, "off: no HUME_API_KEY")]
    with pytest.raises(FlywheelError, match="HUME_API_KEY is not set"):
        render(TAKES[:1], tmp_path, HUME)


def test_the_graph_buys_lists_what_is_dropped_and_writes_a_manifest_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLYWHEEL_DATA", str(tmp_path))
    folder = CycleFolder(tmp_path, "cycle1")
    sentences = [Sentence(text, "dictation", text.split()[1], "drug") for text in TEXTS[:3]]
    write_sentences(folder.sentences, sentences)
    entries = [Pronunciation(sentence.term or "", None, "hume_g2p") for sentence in sentences]
    write_lexicon(folder.pronunciations, Lexicon((replace(entries[0], ipa="sɛfəˈzoʊlɪn"), *entries[1:])))
    stamped(folder)

    def run(*assets: Any, **options: int) -> tuple[dg.ExecuteInProcessResult, str]:
        with dg.DagsterInstance.ephemeral() as instance:
            voices = Speech(concurrency=8, requests_per_minute=0, workers=1, **options)
            done = dg.materialize(
                assets,
                instance=instance,
                partition_key="cycle1",
                raise_on_error=False,
                resources={"data": DataFolder(), "voices": voices},
            )
            said = [record.message for record in instance.all_logs(done.run_id)]
        failures = (event.step_failure_data for event in done.all_events if event.is_step_failure)
        said += [str(failure.user_failure_data) for failure in failures]
        return done, "\n".join(said)

    refused = (TEXTS[1], VOICES[6].name), (TEXTS[1], VOICES[7].name)
    with HumeServer(faults={name: ["422!"] for name in refused}) as server:
        monkeypatch.setenv("FLYWHEEL_HUME_URL", server.url)
        failed, first = run(speech, manifest)
        assert not failed.success
        assert not folder.manifest.exists()
        done, second = run(speech, manifest, allowed_drops=2)
        assert done.success, second
        assert set(server.spoken.values()) == {1}
        spoken = sum(server.spoken.values())
        monkeypatch.delenv("HUME_API_KEY")
        assert run(manifest, engine="hume")[0].success
        assert sum(server.asked.values()) - spoken == 2
    assert "hume speaks (since HUME_API_KEY is set); the sentences go to Hume" in first
    assert "2 of 24 rows; allowed_drops is 0" in first
    rows, dropped = read_manifest(folder.manifest), read_dropped(folder.dropped)
    assert (len(rows), len(dropped)) == (22, 2)
    assert {row.text for row in dropped} == {TEXTS[1]}
    assert {row.ipa_source for row in rows} == {"hume_g2p"}
    [made] = done.asset_materializations_for_node("manifest")
    assert made.metadata["dropped"].value == 2
    assert KEY not in first + second
    assert held_by(tmp_path) == []


def test_the_ledger_is_plain_json_lines(server: HumeServer, tmp_path: Path) -> None:
    render(TAKES[:2], tmp_path, HUME)
    lines = (tmp_path / "purchases.jsonl").read_text().splitlines()
    assert {"key", "request_id", "characters", "sent", "at"} <= json.loads(lines[0]).keys()
