"""Cross-origin requests: preflights are answered here, other responses get the headers that let a page read them."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.cors import CorsPolicy
from gateway.domain.headers import Headers, first
from gateway.http.middleware.context import context_of
from kit.errors import Invalid


class Cors:
    """Applies one policy to all routes. WebSockets are not subject to CORS."""

    def __init__(self, app: ASGIApp, *, policy: CorsPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket.

        Raises:
            Invalid: a preflight of an origin that may not call.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: Headers = scope["headers"]
        origin = first(headers, b"origin")
        response_headers = context_of(scope).response_headers
        if origin is not None and _is_preflight(scope):
            allowed = self._policy.preflight_headers(
                origin, first(headers, b"access-control-request-headers")
            )
            if allowed is None:
                raise Invalid("Pages of this origin may not call here.", code="origin_refused", status=400)
            response_headers.extend(allowed)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            response_headers.extend(self._policy.response_headers(origin))
            await self._app(scope, receive, send)


def _is_preflight(scope: Scope) -> bool:
    return (
        scope["method"] == "OPTIONS" and first(scope["headers"], b"access-control-request-method") is not None
    )
