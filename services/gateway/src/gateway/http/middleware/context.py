"""What the middlewares find out about one request, in one object in its scope."""

from dataclasses import dataclass, field

from starlette.types import Scope

from gateway.domain.clients import Client
from gateway.domain.routes import Match
from kit.auth import Principal

SCOPE_KEY = "lookout"

Header = tuple[bytes, bytes]


@dataclass(slots=True)
class RequestContext:
    """Set by the middleware named beside each field; `ClientAddress` creates the object.

    `response_headers` are added to whatever response is sent: any middleware may append to them before that.
    """

    client: Client
    response_headers: list[Header] = field(default_factory=list)
    is_response_started: bool = False  # ResponseHeaders
    match: Match | None = None  # PathCheck; None: no route, the gateway's own application serves the path
    principal: Principal | None = None  # Authentication; None on public routes


def context_of(scope: Scope) -> RequestContext:
    """The context of a request that went through `ClientAddress`."""
    context: RequestContext = scope[SCOPE_KEY]
    return context
