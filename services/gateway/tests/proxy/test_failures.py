"""Services that are away, slow or broken, and clients that leave."""

import asyncio
import contextlib
import json

import aiohttp
import pytest

from gateway.adapters.http_upstream import HttpUpstreamOptions
from gateway.domain.circuit import CircuitPolicy
from testkit import eventually


def address_of(server):
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def ok(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_a_service_that_is_away_is_told_at_once(build, client, free_port):
    url = await build.http(f"http://127.0.0.1:{free_port}")
    async with client.post(f"{url}/echo", data=b"x" * 100_000) as response:
        problem = await response.json()
        assert (response.status, problem["code"], response.headers["retry-after"]) == (
            503,
            "upstream_down",
            "5",
        )
        assert response.content_type == "application/problem+json"
        assert problem["trace_id"] == response.headers["x-trace-id"]


async def test_a_service_that_is_not_in_this_process_is_told(build, client):
    url = await build.asgi(None)
    async with client.get(f"{url}/echo") as response:
        assert (response.status, (await response.json())["code"]) == (503, "upstream_down")
        assert "retry-after" in response.headers


async def test_a_service_that_comes_back_is_used_again(build, client, serve, free_port):
    url = await build.http(f"http://127.0.0.1:{free_port}")
    async with client.get(f"{url}/echo") as response:
        assert response.status == 503
    first = await serve(ok, port=free_port)
    async with client.get(f"{url}/echo") as response:
        assert response.status == 200
    await first.stop()
    async with client.get(f"{url}/echo") as response:
        assert response.status == 503
    await serve(ok, port=free_port)
    async with client.get(f"{url}/echo") as response:
        assert response.status == 200


async def test_an_open_circuit_spares_a_dead_service(build, client, serve, free_port):
    options = HttpUpstreamOptions(
        connect_timeout_s=0.5,
        connect_attempts=1,
        connect_retry_s=0.01,
        keep_alive_s=5.0,
        max_connections=100,
        max_ws_message_bytes=1000,
        retry_after_s=5,
        circuit=CircuitPolicy(max_failures=2, pause_s=0.3),
    )
    url = await build.http(f"http://127.0.0.1:{free_port}", upstream_options=options)

    async def status():
        async with client.get(f"{url}/echo") as response:
            return response.status

    assert [await status(), await status()] == [503, 503]
    await serve(ok, port=free_port)
    assert await status() == 503  # nobody asked it

    async def is_back():
        return await status() == 200

    await eventually(is_back)


async def test_a_service_that_does_not_answer_is_given_up(behind, client):
    cancelled = asyncio.Event()

    async def app(scope, receive, send):
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            cancelled.set()

    url = await behind(app)
    async with client.get(f"{url}/api/v1/quick") as response:
        assert (response.status, (await response.json())["code"]) == (504, "upstream_timeout")
    await asyncio.wait_for(cancelled.wait(), 5)


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_an_upload_over_a_connection_that_has_just_closed_is_told_at_once(build, client, method):
    """What a client library would repeat by itself cannot be: the body has gone by."""
    taken = []

    async def one_answer_a_connection(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(5)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await reader.readuntil(b"\r\n\r\n")
            taken.append("again")
        writer.close()

    server = await asyncio.start_server(one_answer_a_connection, "127.0.0.1", 0)
    async with server:
        url = await build.http(address_of(server))
        for status in (200, 503):
            async with asyncio.timeout(3), client.request(method, f"{url}/echo", data=b"hello") as response:
                assert response.status == status
    assert taken == ["again"]


async def test_an_upload_that_never_ends_is_given_up(behind):
    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await ok(scope, receive, send)

    url = await behind(app)
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /api/v1/quick HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    head = await asyncio.wait_for(reader.readline(), 5)
    assert b"504" in head
    writer.close()
    await writer.wait_closed()


async def test_a_slow_answer_is_fine_while_it_moves(behind, client):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(5):
            await asyncio.sleep(0.08)  # all of it takes longer than the route's timeout of 0.2 s
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body"})

    url = await behind(app)
    async with client.get(f"{url}/api/v1/quick") as response:
        assert await response.read() == b"xxxxx"


async def test_an_answer_that_stops_half_way_is_broken_off(behind, client, log_lines):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.Event().wait()

    url = await behind(app)
    async with client.get(f"{url}/api/v1/quick") as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert "response_broken_off" in log_lines.getvalue()


async def test_a_client_that_would_wait_is_given_the_time(behind, client):
    async def app(scope, receive, send):
        await asyncio.sleep(0.5)
        await ok(scope, receive, send)

    url = await behind(app)
    async with client.get(f"{url}/api/v1/quick", headers={"Prefer": "wait=1"}) as response:
        assert response.status == 200
    async with client.get(f"{url}/api/v1/quick") as response:
        assert response.status == 504


async def test_a_service_that_hangs_up_without_an_answer(build, client):
    async def hang_up(reader, writer):
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        url = await build.http(address_of(server))
        async with client.post(f"{url}/echo", data=b"x") as response:
            assert (response.status, response.headers["retry-after"]) == (503, "5")


async def test_a_service_that_does_not_speak_http(build, client):
    async def nonsense(reader, writer):
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server:
        url = await build.http(address_of(server))
        async with client.get(f"{url}/echo") as response:
            assert (response.status, (await response.json())["code"]) == (502, "upstream_failed")


async def test_an_application_that_raises_is_a_failed_service(build, client, log_lines):
    async def app(scope, receive, send):
        raise RuntimeError("the secret reason")

    url = await build.asgi(app)
    async with client.get(f"{url}/echo") as response:
        text = await response.text()
        assert (response.status, json.loads(text)["code"]) == (502, "upstream_failed")
        assert "secret reason" not in text
    assert "the secret reason" in log_lines.getvalue()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_client_that_leaves_cancels_the_work(behind, method):
    started, left = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send):
        while True:
            message = await receive()
            started.set()
            if message["type"] == "http.disconnect":
                left.set()
                return

    url = await behind(app)
    async with aiohttp.ClientSession() as session:
        request = asyncio.create_task(
            session.request(method, f"{url}/echo", data=b"x" * 100_000 if method == "POST" else None)
        )
        await asyncio.wait_for(started.wait(), 5)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    await asyncio.wait_for(left.wait(), 5)


async def test_a_client_that_leaves_in_mid_upload_cancels_the_work(behind, log_lines):
    started, left = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send):
        while True:
            message = await receive()
            started.set()
            if message["type"] == "http.disconnect":
                left.set()
                return

    url = await behind(app)
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70_000)
    await asyncio.wait_for(started.wait(), 5)
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(left.wait(), 5)
    assert "Traceback" not in log_lines.getvalue()


async def test_a_client_that_leaves_in_mid_answer_cancels_the_work(build):
    left = asyncio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        watcher = asyncio.create_task(watch(receive))
        while not left.is_set():
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            await asyncio.sleep(0.001)
        await watcher

    async def watch(receive):
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    url = await build.http(app)
    async with aiohttp.ClientSession() as session, session.get(f"{url}/echo") as response:
        await response.content.readany()
        response.close()
    await asyncio.wait_for(left.wait(), 5)


async def test_an_early_answer_ends_the_upload(build, client):
    """A service may refuse before it has read everything; its answer comes through."""

    async def app(scope, receive, send):
        await receive()
        await send(
            {
                "type": "http.response.start",
                "status": 422,
                "headers": [(b"content-length", b"9"), (b"connection", b"close")],
            }
        )
        await send({"type": "http.response.body", "body": b"no thanks"})

    url = await build.http(app)
    for _ in range(3):
        async with client.post(f"{url}/echo", data=aiohttp.BytesPayload(b"x" * 900_000)) as response:
            assert (response.status, await response.text()) == (422, "no thanks")
