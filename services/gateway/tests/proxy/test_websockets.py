import aiohttp
import pytest

from testkit import eventually

pytestmark = pytest.mark.integration


async def echo(scope, receive, send):
    assert scope["type"] == "websocket"
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"].endswith("/refused"):
        await send({"type": "websocket.close", "code": 1008})
        return
    protocols = scope["subprotocols"]
    await send(
        {"type": "websocket.accept", "subprotocol": protocols[0] if protocols else None, "headers": []}
    )
    headers = dict(scope["headers"])
    await send({"type": "websocket.send", "text": f"{scope['path']} {headers[b'x-forwarded-for'].decode()}"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            scope["state"]["codes"].append(message["code"])
            return
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001})
            return
        if message.get("bytes") is not None:
            await send({"type": "websocket.send", "bytes": message["bytes"][::-1]})
        else:
            await send({"type": "websocket.send", "text": message["text"].upper()})


@pytest.fixture
def codes():
    return []


@pytest.fixture
async def url(behind, codes):
    async def app(scope, receive, send):
        await echo({**scope, "state": {"codes": codes}}, receive, send)

    return await behind(app)


async def test_messages_are_forwarded_both_ways(url, client):
    async with client.ws_connect(f"{url}/echo/live", protocols=("lookout.v1",)) as socket:
        assert await socket.receive_str() == "/api/v1/echo/live 127.0.0.1"
        assert socket.protocol == "lookout.v1"
        for text in ("a", "b" * 100_000, "c"):
            await socket.send_str(text)
            assert await socket.receive_str() == text.upper()
        await socket.send_bytes(b"\x00\x01\x02")
        assert await socket.receive_bytes() == b"\x02\x01\x00"


async def test_the_services_close_code_is_forwarded(url, client):
    async with client.ws_connect(f"{url}/echo/live") as socket:
        await socket.receive()
        await socket.send_str("bye")
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4001


async def test_the_clients_close_code_is_forwarded(url, client, codes):
    async with client.ws_connect(f"{url}/echo/live") as socket:
        await socket.receive()
        await socket.close(code=4002)
    await eventually(lambda: codes == [4002])


@pytest.mark.parametrize(
    ("path", "status"),
    [("/echo/refused", (403, 502)), ("/api/v1/closed", (401,)), ("/elsewhere", (403,)), ("/own", (403,))],
)
async def test_a_refused_websocket(url, client, path, status):
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect(url + path)
    assert refused.value.status in status


async def test_a_token_allows_a_websocket_on_a_route_that_is_not_public(url, client):
    headers = {"Authorization": "Bearer alice-token"}
    async with client.ws_connect(f"{url}/api/v1/closed", headers=headers) as socket:
        assert (await socket.receive_str()).startswith("/api/v1/closed")


async def test_an_unreachable_service(build, client, free_port):
    url = await build.http(f"http://127.0.0.1:{free_port}")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect(f"{url}/echo")
    assert refused.value.status == 503
