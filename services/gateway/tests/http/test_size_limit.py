"""The size limit by itself; the route of these requests allows 1000 bytes."""

import pytest

from gateway.http.middleware.size_limit import SizeLimit
from kit.errors import TooLarge, UpstreamFailed
from kit.http_edge import DRAIN_BYTES

CLOSE = (b"connection", b"close")


@pytest.mark.parametrize(
    ("declared", "chunks"),
    [(None, [b"x" * 600, b"x" * 400]), (1000, [b"x" * 1000]), (None, [b""])],
)
async def test_bodies_up_to_the_limit_pass(call, body, declared, chunks):
    call.on_route()
    headers = [("Content-Length", str(declared))] if declared is not None else []
    await SizeLimit(call.next)(call.scope(method="POST", headers=headers), body(*chunks), call.send)
    assert call.status == 200


@pytest.mark.parametrize(
    ("declared_bytes", "is_drained"), [(1001, True), (1000 + DRAIN_BYTES, True), (1001 + DRAIN_BYTES, False)]
)
async def test_a_body_declared_too_large_is_refused_unread_or_drained(call, body, declared_bytes, is_drained):
    call.on_route()
    receive = body(b"a", b"b", b"c")
    scope = call.scope(method="POST", headers=[("Content-Length", str(declared_bytes))])
    with pytest.raises(TooLarge):
        await SizeLimit(call.next)(scope, receive, call.send)
    assert call.seen is None
    assert ((await receive())["type"] == "http.disconnect") is is_drained
    assert (CLOSE in call.context.response_headers) is not is_drained


async def test_a_body_that_grows_too_large_is_refused_and_the_connection_closed(call, body):
    call.on_route()
    with pytest.raises(TooLarge):
        await SizeLimit(call.next)(call.scope(method="POST"), body(b"x" * 600, b"x" * 600), call.send)
    assert call.sent == []
    assert CLOSE in call.context.response_headers


@pytest.mark.parametrize("reaction", ["respond", "raise"])
async def test_what_a_service_makes_of_an_incomplete_body_is_dropped(call, body, reaction):
    call.on_route()

    async def service(scope, receive, send):
        try:
            while True:
                await receive()
        except TooLarge as error:
            if reaction == "raise":
                raise UpstreamFailed("bad body") from error
            await send({"type": "http.response.start", "status": 400, "headers": []})

    with pytest.raises(TooLarge):
        await SizeLimit(service)(call.scope(method="POST"), body(b"x" * 600, b"x" * 600), call.send)
    assert call.sent == []


async def test_an_error_of_the_service_is_raised_where_the_body_is_not_too_large(call, body):
    call.on_route()

    async def service(scope, receive, send):
        raise UpstreamFailed("broken")

    with pytest.raises(UpstreamFailed):
        await SizeLimit(service)(call.scope(method="POST"), body(b"x"), call.send)


async def test_a_response_that_began_before_the_limit_is_left_incomplete(call, body):
    call.on_route()

    async def service(scope, receive, send):
        call.context.is_response_started = True
        while True:
            await receive()

    await SizeLimit(service)(call.scope(method="POST"), body(b"x" * 600, b"x" * 600), call.send)
    assert call.sent == []
