"""Effects once: a consumer records each event that it handled in the transaction of the effect itself."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

from google.protobuf.message import Message
from sqlalchemy import Column, CursorResult, Index, MetaData, Table, Text, Uuid, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from kit.bus import Delivery, EventConsumer, Handler, Metadata, RetryPolicy
from kit.bus.spans import processing
from kit.columns import UtcDateTime
from kit.db import Database
from kit.metrics import Metrics

M = TypeVar("M", bound=Message)

SWEEP_ROWS = 5_000
"""Rows deleted in one transaction: a sweep must not block the consumers for long."""


def inbox_table(metadata: MetaData, name: str = "inbox") -> Table:
    """The table of a service's inbox, added to its schema."""
    return Table(
        name,
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("message_id", Uuid, primary_key=True),
        Column("handled_at", UtcDateTime, nullable=False, server_default=func.now()),
        Index(f"ix_{name}_handled_at", "handled_at"),
    )


class Inbox:
    """What has been handled, by consumer and message id."""

    def __init__(self, table: Table, metrics: Metrics) -> None:
        self.table = table
        self._repeats = metrics.counter(
            "inbox_repeats_total",
            "Events that were delivered again after they had been handled",
            ("consumer",),
        )
        values = {"consumer": None, "message_id": None}
        self._insert = {
            "postgresql": postgresql.insert(table).values(values).on_conflict_do_nothing(),
            "sqlite": sqlite.insert(table).values(values).on_conflict_do_nothing(),
        }
        self._insert_many = {
            "postgresql": postgresql.insert(table).on_conflict_do_nothing().returning(table.c.message_id),
            "sqlite": sqlite.insert(table).on_conflict_do_nothing().returning(table.c.message_id),
        }
        # SQLAlchemy keeps the row count of an INSERT only with this option.
        self._options = {"preserve_rowcount": True}

    async def claim(self, session: AsyncSession, consumer: str, message_id: UUID) -> bool:
        """Record the event as handled; False when it was already recorded: there is nothing to do then.

        Holds for the caller's transaction only: when that rolls back, the event counts as not handled.
        A second consumer that claims the same event meanwhile waits for this one to end.
        """
        insert = self._insert[session.get_bind().dialect.name]
        values = {"consumer": consumer, "message_id": message_id}
        result = await session.execute(insert, values, execution_options=self._options)
        is_new = cast("CursorResult[Any]", result).rowcount == 1
        self._count_repeats(consumer, 0 if is_new else 1)
        return is_new

    async def claim_many(
        self, session: AsyncSession, consumer: str, message_ids: Collection[UUID]
    ) -> set[UUID]:
        """As `claim`, in one statement: those that were not handled before."""
        # Sorted, so that two transactions with the same events cannot wait for one another.
        rows = [{"consumer": consumer, "message_id": each} for each in sorted(set(message_ids))]
        if not rows:
            return set()
        insert = self._insert_many[session.get_bind().dialect.name]
        new = set((await session.execute(insert, rows)).scalars())
        self._count_repeats(consumer, len(message_ids) - len(new))
        return new

    def _count_repeats(self, consumer: str, count: int) -> None:
        if count:
            self._repeats.labels(consumer).inc(count)

    async def sweep_older_than(self, db: Database, age: timedelta, now: datetime) -> int:
        """Delete the rows of more than that age; returns how many.

        The age is measured against `now` and the newest row, whichever is earlier: when the service starts with a
        clock that is ahead, nothing becomes old.
        """
        async with db.reading() as session:
            newest = (await session.execute(select(func.max(self.table.c.handled_at)))).scalar_one()
        return 0 if newest is None else await self.sweep(db, min(now, newest) - age)

    async def sweep(self, db: Database, before: datetime) -> int:
        """Delete the rows from before that time; returns how many. A repeat of those would be handled again."""
        table, swept = self.table, 0
        keys = (table.c.consumer, table.c.message_id)
        while True:
            async with db.transaction() as session:
                old = select(*keys).where(table.c.handled_at < before).limit(SWEEP_ROWS)
                rows = (await session.execute(old)).all()
                if rows:
                    await session.execute(
                        delete(table).where(
                            table.c.consumer.in_({row.consumer for row in rows}),
                            table.c.message_id.in_([row.message_id for row in rows]),
                            table.c.handled_at < before,
                        )
                    )
            swept += len(rows)
            if len(rows) < SWEEP_ROWS:
                return swept


class TransactionalConsumer(EventConsumer[M]):
    """A consumer whose effects happen once: `handle` gets a session besides message and metadata.

    The inbox row and what `handle` writes with the session are committed together; a message that was handled
    before is acknowledged without calling `handle`. It must have no other effects than through the session, and
    through `kit.db.after_commit`: it may be rolled back and run again.

    A message for which `is_relevant` is False is acknowledged without a transaction.

    Deliveries that wait share a transaction, since a commit costs more than most effects. When one of them
    fails, all are rolled back and each gets a transaction of its own.
    """

    def __init__(
        self,
        message_class: type[M],
        handle: Callable[[AsyncSession, M, Metadata], Awaitable[None]],
        *,
        db: Database,
        inbox: Inbox,
        is_relevant: Callable[[M], bool] = lambda _: True,
        is_ordered: bool = True,
        retry: RetryPolicy | None = None,
    ) -> None:
        super().__init__(message_class, is_ordered=is_ordered, retry=retry)
        self.is_relevant = is_relevant
        self.handle = handle
        self._db = db
        self._inbox = inbox

    def handler(self, service: str) -> Handler:
        """What the bus calls: for one delivery, or for several that wait."""
        return _Transactions(self, self._db, self._inbox, self.subscription(service).queue)


class _Transactions:
    """The handler of a `TransactionalConsumer`: claim and effect in one transaction."""

    def __init__(self, consumer: TransactionalConsumer[Any], db: Database, inbox: Inbox, queue: str) -> None:
        self._consumer = consumer
        self._db = db
        self._inbox = inbox
        self._queue = queue

    async def __call__(self, delivery: Delivery) -> None:
        """Handle one."""
        message = self._consumer.message_of(delivery)
        if not self._consumer.is_relevant(message):
            return
        async with self._db.transaction() as session:
            if await self._inbox.claim(session, self._queue, delivery.event.message_id):
                await self._consumer.handle(session, message, Metadata.of(delivery))

    async def handle_batch(self, deliveries: Sequence[Delivery]) -> None:
        """Handle all of them, in order, or none."""
        messages = [(delivery, self._consumer.message_of(delivery)) for delivery in deliveries]
        relevant = [
            (delivery, message) for delivery, message in messages if self._consumer.is_relevant(message)
        ]
        if not relevant:
            return
        async with self._db.transaction() as session:
            ids = [delivery.event.message_id for delivery, _ in relevant]
            new = await self._inbox.claim_many(session, self._queue, ids)
            for delivery, message in relevant:
                if delivery.event.message_id in new:
                    new.discard(delivery.event.message_id)  # the batch may contain the same event twice
                    with processing(delivery.event, self._queue):
                        await self._consumer.handle(session, message, Metadata.of(delivery))
