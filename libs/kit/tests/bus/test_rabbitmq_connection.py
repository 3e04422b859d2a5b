"""Connecting to RabbitMQ, without a broker."""

import asyncio
import gc
import logging
import warnings

import pytest

from testkit.bus import BusBackend
from testkit.processes import free_port
from testkit.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def no_garbage_collection():
    gc.disable()
    yield
    gc.enable()


async def test_a_failed_connection_attempt_leaves_no_coroutine_unawaited(no_garbage_collection, caplog):
    """aio-pika's connection closes itself when it is deleted, which needs the event loop's own thread."""
    # A log record that pytest keeps would refer to the error, and with it to the connection.
    caplog.set_level(logging.CRITICAL, logger="aiormq")
    backend = BusBackend("rabbitmq", f"amqp://127.0.0.1:{free_port()}")
    bus = await backend.open(publish_timeout_s=0.5)

    async def has_failed():
        return "AMQPConnectionError" in (await bus.ready()).detail

    await eventually(has_failed)
    await backend.close_all()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await asyncio.to_thread(gc.collect)
    assert [str(warning.message) for warning in caught if "never awaited" in str(warning.message)] == []
