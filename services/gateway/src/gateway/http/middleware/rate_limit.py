"""The request rate of each client: the signed-in user where one is known, else the address."""

import math

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.rate_limits import RateLimit
from gateway.http.middleware.context import RequestContext, context_of
from gateway.http.rate_limiter import RateLimiter
from kit.errors import RateLimited


class RateLimitCheck:
    """Applies the rate limit of the route."""

    def __init__(self, app: ASGIApp, *, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket.

        Raises:
            RateLimited: too many requests.
        """
        context = context_of(scope)
        if context.match is not None:
            count_request(self._limiter, context, context.match.route.rate_limit)
        await self._app(scope, receive, send)


def count_request(limiter: RateLimiter, context: RequestContext, limit: RateLimit) -> None:
    """Count one request, and add the RateLimit headers to its response.

    Raises:
        RateLimited: it is over the limit.
    """
    principal = context.principal
    client = f"user:{principal.user_id}" if principal is not None else context.client.limit_key
    result = limiter.take(limit, client)
    context.response_headers += (
        (b"ratelimit-limit", b"%d" % limit.amount),
        (b"ratelimit-remaining", b"%d" % result.remaining),
        (b"ratelimit-reset", b"%d" % math.ceil(result.reset_after_s)),
    )
    if not result.is_allowed:
        raise RateLimited(
            f"More than {limit.amount} requests in {limit.window_s:g} s.",
            retry_after_s=max(1, math.ceil(result.retry_after_s)),
        )
