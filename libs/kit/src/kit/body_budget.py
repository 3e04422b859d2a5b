"""Limits the memory and the time of bodies that a route takes without a token."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from kit.byte_budget import ByteBudget
from kit.errors import Invalid


def limited_route(budget: ByteBudget, *, max_bytes: int, timeout_s: float) -> type[APIRoute]:
    """A route class for `APIRouter`: until it is answered, a call takes the bytes that it declares from `budget`, or
    `max_bytes` where it declares none. It has `timeout_s` seconds to send its body.
    """

    class LimitedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
            handle = super().get_route_handler()

            async def limited(request: Request) -> Response:
                async with budget.reserve(declared_bytes(request, max_bytes)):
                    return await handle(Request(request.scope, _in_time(request, timeout_s)))

            return limited

    return LimitedRoute


def declared_bytes(request: Request, max_bytes: int) -> int:
    """What `Content-Length` says, at most `max_bytes`, which is also assumed where it says nothing."""
    declared = request.headers.get("content-length", "")
    return min(int(declared), max_bytes) if declared.isascii() and declared.isdecimal() else max_bytes


def _in_time(request: Request, timeout_s: float) -> Callable[[], Awaitable[Message]]:
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    is_complete = False

    async def receive() -> Message:
        nonlocal is_complete
        if is_complete:
            return await request.receive()
        try:
            async with asyncio.timeout_at(deadline_s):
                message = await request.receive()
        except TimeoutError as error:
            raise Invalid("the body did not arrive in time", code="body_too_slow", status=408) from error
        is_complete = message["type"] == "http.request" and not message.get("more_body", False)
        return message

    return receive
