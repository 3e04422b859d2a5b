"""The two halves of one exchange as the door sees them: what comes in, and what goes back."""

from collections.abc import Callable, Iterable

from starlette.types import Message, Receive, Scope, Send

from gateway.domain.headers import answer_headers
from kit.errors import LookoutError, TooLarge
from kit.http_edge import drain
from kit.problems import MEDIA_TYPE, problem_of

# Past this many bytes of refused body the connection is closed; below, the server drops what is still coming,
# so that the client gets to read why.
DRAIN_BYTES = 67_108_864

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
# Told once, by us: in all-in-one the services' own answers would repeat some of it.
_OURS = frozenset({*(name for name, _ in SECURITY_HEADERS), b"strict-transport-security", b"x-trace-id"})

Header = tuple[bytes, bytes]


class EndlessBody(TooLarge):
    """A body so large, or of such unknown length, that the connection is not worth keeping."""


class Answer:
    """What goes back to the client: the headers of the door added, and whether it has begun noted."""

    def __init__(self, scope: Scope, send: Send, extra: tuple[Header, ...]) -> None:
        self._scope = scope
        self._send = send
        self.extra = extra
        self.is_started = False
        self.is_muted = False
        self.renew: Callable[[], None] | None = None

    async def send(self, message: Message) -> None:
        if self.is_muted:
            return
        if message["type"] == "http.response.start":
            self.is_started = True
            message = {**message, "headers": self._headers(message.get("headers", ()))}
        if self.renew is not None:
            self.renew()
        await self._send(message)

    async def send_websocket(self, message: Message) -> None:
        self.is_started = True
        await self._send(message)

    async def problem(self, error: LookoutError) -> None:
        problem = problem_of(error)
        headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        if isinstance(error, EndlessBody):
            headers.append((b"connection", b"close"))
        await self.plain(problem.status, problem.body(), [(b"content-type", MEDIA_TYPE.encode()), *headers])

    async def plain(self, status: int, body: bytes = b"", headers: list[Header] | None = None) -> None:
        self.is_started = True
        length = [] if status == 204 else [(b"content-length", b"%d" % len(body))]
        own = [*(headers or ()), *length]
        start = {"type": "http.response.start", "status": status, "headers": [*own, *self._added(own)]}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def websocket_problem(self, error: LookoutError) -> None:
        problem = problem_of(error)
        if "websocket.http.response" not in self._scope.get("extensions", {}):
            await self._send({"type": "websocket.close", "code": 1008, "reason": problem.code})
            return
        headers = [(b"content-type", MEDIA_TYPE.encode()), *self._added([])]
        headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        await self._send(
            {"type": "websocket.http.response.start", "status": problem.status, "headers": headers}
        )
        await self._send({"type": "websocket.http.response.body", "body": problem.body()})

    def _headers(self, given: Iterable[Header]) -> list[Header]:
        kept = [header for header in answer_headers(given) if header[0] not in _OURS]
        return [*kept, *self._added(kept)]

    def _added(self, kept: list[Header]) -> tuple[Header, ...]:
        if any(name == b"content-security-policy" for name, _ in kept):
            return self.extra
        return (*self.extra, (b"content-security-policy", _API_POLICY))


class LimitedBody:
    """A request body that may not grow over its limit, whatever length was declared."""

    def __init__(self, receive: Receive, answer: Answer, max_bytes: int, declared_bytes: int | None) -> None:
        self._receive = receive
        self._answer = answer
        self._max_bytes = max_bytes
        self._declared_bytes = declared_bytes
        self._read_bytes = 0
        self.is_over = False

    @property
    def is_declared_over(self) -> bool:
        return self._declared_bytes is not None and self._declared_bytes > self._max_bytes

    def refusal(self) -> TooLarge:
        is_endless = self._declared_bytes is None or self._declared_bytes > self._max_bytes + DRAIN_BYTES
        kind = EndlessBody if is_endless else TooLarge
        return kind(f"The body is over {self._max_bytes} bytes.")

    async def drop(self, scope: Scope) -> None:
        """Read and forget what is on its way, so that the client gets to read the refusal."""
        await drain(scope, self._receive)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            if self._read_bytes > self._max_bytes:
                self.is_over = True
                # The service's own idea of a body that ends here is not what the client should read.
                self._answer.is_muted = True
                raise self.refusal()
        return message
