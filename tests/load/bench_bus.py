"""Messages a second from an outbox in PostgreSQL over RabbitMQ to an inbox in PostgreSQL.

The floor is aio-pika alone on the same kind of queue (quorum, persistent, confirmed, 2 kB): pipelined publishes
in one process, a consumer with prefetch that acknowledges in another. Lookout's part has the same two processes:
one with transactions that add events to the outbox, and its relay, and one with a
`kit.inbox.TransactionalConsumer`, whose handler has no effect here.

A transaction costs more than everything else that is done for an event, with or without an outbox. Therefore two
cases are measured: one event per transaction, and ten, which shows the cost of the bus.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import aio_pika
import uvloop
from sqlalchemy.ext.asyncio import AsyncSession

from figures import Figure, median, publish
from kit.bus import Bus, Event, EventSource, Metadata, Subscription, event_type, open_bus
from kit.clock import SystemClock
from kit.columns import new_metadata
from kit.db import Database
from kit.ids import uuid7
from kit.inbox import Inbox, TransactionalConsumer, inbox_table
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.outbox import Outbox, Relay, outbox_table
from kit.settings import BusSettings, DatabaseSettings, LogSettings
from testkit.messages import ThingHappened
from testkit.postgres import postgres
from testkit.rabbitmq import rabbitmq

MESSAGES = 6_000
ROUNDS = 3
BODY_BYTES = 2_000
KEYS = 64
PRODUCERS = DatabaseSettings.model_fields["pool_size"].default
"""Concurrent transactions that add to the outbox: as many as a service has database connections."""
BURST = 10
PIPELINE = 500
"""Unconfirmed publishes of the floor; the relay has as many."""
PREFETCH = BusSettings.model_fields["prefetch"].default
GOAL_RATIO = 0.4

RAW_QUEUE = "raw"

metadata = new_metadata()
outbox = Outbox(outbox_table(metadata))
inbox = Inbox(inbox_table(metadata), Metrics("inbox"))
source = EventSource("bench", ThingHappened)


def run(messages: int = MESSAGES, rounds: int = ROUNDS) -> dict[str, float]:
    """Messages a second, medians over the rounds: `raw`, `burst`, `single`."""
    rates: dict[str, list[float]] = {"raw": [], "burst": [], "single": []}
    with rabbitmq() as broker, postgres() as server:
        for _ in range(rounds):
            rates["raw"].append(_measure("raw", broker.fresh_vhost(), "-", messages, 1))
            for name, burst in (("burst", BURST), ("single", 1)):
                urls = broker.fresh_vhost(), server.fresh_database()
                rates[name].append(_measure("ours", *urls, messages, burst))
    return {name: median(values) for name, values in rates.items()}


def main() -> None:
    found = run()
    floor = found["raw"]
    figures = [Figure("raw aio-pika", floor, "messages/s")]
    for name, what in (
        ("burst", f"outbox to inbox, {BURST} a transaction"),
        ("single", "outbox to inbox, 1 a transaction"),
    ):
        goal = f"at least {GOAL_RATIO} of the floor"
        rate = found[name]
        figures.append(Figure(what, rate, "messages/s", floor=floor, ratio=rate / floor, goal=goal))
    notes = [f"{MESSAGES} messages of {BODY_BYTES} bytes, {KEYS} keys, median of {ROUNDS} rounds"]
    publish("bus", figures, notes)


def _measure(what: str, broker_url: str, database_url: str, messages: int, burst: int) -> float:
    """One round: messages a second from the first publish to the last acknowledgement."""
    consumer = _start_part(f"consume-{what}", broker_url, database_url, messages, burst)
    producer = _start_part(f"produce-{what}", broker_url, database_url, messages, burst)
    try:
        for child in (consumer, producer):
            assert _read_line(child) == "ready"
        assert producer.stdin is not None
        producer.stdin.write("go\n")
        producer.stdin.flush()
        started = float(_read_line(producer))
        ended = float(_read_line(consumer))
    finally:
        for child in (consumer, producer):
            child.kill()
            child.wait()
    return messages / (ended - started)


def _start_part(*words: object) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    return subprocess.Popen(
        [sys.executable, str(Path(__file__)), *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(here)},
    )


def _read_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    if not line:
        raise RuntimeError(
            f"a process of the benchmark ended with exit status {child.wait()}; its error is above"
        )
    return line


async def _wait_for_start() -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(time.time(), flush=True)


async def _produce_raw(url: str, _: str, messages: int, __: int) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        await _declare_raw(channel)
        await _wait_for_start()
        unconfirmed = asyncio.Semaphore(PIPELINE)

        async def publish_one(number: int) -> None:
            async with unconfirmed:
                message = aio_pika.Message(
                    number.to_bytes(8, "big") * (BODY_BYTES // 8),
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    message_id=str(uuid7()),
                )
                await channel.default_exchange.publish(message, RAW_QUEUE, mandatory=True)

        await asyncio.gather(*(publish_one(number) for number in range(messages)))
        await asyncio.Event().wait()


async def _consume_raw(url: str, _: str, messages: int, __: int) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await _declare_raw(channel)
        done = asyncio.Event()
        seen = 0

        async def handler(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            nonlocal seen
            await message.ack()
            seen += 1
            if seen == messages:
                done.set()

        await queue.consume(handler)
        print("ready", flush=True)
        await done.wait()
        print(time.time(), flush=True)


async def _declare_raw(channel: aio_pika.abc.AbstractChannel) -> aio_pika.abc.AbstractQueue:
    return await channel.declare_queue(RAW_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})


async def _produce_ours(url: str, database_url: str, messages: int, burst: int) -> None:
    db, bus, settings, metrics = await _open(url, database_url)
    async with db.engine.begin() as connection:
        await connection.run_sync(outbox.table.create)
    await bus.declare(Subscription.to(event_type(ThingHappened), "bench"))
    logger = make_logger("bench", LogSettings(level="WARNING"))
    relay = Relay(db, outbox, bus, settings, logger, metrics)
    relaying = asyncio.create_task(relay.run())
    numbers = iter(range(messages))
    await _wait_for_start()

    async def produce() -> None:
        while some := [_event(number) for number in islice(numbers, burst)]:
            async with db.transaction() as session:
                await outbox.add(session, *some)

    await asyncio.gather(*(produce() for _ in range(PRODUCERS)))
    with suppress(asyncio.CancelledError):
        await relaying


def _event(number: int) -> Event:
    return source.event(
        ThingHappened(number=number, payload=bytes(BODY_BYTES)),
        scope=("NAD", str(number % KEYS)),
        partition_key=f"camera:{number % KEYS}",
        occurred_at=datetime.now(UTC),
        correlation_id="bench",
    )


async def _consume_ours(url: str, database_url: str, messages: int, _: int) -> None:
    db, bus, *_unused = await _open(url, database_url)
    async with db.engine.begin() as connection:
        await connection.run_sync(inbox.table.create)
    done = asyncio.Event()
    handled = 0

    async def handle(_session: AsyncSession, _message: Any, _metadata: Metadata) -> None:
        nonlocal handled
        handled += 1
        if handled == messages:
            done.set()

    consumer = TransactionalConsumer(ThingHappened, handle, db=db, inbox=inbox)
    await bus.consume(consumer.subscription("bench"), consumer.handler("bench"))
    while not (await bus.ready()).ok:
        await asyncio.sleep(0.05)
    print("ready", flush=True)
    await done.wait()
    print(time.time(), flush=True)


async def _open(url: str, database_url: str) -> tuple[Database, Bus, BusSettings, Metrics]:
    settings, metrics = BusSettings(url=url), Metrics("bench")
    db = Database(DatabaseSettings(url=database_url), "bench")
    logger = make_logger("bench", LogSettings(level="WARNING"))
    bus = open_bus(settings, logger=logger, metrics=metrics, clock=SystemClock(), app_id="bench")
    await db.start()
    await bus.start()
    return db, bus, settings, metrics


Part = Callable[[str, str, int, int], Awaitable[None]]

PARTS: dict[str, Part] = {
    "produce-raw": _produce_raw,
    "consume-raw": _consume_raw,
    "produce-ours": _produce_ours,
    "consume-ours": _consume_ours,
}


def _run_part() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("broker_url")
    parser.add_argument("database_url")
    parser.add_argument("messages", type=int)
    parser.add_argument("burst", type=int)
    args = parser.parse_args()

    async def run_part() -> None:
        await PARTS[args.part](args.broker_url, args.database_url, args.messages, args.burst)

    uvloop.run(run_part())  # as the services do


if __name__ == "__main__":
    _run_part()
