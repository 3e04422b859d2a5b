"""A service in the same process: its ASGI application is called directly."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from kit.errors import LookoutError, Unavailable, UpstreamFailed
from kit.logging import Logger


class AsgiUpstream:
    """Calls `applications[service]`.

    Looked up at each request: all-in-one fills the mapping after the gateway is built, since the other services
    need the gateway's keys first.
    """

    def __init__(self, service: str, applications: Mapping[str, ASGIApp], logger: Logger) -> None:
        self._service = service
        self._applications = applications
        self._logger = logger

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `Upstream`."""
        application = self._applications.get(self._service)
        if application is None:
            raise Unavailable(f"{self._service} is not running", code="upstream_down", retry_after_s=5)
        try:
            await application(scope, receive, send)
        except LookoutError:
            raise
        except Exception as error:
            self._logger.exception("upstream_raised", upstream=self._service)
            raise UpstreamFailed(f"{self._service} failed") from error
