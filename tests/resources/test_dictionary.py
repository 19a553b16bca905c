"""The dictionary as a service: what it answers, how it fails, and where its key never gets to."""

import logging
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_json
from flywheel.pronunciation.dictionary import DictionaryOutage, respellings_of
from resources.data_folder import DataFolder
from resources.dictionary import Dictionary, DictionaryKeyRefused
from resources.readiness import Finding
from tests.resources.dictionary_server import (
    DictionaryServer,
    Fault,
    cut_in_the_answer,
    dictionary_server,
    reset,
    slow,
    status,
)

KEY = "5e7c0de-4b1d+d3n/k3y"
"""With characters that a URL must escape."""
ESCAPED = "5e7c0de-4b1d%2Bd3n%2Fk3y"


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DictionaryServer]:
    with dictionary_server(KEY) as running:
        monkeypatch.setenv("DICTIONARY_API_KEY", KEY)
        monkeypatch.setenv("FLYWHEEL_DICTIONARY_URL", running.url)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield running


@pytest.fixture
def dictionary(tmp_path: Path) -> Dictionary:
    return impatient(tmp_path)


def impatient(data: Path, timeout: float = 2.0, pause: float = 0.0) -> Dictionary:
    return Dictionary(data=DataFolder(root=str(data)), timeout=timeout, attempts=3, pause=pause, backoff=0.01)


def test_what_is_found_and_what_is_not_is_asked_for_once(
    dictionary: Dictionary, server: DictionaryServer, tmp_path: Path
) -> None:
    with dictionary.opened() as opened:
        assert respellings_of("cefazolin", opened.look_up("cefazolin")) == ("sə-ˈfaz-ə-lən",)
        assert respellings_of("knee jerk", opened.look_up("knee jerk")) == ()
        assert opened.look_up("femurr") == ["femur", "ferritin"]
        assert opened.look_up("xyzzy") == []
        assert (opened.asked, opened.cached) == (4, 0)
    before = {path: path.read_bytes() for path in (tmp_path / "dictionary").iterdir()}
    assert {path.name for path in before} == {"cefazolin.json", "knee jerk.json", "femurr.json", "xyzzy.json"}
    with dictionary.opened() as opened:
        assert respellings_of("cefazolin", opened.look_up("cefazolin")) == ("sə-ˈfaz-ə-lən",)
        assert [opened.look_up(words) for words in ("femurr", "xyzzy")] == [["femur", "ferritin"], []]
        assert (opened.asked, opened.cached) == (0, 3)
    assert server.asked == ["cefazolin", "knee jerk", "femurr", "xyzzy"]
    assert set(server.keys) == {KEY}
    assert {path: path.read_bytes() for path in (tmp_path / "dictionary").iterdir()} == before


def test_words_that_a_url_or_a_file_name_must_escape(
    dictionary: Dictionary, server: DictionaryServer
) -> None:
    with dictionary.opened() as opened:
        for words in ("crohn's disease", "a/b", "50%", "a?b#c&d"):
            opened.look_up(words)
            opened.look_up(words)
        assert (opened.asked, opened.cached) == (4, 4)
    assert server.asked == ["crohn's disease", "a/b", "50%", "a?b#c&d"]


PASSING: list[tuple[str, Fault]] = [
    ("too many requests", status(429, Retry_After="0")),
    ("busy", status(503, "<html>busy</html>")),
    ("broken", status(500)),
    ("reset", reset),
    ("cut in the answer", cut_in_the_answer),
    ("stalled", slow(1.0)),
]


@pytest.mark.parametrize("fault", [pytest.param(fault, id=name) for name, fault in PASSING])
def test_what_passes_is_asked_again(tmp_path: Path, server: DictionaryServer, fault: Fault) -> None:
    server.faults = [fault, fault]
    with impatient(tmp_path, timeout=0.3).opened() as opened:
        assert respellings_of("cefazolin", opened.look_up("cefazolin")) == ("sə-ˈfaz-ə-lən",)
    assert server.asked == ["cefazolin"] * 3


