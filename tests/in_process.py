"""The embedded platform without listeners, on a loop in a thread of its own; its apps can be called from any loop."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from all_in_one.embedded import build
from kit.service import Service
from stack import NO_PUSH_BUDGETS, SUPERADMIN_PASSWORD, clean_environment

T = TypeVar("T")

START_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Bridge:
    """An app whose calls run on the loop in which its service was started. Bodies are passed on whole."""

    app: ASGIApp
    loop: asyncio.AbstractEventLoop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        answer = asyncio.run_coroutine_threadsafe(self._answer(scope, body), self.loop)
        for part in await asyncio.wrap_future(answer):
            await send(part)

    async def _answer(self, scope: Scope, body: bytes) -> list[Message]:
        given = iter([{"type": "http.request", "body": body, "more_body": False}])
        sent: list[Message] = []

        async def receive() -> Message:
            message = next(given, None)
            if message is None:
                await asyncio.Event().wait()  # the client neither sends more nor disconnects
                raise AssertionError
            return message

        async def send(message: Message) -> None:
            sent.append(message)

        async with asyncio.timeout(CALL_TIMEOUT_S):
            await self.app(dict(scope), receive, send)
        return sent


@dataclass
class Platform:
    """The started platform. `apps`: name of a service → its app."""

    apps: dict[str, Bridge] = field(default_factory=dict)

    def client(self, service: str = "gateway") -> httpx.AsyncClient:
        """A client of a service's app, not signed in."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.apps[service]), base_url="http://lookout")

    async def token(self) -> str:
        """An access token of the superadmin."""
        async with self.client() as client:
            credentials = {"username": "superadmin", "password": SUPERADMIN_PASSWORD}
            answer = await client.post("/token", data=credentials)
        answer.raise_for_status()
        token: str = answer.json()["access_token"]
        return token


@contextmanager
def platform(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Platform]:
    """The embedded platform, started. `settings`: environment variables over the defaults of `make run`."""
    environment = {
        **clean_environment(),
        "LOOKOUT_LOG_LEVEL": "ERROR",
        "LOOKOUT_GATEWAY__SUPERADMIN_PASSWORD": SUPERADMIN_PASSWORD,
        **{f"LOOKOUT_INGEST__{name}": value for name, value in NO_PUSH_BUDGETS.items()},
        **(settings or {}),
    }
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="platform")
    thread.start()
    services: list[Service] = []

    def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(), loop).result(START_TIMEOUT_S)

    async def start() -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name in os.environ.keys() - environment.keys():
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            services.extend(build(folder / "data", port=0))
        for service in services:
            await service.start()

    async def stop() -> None:
        for service in reversed(services):
            await service.stop()

    try:
        run(start)
        yield Platform({service.name: Bridge(service.app, loop) for service in services})
    finally:
        run(stop)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_TIMEOUT_S)
        loop.close()
