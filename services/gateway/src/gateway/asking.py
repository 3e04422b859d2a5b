"""The gateway's own questions to the services behind it: how they are, and what they serve."""

import asyncio
from dataclasses import dataclass

import orjson
from starlette.types import Message, Scope

from gateway.upstream import Upstream
from kit.errors import LookoutError, UpstreamFailed, UpstreamTimeout
from kit.health import CheckResult
from kit.tracing import current_trace

MAX_ANSWER_BYTES = 8_388_608


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer."""

    status: int
    body: bytes


async def ask(upstream: Upstream, path: str, timeout_s: float) -> Answered:
    """GET a path of a service.

    Raises:
        Unavailable: it cannot be reached.
        UpstreamFailed: it broke off, or answered more than `MAX_ANSWER_BYTES`.
        UpstreamTimeout: it did not answer in time.
    """
    answer = _Collected()
    try:
        async with asyncio.timeout(timeout_s):
            await upstream.carry(_scope(path), answer.receive, answer.send)
    except TimeoutError:
        raise UpstreamTimeout(f"no answer within {timeout_s:g} s") from None
    if answer.status is None:
        raise UpstreamFailed("no answer")
    return Answered(answer.status, b"".join(answer.pieces))


async def readiness(upstream: Upstream, timeout_s: float) -> CheckResult:
    """What a service says of its own readiness."""
    try:
        answered = await ask(upstream, "/health/ready", timeout_s)
        document = orjson.loads(answered.body)
        failing = [name for name, check in document["checks"].items() if not check["ok"]]
    except LookoutError as error:
        return CheckResult(ok=False, detail=error.detail)
    except (ValueError, KeyError, TypeError, AttributeError):
        return CheckResult(ok=False, detail="its readiness cannot be read")
    said = f"without {', '.join(failing)}" if failing else ""
    return CheckResult(ok=answered.status == 200, detail=said or "ready")


class _Collected:
    """The two ends of an exchange with ourselves as the client."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.pieces: list[bytes] = []
        self._size_bytes = 0
        self._is_asked = False

    async def receive(self) -> Message:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()  # we stay until the answer is there, or are cancelled
        raise AssertionError

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        piece = message.get("body", b"")
        self._size_bytes += len(piece)
        if self._size_bytes > MAX_ANSWER_BYTES:
            raise UpstreamFailed("its answer is too large")
        self.pieces.append(piece)


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
