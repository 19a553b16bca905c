"""Hume's text-to-speech routes on loopback, with real speech made by espeak, resampled to 48 kHz.

    python -m loopback.hume_server --latency 0.15     # prints its address, ends with its standard input

It answers `POST /v0/tts` and `GET /v0/tts/voices` as Hume does, checks the key, and misbehaves as it is told. Every
text in every voice has a recording of its own, made before the first request.
"""

import argparse
import base64
import io
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np
import soundfile
import soxr

from flywheel.speech.engines.espeak import EspeakSynthesizer
from flywheel.speech.synthesizer import Utterance, Voice
from flywheel.speech.take import Take
from resources.speech.hume import SEEN_VOICES, UNSEEN_VOICES

KEY = "loopback-key-8d1f0c"
RATE = 48_000
DRUGS = (
    "cefazolin",
    "metoprolol",
    "warfarin",
    "heparin",
    "digoxin",
    "insulin",
    "morphine",
    "fentanyl",
    "ketamine",
    "propofol",
    "lisinopril",
    "losartan",
    "atorvastatin",
    "omeprazole",
    "furosemide",
    "gabapentin",
    "sertraline",
    "naloxone",
    "ondansetron",
    "vancomycin",
    "gentamicin",
    "rituximab",
    "apixaban",
    "clopidogrel",
    "levothyroxine",
)
TEXTS = tuple(f"give {drug} now" for drug in DRUGS)
VOICES = (*SEEN_VOICES, *UNSEEN_VOICES)
TAKES = [Take(Utterance(text, voice)) for text in TEXTS for voice in VOICES]
"""Each text in each voice: 200 rows."""

_ONE_AT_A_TIME = threading.Lock()


@cache
def recording(text: str) -> np.ndarray:
    """`text` as espeak says it, at 48 kHz, 16-bit samples."""
    with _ONE_AT_A_TIME:  # espeak is loaded once in a process, and each request has its thread
        spoken = EspeakSynthesizer().synthesize(Utterance(text, Voice("espeak:en-us+m3", rate=175)))
    samples = soxr.resample(spoken.samples, spoken.sampling_rate, RATE)
    return np.asarray(np.round(samples * 20_000), dtype=np.int16)


def audio_of(text: str, voice: str) -> np.ndarray:
    """What the server speaks: each voice has a loudness of its own."""
    place = [each.name for each in VOICES].index(voice)
    return np.asarray(recording(text) * (1 - 0.05 * place), dtype=np.int16)


def _wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


@cache
def _answer(text: str, voice: str, fault: str) -> bytes:
    """The JSON of an answer with ``REQUEST`` where its id belongs."""
    wav = _wav(audio_of(text, voice))
    audio = base64.b64encode(wav[: len(wav) // 2] if fault == "truncated" else wav).decode()
    if fault == "undecodable":
        audio = "*" + audio[1:]
    generation = {
        "audio": audio,
        "duration": len(recording(text)) / RATE,
        "encoding": {"format": "wav", "sample_rate": RATE},
        "file_size": len(wav),
        "generation_id": "g-REQUEST",
        "snippets": [],
    }
    return json.dumps({"generations": [generation], "request_id": "REQUEST"}).encode()


class HumeServer:
    """A server in a thread of this process.

    Args:
        latency: seconds that each answer takes.
        faults: by (text, voice), what the first requests get instead of speech, in their order: an HTTP status,
            `truncated`, `undecodable` or `stall`. `422!` is given again and again.
    """

    def __init__(
        self, *, latency: float = 0.0, faults: Mapping[tuple[str, str], Sequence[str]] | None = None
    ) -> None:
        self.latency = latency
        self.asked: Counter[tuple[str, str]] = Counter()
        """Requests by (text, voice)."""
        self.spoken: Counter[tuple[str, str]] = Counter()
        """Those that were accepted, and are paid for; counted as they are accepted."""
        self.begun: list[float] = []
        self.refused_keys = 0
        self.most_at_once = 0
        self._faults = {key: list(each) for key, each in (faults or {}).items()}
        self._at_once = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def prepare(self, texts: Iterable[str] = TEXTS) -> None:
        """Make the answers that will be asked for."""
        for text in texts:
            for voice in VOICES:
                _answer(text, voice.name, "")

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def twice(self) -> dict[tuple[str, str], int]:
        """What was paid for more than once."""
        with self._lock:
            return {key: count for key, count in self.spoken.items() if count > 1}

    def speak(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        """Status, headers and body; None leaves the client without an answer."""
        utterance = body["utterances"][0]
        text, voice = utterance["text"], (utterance.get("voice") or {}).get("name", "")
        key = (text, voice)
        with self._lock:
            self.asked[key] += 1
            self.begun.append(time.monotonic())
            faults = self._faults.get(key, [])
            fault = faults[0] if faults else ""
            if faults and not fault.endswith("!"):
                faults.pop(0)
        if body.get("version") == "2" and not voice:
            return _invalid("a voice is needed")
        match fault:
            case "429":
                return 429, {"Retry-After": "1"}, b'{"message": "API rate limit exceeded"}'
            case "422!":
                return _invalid(f"the text of the owner of {KEY} is not allowed")
            case "stall":
                with self._lock:
                    self.spoken[key] += 1
                self._closed.wait()
                return None
            case "" | "truncated" | "undecodable":
                return self._spoken(key, fault)
        return int(fault), {}, b"<html>for the moment</html>"

    def _spoken(self, key: tuple[str, str], fault: str) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            self.spoken[key] += 1
            number = sum(self.spoken.values())
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.latency)
        answer = _answer(*key, fault).replace(b"REQUEST", f"r-{number}".encode())
        with self._lock:
            self._at_once -= 1
        return 200, {}, answer


def _invalid(said: str) -> tuple[int, dict[str, str], bytes]:
    detail = [{"loc": ["body", "utterances", 0], "msg": said, "type": "value_error"}]
    return 422, {"X-Echo": KEY}, json.dumps({"detail": detail}).encode()


def _handler(server: HumeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self._may() and self.path == "/v0/tts":
                answer = server.speak(json.loads(body))
                if answer is None:
                    self.close_connection = True
                else:
                    self._answer(*answer)
            elif self.path != "/v0/tts":
                self._answer(404, {}, b'{"message": "no Route matched with those values"}')

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if self._may() and parts.path == "/v0/tts/voices":
                first = parse_qs(parts.query).get("page_number", ["0"]) == ["0"]
                listed = [
                    {
                        "id": str(place),
                        "name": voice.name,
                        "provider": "HUME_AI",
                        "compatible_octave_models": ["1", "2"],
                    }
                    for place, voice in enumerate(VOICES)
                ]
                page = {"page_number": 0, "page_size": 100, "total_pages": 1}
                self._answer(200, {}, json.dumps({**page, "voices_page": listed if first else []}).encode())

        def _may(self) -> bool:
            if self.headers.get("X-Hume-Api-Key") == KEY:
                return True
            server.refused_keys += 1
            said = f"Invalid credentials: {self.headers.get('X-Hume-Api-Key')}"
            self._answer(401, {}, json.dumps({"message": said}).encode())
            return False

        def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the client was killed
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: pytest shows what matters."""

    return Handler


def main() -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Hume's routes on loopback.")
    parser.add_argument("--latency", type=float, default=0.0)
    options = parser.parse_args()
    with HumeServer(latency=options.latency) as server:
        server.prepare()
        print(server.url, flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
