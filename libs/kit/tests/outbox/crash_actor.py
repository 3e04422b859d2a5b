"""A whole small service in one process, which dies at a named point: outbox, relay, consumer with inbox.

It records `sources` with an event each and lets the consumer record an `effect` for each event.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Column, Identity, Integer, Table, func, insert, select

from kit.bus import Bus, Delivery, Event
from kit.columns import new_metadata
from kit.db import Database
from kit.inbox import Inbox, inbox_table
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.outbox import Outbox, Relay, outbox_table
from kit.settings import DatabaseSettings, LogSettings
from testkit.bus import THING, BusBackend, make_event, number_of

DIED = 17

POINTS = (
    "before the producer commits",
    "after the producer committed",
    "before publishing",
    "after publishing",
    "after marking",
    "after claiming",
    "after the effect",
    "after the consumer committed",
)

metadata = new_metadata()
outbox, inbox = Outbox(outbox_table(metadata)), Inbox(inbox_table(metadata), Metrics("inbox"))
sources = Table("sources", metadata, Column("number", Integer, primary_key=True, autoincrement=False))
effects = Table(
    "effects", metadata, Column("effect_id", Integer, Identity(), primary_key=True), Column("number", Integer)
)


class Grave:
    """Where the process ends when it passes the chosen point for the third time."""

    def __init__(self, point: str) -> None:
        self._point = point
        self._left = 3

    def passing(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os._exit(DIED)


class MortalBus:
    """The real bus, with a point before and one after publishing."""

    def __init__(self, bus: Bus, grave: Grave) -> None:
        self._bus = bus
        self._grave = grave
        self._has_published = False

    async def publish_many(self, events: Sequence[Event]) -> list[Exception | None]:
        if self._has_published:
            self._grave.passing("after marking")
        self._grave.passing("before publishing")
        results = await self._bus.publish_many(events)
        self._grave.passing("after publishing")
        self._has_published = True
        return results


async def live(args: argparse.Namespace) -> None:
    grave = Grave(args.point)
    db = Database(DatabaseSettings(url=args.database), "crash")
    await db.start()
    backend = BusBackend("", args.bus)
    bus = await backend.open()
    await bus.declare(THING)

    async def handler(delivery: Delivery) -> None:
        async with db.transaction() as session:
            if not await inbox.claim(session, THING.queue, delivery.event.message_id):
                return
            grave.passing("after claiming")
            await session.execute(insert(effects).values(number=number_of(delivery.event)))
            grave.passing("after the effect")
        grave.passing("after the consumer committed")

    await bus.consume(THING, handler)
    settings = backend.settings(relay_poll_interval_s=0.05, relay_batch_size=3)
    logger = make_logger("crash", LogSettings(level="ERROR", format="console"))
    mortal: Bus = MortalBus(bus, grave)  # type: ignore[assignment] # the relay publishes, and no more
    relay = Relay(db, outbox, mortal, settings, logger, Metrics("crash"))
    relaying = asyncio.create_task(relay.run())

    async with db.reading() as session:
        first = (await session.execute(select(func.count()).select_from(sources))).scalar_one()
    for number in range(first, first + args.count):
        async with db.transaction() as session:
            await session.execute(insert(sources).values(number=number))
            await outbox.add(session, make_event(number, key=f"k{number % 3}"))
            grave.passing("before the producer commits")
        grave.passing("after the producer committed")

    while not args.point:
        async with db.reading() as session:
            made = (await session.execute(select(func.count()).select_from(sources))).scalar_one()
            done = (await session.execute(select(func.count()).select_from(effects))).scalar_one()
        if done >= made and await relay.backlog() == 0 and await bus.depth(THING.queue) == 0:
            break
        await asyncio.sleep(0.05)  # the interval of the poll
    else:
        await asyncio.Event().wait()  # until it dies
    relaying.cancel()
    with suppress(asyncio.CancelledError):
        await relaying
    await backend.close_all()
    await db.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("bus")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--point", default="")
    asyncio.run(live(parser.parse_args()))


if __name__ == "__main__":
    main()
