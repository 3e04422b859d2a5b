"""Limits of connections, on real sockets: how many, and how slow a client may be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from kit.service import ServiceRunner
from kit.settings import HttpSettings
from testkit.waiting import eventually

pytestmark = pytest.mark.integration

HEAD = b"POST /api/v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


def router() -> APIRouter:
    made = APIRouter(prefix="/api/v1")

    @made.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @made.get("/large")
    async def large() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(400):
                yield b"x" * 100_000

        return StreamingResponse(parts())

    return made


def settings(**limits: Any) -> HttpSettings:
    return HttpSettings(host="127.0.0.1", port=0, **limits)


class Client:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def is_closed(self) -> bool:
        """Whether the server has closed it, without an answer."""
        try:
            async with asyncio.timeout(0.05):
                return await self.reader.read(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    async def rest(self) -> bytes:
        """Everything until the server closes it."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.close()


Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections; all are closed at the end."""
    clients: list[Client] = []

    async def open_one(port: int, source: str = "127.0.0.1", **options: Any) -> Client:
        clients.append(
            Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0), **options))
        )
        return clients[-1]

    yield open_one
    for client in clients:
        client.close()
        with suppress(OSError):
            await client.writer.wait_closed()


def metric(toy: Any, name: str) -> float:
    for line in toy.service.metrics.render().decode().splitlines():
        if line.startswith(f"lookout_toy_{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


async def test_a_connection_without_a_request_is_closed(toy: Any, connect: Connect) -> None:
    started = await toy(router(), http=settings(head_timeout_s=0.2))
    silent = await connect(started.runner.http["toy"].port)
    assert await silent.rest() == b""
    assert metric(started, 'http_connections_closed_total{reason="slow_head"}') == 1
    assert metric(started, "http_connections") == 0
    [line] = started.lines("http_connections_closed")
    assert (line["reason"], line["count"], line["address"]) == ("slow_head", 1, "127.0.0.1")


@pytest.mark.parametrize(
    "before", [b"", b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["first", "second"]
)
async def test_a_head_that_is_never_complete_is_answered_408(
    toy: Any, connect: Connect, before: bytes
) -> None:
    started = await toy(router(), http=settings(head_timeout_s=0.3))
    slow = await connect(started.runner.http["toy"].port)
    if before:
        await slow.send(before)
        assert b"200 OK" in await slow.reader.readuntil(b"\r\n\r\n")
        await slow.reader.readuntil(b"}")
    await slow.send(b"GET /health/live HT")
    answer = await slow.rest()
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"application/problem+json" in answer
    assert b'"code": "request_too_slow"' in answer


async def send_without_end(client: Client, data: bytes) -> bytes:
    """What the server answers before it closes the connection."""
    reading = asyncio.create_task(client.rest())
    with suppress(ConnectionError):
        for _ in range(1000):
            await client.send(data)
            if reading.done():
                break
    with suppress(ConnectionError):
        return await reading
    return b""


@pytest.mark.parametrize(
    ("start", "data"),
    [
        (b"GET /health/live HTTP/1.1\r\nHost: a\r\n", b"X-Many: %s\r\n" % (b"a" * 50) * 1000),
        (b"GET /health/live HTTP/1.1\r\nX-Long: ", b"a" * 60_000),
        (b"GET /", b"a" * 60_000),
    ],
    ids=["many headers", "a long header", "a long path"],
)
async def test_a_head_without_end_is_answered_431(
    toy: Any, connect: Connect, start: bytes, data: bytes
) -> None:
    started = await toy(router(), http=settings())
    client = await connect(started.runner.http["toy"].port)
    await client.send(start)
    answer = await send_without_end(client, data)
    assert not answer or answer.startswith(b"HTTP/1.1 431 ")  # lost where the client sent more meanwhile
    assert metric(started, 'http_connections_closed_total{reason="large_head"}') == 1


@pytest.mark.parametrize(
    ("start", "data"),
    [(b"1\r\na\r\n0\r\n", b"X-Trailer: %s\r\n" % (b"a" * 50) * 1000), (b"1;", b"a" * 60_000)],
    ids=["trailers", "an extension of a chunk"],
)
async def test_what_is_no_body_ends_a_chunked_request(
    toy: Any, connect: Connect, start: bytes, data: bytes
) -> None:
    started = await toy(router(), http=settings())
    client = await connect(started.runner.http["toy"].port)
    await client.send(b"POST /api/v1/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + start)
    await send_without_end(client, data)
    assert metric(started, 'http_connections_closed_total{reason="large_head"}') == 1


async def test_a_large_head_many_requests_and_a_large_body_are_read(toy: Any, connect: Connect) -> None:
    started = await toy(router(), http=settings())
    client = await connect(started.runner.http["toy"].port)
    await client.send(b"GET /health/live HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n" % (b"a" * 60_000) * 5)
    for _ in range(5):
        assert b"200 OK" in await client.reader.readuntil(b"}")
    assert (await started.client.post("/api/v1/echo", content=b"x" * 900_000)).json() == 900_000


async def test_a_body_that_comes_too_slowly_is_answered_408_and_is_not_our_error(
    toy: Any, connect: Connect
) -> None:
    started = await toy(router(), http=settings(body_grace_s=0.5, min_body_bytes_per_s=1000))
    slow = await connect(started.runner.http["toy"].port)
    await slow.send(HEAD)
    reading = asyncio.create_task(slow.rest())
    while not reading.done():
        with suppress(ConnectionError):
            await slow.send(b"x")
        await asyncio.wait({reading}, timeout=0.05)
    assert reading.result().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    await eventually(lambda: started.lines("http_request"))
    [line] = started.lines("http_request")
    assert (line["status"], line["route"]) == (408, "/api/v1/echo")
    assert not started.lines("http_unhandled_error")


async def test_a_steady_body_may_take_longer_than_the_grace(toy: Any, connect: Connect) -> None:
    started = await toy(router(), http=settings(body_grace_s=0.5, min_body_bytes_per_s=1000))

    async def body() -> AsyncIterator[bytes]:
        for _ in range(25):
            yield b"x" * 500
            await asyncio.sleep(0.1)

    assert (await started.client.post("/api/v1/echo", content=body())).json() == 12_500


async def test_a_client_that_takes_no_response_is_disconnected(toy: Any, connect: Connect) -> None:
    started = await toy(router(), http=settings(write_timeout_s=0.3))
    lazy = await connect(started.runner.http["toy"].port, limit=1000)
    await lazy.send(b"GET /api/v1/large HTTP/1.1\r\nHost: a\r\n\r\n")
    await eventually(lambda: metric(started, 'http_connections_closed_total{reason="slow_reader"}') == 1)


async def test_the_connection_that_is_idle_longest_makes_room_for_another_of_its_address(
    toy: Any, connect: Connect
) -> None:
    started = await toy(router(), http=settings(max_connections_per_address=3))
    port = started.runner.http["toy"].port
    first, second, third = [await connect(port) for _ in range(3)]
    await eventually(lambda: metric(started, "http_connections") == 3)
    await first.send(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")  # it is the newest now
    await first.reader.readuntil(b"}")
    await third.send(HEAD)
    other_address = await connect(port, "127.0.0.2")
    fourth = await connect(port)
    assert await second.rest() == b""
    fifth = await connect(port)
    assert await first.rest() == b""
    for one in (third, fourth, fifth, other_address):
        assert not await one.is_closed()
    await fourth.send(HEAD)
    await fifth.send(HEAD)
    await eventually(lambda: metric(started, "http_connections") == 4)
    refused = await connect(port)
    assert await refused.is_closed() or await refused.rest() == b""
    assert metric(started, 'http_connections_closed_total{reason="too_many_of_address"}') == 3
    assert len(started.lines("http_connections_closed")) == 1


async def test_idle_connections_of_all_addresses_make_room_at_the_limit(toy: Any, connect: Connect) -> None:
    started = await toy(router(), http=settings(max_connections=5))
    port = started.runner.http["toy"].port
    for number in range(20):
        await connect(port, f"127.0.0.{number + 2}")
    async with httpx.AsyncClient(base_url=started.runner.url("toy")) as camera:
        assert (await camera.get("/health/live")).status_code == 200
    await eventually(lambda: metric(started, "http_connections") <= 5)


async def test_proxies_of_the_operator_have_no_limit(toy: Any, connect: Connect, build: Any) -> None:
    started = await toy(router(), http=settings(max_connections_per_address=1))
    connections = started.runner.http["toy"].connections
    assert [connections.is_unlimited(address) for address in ("127.0.0.1", "10.1.2.3", "unix:")] == [
        False
    ] * 3
    service = build(router(), http=settings(max_connections_per_address=1))
    service.proxy_networks = ("127.0.0.0/8",)
    runner = ServiceRunner([service])
    await runner.start()
    try:
        many = [await connect(runner.http["toy"].port) for _ in range(5)]
        for one in many:
            await one.send(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            await one.reader.readuntil(b"}")
    finally:
        await runner.stop()


async def accept(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that accepts a WebSocket and sends nothing."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


async def test_a_websocket_may_be_silent_and_is_counted(build: Any, connect: Connect) -> None:
    service = build(http=settings(head_timeout_s=0.2))
    service.app = accept
    runner = ServiceRunner([service])
    await runner.start()
    try:
        port = runner.http["toy"].port
        socket = await connect(port)
        await socket.send(
            b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b"101" in await socket.reader.readuntil(b"\r\n\r\n")
        silent = await connect(port)
        assert await silent.rest() == b""  # the time of a head has passed
        assert not await socket.is_closed()
        assert len(runner.http["toy"].connections) == 1
        socket.close()
        await eventually(lambda: not len(runner.http["toy"].connections))
    finally:
        await runner.stop()
