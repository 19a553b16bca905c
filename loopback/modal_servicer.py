"""Modal's service on loopback: the vendor's edge, for tests.

It answers the calls of the client library `modal` 1.6 on the generated base class of its protocol. Volumes are
folders; the command of a sandbox is a real process in namespaces of its own, whose mounted folder is a copy of the
volume that is written back a little after the sandbox has ended, as the real service does it. Without a network
it has none. `Faults` switches on what can go wrong there. Secrets are kept in memory only.
"""

import asyncio
import base64
import codecs
import fcntl
import hashlib
import inspect
import os
import re
import secrets
import shutil
import string
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from grpclib.server import Server
from modal_proto import api_grpc
from modal_proto import api_pb2 as pb

BLOCK = 8 * 1024 * 1024
TOKEN = ("ak-loopback", "as-loopback-5f2c-token-secret")
FULL_TOKEN = ("ak-loopback-full", "as-loopback-77aa-token-secret")
"""Of a workspace that has used up its storage."""
ENDED = (pb.GenericResult.GENERIC_STATUS_SUCCESS, pb.GenericResult.GENERIC_STATUS_FAILURE)


@dataclass
class Faults:
    """What goes wrong from now on."""

    refuse_create: str = ""  # the service's words, e.g. of a quota
    lose_create_answer: bool = False  # the sandbox is made, its caller never learns of it
    create_takes: float = 0.0  # seconds until the sandbox that was asked for is there
    never_start: bool = False  # no machine is free
    build_fails: bool = False
    terminate_fails: int = 0  # so many times; -1 for ever
    delete_volume_fails: int = 0
    volume_loses: str = ""  # the file of that name arrives cut
    forgets: int = 0  # pieces of output that a new reader is not told any more
    breaks_after: int = 0  # the connection breaks once, after so many pieces of output
    commit_delay: float = 0.1  # seconds until a volume shows what an ended sandbox wrote


@dataclass
class Volume:
    """A volume, as it is committed."""

    name: str
    folder: Path


@dataclass
class Sandbox:
    """A sandbox and what became of it."""

    id: str
    app_id: str
    definition: Any
    tags: dict[str, str]
    created_at: float
    pieces: list[str] = field(default_factory=list)
    all_written: bool = False
    result: Any = None
    pid: int | None = None
    ask: asyncio.Event = field(default_factory=asyncio.Event)


def new_id(prefix: str) -> str:
    """In the form of the service's own."""
    return f"{prefix}-" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(22))


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _served(name: str, answer: Callable[..., Any] | None) -> Any:
    """The method `name` of the protocol, answered by `answer(servicer, request, token)`."""

    async def method(self: "Servicer", stream: Any) -> None:
        given = stream.metadata.get("x-modal-token-id"), stream.metadata.get("x-modal-token-secret")
        if given not in (TOKEN, FULL_TOKEN):
            raise GRPCError(Status.UNAUTHENTICATED, "Token validation failed: token does not exist")
        request = await stream.recv_message()
        self.calls.append(name)
        if answer is None:
            raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not served on loopback")
        if inspect.isasyncgenfunction(answer):
            async for each in answer(self, request, given):
                await stream.send_message(each)
        else:
            await stream.send_message(await answer(self, request, given))

    return method


