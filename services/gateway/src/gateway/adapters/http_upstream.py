"""A service at an address: requests and answers are streamed over pooled connections."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter
from multidict import CIMultiDict
from starlette.types import Receive, Scope, Send
from yarl import URL

from gateway.adapters.websocket_bridge import bridge_websocket
from gateway.domain.circuit import Circuit, CircuitPolicy, after_connect_failure
from gateway.domain.headers import content_length, first
from kit.errors import Unavailable, UpstreamFailed

_NO_AUTO_HEADERS = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})
# The upstream hung up or cannot be found; whether it did any work is not known.
_DOWN = (aiohttp.ClientConnectionError, ConnectionError)


@dataclass(frozen=True, slots=True)
class HttpUpstreamOptions:
    """How connections to a service are made and kept."""

    connect_timeout_s: float
    connect_attempts: int
    connect_retry_s: float
    keep_alive_s: float
    max_connections: int
    max_ws_message_bytes: int
    retry_after_s: int
    circuit: CircuitPolicy


class HttpUpstream:
    """One service behind a base URL such as http://ingest:8101. `start` before use, `stop` after."""

    def __init__(self, service: str, base_url: str, options: HttpUpstreamOptions) -> None:
        self._service = service
        self._base_url = base_url.rstrip("/")
        self._options = options
        self._circuit = Circuit()
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the pool; connections are opened when they are needed."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._options.max_connections, keepalive_timeout=self._options.keep_alive_s
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._options.connect_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NO_AUTO_HEADERS,
        )

    async def stop(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def carry(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `Upstream`. When the client goes away, the connection to the service is closed too."""
        if scope["type"] == "websocket":
            await bridge_websocket(
                self._running(),
                self._url(scope),
                scope,
                receive,
                send,
                max_message_bytes=self._options.max_ws_message_bytes,
            )
            return
        upload = _Upload(receive)
        has_body = content_length(scope["headers"]) != 0 and _announces_body(scope)
        task = asyncio.current_task()
        watcher = asyncio.create_task(upload.cancel_when_gone(task, wait_for_body=has_body))
        try:
            async with self._asked(scope, upload if has_body else None) as response:
                await self._answer(response, send)
        except asyncio.CancelledError:
            if not upload.is_gone or task is None:
                raise
            task.uncancel()
        except _DOWN as error:
            if upload.is_gone:
                return
            raise self._unavailable() from error
        except aiohttp.ClientError as error:
            raise UpstreamFailed(f"{self._service} broke off or did not speak HTTP") from error
        finally:
            watcher.cancel()

    @asynccontextmanager
    async def _asked(self, scope: Scope, body: "_Upload | None") -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, its head read. A connection that could not be made is tried again: nothing was sent."""
        if self._circuit.pause_left_s(time.monotonic()) > 0:
            raise self._unavailable()
        url, headers = self._url(scope), CIMultiDict[str]()
        for name, value in scope["headers"]:
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
        attempt = 1
        while True:
            try:
                response = await self._running().request(
                    scope["method"],
                    url,
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                )
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                self._circuit = after_connect_failure(self._circuit, time.monotonic(), self._options.circuit)
                if attempt >= self._options.connect_attempts:
                    raise self._unavailable() from error
                attempt += 1
                await asyncio.sleep(self._options.connect_retry_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            else:
                break
        if self._circuit.failures:
            self._circuit = Circuit()
        async with response:
            yield response

    async def _answer(self, response: aiohttp.ClientResponse, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": response.status, "headers": list(response.raw_headers)}
        )
        async for piece in response.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _url(self, scope: Scope) -> URL:
        path: bytes = scope["raw_path"]
        query: bytes = scope["query_string"]
        target = path.decode("ascii")
        if query:
            target = f"{target}?{query.decode('latin-1')}"
        return URL(self._base_url + target, encoded=True)

    def _running(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise self._unavailable()
        return self._session

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            f"{self._service} cannot be reached",
            code="upstream_down",
            retry_after_s=self._options.retry_after_s,
        )


def _announces_body(scope: Scope) -> bool:
    headers = scope["headers"]
    return first(headers, b"content-length") is not None or scope["method"] in {"POST", "PUT", "PATCH"}


class _Upload(aiohttp.Payload):
    """The client's body, handed on as it comes; and its going away, noticed while the service works."""

    def __init__(self, receive: Receive) -> None:
        super().__init__(None, content_type=None, headers={})
        self._receive = receive
        self._is_read = asyncio.Event()
        self.is_gone = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """A body that streams by is never there as a whole."""
        raise TypeError("a streamed body cannot be decoded")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send all of it."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send all of it; the length was declared by the client and is kept to by the writer."""
        assert isinstance(writer, StreamWriter)
        # Before the first byte is taken: where a reused connection turns out to be closed, aiohttp sends what is
        # idempotent again, and ours cannot be read twice.
        self._consumed = True
        has_more = True
        while has_more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.is_gone = True
                raise ConnectionError("the client went away")
            has_more = message.get("more_body", False)
            # Nothing waits after the last piece: else a quick answer overtakes the end of the upload, and the
            # pool throws the connection away as half used.
            await writer.write(message.get("body", b""), drain=has_more)
        self._is_read.set()

    async def cancel_when_gone(self, task: asyncio.Task[object] | None, *, wait_for_body: bool) -> None:
        """Cancel `task` when the client goes away; its body comes first, where there is one."""
        if wait_for_body:
            await self._is_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        if task is not None:
            task.cancel()
