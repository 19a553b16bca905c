"""Merriam-Webster's medical dictionary: who is asked how terms are pronounced, when there is a key.

    GET https://www.dictionaryapi.com/api/v3/references/medical/json/<words>?key=<key>

A key is free for uses that are not commercial, up to 1000 questions a day (https://dictionaryapi.com). It is taken
from `DICTIONARY_API_KEY` alone. The interface wants it in the URL, which HTTP clients write into logs and errors; so
it is only added beneath the client, where a request leaves.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import dagster as dg

from flywheel.compute.job import Seconds
from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_json, write_json
from flywheel.pronunciation.dictionary import DictionaryOutage, respellings_of
from resources.data_folder import DataFolder
from resources.readiness import Finding

if TYPE_CHECKING:
    import httpx

__all__ = ["OFF", "Dictionary", "DictionaryKeyRefused", "MedicalDictionary"]

KEY_VARIABLE: Final = "DICTIONARY_API_KEY"
URL_VARIABLE: Final = "FLYWHEEL_DICTIONARY_URL"
OFF: Final = f"off: no {KEY_VARIABLE}"

_URL: Final = "https://www.dictionaryapi.com/api/v3/references/medical/json"
_TRY_WORD: Final = "aspirin"
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_BUSY: Final = HTTPStatus.TOO_MANY_REQUESTS
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_LONGEST_WAIT: Final[Seconds] = 30.0
"""A service that wants to be left alone for longer is not waited for."""


class DictionaryKeyRefused(FlywheelError):
    """The dictionary does not take the key."""


class _Again(Exception):
    """A question failed in a way that may pass; `wait` is how long the service wants to be left alone, in seconds."""

    def __init__(self, reason: str, wait: Seconds = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Dictionary(dg.ConfigurableResource):
    """Merriam-Webster's medical dictionary; off without `DICTIONARY_API_KEY`.

    `data` holds the answers. `timeout` is how long one may take, `pause` the time between two questions at least,
    `backoff` the wait before a question is asked a second time, which then doubles; all in seconds. `attempts` is how
    often a question is asked.
    """

    data: dg.ResourceDependency[DataFolder]
    timeout: float = 10.0
    attempts: int = 4
    pause: float = 0.1
    backoff: float = 1.0

    @property
    def is_on(self) -> bool:
        """Whether there is a key."""
        return bool(_key())

    @property
    def url(self) -> str:
        """Who is asked: `FLYWHEEL_DICTIONARY_URL`, or the service itself; no key is sent in the clear."""
        url = (os.environ.get(URL_VARIABLE) or _URL).rstrip("/")
        try:
            parts = urlsplit(url)
            fit = parts.hostname and parts.port != 0 and parts.scheme in ("http", "https")
        except ValueError:
            fit = False
        if not fit or (parts.scheme == "http" and parts.hostname not in _LOOPBACK):
            allowed = "an https address, or an http one of this machine"
            raise FlywheelError(f"{URL_VARIABLE}: found {url!r}; allowed: {allowed}")
        return url

    @contextmanager
    def opened(self) -> Iterator["MedicalDictionary"]:
        """The dictionary, for one step; a `FlywheelError` where it is off."""
        key = _key()
        if not key:
            raise FlywheelError(f"the dictionary is {OFF}")
        with _client(key, self.url, self.timeout) as client:
            yield MedicalDictionary(self, client, key)

    def readiness(self) -> tuple[Finding, ...]:
        """Whether there is a key and the dictionary takes it, by a question about a fixed word, which costs nothing."""
        if not self.is_on:
            return (Finding("dictionary", True, OFF),)
        try:
            with self.opened() as opened:
                answer = opened.ask(_TRY_WORD)
        except DictionaryOutage as error:
            return (Finding("dictionary", False, f"{error}; terms are left to the engine", needed=False),)
        except FlywheelError as error:
            return (Finding("dictionary", False, str(error)),)
        if not respellings_of(_TRY_WORD, answer):
            found = f"{urlsplit(self.url).hostname} answers, but not with the entry of {_TRY_WORD!r}"
            return (Finding("dictionary", False, found),)
        return (Finding("dictionary", True, f"{urlsplit(self.url).hostname} takes the key"),)


class MedicalDictionary:
    """The dictionary during one step.

    Args:
        asked: how many questions were answered by the service.
        cached: how many by the cache.
    """

    def __init__(self, settings: Dictionary, client: "httpx.Client", key: str) -> None:
        self._settings = settings
        self._client = client
        self._key = key
        self._outage = ""
        self._next = 0.0
        self.asked = 0
        self.cached = 0

    def look_up(self, words: str) -> list[Any]:
        """The answer for `words`, from the cache or else from the service; what is found or not found is kept for good.

        After an outage the service is not asked again.

        Raises:
            DictionaryOutage: it does not answer; nothing is kept.
            DictionaryKeyRefused: it does not take the key.
        """
        path = self._settings.data.dictionary / f"{quote(words, safe=' ')}.json"
        if path.exists():
            self.cached += 1
            return _kept(path)
        if self._outage:
            raise DictionaryOutage(self._outage)
        try:
            answer = self.ask(words)
        except DictionaryOutage as error:
            self._outage = str(error)
            raise
        self.asked += 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(path, {"words": words, "asked": now, "answer": answer})
        return answer

    def ask(self, words: str) -> list[Any]:
        """The service's answer; raises as `look_up` does."""
        last = _Again("")
        for attempt in range(self._settings.attempts):
            if attempt:
                time.sleep(max(last.wait, self._settings.backoff * 2 ** (attempt - 1)))
            time.sleep(max(0.0, self._next - time.monotonic()))
            try:
                return self._answer(words)
            except _Again as again:
                last = again
            finally:
                self._next = time.monotonic() + self._settings.pause
        raise DictionaryOutage(f"{last} ({self._settings.attempts} times, of {words!r})")

    def _answer(self, words: str) -> list[Any]:
        import httpx

        try:
            response = self._client.get(quote(words, safe=""))
        except httpx.HTTPError as error:
            raise _Again(self._shown(f"{type(error).__name__}: {error}")) from None
        status = response.status_code
        text = self._shown(response.text)
        if status == _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _again_later(status, response.headers.get("retry-after", ""))
        if status in _REFUSED:
            raise _refused(f"HTTP {status} {text!r}")
        if status != HTTPStatus.OK:
            raise DictionaryOutage(f"HTTP {status} {text!r}")
        try:
            answer = response.json()
        except (JSONDecodeError, UnicodeDecodeError):
            answer = text
        if isinstance(answer, list):
            return answer
        raise _without_answer(self._shown(answer) if isinstance(answer, str) else text)

    def _shown(self, text: str) -> str:
        """The beginning of what came back, in which the service may have repeated the key."""
        for written in (self._key, quote(self._key, safe="")):
            text = text.replace(written, "<key>")
        return " ".join(text.split())[:120]


