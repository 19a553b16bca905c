"""A server on the loopback that answers as Merriam-Webster's API does, and fails as it or the network does.

Facts of the API: a key that it does not take is answered with status 200 and a text, a missing one likewise; words that
it does not have with a list of suggestions, or an empty one.
"""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PATH = "/api/v3/references/medical/json"


def entry(headword: str, *respellings: str) -> dict[str, Any]:
    """An entry in the shape of the API's."""
    plain = headword.replace("*", "")
    prs = {"prs": [{"mw": each, "sound": {"audio": "x0001"}} for each in respellings]} if respellings else {}
    return {
        "meta": {
            "id": f"{plain}:1",
            "src": "medical",
            "section": "alpha",
            "stems": [plain],
            "offensive": False,
        },
        "hwi": {"hw": headword, **prs},
        "fl": "noun",
        "def": [{"sseq": [[["sense", {"dt": [["text", "{bc}anything "]]}]]]}],
        "shortdef": ["anything"],
    }


ENTRIES: Mapping[str, list[Any]] = {
    "aspirin": [entry("as*pi*rin", "ˈas-p(ə-)rən")],
    "cefazolin": [entry("ce*faz*o*lin", "sə-ˈfaz-ə-lən")],
    "knee": [entry("knee", "ˈnē"), entry("knee jerk")],
    "knee jerk": [entry("knee jerk")],
    "jerk": [entry("jerk", "ˈjərk")],
    "metoprolol": [entry("me*to*pro*lol", "mə-ˈtō-prə-ˌlȯl")],
    "odd": [entry("odd", "ˈŏd")],
    "ferritin": [entry("fer*ri*tin", "ˈfer-ət-ᵊn")],
    "xyzzy": [],
}
"""Of all other words there are suggestions."""

Handler = BaseHTTPRequestHandler
Fault = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, body: str = "", **headers: str) -> Fault:
    """A fault: this status, body and headers (with _ for -)."""

    def answer(handler: Handler) -> None:
        reply(
            handler, code, body, "text/html", {name.replace("_", "-"): text for name, text in headers.items()}
        )

    return answer


def slow(seconds: float) -> Fault:
    """A fault: nothing for so long."""

    def answer(handler: Handler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return answer


def cut_in_the_answer(handler: Handler) -> None:
    """A fault: half of what was announced."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'[{"meta": {"id": "cef')
    handler.wfile.flush()
    reset(handler)


def reset(handler: Handler) -> None:
    """A fault: the connection is reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def reply(
    handler: Handler,
    code: int,
    body: str,
    kind: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> None:
    """Send a whole answer."""
    data = body.encode()
    handler.send_response(code)
    for name, text in {
        "Content-Type": f"{kind}; charset=utf-8",
        "Content-Length": str(len(data)),
        **(headers or {}),
    }.items():
        handler.send_header(name, text)
    handler.end_headers()
    handler.wfile.write(data)


@dataclass
class DictionaryServer:
    """A running server.

    Args:
        url: what `FLYWHEEL_DICTIONARY_URL` is to be.
        key: the one it takes.
        asked: the words of every request, faulty ones included.
        keys: the keys that came with them.
        faults: taken one a request until none is left; None is no fault.
        always: a fault for every request after those.
    """

    url: str
    key: str
    asked: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    faults: list[Fault | None] = field(default_factory=list)
    always: Fault | None = None

    def handle(self, handler: Handler) -> None:
        """Answer one request."""
        parts = urlsplit(handler.path)
        words = unquote(parts.path.removeprefix(f"{PATH}/"))
        key = parse_qs(parts.query).get("key", [""])[0]
        self.asked.append(words)
        self.keys.append(key)
        fault = self.faults.pop(0) if self.faults else self.always
        if fault is not None:
            fault(handler)
        elif not key:
            reply(handler, 200, "Key is required.", "text/html")
        elif key != self.key:
            reply(handler, 200, "Invalid API key. Not subscribed for this reference.", "text/html")
        else:
            reply(handler, 200, json.dumps(ENTRIES.get(words, ["femur", "ferritin"])))


@contextmanager
def dictionary_server(key: str) -> Iterator[DictionaryServer]:
    """A server on a free port that takes `key`."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            running.handle(self)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on standard error."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that give up are part of the play."""

    server = Server(("127.0.0.1", 0), Answering)
    running = DictionaryServer(f"http://127.0.0.1:{server.server_port}{PATH}", key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