@pytest.mark.parametrize(
    ("fault", "said", "requests"),
    [
        pytest.param(status(429), r"HTTP 429 \(3 times, of 'cefazolin'\)", 3, id="too many requests"),
        pytest.param(status(503), "HTTP 503 ", 3, id="busy"),
        pytest.param(reset, "ReadError|RemoteProtocolError", 3, id="reset"),
        pytest.param(cut_in_the_answer, "RemoteProtocolError|ReadError", 3, id="cut in the answer"),
        pytest.param(slow(1.0), "ReadTimeout: timed out", 3, id="stalled"),
        pytest.param(status(429, Retry_After="3600"), "with the wish not to be asked for 3600 s", 1, id="long"),
        pytest.param(status(404, "gone"), "HTTP 404 'gone'", 1, id="not found"),
        pytest.param(status(302, Location="http://127.0.0.1:9/"), "HTTP 302", 1, id="redirected"),
        pytest.param(status(200, "<html>Log in, please"), "no answer of the dictionary: '<html>Log", 1, id="page"),
        pytest.param(status(200, '{"message": "x"}'), "no answer of the dictionary", 1, id="other JSON"),
        pytest.param(status(200, "API key over daily limit."), "wait a day, or use another key", 1, id="quota"),
    ],
)  # fmt: skip
def test_an_outage_is_said_not_kept_and_not_asked_through(
    tmp_path: Path, server: DictionaryServer, fault: Fault, said: str, requests: int
) -> None:
    impatient_one = impatient(tmp_path, timeout=0.3)
    with impatient_one.opened() as opened:
        opened.look_up("metoprolol")
        server.always = fault
        for words in ("cefazolin", "ferritin"):
            with pytest.raises(DictionaryOutage, match=said):
                opened.look_up(words)
        assert opened.look_up("metoprolol")  # what is known is still known
    assert server.asked == ["metoprolol"] + ["cefazolin"] * requests
    assert [path.name for path in (tmp_path / "dictionary").iterdir()] == ["metoprolol.json"]
    server.always = None
    with impatient_one.opened() as opened:
        assert respellings_of("cefazolin", opened.look_up("cefazolin")) == ("sə-ˈfaz-ə-lən",)


def test_a_host_that_is_not_there_is_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_DICTIONARY_URL", "http://127.0.0.1:9/json")
    with impatient(tmp_path).opened() as opened, pytest.raises(DictionaryOutage, match="ConnectError"):
        opened.look_up("cefazolin")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(None, id="status of success and a text"),
        pytest.param(status(200, '"Invalid API key. Not subscribed for this reference."'), id="JSON string"),
        pytest.param(status(403, "Invalid API key"), id="forbidden"),
    ],
)
def test_a_key_that_is_refused_is_an_error_and_not_kept(
    dictionary: Dictionary,
    server: DictionaryServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault | None,
) -> None:
    monkeypatch.setenv("DICTIONARY_API_KEY", "another-key")
    server.always = fault
    with dictionary.opened() as opened, pytest.raises(DictionaryKeyRefused) as refused:
        opened.look_up("cefazolin")
    assert "the dictionary does not take the key in DICTIONARY_API_KEY" in str(refused.value)
    assert "Invalid API key" in str(refused.value)
    assert "another-key" not in str(refused.value)
    assert len(server.asked) == 1
    assert not (tmp_path / "dictionary").exists()