def _key() -> str:
    return os.environ.get(KEY_VARIABLE, "").strip()


def _client(key: str, url: str, timeout: Seconds) -> "httpx.Client":
    """A client of requests without the key: all that it logs, and all the errors it raises, are of these."""
    import httpx

    # Below the client a trace is kept of the headers of answers, in which a service may repeat what it was asked.
    logging.getLogger("httpcore").setLevel(logging.INFO)

    class WithKey(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return super().handle_request(
                httpx.Request(
                    request.method,
                    request.url.copy_merge_params({"key": key}),
                    headers=request.headers,
                    extensions=request.extensions,
                )
            )

    parts = urlsplit(url)
    # A client with a transport of its own does not look for proxies itself.
    proxy = None if proxy_bypass(str(parts.hostname)) else getproxies().get(parts.scheme)
    return httpx.Client(base_url=url, transport=WithKey(proxy=proxy), timeout=timeout)


def _kept(path: Path) -> list[Any]:
    kept = read_json(path)
    answer = kept.get("answer") if isinstance(kept, dict) else None
    if not isinstance(answer, list):
        raise FlywheelError(f"{path}: not an answer of the dictionary; delete it, and it is asked again")
    return answer


def _again_later(status: int, retry_after: str) -> Exception:
    wait = float(retry_after) if retry_after.isdecimal() else 0.0
    if wait > _LONGEST_WAIT:
        return DictionaryOutage(f"HTTP {status}, with the wish not to be asked for {wait:.0f} s")
    return _Again(f"HTTP {status}", wait)


def _without_answer(text: str) -> FlywheelError:
    """What it means that an answer is a text, and no list: the service says so with the status of success."""
    said = text.lower()
    if any(word in said for word in ("limit", "quota", "exceed")):
        return DictionaryOutage(f"{text!r}: wait a day, or use another key")
    if "key" in said:
        return _refused(repr(text))
    return DictionaryOutage(
        f"no answer of the dictionary: {text!r}; look at {URL_VARIABLE} and at proxies in between"
    )


def _refused(reply: str) -> DictionaryKeyRefused:
    return DictionaryKeyRefused(
        f"the dictionary does not take the key in {KEY_VARIABLE}: it says {reply}. Give a key of the Medical "
        f"Dictionary (https://dictionaryapi.com), or unset {KEY_VARIABLE} to do without the dictionary"
    )
