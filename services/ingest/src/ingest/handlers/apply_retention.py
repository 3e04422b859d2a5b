"""Delete what has reached the end of its retention: pictures without an event, old pushes, events and captures.

Ages are measured against the time that is known to have passed (`ingest.domain.retention`), not against the clock
alone: a clock that is 500 days ahead would otherwise make everything old. One run deletes a share of what is there.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from uuid import UUID

from ingest.domain.retention import ClockLimits, RetentionClock, advance_clock, most_deletions
from ingest.handlers.accept_parking_push import SNAPSHOTS
from ingest.handlers.device_calls import CLIPS, FRAMES
from ingest.handlers.dispatch_pending import EXITS
from ingest.metrics import IngestMetrics
from ingest.settings import RetentionSettings
from ingest.store import events, retention
from kit.blobs import BlobStore
from kit.clock import Clock
from kit.db import Database
from kit.logging import Logger

BATCH = 500
# A crash leaves pictures without an event: those of the last days are checked every time, and those of the days whose
# events are being deleted, because the process may have stopped between the row and the picture.
_DAYS_CHECKED = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK_LOCK = "ingest.retention_clock"


class ApplyRetention:
    """Applies the retention settings to tables and blobs. `monotonic`: seconds of a clock that cannot be set."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: BlobStore,
        clock: Clock,
        settings: RetentionSettings,
        metrics: IngestMetrics,
        logger: Logger,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._logger = logger
        self._monotonic = monotonic
        self._limits = ClockLimits(
            max_step=timedelta(seconds=settings.max_clock_step_s),
            confirm_after=timedelta(seconds=settings.clock_confirm_s),
        )
        self._last_run_s: float | None = None
        self._raw_pushes_deleted_before = _EPOCH
        self._deleted: Counter[str] = Counter()

    async def sweep(self) -> None:
        """Delete what is due, at most `max_share` of each kind; what is left is deleted by the next runs.

        Raises:
            Unavailable: the database or the blob store.
        """
        self._deleted.clear()
        now = await self._trusted_now()
        if self._settings.hold:
            self._logger.warning("retention_held", reason="the setting retention.hold is on")
            return
        async with self._db.reading() as session:
            existing = await retention.count_events(session)
        await self._delete_raw_pushes(now, self._most("raw_push", existing))
        await self._delete_events(now, self._most("event", existing))
        await self._delete_orphans(now)
        await self._delete_captures(now)
        self._logger.info(
            "retention_applied", measured_at=now.isoformat(), events=existing, deleted=dict(+self._deleted)
        )

    async def _trusted_now(self) -> datetime:
        """The time that ages are measured against; the record of it is stored."""
        monotonic_s = self._monotonic()
        elapsed_s = 0.0 if self._last_run_s is None else monotonic_s - self._last_run_s
        async with self._db.transaction() as session:
            await self._db.advisory_lock(session, _CLOCK_LOCK)
            now = self._clock.now()
            if (database_now := await retention.database_time(session)) is not None:
                now = min(now, database_now)
            known = await retention.read_clock(session)
            if known is None:
                # Events that were stored before there was a record: the newest shows how far time had passed.
                newest = await retention.newest_event_at(session)
                start = min(newest, now) if newest is not None else now
                known = RetentionClock(trusted_until=start, checked_at=start)
            clock, ahead = advance_clock(known, now, elapsed_s, self._limits)
            await retention.write_clock(session, clock)
        self._last_run_s = monotonic_s
        self._metrics.retention_clock_ahead.set(ahead.total_seconds())
        if ahead:
            await self._warn_of_clock(now, clock, ahead)
        return clock.trusted_until

    async def _warn_of_clock(self, now: datetime, clock: RetentionClock, ahead: timedelta) -> None:
        days = self._settings.event_days
        async with self._db.reading() as session:
            due = await retention.count_events(session, now - timedelta(days=days)) if days else 0
        self._logger.warning(
            "retention_clock_ahead",
            clock=now.isoformat(),
            measured_at=clock.trusted_until.isoformat(),
            ahead_s=round(ahead.total_seconds()),
            events_due_by_clock=due,
            believed_in_s=round(self._settings.clock_confirm_s - clock.waited_s),
            remedy="Set the clock right; or, if it is right, run `ingest accept-clock`.",
        )

    def _most(self, kind: str, existing: int) -> int:
        """How many of a kind this run may still delete."""
        most = most_deletions(
            existing, max_share=self._settings.max_share, min_count=self._settings.min_deletions
        )
        return max(0, most - self._deleted[kind])

    def _count(self, kind: str, deleted: int) -> None:
        self._deleted[kind] += deleted
        self._metrics.retention_deleted.labels(kind).inc(deleted)

    def _warn_of_limit(self, kind: str) -> None:
        self._logger.warning(
            "retention_limited",
            kind=kind,
            deleted=self._deleted[kind],
            max_share=self._settings.max_share,
            next_in_s=self._settings.sweep_interval_s,
        )

    async def _delete_raw_pushes(self, now: datetime, most: int) -> None:
        if not self._settings.raw_push_days:
            return
        before = now - timedelta(days=self._settings.raw_push_days)
        while most:
            batch = min(BATCH, most)
            async with self._db.transaction() as session:
                deleted = await events.delete_raw_pushes(
                    session, since=self._raw_pushes_deleted_before, before=before, limit=batch
                )
            self._count("raw_push", deleted)
            most -= deleted
            if deleted < batch:
                self._raw_pushes_deleted_before = before
                return
        self._warn_of_limit("raw_push")

    async def _delete_events(self, now: datetime, most: int) -> None:
        if not self._settings.event_days:
            return
        before = now - timedelta(days=self._settings.event_days)
        while most:
            batch = min(BATCH, most)
            async with self._db.transaction() as session:
                deleted, keys = await events.delete_before(session, before=before, limit=batch)
            for key in keys:
                await self._blobs.delete(key)
            self._count("event", deleted)
            most -= deleted
            if deleted < batch:
                return
        async with self._db.reading() as session:
            due = await retention.count_events(session, before)
        if due:
            self._warn_of_limit("event")

    async def _delete_orphans(self, now: datetime) -> None:
        older_than = now - timedelta(seconds=self._settings.orphan_min_age_s)
        seen, is_limited = 0, False
        for day in self._days(now):
            for area in (SNAPSHOTS, EXITS):
                async for keys in self._old_keys(f"{area}/{day}/", older_than):
                    seen += len(keys)
                    orphans = await self._without_event(keys)
                    most = self._most("orphan", seen)
                    is_limited = is_limited or len(orphans) > most
                    await self._delete_blobs("orphan", orphans[:most])
        if is_limited:
            self._warn_of_limit("orphan")
        await self._blobs.discard_unfinished(older_than)

    def _days(self, now: datetime) -> list[str]:
        ends = [now]
        if self._settings.event_days:
            ends.append(now - timedelta(days=self._settings.event_days))
        return sorted(
            {f"{end - timedelta(days=days):%Y/%m/%d}" for end in ends for days in range(_DAYS_CHECKED + 1)}
        )

    async def _old_keys(self, prefix: str, older_than: datetime) -> AsyncIterator[list[str]]:
        batch: list[str] = []
        async for blob in self._blobs.list(prefix):
            if blob.modified_at < older_than:
                batch.append(blob.key)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _without_event(self, keys: list[str]) -> list[str]:
        by_event = {key: _event_id(key) for key in keys}
        async with self._db.reading() as session:
            existing = await events.existing_ids(
                session, [id_ for id_ in by_event.values() if id_ is not None]
            )
        return [key for key, event_id in by_event.items() if event_id not in existing]

    async def _delete_blobs(self, kind: str, keys: list[str]) -> None:
        for key in keys:
            await self._blobs.delete(key)
            self._count(kind, 1)

    async def _delete_captures(self, now: datetime) -> None:
        if not self._settings.capture_days:
            return
        before = now - timedelta(days=self._settings.capture_days)
        seen, due = 0, list[str]()
        for area in (FRAMES, CLIPS):
            async for blob in self._blobs.list(f"{area}/"):
                seen += 1
                if blob.modified_at < before:
                    due.append(blob.key)
        most = self._most("capture", seen)
        await self._delete_blobs("capture", due[:most])
        if len(due) > most:
            self._warn_of_limit("capture")


async def accept_clock(db: Database, clock: Clock) -> datetime:
    """Believe the clock from now on: the time that ages are measured against; see `RetentionClock`.

    Raises:
        Unavailable: the database.
    """
    async with db.transaction() as session:
        await db.advisory_lock(session, _CLOCK_LOCK)
        now = clock.now()
        if (database_now := await retention.database_time(session)) is not None:
            now = min(now, database_now)
        await retention.write_clock(session, RetentionClock(trusted_until=now, checked_at=now))
    return now


def _event_id(key: str) -> UUID | None:
    """Pictures are named by their event (`<area>/<yyyy>/<mm>/<dd>/<event id>.jpg`)."""
    try:
        return UUID(PurePosixPath(key).stem)
    except ValueError:
        return None
