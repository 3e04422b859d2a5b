"""Who sent the request: the first middleware, which creates the request's context."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.clients import Client, TrustedProxies, find_client
from gateway.domain.headers import Headers, joined
from gateway.http.middleware.context import SCOPE_KEY, RequestContext


class ClientAddress:
    """Finds the client's address and scheme behind the operator's trusted proxies."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: TrustedProxies) -> None:
        self._app = app
        self._trusted_proxies = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket."""
        scope[SCOPE_KEY] = RequestContext(self._client_of(scope))
        await self._app(scope, receive, send)

    def _client_of(self, scope: Scope) -> Client:
        headers: Headers = scope["headers"]
        peer = scope.get("client")
        return find_client(
            peer[0] if peer else "unknown",
            "https" if scope.get("scheme") in {"https", "wss"} else "http",
            joined(headers, b"x-forwarded-for"),
            joined(headers, b"x-forwarded-proto"),
            self._trusted_proxies,
        )
