"""The end of the chain by itself: where requests go, and how long a service may be silent."""

import asyncio

import pytest

from gateway.domain.routes import OWN_SERVICE, Match
from gateway.http.middleware.context import SCOPE_KEY
from gateway.http.middleware.forward import Forward, WaitOptions
from gateway.metrics import GatewayMetrics
from kit.errors import UpstreamFailed, UpstreamTimeout
from kit.metrics import Metrics

from .virtual_time import run

WAIT = WaitOptions(margin_s=5.0, max_wait_s=60.0)


class Upstream:
    """An upstream that sends each part of its response after a pause."""

    def __init__(self, *pauses_s, error=None):
        self.pauses_s, self.error, self.seen = pauses_s, error, {}

    async def forward(self, scope, receive, send):
        self.seen = scope
        for position, pause_s in enumerate(self.pauses_s):
            await asyncio.sleep(pause_s)  # the pace of the upstream
            if position == 0:
                headers = [(b"X-Own", b"1"), (b"Connection", b"close"), (b"Date", b"today")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            else:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        if self.error is not None:
            raise self.error


def forward(call, upstream, *, own=None, metrics=None):
    return Forward(
        upstreams={"echo": upstream},
        own=own or call.next,
        wait=WAIT,
        metrics=GatewayMetrics(metrics or Metrics("gateway")),
    )


async def no_body():
    return {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    ("prefer", "pauses_s", "is_timeout"),
    [
        (None, [4.9, 4.9, 4.9, 4.9], False),  # longer than the timeout in all, and never silent for so long
        (None, [5.1], True),
        (None, [1, 5.1], True),
        ("wait=10", [14.9], False),
        ("wait=10", [15.1], True),
        ("wait=900", [64.9], False),
        ("wait=900", [65.1], True),
        ("wait=1", [5.9], False),
    ],
)
def test_how_long_a_service_may_be_silent(call, prefer, pauses_s, is_timeout):
    call.on_route(timeout_s=5.0)
    headers = [("Prefer", prefer)] if prefer else []
    request = forward(call, Upstream(*pauses_s))(call.scope(headers=headers), no_body, call.send)
    if is_timeout:
        with pytest.raises(UpstreamTimeout, match="echo did not answer"):
            run(request)
    else:
        run(request)
        assert len(call.sent) == len(pauses_s)


async def test_the_service_gets_its_own_path_and_the_clients_address(call):
    call.on_route()
    upstream = Upstream()
    call.context.match = Match(call.context.match.route, b"/api/v1/echo/a%20b")
    await forward(call, upstream)(call.scope("/echo/a%20b", headers=[("Host", "h")]), no_body, call.send)
    assert (upstream.seen["path"], upstream.seen["raw_path"]) == ("/api/v1/echo/a b", b"/api/v1/echo/a%20b")
    assert upstream.seen["client"] == ("192.0.2.7", 0)
    assert dict(upstream.seen["headers"])[b"x-forwarded-for"] == b"192.0.2.7"
    assert SCOPE_KEY not in upstream.seen


async def test_the_response_loses_the_headers_of_its_connection(call):
    call.on_route()
    await forward(call, Upstream(0))(call.scope(), no_body, call.send)
    assert call.headers == [(b"x-own", b"1")]


@pytest.mark.parametrize(("is_started", "count"), [(True, 1.0), (False, None)])
async def test_a_response_that_breaks_off_is_counted(call, metrics, is_started, count):
    call.on_route()
    call.context.is_response_started = is_started
    with pytest.raises(UpstreamFailed):
        await forward(call, Upstream(error=UpstreamFailed("x")), metrics=metrics)(
            call.scope(), no_body, call.send
        )
    name = "lookout_gateway_upstream_responses_broken_off_total"
    assert metrics.registry.get_sample_value(name, {"upstream": "echo"}) == count


@pytest.mark.parametrize("has_route", [True, False])
async def test_own_routes_are_called_in_place(call, has_route):
    scope = call.scope("/users")
    if has_route:
        call.on_route(service=OWN_SERVICE)
    await forward(call, Upstream())(scope, no_body, call.send)
    assert call.seen is scope
    assert scope["path"] == ("/api/v1/echo" if has_route else "/users")
    assert scope["client"] == ("192.0.2.7", 0)


async def test_there_is_no_websocket_of_the_gateway_itself(call):
    await forward(call, Upstream())(call.scope("/", kind="websocket"), no_body, call.send)
    assert call.sent[0]["type"] == "websocket.close"