def test_questions_have_time_between_them(tmp_path: Path, server: DictionaryServer) -> None:
    server.faults = [status(503)]
    began = time.monotonic()
    with impatient(tmp_path, pause=0.15).opened() as opened:
        opened.look_up("cefazolin")
        opened.look_up("metoprolol")
    assert len(server.asked) == 3
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    "url",
    [
        "http://dictionary.example/json",
        "nonsense",
        "https://",
        "ftp://127.0.0.1/json",
        "http://127.0.0.1:port/",
        "http://[",
    ],
)
def test_no_key_is_sent_in_the_clear(
    dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("FLYWHEEL_DICTIONARY_URL", url)
    with pytest.raises(FlywheelError, match="FLYWHEEL_DICTIONARY_URL: found '"), dictionary.opened():
        pass


@pytest.mark.parametrize("content", ["{", "[]", '{"answer": "text"}', '{"words": "cefazolin"}'])
def test_an_answer_that_somebody_damaged_is_named(
    dictionary: Dictionary, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "dictionary" / "cefazolin.json"
    path.parent.mkdir()
    path.write_text(content)
    with dictionary.opened() as opened, pytest.raises(FlywheelError, match=r"dictionary/cefazolin\.json"):
        opened.look_up("cefazolin")


@pytest.mark.parametrize("key", [None, "", "  "])
def test_without_a_key_the_dictionary_is_off(
    dictionary: Dictionary, server: DictionaryServer, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.delenv("DICTIONARY_API_KEY")
    if key is not None:
        monkeypatch.setenv("DICTIONARY_API_KEY", key)
    assert not dictionary.is_on
    assert dictionary.readiness() == (Finding("dictionary", True, "off: no DICTIONARY_API_KEY"),)
    with pytest.raises(FlywheelError, match="off: no DICTIONARY_API_KEY"), dictionary.opened():
        pass
    assert server.asked == []


def test_readiness_asks_one_question_and_keeps_nothing(
    dictionary: Dictionary, server: DictionaryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dictionary.readiness() == (Finding("dictionary", True, "127.0.0.1 takes the key"),)
    assert server.asked == ["aspirin"]
    monkeypatch.setenv("DICTIONARY_API_KEY", "another-key")
    (refused,) = dictionary.readiness()
    assert refused.stops and "does not take the key in DICTIONARY_API_KEY" in refused.detail
    assert "another-key" not in refused.detail
    server.always = status(503)
    (out,) = dictionary.readiness()
    assert not out.ok and not out.stops and "HTTP 503" in out.detail and "left to the engine" in out.detail
    server.always = status(200, "[]")
    (strange,) = dictionary.readiness()
    assert strange.stops and "not with the entry of 'aspirin'" in strange.detail
    assert list(tmp_path.iterdir()) == []


STALL = slow(1.0)
MUTE = (reset, STALL)
"""After these a client has no answer to log."""
# Most of these repeat what they were given, as some services do in their errors.
TELLTALES: list[tuple[str, Fault | None]] = [
    ("success", None),
    ("refused", status(200, f"Invalid API key {KEY}.")),
    ("forbidden", status(403, f"key={KEY}")),
    ("busy", status(503, f"/json/cefazolin?key={ESCAPED}")),
    ("page", status(200, f"<html>/json/cefazolin?key={ESCAPED}")),
    ("JSON string", status(200, f'"{KEY} is over its daily limit"')),
    ("redirected", status(302, Location=f"/elsewhere?key={ESCAPED}")),
    ("reset", reset),
    ("cut in the answer", cut_in_the_answer),
    ("stalled", STALL),
    ("odd header", status(503, Retry_After=KEY)),
]


@pytest.mark.parametrize("fault", [pytest.param(fault, id=name) for name, fault in TELLTALES])
def test_the_key_is_in_no_log_error_or_file(
    tmp_path: Path,
    server: DictionaryServer,
    caplog: pytest.LogCaptureFixture,
    fault: Fault | None,
) -> None:
    server.always = fault
    told = [repr(impatient(tmp_path))]
    with caplog.at_level(logging.DEBUG), impatient(tmp_path, timeout=0.3).opened() as opened:
        try:
            opened.look_up("cefazolin")
        except FlywheelError as error:
            told += traceback.format_exception(error)
            told += [repr(each) for each in chain(error)]
        # Of what it is made of, too, beside the key itself.
        told += [repr(opened), *(repr(part) for part in vars(opened).values() if part != KEY)]
        told += [finding.detail for finding in impatient(tmp_path, timeout=0.3).readiness()]
    logged = [str(record.__dict__) + record.getMessage() for record in caplog.records]
    told += logged
    told += [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert set(server.keys) == {KEY}  # it was sent,
    assert fault in MUTE or any("HTTP Request: GET" in line for line in logged)  # and the client does log
    for text in told:
        assert KEY not in text and ESCAPED not in text


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and the errors that it came of; their requests, too, are what logs of others might show."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        request = getattr(seen, "_request", None)
        if request is not None:
            assert KEY not in str(request.url) and ESCAPED not in str(request.url)
        seen = seen.__cause__ or seen.__context__


def test_an_answer_is_kept_as_it_came(dictionary: Dictionary, tmp_path: Path) -> None:
    with dictionary.opened() as opened:
        answer = opened.look_up("knee")
    kept = read_json(tmp_path / "dictionary" / "knee.json")
    assert kept["words"] == "knee" and kept["answer"] == answer
    assert "ˈnē" in (tmp_path / "dictionary" / "knee.json").read_text(encoding="utf-8")


def test_a_proxy_of_the_environment_is_used(
    server: DictionaryServer, dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server takes the whole address in the request's line, as a proxy is given it.
    monkeypatch.setenv("FLYWHEEL_DICTIONARY_URL", "http://localhost:9/api/v3/references/medical/json")
    monkeypatch.setenv("http_proxy", server.url.partition("/api")[0])
    monkeypatch.setenv("no_proxy", "")
    with dictionary.opened() as opened:
        assert respellings_of("cefazolin", opened.look_up("cefazolin"))
