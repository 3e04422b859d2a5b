"""Transactional outbox: events are written with the change that they report, and published from there.

A service adds its events to the outbox in the transaction that changes its state. The relay publishes them in
order and marks them: a crash between the two publishes them again, and the readers' inboxes drop the repeat.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    Boolean,
    Column,
    CursorResult,
    Executable,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Result,
    Row,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from kit.bus import Bus, Event, HeldBack
from kit.bus.handling import reason_of
from kit.columns import BigIntId, UtcDateTime
from kit.db import Database, after_commit, lock_number
from kit.errors import LookoutError
from kit.logging import Logger
from kit.metrics import Metrics
from kit.settings import BusSettings

SWEEP_ROWS = 5_000
"""Rows deleted in one transaction: a sweep must not hold up those who add."""

_FIRST_BACKOFF_S = 0.2

Execute = Callable[..., Awaitable[Result[Any]]]


def outbox_table(metadata: MetaData, name: str = "outbox") -> Table:
    """The table of a service's outbox, made a part of its schema."""
    published_at: Column[datetime | None] = Column("published_at", UtcDateTime)
    table = Table(
        name,
        metadata,
        Column("outbox_id", BigIntId, Identity(), primary_key=True),
        Column("message_id", Uuid, nullable=False),
        Column("type", Text, nullable=False),
        Column("routing_key", Text, nullable=False),
        Column("partition_key", Text, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("occurred_at", UtcDateTime, nullable=False),
        Column("app_id", Text, nullable=False),
        Column("correlation_id", Text, nullable=False),
        Column("traceparent", Text),
        Column("must_route", Boolean, nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        published_at,
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("last_error", Text),
        sqlite_autoincrement=True,
    )
    waits = published_at.is_(None)
    Index(f"ix_{name}_waiting", table.c.outbox_id, postgresql_where=waits, sqlite_where=waits)
    is_out = published_at.is_not(None)
    Index(f"ix_{name}_published_at", published_at, postgresql_where=is_out, sqlite_where=is_out)
    return table


class Outbox:
    """The events of a service that wait to be published, or were published lately."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.has_new_events = asyncio.Event()
        """Set after each commit that added events; the relay clears it."""
        # inline: the new row's id is of no interest, and fetching it would cost.
        self._insert = insert(table).inline()

    async def add(self, session: AsyncSession, *events: Event) -> None:
        """Add events, in this order, to be published when the caller's transaction has committed.

        Two transactions that run at the same time and add to the same partition key must be serialized by the
        caller (a row lock on what the key identifies): otherwise their order is undefined.
        """
        now = datetime.now(UTC)
        rows = [_row_of(event, now) for event in events]
        if rows:
            await session.execute(self._insert, rows if len(rows) > 1 else rows[0])
            after_commit(session, self.has_new_events.set)


@dataclass(slots=True)
class _Backoff:
    failures: int = 0
    until: float = 0.0

    def fail(self, longest_s: float) -> None:
        """Wait twice as long as before, from now on."""
        delay_s = min(longest_s, _FIRST_BACKOFF_S * 2**self.failures)
        self.failures = min(self.failures + 1, 16)
        self.until = time.monotonic() + delay_s * random.uniform(0.8, 1.2)  # noqa: S311 - spreading load


class Relay:
    """Publishes a service's outbox: one relay at a time, in order per partition key, until cancelled.

    On PostgreSQL a session's advisory lock ensures that, and the relay uses only that session: a relay that
    lost its lock cannot mark rows, and the lock of a killed process is released at once.
    """

    def __init__(
        self,
        db: Database,
        outbox: Outbox,
        bus: Bus,
        settings: BusSettings,
        logger: Logger,
        metrics: Metrics,
    ) -> None:
        self._db = db
        self._table = outbox.table
        self._bus = bus
        self._settings = settings
        self._logger = logger
        self._has_new_events = outbox.has_new_events
        self._blocked: dict[str, _Backoff] = {}
        self._bus_backoff = _Backoff()
        self._backlog = metrics.gauge("outbox_backlog", "Events that wait to be published")
        self._oldest = metrics.gauge("outbox_oldest_age_seconds", "Age of the oldest event that waits")
        self._published = metrics.counter("outbox_published_total", "Events published from the outbox")
        self._failed = metrics.counter(
            "outbox_failures_total", "Events that could not be published", ("reason",)
        )

    async def backlog(self) -> int:
        """Events that wait.

        Raises:
            kit.errors.Unavailable: the database is unavailable.
        """
        async with self._db.reading() as session:
            waiting = select(func.count()).where(self._table.c.published_at.is_(None))
            return (await session.execute(waiting)).scalar_one()

    async def run(self) -> None:
        """Publish until cancelled. Outages of database and broker do not end it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._relay_forever())
            tasks.create_task(self._measure_forever())
            tasks.create_task(self._sweep_forever())

    async def _relay_forever(self) -> None:
        backoff = _Backoff()
        while True:
            try:
                async with self._leading() as execute:
                    backoff = _Backoff()
                    if execute is not None:
                        await self._drain_forever(execute)
                await asyncio.sleep(self._settings.relay_poll_interval_s)
            except Exception as error:  # noqa: BLE001 - a relay that ends publishes nothing ever again
                self._failed.labels("database").inc()
                self._logger.warning("the relay cannot use the database", error=reason_of(error))
                backoff.fail(self._settings.relay_outage_backoff_max_s)
                await asyncio.sleep(max(0.0, backoff.until - time.monotonic()))

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[Execute | None]:
        """How to run a statement while this is the only relay; None when another one is."""
        if self._db.dialect == "sqlite":
            yield self._execute_alone
            return
        async with self._db.engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            lock = lock_number(f"outbox:{self._table.name}")
            try:
                taken = await connection.scalar(select(func.pg_try_advisory_lock(lock)))
                yield connection.execute if taken else None
            finally:
                # Closed rather than returned to the pool: the session, and with it the lock, ends.
                await connection.invalidate()

    async def _execute_alone(self, statement: Executable, parameters: Any = None) -> Result[Any]:
        async with self._db.transaction() as session:
            return await session.execute(statement, parameters)

    async def _drain_forever(self, execute: Execute) -> None:
        while True:
            self._has_new_events.clear()
            if (pause_s := self._bus_backoff.until - time.monotonic()) > 0:
                await asyncio.sleep(pause_s)
            found = await self._publish_batch(execute)
            if found < self._settings.relay_batch_size:
                await self._wait()

    async def _wait(self) -> None:
        now = time.monotonic()
        soonest = min((b.until for b in self._blocked.values() if b.until > now), default=now + 3600)
        try:
            async with asyncio.timeout(min(self._settings.relay_poll_interval_s, soonest - now)):
                await self._has_new_events.wait()
        except TimeoutError:
            return

    async def _publish_batch(self, execute: Execute) -> int:
        rows = await self._waiting(execute)
        if not rows:
            return 0
        results = await self._bus.publish_many([_event_of(row) for row in rows])
        await self._note(execute, rows, results)
        return len(rows)

    async def _waiting(self, execute: Execute) -> Sequence[Row[Any]]:
        table, now = self._table, time.monotonic()
        blocked = [key for key, backoff in self._blocked.items() if backoff.until > now]
        query = select(*(table.c[name] for name in _READ)).where(table.c.published_at.is_(None))
        if blocked:
            query = query.where(table.c.partition_key.not_in(blocked))
        result = await execute(query.order_by(table.c.outbox_id).limit(self._settings.relay_batch_size))
        return result.all()

    async def _note(
        self, execute: Execute, rows: Sequence[Row[Any]], results: Sequence[Exception | None]
    ) -> None:
        """Mark what is out in one statement; keep the keys of what is not waiting for a while."""
        table = self._table
        out = [row for row, failure in zip(rows, results, strict=True) if failure is None]
        if out:
            ids = [row.outbox_id for row in out]
            await execute(
                update(table).where(table.c.outbox_id.in_(ids)).values(published_at=datetime.now(UTC))
            )
            self._published.inc(len(out))
            for row in out:
                self._blocked.pop(row.partition_key, None)
        is_unavailable = False
        for row, failure in zip(rows, results, strict=True):
            if isinstance(failure, LookoutError):
                is_unavailable = True
                self._failed.labels(failure.code).inc()
            elif failure is not None and not isinstance(failure, HeldBack):
                await self._refused(execute, row, failure)
        if is_unavailable:
            if self._bus_backoff.failures == 0:
                self._logger.warning(
                    "cannot publish to the bus; the outbox keeps the events", waiting=len(rows) - len(out)
                )
            self._bus_backoff.fail(self._settings.relay_outage_backoff_max_s)
        elif out:
            self._bus_backoff = _Backoff()

    async def _refused(self, execute: Execute, row: Row[Any], failure: Exception) -> None:
        """Record that one event was not published: the later ones of its key wait for its next attempt."""
        reason = type(failure).__name__
        self._failed.labels(reason.lower()).inc()
        self._blocked.setdefault(row.partition_key, _Backoff()).fail(self._settings.relay_backoff_max_s)
        self._logger.error(
            "event not published",
            message_id=str(row.message_id),
            type=row.type,
            routing_key=row.routing_key,
            attempts=row.attempts + 1,
            error=reason_of(failure),
        )
        table = self._table
        await execute(
            update(table)
            .where(table.c.outbox_id == bindparam("refused_id"))
            .values(attempts=table.c.attempts + 1, last_error=bindparam("error")),
            {"refused_id": row.outbox_id, "error": reason_of(failure)},
        )

    async def _measure_forever(self) -> None:
        table = self._table
        query = select(func.count(), func.min(table.c.created_at)).where(table.c.published_at.is_(None))
        while True:
            try:
                async with self._db.reading() as session:
                    count, oldest = (await session.execute(query)).one()
                self._backlog.set(count)
                age = datetime.now(UTC) - oldest if oldest is not None else timedelta(0)
                self._oldest.set(max(0.0, age.total_seconds()))
            except Exception as error:  # noqa: BLE001 - a figure that is missing must not end the relay
                self._logger.warning("cannot read the outbox's backlog", error=reason_of(error))
            await asyncio.sleep(self._settings.queue_depth_interval_s)

    async def _sweep_forever(self) -> None:
        while True:
            try:
                await self.sweep(datetime.now(UTC) - timedelta(seconds=self._settings.outbox_retention_s))
            except Exception as error:  # noqa: BLE001 - repeated later; the relay continues
                self._logger.warning("cannot sweep the outbox", error=reason_of(error))
            await asyncio.sleep(self._settings.sweep_interval_s)

    async def sweep(self, before: datetime) -> int:
        """Delete what was published before; returns how many."""
        table, swept = self._table, 0
        while True:
            old = select(table.c.outbox_id).where(table.c.published_at < before).limit(SWEEP_ROWS)
            async with self._db.transaction() as session:
                result = await session.execute(delete(table).where(table.c.outbox_id.in_(old)))
                deleted = cast("CursorResult[Any]", result).rowcount
            swept += deleted
            if deleted < SWEEP_ROWS:
                return swept


def _row_of(event: Event, now: datetime) -> dict[str, Any]:
    return {
        "message_id": event.message_id,
        "type": event.type,
        "routing_key": event.routing_key,
        "partition_key": event.partition_key,
        "body": event.body,
        "occurred_at": event.occurred_at,
        "app_id": event.app_id,
        "correlation_id": event.correlation_id,
        "traceparent": event.traceparent,
        "must_route": event.must_route,
        "created_at": now,
    }


_ENVELOPE = tuple(field.name for field in fields(Event))
_READ = (*_ENVELOPE, "outbox_id", "attempts")


def _event_of(row: Row[Any]) -> Event:
    # By position, in the order of the event's own fields: a relay does this for every event there is.
    return Event(*row[: len(_ENVELOPE)])
