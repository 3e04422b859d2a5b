"""Effects once: a consumer notes each event it handled in the transaction of the effect itself."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Column, CursorResult, Index, MetaData, Table, Text, Uuid, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from kit.bus import Delivery
from kit.clock import Clock
from kit.columns import UtcDateTime
from kit.db import Database
from kit.errors import LookoutError
from kit.logging import Logger
from kit.settings import BusSettings
from kit.tracing import use_trace

SWEEP_ROWS = 5_000
"""Rows deleted in one transaction: a sweep must not hold up the consumers."""


def inbox_table(metadata: MetaData, name: str = "inbox") -> Table:
    """The table of a service's inbox, made a part of its schema."""
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

    def __init__(self, table: Table) -> None:
        self.table = table
        values = {"consumer": None, "message_id": None}
        self._insert = {
            "postgresql": postgresql.insert(table).values(values).on_conflict_do_nothing(),
            "sqlite": sqlite.insert(table).values(values).on_conflict_do_nothing(),
        }
        self._insert_many = {
            "postgresql": postgresql.insert(table).on_conflict_do_nothing().returning(table.c.message_id),
            "sqlite": sqlite.insert(table).on_conflict_do_nothing().returning(table.c.message_id),
        }
        # SQLAlchemy keeps the row count of an UPDATE or DELETE by itself, that of an INSERT only when told.
        self._options = {"preserve_rowcount": True}

    async def claim(self, session: AsyncSession, consumer: str, message_id: UUID) -> bool:
        """Note the event as handled; False when it was already: do nothing then, and let it be settled.

        Holds for the caller's transaction only: when that rolls back, the event counts as not handled.
        A second consumer that claims the same event meanwhile waits for this one to end.
        """
        insert = self._insert[session.get_bind().dialect.name]
        values = {"consumer": consumer, "message_id": message_id}
        result = await session.execute(insert, values, execution_options=self._options)
        return cast("CursorResult[Any]", result).rowcount == 1

    async def claim_many(
        self, session: AsyncSession, consumer: str, message_ids: Collection[UUID]
    ) -> set[UUID]:
        """As `claim`, in one statement: those that were not handled before."""
        # Sorted, so that two transactions with the same events cannot wait for one another.
        rows = [{"consumer": consumer, "message_id": each} for each in sorted(set(message_ids))]
        if not rows:
            return set()
        insert = self._insert_many[session.get_bind().dialect.name]
        return set((await session.execute(insert, rows)).scalars())

    async def sweep(self, db: Database, before: datetime) -> int:
        """Forget what was handled before; returns how many. A repeat of those would be handled again."""
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

    async def keep_swept(self, db: Database, settings: BusSettings, clock: Clock, logger: Logger) -> None:
        """Sweep now and then, until cancelled: a service's background task."""
        while True:
            try:
                swept = await self.sweep(db, clock.now() - timedelta(seconds=settings.inbox_keep_s))
            except LookoutError as error:
                logger.warning("cannot sweep the inbox", error=str(error))
            else:
                logger.debug("inbox swept", rows=swept)
            await asyncio.sleep(settings.sweep_interval_s)


Effect = Callable[[AsyncSession, Delivery], Awaitable[None]]
"""What an event brings about, by means of the session alone: it may be rolled back and run again."""


class Once:
    """A handler whose effect happens once: claim and effect in one transaction, a repeat is settled silently.

    Deliveries that wait share a transaction, which is what makes a consumer fast: a commit costs more than
    most effects. When one of them fails, all are rolled back and each gets a transaction of its own.
    """

    def __init__(self, db: Database, inbox: Inbox, consumer: str, effect: Effect) -> None:
        self._db = db
        self._inbox = inbox
        self._consumer = consumer
        self._effect = effect

    async def __call__(self, delivery: Delivery) -> None:
        """Handle one."""
        async with self._db.transaction() as session:
            if await self._inbox.claim(session, self._consumer, delivery.event.message_id):
                await self._effect(session, delivery)

    async def many(self, deliveries: Sequence[Delivery]) -> None:
        """Handle all of them, in order, or none."""
        async with self._db.transaction() as session:
            ids = [delivery.event.message_id for delivery in deliveries]
            new = await self._inbox.claim_many(session, self._consumer, ids)
            for delivery in deliveries:
                if delivery.event.message_id in new:
                    new.discard(delivery.event.message_id)  # the same event may stand there twice
                    with use_trace(delivery.event.traceparent, delivery.event.correlation_id):
                        await self._effect(session, delivery)
