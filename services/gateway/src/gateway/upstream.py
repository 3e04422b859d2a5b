"""What the door needs of a service behind it, wherever that service runs."""

from typing import Protocol

from starlette.types import Receive, Scope, Send


class Upstream(Protocol):
    """A service that requests are carried to."""

    async def carry(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one HTTP or WebSocket exchange; `scope` has the service's own path and the headers to send.

        Bodies are passed on piece by piece, both ways. Returns when the client has gone.

        Raises:
            Unavailable: the service cannot be reached.
            UpstreamFailed: it broke off, or what it answered is not HTTP.
        """
        ...
