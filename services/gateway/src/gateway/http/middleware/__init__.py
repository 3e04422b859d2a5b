"""The way of every request through the gateway: a chain of small ASGI middlewares, each with one duty.

Pure ASGI, since bodies are streamed both ways and every picture of every camera passes here.
"""

from collections.abc import Callable, Mapping
from functools import partial

from starlette.types import ASGIApp

from gateway.domain.clients import TrustedProxies
from gateway.domain.cors import CorsPolicy
from gateway.domain.routes import RouteTable
from gateway.handlers.upstreams import Upstream
from gateway.http.middleware.authentication import Authentication
from gateway.http.middleware.client_address import ClientAddress
from gateway.http.middleware.cors import Cors
from gateway.http.middleware.error_responses import ErrorResponses
from gateway.http.middleware.forward import Forward, WaitOptions
from gateway.http.middleware.path_check import PathCheck
from gateway.http.middleware.rate_limit import RateLimitCheck
from gateway.http.middleware.response_headers import ResponseHeaders
from gateway.http.middleware.size_limit import SizeLimit
from gateway.http.middleware.startup import Startup
from gateway.http.rate_limiter import RateLimiter
from gateway.metrics import GatewayMetrics
from kit.auth import TokenVerifier
from kit.health import Health
from kit.logging import Logger

__all__ = ["WaitOptions", "build_chain"]


def build_chain(
    *,
    table: RouteTable,
    upstreams: Mapping[str, Upstream],
    own: ASGIApp,
    verifier: TokenVerifier,
    limiter: RateLimiter,
    cors: CorsPolicy,
    trusted_proxies: TrustedProxies,
    hsts_s: int,
    wait: WaitOptions,
    health: Health,
    logger: Logger,
    metrics: GatewayMetrics,
) -> ASGIApp:
    """The chain; `own` is the application with the gateway's own routes and pages."""
    middlewares: tuple[Callable[[ASGIApp], ASGIApp], ...] = (  # in the order in which a request meets them
        partial(ClientAddress, trusted_proxies=trusted_proxies),
        partial(ResponseHeaders, hsts_s=hsts_s),
        partial(ErrorResponses, logger=logger, metrics=metrics),
        # Outside the path check, so that a page of another origin can read that check's refusal too.
        partial(Cors, policy=cors),
        partial(PathCheck, table=table),
        partial(Startup, health=health),
        partial(Authentication, verifier=verifier, limiter=limiter),
        partial(RateLimitCheck, limiter=limiter),
        SizeLimit,
    )
    app: ASGIApp = Forward(upstreams=upstreams, own=own, wait=wait, metrics=metrics)
    for middleware in reversed(middlewares):
        app = middleware(app)
    return app
