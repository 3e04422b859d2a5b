"""Security headers on every response, refusals included."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.middleware.context import Header, context_of

SECURITY_HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
# For JSON and pictures; a page with scripts sets a policy of its own.
API_POLICY: Header = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

_START_TYPES = frozenset({"http.response.start", "websocket.http.response.start"})
# In one process the services set some of these too, and a browser must not get them twice.
_SET_HERE = frozenset({*(name for name, _ in SECURITY_HEADERS), b"strict-transport-security"})


class ResponseHeaders:
    """Adds the security headers and those that other middlewares put into the context.

    `hsts_s`: the age in Strict-Transport-Security, which is sent to clients over TLS; 0 leaves it out.
    """

    def __init__(self, app: ASGIApp, *, hsts_s: int) -> None:
        self._app = app
        self._hsts = (b"strict-transport-security", b"max-age=%d" % hsts_s) if hsts_s else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket."""
        context = context_of(scope)
        context.response_headers.extend(SECURITY_HEADERS)
        if self._hsts is not None and context.client.proto == "https":
            context.response_headers.append(self._hsts)

        async def send_with_headers(message: Message) -> None:
            context.is_response_started = True
            if message["type"] in _START_TYPES:
                headers = _merged(message.get("headers", ()), context.response_headers)
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _merged(headers: Iterable[Header], added: list[Header]) -> list[Header]:
    kept = [header for header in headers if header[0] not in _SET_HERE]
    if any(name == b"content-security-policy" for name, _ in kept):
        return kept + added
    return [*kept, *added, API_POLICY]
