"""Services that are unreachable, slow or broken, and clients that disconnect."""

import asyncio
import contextlib
import json
from dataclasses import replace

import aiohttp
import pytest

from .conftest import OPTIONS

pytestmark = pytest.mark.integration


def address_of(server):
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def ok(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_an_unreachable_service_is_a_503_at_once(build, client, free_port):
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


async def test_a_service_that_is_not_in_this_process_is_a_503(build, client):
    url = await build.asgi(None)
    async with client.get(f"{url}/echo") as response:
        assert (response.status, (await response.json())["code"]) == (503, "upstream_down")
        assert "retry-after" in response.headers


async def test_a_service_that_is_reachable_again_is_used_again(build, client, serve, free_port):
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


async def test_no_connection_is_tried_while_the_circuit_is_open(build, client, serve, free_port):
    now_s = 0.0
    options = replace(OPTIONS, connect_attempts=1, circuit_max_failures=2, circuit_open_s=60.0)
    url = await build.http(f"http://127.0.0.1:{free_port}", upstream_options=options, monotonic=lambda: now_s)

    async def status():
        async with client.get(f"{url}/echo") as response:
            return response.status

    assert [await status(), await status()] == [503, 503]
    await serve(ok, port=free_port)
    now_s = 59.0
    assert await status() == 503  # no connection was tried
    now_s = 60.0
    assert [await status(), await status()] == [200, 200]


async def test_a_service_that_does_not_respond_is_a_504(behind, client):
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
    await asyncio.wait_for(cancelled.wait(), 30)


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_an_upload_over_a_connection_that_was_just_closed_is_a_503_at_once(build, client, method):
    """A client library would repeat the request by itself, but the body was already read."""
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
            async with asyncio.timeout(30), client.request(method, f"{url}/echo", data=b"hello") as response:
                assert response.status == status
    assert taken == ["again"]


async def test_an_upload_that_stops_is_a_408(behind):
    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await ok(scope, receive, send)

    url = await behind(app)
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /api/v1/quick HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    answer = await asyncio.wait_for(reader.readuntil(b"}"), 30)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body_too_slow" in answer
    writer.close()
    await writer.wait_closed()


async def test_an_upload_may_take_longer_than_a_service_may_be_silent(behind, client):
    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await ok(scope, receive, send)

    async def parts():
        for _ in range(5):
            yield b"some"
            await asyncio.sleep(0.4)

    url = await behind(app)
    async with client.post(f"{url}/api/v1/quick", data=parts()) as response:
        assert response.status == 200


async def test_a_service_that_is_silent_after_a_complete_upload_is_a_504(behind, client):
    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await asyncio.Event().wait()

    url = await behind(app)
    async with client.post(f"{url}/api/v1/quick", data=b"some") as response:
        assert response.status == 504


async def test_a_response_that_stops_half_way_is_broken_off(behind, client, log_lines):
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


async def test_a_service_that_closes_the_connection_without_a_response(build, client):
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


async def test_an_application_that_raises_is_a_502(build, client, log_lines):
    async def app(scope, receive, send):
        raise RuntimeError("the secret reason")

    url = await build.asgi(app)
    async with client.get(f"{url}/echo") as response:
        text = await response.text()
        assert (response.status, json.loads(text)["code"]) == (502, "upstream_failed")
        assert "secret reason" not in text
    assert "the secret reason" in log_lines.getvalue()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_client_that_disconnects_cancels_the_request(behind, method):
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
        await asyncio.wait_for(started.wait(), 30)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    await asyncio.wait_for(left.wait(), 30)


async def test_a_client_that_disconnects_during_the_upload_cancels_the_request(behind, log_lines):
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
    await asyncio.wait_for(started.wait(), 30)
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(left.wait(), 30)
    assert "Traceback" not in log_lines.getvalue()


async def test_a_client_that_disconnects_during_the_response_cancels_the_request(build):
    left = asyncio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        watcher = asyncio.create_task(watch(receive))
        while not left.is_set():
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            await asyncio.sleep(0)
        await watcher

    async def watch(receive):
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    url = await build.http(app)
    async with aiohttp.ClientSession() as session, session.get(f"{url}/echo") as response:
        await response.content.readany()
        response.close()
    await asyncio.wait_for(left.wait(), 30)


async def test_a_response_before_the_end_of_the_upload_is_forwarded(build, client):
    """A service may refuse before it has read everything; its response is forwarded."""

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
