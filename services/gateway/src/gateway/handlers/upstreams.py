"""The services behind the gateway: the interface that requests are forwarded through, and requests of our own."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import orjson
from starlette.types import Message, Receive, Scope, Send

from kit.errors import LookoutError, UpstreamFailed, UpstreamTimeout
from kit.health import CheckResult
from kit.tracing import current_trace

MAX_RESPONSE_BYTES = 8_388_608


class Upstream(Protocol):
    """A service behind the gateway, in another process or in this one."""

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one HTTP request or WebSocket; `scope` has the service's own path and the headers to send.

        Bodies are streamed both ways. Returns early when the client disconnects.

        Raises:
            Unavailable: the service cannot be reached.
            UpstreamFailed: it broke off its response, or the response is not HTTP.
        """
        ...


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """A complete response."""

    status: int
    body: bytes


async def get(upstream: Upstream, path: str, timeout_s: float) -> UpstreamResponse:
    """GET a path of a service.

    Raises:
        Unavailable: it cannot be reached.
        UpstreamFailed: it broke off its response, or sent more than `MAX_RESPONSE_BYTES`.
        UpstreamTimeout: it did not respond in time.
    """
    client = _Client()
    try:
        async with asyncio.timeout(timeout_s):
            await upstream.forward(_scope(path), client.receive, client.send)
    except TimeoutError:
        raise UpstreamTimeout(f"no response within {timeout_s:g} s") from None
    if client.status is None:
        raise UpstreamFailed("no response")
    return UpstreamResponse(client.status, b"".join(client.chunks))


async def check_readiness(upstream: Upstream, timeout_s: float) -> CheckResult:
    """What a service's own `/health/ready` says."""
    try:
        response = await get(upstream, "/health/ready", timeout_s)
        document = orjson.loads(response.body)
        failing = [name for name, check in document["checks"].items() if not check["ok"]]
    except LookoutError as error:
        return CheckResult(ok=False, detail=error.detail)
    except (ValueError, KeyError, TypeError, AttributeError):
        return CheckResult(ok=False, detail="its /health/ready is not the expected JSON")
    detail = f"without {', '.join(failing)}" if failing else "ready"
    return CheckResult(ok=response.status == 200, detail=detail)


class _Client:
    """The client's side of a request that the gateway makes itself: an empty body, and a collected response."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.chunks: list[bytes] = []
        self._size_bytes = 0
        self._is_request_sent = False

    async def receive(self) -> Message:
        if not self._is_request_sent:
            self._is_request_sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        # This client does not disconnect: the wait ends by cancellation, when the response is complete or late.
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        chunk = message.get("body", b"")
        self._size_bytes += len(chunk)
        if self._size_bytes > MAX_RESPONSE_BYTES:
            raise UpstreamFailed("its response is too large")
        self.chunks.append(chunk)


def _scope(path: str) -> Scope:
    trace = current_trace()
    headers = [(b"host", b"gateway"), (b"accept", b"application/json")]
    if trace is not None:
        headers.append((b"traceparent", trace.traceparent.encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 0),
        "server": ("gateway", 80),
    }
