"""A service at an address: requests and responses are streamed over pooled connections."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter
from multidict import CIMultiDict
from starlette.types import Receive, Scope, Send
from yarl import URL

from gateway.adapters.websocket_bridge import bridge_websocket
from gateway.domain.headers import content_length, first
from kit.circuit import Circuit
from kit.errors import Unavailable, UpstreamFailed

_NO_AUTO_HEADERS = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})
# The service closed the connection or cannot be found; whether it did any work is unknown.
_DOWN = (aiohttp.ClientConnectionError, ConnectionError)


@dataclass(frozen=True, slots=True)
class HttpUpstreamOptions:
    """How connections to a service are opened and kept.

    `circuit_max_failures` failed connections in a row open the circuit breaker for `circuit_open_s`.
    """

    connect_timeout_s: float
    connect_attempts: int
    connect_retry_s: float
    keep_alive_s: float
    max_connections: int
    max_ws_message_bytes: int
    retry_after_s: int
    circuit_max_failures: int
    circuit_open_s: float


class HttpUpstream:
    """One service behind a base URL such as http://ingest:8101. `start` before use, `stop` after."""

    def __init__(
        self,
        service: str,
        base_url: str,
        options: HttpUpstreamOptions,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._base_url = base_url.rstrip("/")
        self._options = options
        self._monotonic = monotonic
        self._circuit = Circuit(options.circuit_max_failures, options.circuit_open_s)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Create the pool; connections are opened when they are needed."""
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

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `Upstream`. When the client disconnects, the connection to the service is closed too."""
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
        has_body = content_length(scope["headers"]) != 0 and _has_body(scope)
        task = asyncio.current_task()
        watcher = asyncio.create_task(upload.cancel_on_disconnect(task, wait_for_body=has_body))
        try:
            async with self._request(scope, upload if has_body else None) as response:
                await self._send_response(response, send)
        except asyncio.CancelledError:
            if not upload.is_client_gone or task is None:
                raise
            task.uncancel()
        except _DOWN as error:
            if upload.is_client_gone:
                return
            raise self._unavailable() from error
        except aiohttp.ClientError as error:
            raise UpstreamFailed(f"{self._service} broke off its response, or does not speak HTTP") from error
        finally:
            watcher.cancel()

    @asynccontextmanager
    async def _request(self, scope: Scope, body: "_Upload | None") -> AsyncIterator[aiohttp.ClientResponse]:
        """The response, its head read. A failed connection is tried again, since nothing was sent yet."""
        if not self._circuit.may_call(self._monotonic()):
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
                self._circuit.failed(self._monotonic())
                if attempt >= self._options.connect_attempts:
                    raise self._unavailable() from error
                attempt += 1
                await asyncio.sleep(self._options.connect_retry_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            else:
                break
        self._circuit.succeeded()
        async with response:
            yield response

    async def _send_response(self, response: aiohttp.ClientResponse, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": response.status, "headers": list(response.raw_headers)}
        )
        has_more = True
        async for piece in response.content.iter_any():
            has_more = not response.content.at_eof()
            await send({"type": "http.response.body", "body": piece, "more_body": has_more})
        if has_more:
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


def _has_body(scope: Scope) -> bool:
    headers = scope["headers"]
    return first(headers, b"content-length") is not None or scope["method"] in {"POST", "PUT", "PATCH"}


class _Upload(aiohttp.Payload):
    """The client's body, forwarded as it arrives; also notices when the client disconnects."""

    def __init__(self, receive: Receive) -> None:
        super().__init__(None, content_type=None, headers={})
        self._receive = receive
        self._is_read = asyncio.Event()
        self._is_started = False
        self.is_client_gone = False

    @property
    def consumed(self) -> bool:
        """Whether it cannot be sent again."""
        return self._is_started

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Not supported: the body is never held as a whole."""
        raise TypeError("a streamed body cannot be decoded")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the whole body."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the whole body; the writer checks it against the length that the client declared."""
        assert isinstance(writer, StreamWriter)
        # Before the first byte is read: when a reused connection turns out to be closed, aiohttp repeats requests
        # with an idempotent method, and this body cannot be read twice.
        self._is_started = True
        has_more = True
        while has_more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.is_client_gone = True
                raise ConnectionError("the client disconnected")
            has_more = message.get("more_body", False)
            # No wait after the last piece: otherwise a quick response overtakes the end of the upload, and the
            # pool discards the connection as half used.
            await writer.write(message.get("body", b""), drain=has_more)
        self._is_read.set()

    async def cancel_on_disconnect(self, task: asyncio.Task[object] | None, *, wait_for_body: bool) -> None:
        """Cancel `task` when the client disconnects; where there is a body, wait until it is read."""
        if wait_for_body:
            await self._is_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_client_gone = True
        if task is not None:
            task.cancel()
