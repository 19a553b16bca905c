"""A server on loopback that speaks as much of W&B's protocol as its client needs, and fails as a server does."""

import gzip
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Ailment = Literal["none", "500", "401", "stall", "unknown key", "refuses artifacts"]
"""`stall` is of all but the question who is asking, so that the server seems to be well."""

KEY = "5ec7e7" * 7
"""Shaped as a key of W&B's is."""


@dataclass
class WandbServer:
    """What has arrived, of a server with an ailment.

    `history` is the run's, line by line; `uploads` are files by name, `artifacts` are the inputs of `CreateArtifact`
    in order; `asked` names every call.
    """

    ailment: Ailment = "none"
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        found = re.search(r"(?:query|mutation)\s+(\w+)", query)
        name = found[1] if found else query
        self.asked.append(name)
        handler = getattr(self, f"_{name}", None)
        if handler is None:
            return {"data": None, "errors": [{"message": f"unknown: {name}"}]}
        data: dict[str, Any] = handler(variables)
        return {"data": data}

    def _Viewer(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the names of the protocol
        return {"viewer": None if self.ailment == "unknown key" else {"id": "1", "entity": "team"}}

    def _ServerFeaturesQuery(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"serverInfo": {"features": []}}

    def _RunResumeStatus(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        bucket = None
        if variables["name"] in self.runs:
            tail = [json.dumps(line) for line in self.history[-1:]]
            bucket = {
                **self._bucket(variables["name"]),
                "summaryMetrics": json.dumps(self.summary),
                "logLineCount": 0,
                "historyLineCount": len(self.history),
                "eventsLineCount": 0,
                "historyTail": json.dumps(tail),
                "eventsTail": "[]",
                "config": json.dumps(self.config),
                "wandbConfig": '{"t": 1}',
                "tags": [],
            }
        return {"model": {"id": "p", "name": "p", "entity": {"id": "e", "name": "team"}, "bucket": bucket}}

    def _UpsertBucket(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = variables["name"]
        known, self.runs = name in self.runs, {*self.runs, name}
        if variables.get("config"):
            self.config |= json.loads(variables["config"])
        return {"upsertBucket": {"bucket": self._bucket(name), "inserted": not known}}

    def _bucket(self, name: str) -> dict[str, Any]:
        project = {"id": "p", "name": "p", "entity": {"id": "e", "name": "team"}}
        shown = {"displayName": name, "description": "", "config": "{}", "sweepName": None}
        return {"id": name, "name": name, "project": project, **shown}

    def _CreateRunFiles(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}

    def _CreateArtifact(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if self.ailment == "refuses artifacts":
            raise PermissionError
        self.artifacts.append(variables["input"])
        name = f"a{len(self.artifacts)}"
        sequence = {"latestArtifact": None}
        return {
            "createArtifact": {"artifact": {"id": name, "state": "PENDING", "artifactSequence": sequence}}
        }

    def _CreateArtifactManifest(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        file = {"id": "f", "name": "wandb_manifest.json", "displayName": "wandb_manifest.json"}
        upload = f"{self.url}/upload/{variables.get('artifactID')}/wandb_manifest.json"
        manifest = {"id": "m", "file": {**file, "uploadUrl": upload, "uploadHeaders": []}}
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    def _UpdateArtifactManifest(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"updateArtifactManifest": self._CreateArtifactManifest(variables)["createArtifactManifest"]}

    def _CreateArtifactFiles(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        edges = []
        for spec in (
            variables["artifactFiles"]
            if "artifactFiles" in variables
            else variables["input"]["artifactFiles"]
        ):
            url = f"{self.url}/upload/{spec['artifactID']}/{spec['name']}"
            node = {"id": "f", "name": spec["name"], "displayName": spec["name"], "storagePath": None}
            artifact = {"id": spec["artifactID"]}
            edges.append({"node": {**node, "uploadUrl": url, "uploadHeaders": [], "artifact": artifact}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _CommitArtifact(self, variables: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": "d"}}}

    def stream(self, files: dict[str, Any]) -> None:
        for name, part in files.items():
            content = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                self.history[part["offset"] :] = content
            elif name == "wandb-summary.json":
                self.summary = content[-1]


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if server.ailment == "stall" and b"query Viewer" not in body:
                server.over.wait()
                return
            if server.ailment in ("500", "401"):
                self.answer(int(server.ailment), {"errors": [{"message": "no"}]})
            elif self.path == "/graphql":
                asked = json.loads(body)
                try:
                    self.answer(200, server.answer(asked["query"], asked.get("variables") or {}))
                except PermissionError:
                    self.answer(403, {"errors": [{"message": "not allowed"}]})
            elif self.path.startswith("/upload/"):
                server.uploads[self.path.removeprefix("/upload/")] = body
                self.answer(200, {})
            else:
                if self.path.endswith("/file_stream"):
                    server.stream(json.loads(body).get("files", {}))
                else:
                    server.asked.append(f"{self.command} {self.path}")
                self.answer(200, {})

        do_GET = do_PUT = do_POST  # noqa: N815 - http.server's names

        def answer(self, status: int, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what arrived is kept."""

    return Handler


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """The client leaves without a word."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            raise


@contextmanager
def wandb_server(ailment: Ailment = "none") -> Iterator[WandbServer]:
    """A server on a free port."""
    state = WandbServer(ailment)
    with _Http(("127.0.0.1", 0), _handler(state)) as http:
        state.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            state.over.set()
            http.shutdown()
            thread.join()
