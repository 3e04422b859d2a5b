"""The path is checked before anything is decided by it, and the route is found."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.domain.paths import UnsafePathError, clean_path
from gateway.domain.routes import RouteTable
from gateway.http.middleware.context import context_of
from kit.errors import Invalid


class PathCheck:
    """Refuses ambiguous paths and looks the others up in the route table."""

    def __init__(self, app: ASGIApp, *, table: RouteTable) -> None:
        self._app = app
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket.

        Raises:
            Invalid: the path is ambiguous.
        """
        try:
            match = self._table.match(clean_path(_raw_path(scope)))
        except UnsafePathError as error:
            raise Invalid(f"This path is not served: {error}.", code="unsafe_path", status=400) from None
        if match is not None:
            context_of(scope).match = match
            scope["route"] = match.route  # the kit's log line and metrics name the route by its `path`
        await self._app(scope, receive, send)


def _raw_path(scope: Scope) -> bytes:
    raw: bytes | None = scope.get("raw_path")
    return raw if raw is not None else scope["path"].encode()
