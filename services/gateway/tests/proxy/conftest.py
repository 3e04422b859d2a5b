import time

import aiohttp
import pytest

from gateway.adapters.asgi_upstream import AsgiUpstream
from gateway.adapters.http_upstream import HttpUpstream, HttpUpstreamOptions
from gateway.domain.clients import TrustedProxies
from gateway.domain.cors import CorsPolicy
from gateway.domain.routes import parse_route_table
from gateway.http.middleware import WaitOptions, build_chain
from gateway.http.rate_limiter import RateLimiter
from gateway.metrics import GatewayMetrics
from kit.auth import Principal
from kit.errors import Unauthenticated
from kit.health import Health
from kit.http_edge import Edge
from kit.size_limits import NO_BODY_LIMIT

OPTIONS = HttpUpstreamOptions(
    connect_timeout_s=5.0,
    connect_attempts=2,
    connect_retry_s=0.01,
    keep_alive_s=5.0,
    max_connections=100,
    max_ws_message_bytes=1_000_000,
    retry_after_s=5,
    circuit_max_failures=50,
    circuit_open_s=1.0,
)


class Tokens:
    """Accepts two tokens; the real verifier has its own tests."""

    async def verify(self, token):
        users = {"alice-token": 7, "bob-token": 8}
        if token is None:
            raise Unauthenticated("no token", code="token_missing")
        if token not in users:
            raise Unauthenticated("not a token", code="token_invalid")
        return Principal(users[token], token, frozenset(), frozenset(), token)


def table(**changes):
    route = {"prefix": "/api/v1/echo", "aliases": ["/echo"], "service": "echo", "public": True}
    return parse_route_table(
        {
            "rate_limits": {"plenty": "100000/second", "three": "3/minute"},
            "defaults": {"rate_limit": "plenty", "timeout_s": 5, "max_body_bytes": 50_000_000},
            "routes": [
                {**route, **changes},
                {"prefix": "/api/v1/small", "service": "echo", "public": True, "max_body_bytes": 1000},
                {"prefix": "/api/v1/quick", "service": "echo", "public": True, "timeout_s": 1.0},
                {"prefix": "/api/v1/closed", "service": "echo"},
                {"prefix": "/api/v1/few", "service": "echo", "public": True, "rate_limit": "three"},
                {"prefix": "/api/v1/few-closed", "service": "echo", "rate_limit": "three"},
                {"prefix": "/api/v1/own", "aliases": ["/own"], "service": "gateway", "public": True},
            ],
        },
        {"echo", "gateway"},
        {},
    )


async def own_app(scope, receive, send):
    """In place of the gateway's own routes: responds with the requested path."""
    body = f"own {scope['path']}".encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


class Builder:
    def __init__(self, serve, logger, metrics):
        self.serve, self.logger, self.metrics, self.started = serve, logger, metrics, []

    def gateway(self, upstream, **changes):
        parts = {
            "table": table(),
            "upstreams": {"echo": upstream},
            "own": own_app,
            "verifier": Tokens(),
            "limiter": RateLimiter(),
            "cors": CorsPolicy(),
            "trusted_proxies": TrustedProxies(),
            "hsts_s": 0,
            "wait": WaitOptions(margin_s=0.2, max_wait_s=60.0),
            "health": Health(),
            "logger": self.logger,
            "metrics": GatewayMetrics(self.metrics),
        }
        chain = build_chain(**{**parts, **changes})
        return Edge(
            chain,
            service="gateway",
            logger=self.logger,
            metrics=self.metrics,
            health=Health(),
            body_limit=NO_BODY_LIMIT,
        )

    async def http(self, app, **changes):
        """The gateway's address, with `app` behind it over HTTP; `app` may also be a base URL."""
        url = app if isinstance(app, str) else (await self.serve(app)).url
        options, clock = changes.pop("upstream_options", OPTIONS), changes.pop("monotonic", time.monotonic)
        upstream = HttpUpstream("echo", url, options, monotonic=clock)
        await upstream.start()
        self.started.append(upstream)
        return (await self.serve(self.gateway(upstream, **changes))).url

    async def asgi(self, app, **changes):
        """The same with `app` in this process."""
        upstream = AsgiUpstream("echo", {"echo": app}, self.logger)
        return (await self.serve(self.gateway(upstream, **changes))).url


@pytest.fixture
async def build(serve, logger, metrics):
    builder = Builder(serve, logger, metrics)
    yield builder
    for upstream in builder.started:
        await upstream.stop()


@pytest.fixture(params=["http", "asgi"])
def behind(request, build):
    """Serves an application behind the gateway, over HTTP and in this process."""
    return getattr(build, request.param)


@pytest.fixture
async def client():
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session
