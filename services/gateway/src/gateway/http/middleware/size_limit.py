"""The size of request bodies, declared or not."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.domain.headers import content_length
from gateway.domain.routes import BodyLimit
from gateway.http.middleware.context import context_of
from kit.errors import LookoutError, TooLarge
from kit.http_edge import DRAIN_BYTES, drain


class SizeLimit:
    """Refuses a body that is declared too large, and ends one that grows too large while it is forwarded.

    A refused body is still read, up to `DRAIN_BYTES`, since many clients read no response before they have sent
    everything. The connection of a larger body, or of one without a declared length, is closed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket.

        Raises:
            TooLarge: the body is over the route's limit.
        """
        context = context_of(scope)
        if scope["type"] != "http" or context.match is None:
            await self._app(scope, receive, send)
            return
        limit, declared_bytes = context.match.route.body_limit, content_length(scope["headers"])
        is_worth_draining = declared_bytes is not None and declared_bytes <= limit.max_bytes + DRAIN_BYTES
        body = _LimitedBody(receive, send, limit)
        if declared_bytes is not None and declared_bytes > limit.max_bytes:
            body.is_too_large = True
            if is_worth_draining:
                await drain(scope, receive)
        else:
            try:
                await self._app(scope, body.receive, body.send)
            except LookoutError:
                # An error that follows from the body's end must not hide its cause.
                if not body.is_too_large:
                    raise
        if body.is_too_large and not context.is_response_started:
            if not is_worth_draining:
                context.response_headers.append((b"connection", b"close"))
            raise body.error()


class _LimitedBody:
    """Counts the bytes; past the limit, reading raises and the service's response is dropped."""

    def __init__(self, receive: Receive, send: Send, limit: BodyLimit) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._read_bytes = 0
        self.is_too_large = False

    def error(self) -> TooLarge:
        return TooLarge(
            f"The body is over {self._limit.max_bytes} bytes, the limit that {self._limit.setting} sets."
        )

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            if self._read_bytes > self._limit.max_bytes:
                self.is_too_large = True
                raise self.error()
        return message

    async def send(self, message: Message) -> None:
        # After the limit the service answers an incomplete body; the client must get the 413 instead.
        if not self.is_too_large:
            await self._send(message)
