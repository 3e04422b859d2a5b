"""The token of requests on routes that are not public."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.headers import Headers, first
from gateway.http.middleware.context import context_of
from gateway.http.middleware.rate_limit import count_request
from gateway.http.rate_limiter import RateLimiter
from kit.auth import TokenVerifier
from kit.errors import Unauthenticated


class Authentication:
    """Verifies the bearer token, and counts each wrong one for the address that sent it."""

    def __init__(self, app: ASGIApp, *, verifier: TokenVerifier, limiter: RateLimiter) -> None:
        self._app = app
        self._verifier = verifier
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket.

        Raises:
            Unauthenticated: there is no valid token.
            RateLimited: too many requests without a valid token from this address.
            Unavailable: the token cannot be verified now.
        """
        context = context_of(scope)
        if context.match is not None and not context.match.route.is_public:
            try:
                context.principal = await self._verifier.verify(bearer_token(scope["headers"]))
            except Unauthenticated:
                count_request(self._limiter, context, context.match.route.rate_limit)
                raise
        await self._app(scope, receive, send)


def bearer_token(headers: Headers) -> str | None:
    """The token in `Authorization: Bearer …`, or None where there is none."""
    scheme, _, token = (first(headers, b"authorization") or b"").partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else None