class Answers:
    """What the service answers, by the name of the call. Everything lies below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults = Faults()
        self.calls: list[str] = []
        self.volumes: dict[str, Volume] = {}
        self.sandboxes: dict[str, Sandbox] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.named_secrets: dict[str, list[str]] = {}  # the names of their variables
        self.apps: dict[str, str] = {}
        self.images: list[str] = []
        self.contents: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.break_connections: Callable[[], None] = lambda: None

    # --- account, app, image, secret ------------------------------------------------------------------

    async def client_hello(self, request: Any, token: Any) -> Any:
        return pb.ClientHelloResponse(image_builder_version="2025.06")

    async def environment_get_or_create(self, request: Any, token: Any) -> Any:
        settings = pb.EnvironmentSettings(image_builder_version="2025.06")
        return pb.EnvironmentGetOrCreateResponse(
            environment_id=new_id("en"), metadata=pb.EnvironmentMetadata(name="main", settings=settings)
        )

    async def app_get_or_create(self, request: Any, token: Any) -> Any:
        if request.app_name not in self.apps:
            if request.object_creation_type != pb.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
                raise GRPCError(Status.NOT_FOUND, f"App {request.app_name!r} not found")
            self.apps[request.app_name] = new_id("ap")
        return pb.AppGetOrCreateResponse(app_id=self.apps[request.app_name])

    async def image_get_or_create(self, request: Any, token: Any) -> Any:
        self.images.append("\n".join(request.image.dockerfile_commands))
        success = pb.GenericResult(status=pb.GenericResult.GENERIC_STATUS_SUCCESS)
        failure = pb.GenericResult(
            status=pb.GenericResult.GENERIC_STATUS_FAILURE, exception="failed to pull: manifest unknown"
        )
        result = failure if self.faults.build_fails else success
        return pb.ImageGetOrCreateResponse(
            image_id=new_id("im"), result=result, metadata=pb.ImageMetadata(image_builder_version="2025.06")
        )

    async def secret_get_or_create(self, request: Any, token: Any) -> Any:
        name = request.deployment_name
        if name and name not in self.named_secrets:
            raise GRPCError(Status.NOT_FOUND, f"Secret {name!r} not found")
        secret = new_id("st")
        self.secrets[secret] = dict(request.env_dict)
        metadata = pb.SecretMetadata(name=name, keys=self.named_secrets.get(name, request.env_dict))
        return pb.SecretGetOrCreateResponse(secret_id=secret, metadata=metadata)

    # --- volumes --------------------------------------------------------------------------------------

    def _volume(self, volume_id: str) -> Volume:
        if volume_id not in self.volumes:
            raise GRPCError(Status.NOT_FOUND, f"Volume {volume_id} not found")
        return self.volumes[volume_id]

    async def volume_get_or_create(self, request: Any, token: Any) -> Any:
        name = request.deployment_name
        found = [key for key, volume in self.volumes.items() if volume.name == name]
        if not found:
            if request.object_creation_type != pb.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
                raise GRPCError(Status.NOT_FOUND, f"Volume {name!r} not found")
            found = [new_id("vo")]
            folder = self.root / "volumes" / found[0]
            folder.mkdir(parents=True)
            self.volumes[found[0]] = Volume(name, folder)
        metadata = pb.VolumeMetadata(version=pb.VOLUME_FS_VERSION_V1, name=name)
        return pb.VolumeGetOrCreateResponse(volume_id=found[0], metadata=metadata)

    async def mount_put_file(self, request: Any, token: Any) -> Any:
        data = self.blobs.pop(request.data_blob_id) if request.data_blob_id else request.data
        if data or request.sha256_hex == hashlib.sha256(b"").hexdigest():
            assert hashlib.sha256(data).hexdigest() == request.sha256_hex
            self.contents[request.sha256_hex] = data
        return pb.MountPutFileResponse(exists=request.sha256_hex in self.contents)

    async def blob_create(self, request: Any, token: Any) -> Any:
        blob = new_id("bl")
        answer = pb.BlobCreateResponse(blob_ids=[blob])
        answer.upload_urls.items.append(f"{self.url}/blob/{blob}")
        return answer

    async def volume_put_files(self, request: Any, token: Any) -> Any:
        if token == FULL_TOKEN:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "Workspace storage limit exceeded")
        volume = self._volume(request.volume_id)
        for file in request.files:
            target = volume.folder / file.filename.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            data = self.contents[file.sha256_hex]
            target.write_bytes(data[:-1] if target.name == self.faults.volume_loses else data)
            target.chmod(file.mode or 0o644)
        return Empty()

    async def volume_list_files(self, request: Any, token: Any) -> AsyncIterator[Any]:
        folder = self._volume(request.volume_id).folder
        top = folder / request.path.strip("/")
        found = sorted(top.rglob("*") if request.recursive else top.glob("*"))
        for path in found:
            kind = pb.FileEntry.FILE if path.is_file() else pb.FileEntry.DIRECTORY
            size = path.stat().st_size if path.is_file() else 0
            entry = pb.FileEntry(path=str(path.relative_to(folder)), type=kind, size=size)
            yield pb.VolumeListFilesResponse(entries=[entry])

    async def volume_get_file2(self, request: Any, token: Any) -> Any:
        path = self._volume(request.volume_id).folder / request.path.strip("/")
        if not path.is_file():
            raise GRPCError(Status.NOT_FOUND, f"{request.path}: no such file")
        size = path.stat().st_size
        urls = [
            f"{self.url}/block/{index}/{request.volume_id}/{request.path.strip('/')}"
            for index in range((size + BLOCK - 1) // BLOCK)
        ]
        return pb.VolumeGetFile2Response(get_urls=urls, size=size, start=0, len=size)

    async def volume_delete(self, request: Any, token: Any) -> Any:
        if self.faults.delete_volume_fails:
            self.faults.delete_volume_fails -= 1
            raise GRPCError(Status.FAILED_PRECONDITION, "volume is busy")
        volume = self._volume(request.volume_id)
        del self.volumes[request.volume_id]
        shutil.rmtree(volume.folder)
        return Empty()

    # --- sandboxes ------------------------------------------------------------------------------------

    def _sandbox(self, sandbox_id: str) -> Sandbox:
        if sandbox_id not in self.sandboxes:
            raise GRPCError(Status.NOT_FOUND, f"Sandbox {sandbox_id} not found")
        return self.sandboxes[sandbox_id]

    async def sandbox_create(self, request: Any, token: Any) -> Any:
        if self.faults.refuse_create:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, self.faults.refuse_create)
        running = (each for each in self.sandboxes.values() if each.result is None)
        if any(each.definition.name == request.definition.name for each in running):
            if self.faults.lose_create_answer:
                raise GRPCError(Status.UNAVAILABLE, "upstream connect error")
            raise GRPCError(Status.ALREADY_EXISTS, f"Sandbox {request.definition.name!r} already exists")
        tags = {tag.tag_name: tag.tag_value for tag in request.tags}
        made = Sandbox(new_id("sb"), request.app_id, request.definition, tags, time.time())
        # As a task: what was asked for goes on, whether the caller waits or not.
        task = asyncio.get_running_loop().create_task(self._live(made))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        await asyncio.sleep(self.faults.create_takes)
        if self.faults.lose_create_answer:
            raise GRPCError(Status.UNAVAILABLE, "upstream connect error")
        return pb.SandboxCreateResponse(
            sandbox_id=made.id, metadata=pb.SandboxHandleMetadata(app_id=request.app_id)
        )

    async def _live(self, sandbox: Sandbox) -> None:
        """The life of a sandbox."""
        await asyncio.sleep(self.faults.create_takes)
        self.sandboxes[sandbox.id] = sandbox
        while self.faults.never_start and not sandbox.ask.is_set():
            await asyncio.sleep(0.05)
        if sandbox.ask.is_set():
            sandbox.result = pb.GenericResult(status=pb.GenericResult.GENERIC_STATUS_TERMINATED)
            sandbox.all_written = True
            return
        (mount,) = sandbox.definition.volume_mounts
        volume = self._volume(mount.volume_id)
        folder = self.root / "mounted" / sandbox.id
        shutil.copytree(volume.folder, folder)
        try:
            status = await self._run(sandbox, folder, mount.mount_path)
            sandbox.all_written = True
            sandbox.result = status
            await asyncio.sleep(self.faults.commit_delay)
            if mount.volume_id in self.volumes:
                shutil.rmtree(volume.folder)
                shutil.copytree(folder, volume.folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _run(self, sandbox: Sandbox, folder: Path, path: str) -> Any:
        """Run the command over `folder`, mounted at `path`; how it ended."""
        definition, result = sandbox.definition, pb.GenericResult
        blocked = definition.network_access.network_access_type == pb.NetworkAccess.BLOCKED
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        script = f'mount --bind "$0" {path} && exec "$@"'
        environment = {"PATH": os.environ["PATH"], "HOME": "/root", "LOOPBACK_SANDBOX": str(self.root)}
        for secret in definition.secret_ids:
            environment |= self.secrets[secret]
        process = await asyncio.create_subprocess_exec(
            *alone, *(["--net"] if blocked else []), "sh", "-c", script, str(folder), *definition.entrypoint_args,
            env=environment, cwd="/", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        sandbox.pid = process.pid
        reading = asyncio.ensure_future(self._read(sandbox, process.stdout))
        asked = asyncio.ensure_future(sandbox.ask.wait())
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait(
            {asked, ended}, timeout=definition.timeout_secs, return_when=asyncio.FIRST_COMPLETED
        )
        status = result.GENERIC_STATUS_TERMINATED if asked.done() else result.GENERIC_STATUS_TIMEOUT
        asked.cancel()
        if not ended.done():
            process.kill()
            await ended
            await reading
            return result(status=status)
        await reading
        code = process.returncode or 0
        ending = result.GENERIC_STATUS_FAILURE if code else result.GENERIC_STATUS_SUCCESS
        return result(status=ending, exitcode=code if code >= 0 else 128 - code)

    async def _read(self, sandbox: Sandbox, stream: Any) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while data := await stream.read(4096):
            sandbox.pieces.append(decoder.decode(data))

    async def sandbox_get_task_id(self, request: Any, token: Any) -> Any:
        sandbox = self._sandbox(request.sandbox_id)
        return pb.SandboxGetTaskIdResponse(task_id="" if sandbox.pid is None else f"ta-{sandbox.id[3:]}")

    async def sandbox_get_logs(self, request: Any, token: Any) -> AsyncIterator[Any]:
        sandbox = self._sandbox(request.sandbox_id)
        at = int(request.last_entry_id) if request.last_entry_id else self.faults.forgets
        until = time.monotonic() + request.timeout
        while time.monotonic() < until:
            all_written = sandbox.all_written
            while at < len(sandbox.pieces) and request.file_descriptor == pb.FILE_DESCRIPTOR_STDOUT:
                item = pb.TaskLogs(data=sandbox.pieces[at], file_descriptor=request.file_descriptor)
                at += 1
                yield pb.TaskLogsBatch(entry_id=str(at), items=[item])
                if self.faults.breaks_after and at >= self.faults.breaks_after:
                    self.faults.breaks_after = 0
                    self.break_connections()
            if all_written:
                yield pb.TaskLogsBatch(entry_id=str(at), eof=True)
                return
            await asyncio.sleep(0.02)

    async def sandbox_wait(self, request: Any, token: Any) -> Any:
        sandbox = self._sandbox(request.sandbox_id)
        until = time.monotonic() + request.timeout
        while sandbox.result is None and time.monotonic() < until:
            await asyncio.sleep(0.02)
        return pb.SandboxWaitResponse(result=sandbox.result)

    async def sandbox_terminate(self, request: Any, token: Any) -> Any:
        sandbox = self._sandbox(request.sandbox_id)
        if self.faults.terminate_fails and sandbox.result is None:
            self.faults.terminate_fails -= 1
            raise GRPCError(Status.FAILED_PRECONDITION, "sandbox could not be reached, try again")
        sandbox.ask.set()
        return pb.SandboxTerminateResponse()

    async def sandbox_list(self, request: Any, token: Any) -> Any:
        wanted = {(tag.tag_name, tag.tag_value) for tag in request.tags}
        listed = [
            pb.SandboxInfo(id=each.id, created_at=each.created_at, app_id=each.app_id)
            for each in self.sandboxes.values()
            if (each.result is None or request.include_finished)
            and each.app_id == request.app_id
            and wanted <= set(each.tags.items())
            and (not request.before_timestamp or each.created_at < request.before_timestamp)
        ]
        return pb.SandboxListResponse(sandboxes=sorted(listed, key=lambda each: -each.created_at))


_CALLS = {
    name: _served(name, getattr(Answers, _snake(name), None))
    for name in api_grpc.ModalClientBase.__abstractmethods__
}
Servicer = type("Servicer", (Answers, api_grpc.ModalClientBase), _CALLS)


class _CuttingServer(Server):
    """A server whose connections can be broken, and that takes no new ones for a while."""

    def __init__(self, handlers: Any) -> None:
        super().__init__(handlers)
        self.protocols: list[Any] = []
        self.deaf_until = 0.0

    def _protocol_factory(self) -> Any:
        protocol = super()._protocol_factory()
        made = protocol.connection_made

        def connection_made(transport: Any) -> None:
            made(transport)
            self.protocols.append(transport)
            if time.monotonic() < self.deaf_until:
                transport.abort()

        protocol.connection_made = connection_made
        return protocol

    def cut(self, deaf: float) -> None:
        """Break every connection; break new ones, too, for `deaf` seconds."""
        self.deaf_until = time.monotonic() + deaf
        for transport in self.protocols:
            transport.abort()
        self.protocols.clear()


class MountPoint:
    """The empty folder that sandboxes mount their volume on, while any test on this machine needs it.

    A mount disappears with its folder, in all namespaces: so the last one to leave removes it, and only if it was
    made for tests.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = -1

    def take(self) -> None:
        name = Path(tempfile.gettempdir()) / "flywheel-modal-mount-point.lock"
        self._lock = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if not self._folder.exists():
            self._folder.mkdir()
            os.pwrite(self._lock, b"made", 0)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def leave(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        else:
            if os.pread(self._lock, 4, 0) == b"made":
                self._folder.rmdir()
                os.truncate(self._lock, 0)
        finally:
            os.close(self._lock)


class ModalOnLoopback:
    """The service, running in a thread while used as a context."""

    def __init__(self, root: Path) -> None:
        self.answers: Any = Servicer(root)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modal-on-loopback", daemon=True)
        self._mount_point = MountPoint(Path("/workspace"))
        self.url = ""

    @property
    def faults(self) -> Faults:
        return self.answers.faults

    def __enter__(self) -> Self:
        self._mount_point.take()
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        return self

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**32)
        app.router.add_put("/blob/{blob}", self._put_blob)
        app.router.add_get("/block/{index}/{volume}/{path:.*}", self._get_block)
        self._web = web.AppRunner(app)
        await self._web.setup()
        site = web.TCPSite(self._web, "127.0.0.1", 0)
        await site.start()
        self.answers.url = f"http://127.0.0.1:{self._web.addresses[0][1]}"
        self._server = _CuttingServer([self.answers])
        await self._server.start("127.0.0.1", 0)
        sockets = self._server._server.sockets
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        self.answers.break_connections = lambda: self._server.cut(0.0)

    async def _put_blob(self, request: web.Request) -> web.Response:
        data = await request.read()
        self.answers.blobs[request.match_info["blob"]] = data
        return web.Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    async def _get_block(self, request: web.Request) -> web.Response:
        volume = self.answers.volumes[request.match_info["volume"]]
        with (volume.folder / request.match_info["path"]).open("rb") as file:
            file.seek(int(request.match_info["index"]) * BLOCK)
            data = file.read(BLOCK)
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        return web.Response(body=data, headers={"Repr-Digest": f"sha-256=:{digest}:"})

    def cut(self, deaf: float = 0.0) -> None:
        """Break every connection, and refuse new ones for `deaf` seconds."""
        self._loop.call_soon_threadsafe(self._server.cut, deaf)

    def end_all(self) -> None:
        """End every sandbox, as the owner of the workspace may do on the service's pages."""
        for sandbox in list(self.answers.sandboxes.values()):
            self._loop.call_soon_threadsafe(sandbox.ask.set)

    def running(self) -> list[str]:
        """Sandboxes that have not ended."""
        return [each.id for each in list(self.answers.sandboxes.values()) if each.result is None]

    def processes(self) -> list[int]:
        """Processes of any sandbox of this service."""
        mark = f"LOOPBACK_SANDBOX={self.answers.root}\0".encode()
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in environ.read_bytes() + b"\0":
                    found.append(int(environ.parent.name))
            except OSError:
                continue
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._mount_point.leave()

    async def _stop(self) -> None:
        self.faults.never_start = False
        for sandbox in self.answers.sandboxes.values():
            sandbox.ask.set()
        if self.answers.tasks:
            await asyncio.wait(self.answers.tasks, timeout=10)
        self._server.close()
        self._server.cut(0.0)
        await self._web.cleanup()
