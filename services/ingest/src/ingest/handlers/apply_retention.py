"""Delete what has reached the end of its retention: pictures without an event, old pushes, events and captures."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from uuid import UUID

from ingest.handlers.accept_parking_push import SNAPSHOTS
from ingest.handlers.device_calls import CLIPS, FRAMES
from ingest.handlers.dispatch_pending import EXITS
from ingest.metrics import IngestMetrics
from ingest.settings import RetentionSettings
from ingest.store import events
from kit.blobs import BlobStore, sweep
from kit.clock import Clock
from kit.db import Database

BATCH = 500
# A crash leaves pictures without an event: those of the last days are checked every time, and those of the days whose
# events are being deleted, because the process may have stopped between the row and the picture.
_DAYS_CHECKED = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ApplyRetention:
    """Applies the retention settings to tables and blobs."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: BlobStore,
        clock: Clock,
        settings: RetentionSettings,
        metrics: IngestMetrics,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._settings = settings
        self._deleted = metrics.retention_deleted
        self._raw_pushes_deleted_before = _EPOCH

    async def sweep(self) -> None:
        """Delete everything that is due.

        Raises:
            Unavailable: the database or the blob store.
        """
        now = self._clock.now()
        await self._delete_raw_pushes(now)
        await self._delete_events(now)
        await self._delete_orphans(now)
        await self._delete_captures(now)

    async def _delete_raw_pushes(self, now: datetime) -> None:
        if not self._settings.raw_push_days:
            return
        before = now - timedelta(days=self._settings.raw_push_days)
        deleted = BATCH
        while deleted == BATCH:
            async with self._db.transaction() as session:
                deleted = await events.delete_raw_pushes(
                    session, since=self._raw_pushes_deleted_before, before=before, limit=BATCH
                )
            self._deleted.labels("raw_push").inc(deleted)
        self._raw_pushes_deleted_before = before

    async def _delete_events(self, now: datetime) -> None:
        if not self._settings.event_days:
            return
        before = now - timedelta(days=self._settings.event_days)
        while True:
            async with self._db.transaction() as session:
                keys = await events.delete_before(session, before=before, limit=BATCH)
            if not keys:
                return
            for key in keys:
                await self._blobs.delete(key)
            self._deleted.labels("event").inc(len(keys))

    async def _delete_orphans(self, now: datetime) -> None:
        older_than = now - timedelta(seconds=self._settings.orphan_min_age_s)
        for day in self._days(now):
            for area in (SNAPSHOTS, EXITS):
                async for keys in self._old_keys(f"{area}/{day}/", older_than):
                    await self._delete_without_event(keys)
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

    async def _delete_without_event(self, keys: list[str]) -> None:
        by_event = {key: _event_id(key) for key in keys}
        async with self._db.reading() as session:
            existing = await events.existing_ids(
                session, [id_ for id_ in by_event.values() if id_ is not None]
            )
        for key, event_id in by_event.items():
            if event_id not in existing:
                await self._blobs.delete(key)
                self._deleted.labels("orphan").inc()

    async def _delete_captures(self, now: datetime) -> None:
        if not self._settings.capture_days:
            return
        before = now - timedelta(days=self._settings.capture_days)
        for area in (FRAMES, CLIPS):
            self._deleted.labels("capture").inc(await sweep(self._blobs, f"{area}/", before, _is_in_use))


async def _is_in_use(_key: str) -> bool:
    return False


def _event_id(key: str) -> UUID | None:
    """Pictures are named by their event (`<area>/<yyyy>/<mm>/<dd>/<event id>.jpg`)."""
    try:
        return UUID(PurePosixPath(key).stem)
    except ValueError:
        return None
