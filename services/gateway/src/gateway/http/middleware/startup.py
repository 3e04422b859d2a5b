"""What needs the gateway's database is refused until it is ready."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.routes import OWN_SERVICE
from gateway.http.middleware.context import context_of
from kit.errors import Unavailable
from kit.health import Health

RETRY_AFTER_S = 2


class Startup:
    """Forwards only public routes of other services while the gateway starts: cameras need no token."""

    def __init__(self, app: ASGIApp, *, health: Health) -> None:
        self._app = app
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket.

        Raises:
            Unavailable: the route needs the database, which is not ready.
        """
        reason, match = self._health.refusal_reason, context_of(scope).match
        if reason is not None and match is not None:
            route = match.route
            if not route.is_public or route.service == OWN_SERVICE:
                raise Unavailable(f"Not now: {reason}.", code="starting", retry_after_s=RETRY_AFTER_S)
        await self._app(scope, receive, send)
