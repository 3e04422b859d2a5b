"""One WebSocket to the client and one to the service, with every message passed from each to the other."""

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
    """Open the service's side first, so that the client is accepted only when the service accepts.

    Raises:
        Unavailable: the service cannot be reached.
        UpstreamFailed: it refuses the WebSocket.
    """
    headers = CIMultiDict[str]()
    for name, value in scope["headers"]:
        headers.add(name.decode("latin-1"), value.decode("latin-1"))
    await receive()  # websocket.connect
    try:
        far = await session.ws_connect(
            url,
            headers=headers,
            protocols=tuple(scope.get("subprotocols", ())),
            max_msg_size=max_message_bytes,
        )
    except aiohttp.WSServerHandshakeError as error:
        raise UpstreamFailed(f"the service refused the WebSocket with {error.status}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable("the service cannot be reached", code="upstream_down", retry_after_s=5) from error
    async with far:
        await send({"type": "websocket.accept", "subprotocol": far.protocol, "headers": []})
        outward = asyncio.create_task(_to_client(far, send))
        inward = asyncio.create_task(_to_service(far, receive))
        try:
            await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            outward.cancel()
            inward.cancel()
            await asyncio.gather(outward, inward, return_exceptions=True)


async def _to_service(far: aiohttp.ClientWebSocketResponse, receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await far.close(code=_close_code(message.get("code")))
            return
        if message.get("bytes") is not None:
            await far.send_bytes(message["bytes"])
        else:
            await far.send_str(message["text"])


async def _to_client(far: aiohttp.ClientWebSocketResponse, send: Send) -> None:
    async for message in far:
        if message.type is aiohttp.WSMsgType.TEXT:
            await send({"type": "websocket.send", "text": message.data})
        elif message.type is aiohttp.WSMsgType.BINARY:
            await send({"type": "websocket.send", "bytes": message.data})
        else:
            break
    await send({"type": "websocket.close", "code": _close_code(far.close_code)})


def _close_code(code: int | None) -> int:
    # 1005 and 1006 say that no code came, and 1015 that TLS failed: none may be sent (RFC 6455, 7.4.1).
    if code is None or code == 1005:
        return _GOING_AWAY
    return _ABNORMAL if code in {1006, 1015} else code
