"""Client address, path check, startup, authentication and rate limit, each by itself."""

import pytest

from gateway.domain.clients import TrustedProxies
from gateway.domain.rate_limits import RateLimit
from gateway.domain.routes import OWN_SERVICE, BodyLimit, parse_route_table
from gateway.http.middleware.authentication import Authentication, bearer_token
from gateway.http.middleware.client_address import ClientAddress
from gateway.http.middleware.context import context_of
from gateway.http.middleware.path_check import PathCheck
from gateway.http.middleware.rate_limit import RateLimitCheck
from gateway.http.middleware.startup import Startup
from gateway.http.rate_limiter import RateLimiter
from kit.auth import Principal, TokenVerifier
from kit.errors import Invalid, RateLimited, Unauthenticated, Unavailable
from kit.health import Health

TABLE = parse_route_table(
    {
        "rate_limits": {"plenty": "1000/second"},
        "defaults": {"rate_limit": "plenty"},
        "routes": [{"prefix": "/api/v1/echo", "aliases": ["/echo"], "service": "echo"}],
    },
    {"echo"},
    {"default": BodyLimit(1_000_000, "")},
)


class Tokens(TokenVerifier):
    """Accepts one token."""

    def __init__(self):
        pass

    async def verify(self, token):
        if token != "good":
            raise Unauthenticated("not a token", code="token_invalid")
        return Principal(7, "alice", frozenset(), frozenset(), token)


@pytest.mark.parametrize(
    ("headers", "scheme", "address", "proto"),
    [
        ([], "http", "192.0.2.7", "http"),
        ([], "wss", "192.0.2.7", "https"),
        (
            [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")],
            "http",
            "203.0.113.9",
            "https",
        ),
    ],
)
async def test_the_context_has_the_clients_address_and_scheme(call, body, headers, scheme, address, proto):
    middleware = ClientAddress(call.next, trusted_proxies=TrustedProxies(("192.0.2.0/24",)))
    scope = call.scope(headers=headers, scheme=scheme)
    await middleware(scope, body(b""), call.send)
    client = context_of(call.seen).client
    assert (client.address, client.proto) == (address, proto)


@pytest.mark.parametrize(
    ("path", "upstream_path"),
    [("/echo", b"/api/v1/echo"), ("/api/v1/echo/a%20b", b"/api/v1/echo/a%20b"), ("/elsewhere", None)],
)
async def test_the_path_check_finds_the_route(call, body, path, upstream_path):
    await PathCheck(call.next, table=TABLE)(call.scope(path), body(b""), call.send)
    match = call.context.match
    assert (match and match.upstream_path) == upstream_path
    assert call.seen.get("route") is (match and match.route)


@pytest.mark.parametrize("path", ["/echo/../x", "/echo//x", "/echo%2fx"])
async def test_the_path_check_refuses_ambiguous_paths(call, body, path):
    with pytest.raises(Invalid) as refused:
        await PathCheck(call.next, table=TABLE)(call.scope(path), body(b""), call.send)
    assert (refused.value.code, call.seen) == ("unsafe_path", None)


@pytest.mark.parametrize(
    ("is_starting", "route", "is_refused"),
    [
        (False, {"is_public": False}, False),
        (True, {"is_public": True}, False),
        (True, {"is_public": False}, True),
        (True, {"is_public": True, "service": OWN_SERVICE}, True),
        (True, None, False),
    ],
)
async def test_startup_refuses_what_needs_the_database(call, body, is_starting, route, is_refused):
    health = Health()
    if is_starting:
        health.refuse_calls("the service is still starting")
    if route is not None:
        call.on_route(**route)
    middleware = Startup(call.next, health=health)
    if is_refused:
        with pytest.raises(Unavailable, match="still starting"):
            await middleware(call.scope(), body(b""), call.send)
    else:
        await middleware(call.scope(), body(b""), call.send)
    assert (call.seen is None) is is_refused


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Bearer", ""),
        ("Basic YTpi", None),
    ],
)
def test_the_bearer_token_of_a_header(header, token):
    headers = [] if header is None else [(b"authorization", header.encode())]
    assert bearer_token(headers) == token


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("is_public", "header", "user_id"), [(False, "Bearer good", 7), (True, "Bearer bad", None)]
)
async def test_authentication_sets_the_principal(call, body, kind, is_public, header, user_id):
    call.on_route(is_public=is_public)
    middleware = Authentication(call.next, verifier=Tokens(), limiter=RateLimiter())
    await middleware(call.scope(kind=kind, headers=[("Authorization", header)]), body(b""), call.send)
    assert (call.context.principal and call.context.principal.user_id) == user_id


async def test_authentication_counts_wrong_tokens_for_the_address(call, body):
    call.on_route(is_public=False, rate_limit=RateLimit("two", 2, 60.0))
    middleware = Authentication(call.next, verifier=Tokens(), limiter=RateLimiter())
    scope = call.scope(headers=[("Authorization", "Bearer bad")])
    for error in (Unauthenticated, Unauthenticated, RateLimited):
        with pytest.raises(error):
            await middleware(scope, body(b""), call.send)
    assert call.seen is None


async def test_the_rate_limit_counts_users_and_addresses_apart(call, body):
    call.on_route(rate_limit=RateLimit("one", 1, 60.0))
    middleware = RateLimitCheck(call.next, limiter=RateLimiter())
    await middleware(call.scope(), body(b""), call.send)
    with pytest.raises(RateLimited) as refused:
        await middleware(call.scope(), body(b""), call.send)
    assert refused.value.retry_after_s == 60
    call.context.principal = Principal(7, "alice", frozenset(), frozenset(), "id")
    call.context.response_headers.clear()
    await middleware(call.scope(), body(b""), call.send)
    assert call.context.response_headers == [
        (b"ratelimit-limit", b"1"),
        (b"ratelimit-remaining", b"0"),
        (b"ratelimit-reset", b"60"),
    ]


async def test_paths_without_a_route_need_no_token_and_are_not_counted(call, body):
    limiter = RateLimiter()
    app = Authentication(RateLimitCheck(call.next, limiter=limiter), verifier=Tokens(), limiter=limiter)
    await app(call.scope("/"), body(b""), call.send)
    assert (call.status, len(limiter)) == (200, 0)
