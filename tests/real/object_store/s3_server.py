"""A real S3 service on loopback, and a line to it that can be cut."""

import logging
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3

from resources.object_store.bucket import Bucket

KEY_ID = "AKIAEXAMPLEOFNOBODY0"
SECRET = "a-secret+that/must-never-be-seen"
VARIABLES = {
    "AWS_ACCESS_KEY_ID": KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "3",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@dataclass(frozen=True)
class S3Server:
    """moto's server: `endpoint` is its URL."""

    endpoint: str

    @cached_property
    def client(self) -> Any:
        """A client of the tests' own, to look at buckets and to spoil them."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def objects(self, bucket: str) -> dict[str, bytes]:
        """All objects of a bucket, by key."""
        listed = self.client.list_objects_v2(Bucket=bucket).get("Contents", ())
        return {
            each["Key"]: self.client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            for each in listed
        }

    def unfinished(self, bucket: Bucket) -> list[str]:
        """The uploads that were begun and neither completed nor ended, by key. moto dates all of them to 2010."""
        found = self.client.list_multipart_uploads(Bucket=bucket.options.name).get("Uploads", [])
        return [each["Key"] for each in found]

    def spoil(self, bucket: Bucket, path: str, content: bytes) -> None:
        """Exchange an object and keep what is said about it."""
        about = self.client.head_object(**bucket.at(path))["Metadata"]
        self.client.put_object(**bucket.at(path), Body=content, Metadata=about)


def other_bytes(content: bytes) -> bytes:
    """As long, with one bit turned in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start moto's server on a free port of loopback."""
    from moto.server import ThreadedMotoServer

    # A line a request, of which there are thousands.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield S3Server(f"http://{host}:{port}")
    finally:
        server.stop()


_REQUEST = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_PART = re.compile(rb"[?&]partNumber=([0-9]+)")


@dataclass
class CuttingLine:
    """A TCP proxy before a server. It reads along: which requests there were, how many bytes of each part went up, and
    how many came down.

    Args:
        port: of the server.
        cut_in_part: the connection is cut in the middle of this part, and from then on the server is out of reach.
        cut_after: the same after so many bytes have come down in answer to one connection's requests.
        stays_down: whether it is out of reach after the cut; else the next connection works.
    """

    port: int
    cut_in_part: int = 0
    cut_after: int = 0
    stays_down: bool = True
    requests: list[str] = field(default_factory=list)
    part_bytes: Counter[int] = field(default_factory=Counter)
    bytes_down: int = 0
    is_down: bool = False

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "CuttingLine":
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def mend(self) -> None:
        """The server can be reached again; counting begins anew."""
        self.cut_in_part = self.cut_after = self.bytes_down = 0
        self.is_down, self.stays_down = False, True
        self.requests.clear()
        self.part_bytes.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            if self.is_down:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.port))
            for pump in (self._up, self._down):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        head, left, part = b"", 0, 0
        while (data := _received(client)) and not self.is_down:
            at = 0
            while at < len(data):
                if left == 0:
                    head += data[at : at + 1]
                    at += 1
                    if head.endswith(b"\r\n\r\n"):
                        part, left = self._begun(head)
                        head = b""
                    continue
                taken = min(left, len(data) - at)
                if part:
                    self.part_bytes[part] += taken
                left -= taken
                at += taken
            if not _passed_on(server, data):
                break
            if part and part == self.cut_in_part and self.part_bytes[part] > 1_000_000:
                self._cut()
                break
        _close(client, server)

    def _begun(self, head: bytes) -> tuple[int, int]:
        """The number of the part that a request sends, 0 for none, and the length of its body."""
        request, length, part = _REQUEST.match(head), _LENGTH.search(head), _PART.search(head)
        assert request is not None, head
        path = request[2].decode().partition("?")
        self.requests.append(f"{request[1].decode()} {path[0]}" + (f" part {int(part[1])}" if part else ""))
        return int(part[1]) if part else 0, int(length[1]) if length else 0

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        down = 0
        while data := _received(server):
            self.bytes_down += len(data)
            down += len(data)
            if not _passed_on(client, data):
                break
            if self.cut_after and down > self.cut_after:
                self._cut()
                break
        _close(client, server)

    def _cut(self) -> None:
        self.is_down = self.stays_down
        self.cut_in_part = self.cut_after = 0


def _received(connection: socket.socket) -> bytes:
    with suppress(OSError):
        return connection.recv(65536)
    return b""


def _passed_on(connection: socket.socket, data: bytes) -> bool:
    with suppress(OSError):
        connection.sendall(data)
        return True
    return False


def _close(*connections: socket.socket) -> None:
    for connection in connections:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
