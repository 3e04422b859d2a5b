"""Losing and closing the connection, with a connection whose close does not end as it should."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from io import StringIO
from typing import Any

import aio_pika
import pytest
from yarl import URL

from kit.bus.rabbitmq_link import Link, LinkLost, channel_on
from kit.logging import make_logger
from kit.settings import BusSettings, LogSettings
from testkit.waiting import eventually

Behaviour = Callable[[], Awaitable[None]]


class FakeConnection:
    """Calls `connect` and `close` as they were passed; the second close of a connection always succeeds."""

    def __init__(self, connect: Behaviour, close: Behaviour) -> None:
        self.close_callbacks: set[Any] = set()
        self.closes = 0
        self._connect, self._close = connect, close

    async def connect(self) -> None:
        await self._connect()

    async def close(self) -> None:
        self.closes += 1
        if self.closes == 1:
            await self._close()


async def succeed() -> None:
    """Nothing to wait for."""


async def fail() -> None:
    raise ConnectionRefusedError("connection refused")


async def never_end() -> None:
    await asyncio.Event().wait()


async def be_cancelled() -> None:
    """As aiormq does with everything that waits on a connection that closes."""
    raise asyncio.CancelledError


class Connections:
    """Makes one connection after the other, the last behaviour for all that follow."""

    def __init__(self, *behaviours: tuple[Behaviour, Behaviour]) -> None:
        self.made: list[FakeConnection] = []
        self._behaviours = behaviours

    def __call__(self, _url: URL) -> Any:
        behaviour = self._behaviours[min(len(self.made), len(self._behaviours) - 1)]
        self.made.append(FakeConnection(*behaviour))
        return self.made[-1]


@pytest.fixture
async def link_on() -> AsyncIterator[Callable[[Connections], Link]]:
    links: list[Link] = []

    def make(connections: Connections) -> Link:
        settings = BusSettings(url="amqp://broker.invalid/", connect_timeout_s=300, reconnect_max_s=0.1)
        logger = make_logger("test", LogSettings(), stream=StringIO())
        links.append(Link("test", settings, logger, connection_type=connections))
        return links[-1]

    yield make
    for link in links:
        await within_10_s(link.stop())


async def within_10_s(work: Coroutine[Any, Any, None]) -> None:
    """Unlike with `wait_for`, a task that ignores its cancellation fails the test too."""
    _, late = await asyncio.wait([asyncio.ensure_future(work)], timeout=10)
    assert not late, "did not end within 10 s"


async def test_it_stops_while_closing_a_connection_waits_for_a_broker_that_is_not_there(
    link_on: Callable[[Connections], Link],
) -> None:
    connections = Connections((fail, never_end))
    link = link_on(connections)
    link.start()
    await eventually(lambda: connections.made and connections.made[0].closes == 1)
    await within_10_s(link.stop())
    [connection] = connections.made
    assert connection.closes > 1


@pytest.mark.parametrize("first", [(be_cancelled, succeed), (fail, be_cancelled)], ids=["connect", "close"])
async def test_it_connects_again_where_aiormq_cancelled_its_call(
    link_on: Callable[[Connections], Link], first: tuple[Behaviour, Behaviour]
) -> None:
    connections = Connections(first, (succeed, succeed))
    link = link_on(connections)
    link.start()
    await eventually(lambda: link.is_up)
    assert [connection.closes for connection in connections.made] == [2, 0]


async def test_a_channel_on_a_connection_that_was_closed_meanwhile_is_a_lost_link() -> None:
    """aio-pika raises RuntimeError then, which ended the task that attaches a consumer: it never consumed again."""
    closed = aio_pika.Connection(URL("amqp://127.0.0.1/"))
    await closed.close()
    with pytest.raises(LinkLost):
        async with channel_on(closed):
            pass
