"""Security headers, error responses and CORS, each by itself."""

import json

import pytest

from gateway.domain.clients import Client
from gateway.domain.cors import CorsPolicy
from gateway.http.middleware.context import RequestContext
from gateway.http.middleware.cors import Cors
from gateway.http.middleware.error_responses import ErrorResponses
from gateway.http.middleware.response_headers import API_POLICY, SECURITY_HEADERS, ResponseHeaders
from gateway.metrics import GatewayMetrics
from kit.errors import Invalid, Unauthenticated, Unavailable

LISTED = CorsPolicy.parse(("https://portal.example",))
PORTAL = ("Origin", "https://portal.example")
PREFLIGHT = ("Access-Control-Request-Method", "POST")


async def test_security_headers_are_added_to_those_in_the_context(call, body):
    call.context.response_headers.append((b"x-more", b"2"))
    await ResponseHeaders(call.next, hsts_s=600)(call.scope(), body(b""), call.send)
    assert call.headers == [(b"x-own", b"1"), (b"x-more", b"2"), *SECURITY_HEADERS, API_POLICY]
    assert call.context.is_response_started


async def test_a_page_keeps_its_own_policy_and_gets_each_security_header_once(call, body):
    own = [(b"content-security-policy", b"default-src 'self'"), (b"x-frame-options", b"SAMEORIGIN")]

    async def page(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": own})

    await ResponseHeaders(page, hsts_s=0)(call.scope(), body(b""), call.send)
    assert call.headers == [own[0], *SECURITY_HEADERS]


@pytest.mark.parametrize(
    ("proto", "hsts_s", "is_sent"), [("https", 600, True), ("https", 0, False), ("http", 600, False)]
)
async def test_hsts_is_for_clients_over_tls(call, body, proto, hsts_s, is_sent):
    call.context = RequestContext(Client("192.0.2.7", "192.0.2.7", proto))
    await ResponseHeaders(call.next, hsts_s=hsts_s)(call.scope(), body(b""), call.send)
    assert ((b"strict-transport-security", b"max-age=600") in call.headers) is is_sent


@pytest.fixture
def raising(call, logger, metrics):
    """An `ErrorResponses` around an application that raises."""

    def build(error):
        async def app(scope, receive, send):
            raise error

        return ErrorResponses(app, logger=logger, metrics=GatewayMetrics(metrics))

    return build


async def test_an_error_becomes_a_problem(call, body, raising, metrics):
    error = Unavailable("Not now.", code="starting", retry_after_s=2)
    await raising(error)(call.scope(), body(b""), call.send)
    assert call.status == 503
    assert {(b"content-type", b"application/problem+json"), (b"retry-after", b"2")} <= set(call.headers)
    assert json.loads(call.sent[1]["body"])["code"] == "starting"
    assert b'http_requests_refused_total{code="starting"} 1.0' in metrics.render()


async def test_an_error_in_mid_response_breaks_it_off(call, body, raising, log_lines):
    call.context.is_response_started = True
    await raising(Unavailable("gone", code="upstream_down"))(call.scope(), body(b""), call.send)
    assert call.sent == []
    assert "response_broken_off" in log_lines.getvalue()


@pytest.mark.parametrize(
    ("extensions", "sent"),
    [
        ({"websocket.http.response": {}}, {"type": "websocket.http.response.start", "status": 401}),
        ({}, {"type": "websocket.close", "code": 1008, "reason": "token_missing"}),
    ],
)
async def test_a_websocket_is_refused_as_the_server_can(call, body, raising, extensions, sent):
    scope = call.scope(kind="websocket", extensions=extensions)
    await raising(Unauthenticated("no token", code="token_missing"))(scope, body(b""), call.send)
    assert sent.items() <= call.sent[0].items()


@pytest.mark.parametrize(
    ("headers", "method", "allowed_origin"),
    [
        ([PORTAL], "GET", b"https://portal.example"),
        ([("Origin", "https://evil.example")], "GET", None),
        ([PORTAL], "OPTIONS", b"https://portal.example"),
    ],
)
async def test_cors_headers_of_a_forwarded_request(call, body, headers, method, allowed_origin):
    await Cors(call.next, policy=LISTED)(call.scope(method=method, headers=headers), body(b""), call.send)
    assert call.status == 200
    assert dict(call.context.response_headers).get(b"access-control-allow-origin") == allowed_origin


async def test_a_preflight_is_answered_here(call, body):
    scope = call.scope(method="OPTIONS", headers=[PORTAL, PREFLIGHT])
    await Cors(call.next, policy=LISTED)(scope, body(b""), call.send)
    assert (call.status, call.seen) == (204, None)
    assert b"access-control-allow-methods" in dict(call.context.response_headers)


async def test_a_preflight_of_an_unlisted_origin_raises(call, body):
    scope = call.scope(method="OPTIONS", headers=[("Origin", "https://evil.example"), PREFLIGHT])
    with pytest.raises(Invalid, match="origin"):
        await Cors(call.next, policy=LISTED)(scope, body(b""), call.send)
    assert call.context.response_headers == []


async def test_websockets_get_no_cors_headers(call, body):
    await Cors(call.next, policy=LISTED)(call.scope(kind="websocket", headers=[PORTAL]), body(b""), call.send)
    assert call.context.response_headers == []
