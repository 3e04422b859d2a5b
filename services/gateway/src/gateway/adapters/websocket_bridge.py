"""Forward every message between a WebSocket of the client and one of the service."""

import asyncio

import aiohttp
from multidict import CIMultiDict
from starlette.types import Receive, Scope, Send
from yarl import URL

from kit.errors import Unavailable, UpstreamFailed

_GOING_AWAY = 1001
_ABNORMAL = 1011


async def bridge_websocket(
    session: aiohttp.ClientSession,
    url: URL,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    max_message_bytes: int,
) -> None:
    """Connect to the service first, so that the client is accepted only when the service accepts.

    Raises:
        Unavailable: the service cannot be reached.
        UpstreamFailed: it refuses the WebSocket.
    """
    headers = CIMultiDict[str]()
    for name, value in scope["headers"]:
        headers.add(name.decode("latin-1"), value.decode("latin-1"))
    await receive()  # websocket.connect
    try:
        upstream = await session.ws_connect(
            url,
            headers=headers,
            protocols=tuple(scope.get("subprotocols", ())),
            max_msg_size=max_message_bytes,
        )
    except aiohttp.WSServerHandshakeError as error:
        raise UpstreamFailed(f"the service refused the WebSocket with {error.status}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable("the service cannot be reached", code="upstream_down", retry_after_s=5) from error
    async with upstream:
        await send({"type": "websocket.accept", "subprotocol": upstream.protocol, "headers": []})
        to_client = asyncio.create_task(_to_client(upstream, send))
        to_service = asyncio.create_task(_to_service(upstream, receive))
        try:
            await asyncio.wait({to_client, to_service}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_client.cancel()
            to_service.cancel()
            await asyncio.gather(to_client, to_service, return_exceptions=True)


async def _to_service(upstream: aiohttp.ClientWebSocketResponse, receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close(code=_close_code(message.get("code")))
            return
        if message.get("bytes") is not None:
            await upstream.send_bytes(message["bytes"])
        else:
            await upstream.send_str(message["text"])


async def _to_client(upstream: aiohttp.ClientWebSocketResponse, send: Send) -> None:
    async for message in upstream:
        if message.type is aiohttp.WSMsgType.TEXT:
            await send({"type": "websocket.send", "text": message.data})
        elif message.type is aiohttp.WSMsgType.BINARY:
            await send({"type": "websocket.send", "bytes": message.data})
        else:
            break
    await send({"type": "websocket.close", "code": _close_code(upstream.close_code)})


def _close_code(code: int | None) -> int:
    # 1005 and 1006 mean that no code was received, 1015 that TLS failed: none may be sent (RFC 6455, 7.4.1).
    if code is None or code == 1005:
        return _GOING_AWAY
    return _ABNORMAL if code in {1006, 1015} else code
