"""Counting on a real broker how often a process crashed with a message."""

from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from kit.bus.rabbitmq_crashes import CrashCounter, crashes_queue
from kit.bus.rabbitmq_link import answered, channel_on
from kit.logging import make_logger
from kit.settings import LogSettings

pytestmark = pytest.mark.integration

QUEUE, MESSAGE = "reader.thing_happened.v1", "0190"


@pytest.fixture
async def url(rabbitmq_server) -> str:
    return rabbitmq_server.fresh_vhost()


@pytest.fixture
async def connection(url: str) -> AsyncIterator[AbstractConnection]:
    async with await aio_pika.connect(url) as connection:
        yield connection


def counter() -> CrashCounter:
    """That of another process."""
    return CrashCounter(QUEUE, make_logger("test", LogSettings(level="WARNING", format="console")))


async def end_within_an_attempt(url: str, counter: CrashCounter) -> int:
    """The connection is lost while the message is handled."""
    connection = await aio_pika.connect(url)
    async with counter.attempt(connection, MESSAGE) as crashes:
        await connection.close()
    return crashes


async def test_an_attempt_that_did_not_end_counts_for_every_process_but_one_that_lives(
    url: str, connection: AbstractConnection
) -> None:
    living = counter()
    assert await end_within_an_attempt(url, living) == 0
    assert await end_within_an_attempt(url, counter()) == 1
    async with counter().attempt(connection, "another"), living.attempt(connection, MESSAGE) as crashes:
        assert crashes == 1  # of the two, one was its own


async def test_a_finished_attempt_leaves_nothing_on_the_broker(connection: AbstractConnection) -> None:
    with pytest.raises(RuntimeError, match="the handler failed"):
        async with counter().attempt(connection, MESSAGE):
            raise RuntimeError("the handler failed")
    async with counter().attempt(connection, MESSAGE) as crashes:
        assert crashes == 0
    with pytest.raises(ChannelNotFoundEntity):
        async with channel_on(connection) as channel:
            await answered(channel.queue_declare(crashes_queue(QUEUE, MESSAGE), passive=True))


async def test_a_message_is_handled_although_the_broker_refuses_to_count(
    connection: AbstractConnection, capsys
) -> None:
    async with channel_on(connection) as channel:
        await answered(channel.queue_declare(crashes_queue(QUEUE, MESSAGE), durable=False))
    async with counter().attempt(connection, MESSAGE) as crashes:
        assert crashes == 0
    assert "cannot count an attempt" in capsys.readouterr().out
