"""Dispatch events that had to wait: exits, for which a fresh picture is fetched first, and the events behind them.

One at a time per camera, cameras in parallel. The lease in the row makes this safe for several replicas and for
crashes: the event's new state and its outbox row are written in one transaction, and only while the lease is held.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

from ingest.domain.camera_event import PendingEvent
from ingest.domain.frame import CapturedFrame, StoredPicture
from ingest.domain.parking_push import Purpose
from ingest.domain.site import TEXT_CHARS
from ingest.handlers.device_calls import DeviceCalls, Frame
from ingest.handlers.pictures import store_picture
from ingest.handlers.site_directory import SiteDirectory
from ingest.mapping import decode_frame, frame_event
from ingest.metrics import IngestMetrics
from ingest.settings import DispatchSettings
from ingest.store import events
from kit.blobs import BlobStore, new_blob_key
from kit.clock import Clock
from kit.db import Database
from kit.errors import LookoutError, NotFound, UpstreamUnreachable
from kit.ids import uuid7
from kit.logging import Logger
from kit.outbox import Outbox
from kit.tracing import use_trace

EXITS = "exits"
_COUNT_INTERVAL_S = 10.0


class PendingEventDispatcher:
    """Call `wake` after an event was stored as pending."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: BlobStore,
        outbox: Outbox,
        directory: SiteDirectory,
        devices: DeviceCalls,
        clock: Clock,
        settings: DispatchSettings,
        logger: Logger,
        metrics: IngestMetrics,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._outbox = outbox
        self._directory = directory
        self._devices = devices
        self._clock = clock
        self._settings = settings
        self._logger = logger
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._leased: dict[int, PendingEvent] = {}

    def wake(self) -> None:
        """There may be a pending event."""
        self._wake.set()

    async def run(self) -> None:
        """Dispatch until cancelled; then the leases are returned, and another replica or the next start goes on."""
        try:
            if self._db.dialect == "sqlite":
                # An SQLite file serves one process: leases in it were held by a process that no longer runs.
                await self._release(None)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._count_pending())
                while True:
                    await self._start_tasks(tasks)
                    await self._wait()
        finally:
            for event in list(self._leased.values()):
                await asyncio.shield(self._release(event))

    async def _start_tasks(self, tasks: asyncio.TaskGroup) -> None:
        """A task for each camera that has a pending event, up to the limit of tasks."""
        self._wake.clear()
        room = self._settings.concurrency - len(self._leased)
        if room <= 0:
            return
        try:
            claimed = await self._claim(room)
        except LookoutError as error:
            self._logger.warning("cannot read pending events", error=error.detail)
            return
        for event in claimed:
            self._leased[event.event_no] = event
            tasks.create_task(self._process(event), name=f"dispatch:{event.camera_id}")
        if len(claimed) == room:
            self._wake.set()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._settings.poll_interval_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _claim(self, limit: int) -> list[PendingEvent]:
        now = self._clock.now()
        async with self._db.transaction() as session:
            return await events.claim(
                session,
                lease_id=uuid7(),
                now=now,
                lease_until=now + timedelta(seconds=self._settings.lease_s),
                limit=limit,
            )

    async def _process(self, event: PendingEvent) -> None:
        with use_trace(event.traceparent, str(event.event_id), name="dispatch event"):
            try:
                async with asyncio.timeout(self._settings.lease_s):
                    await self._dispatch(event)
            except (LookoutError, TimeoutError) as error:
                self._logger.warning(
                    "event not dispatched, will be retried", event_id=str(event.event_id), error=str(error)
                )
                await asyncio.sleep(self._settings.retry_delay_s)
                await self._release(event)
            except Exception:
                # A bug with this event must not stop the other cameras: it is retried when its lease has expired.
                self._metrics.dispatch_errors.inc()
                self._logger.exception("event not dispatched", event_id=str(event.event_id))
            self._leased.pop(event.event_no, None)
            self._wake.set()

    async def _dispatch(self, event: PendingEvent) -> None:
        frame = decode_frame(event.encoded_frame)
        if event.purpose is Purpose.EXIT:
            frame = await self._with_fresh_picture(event, frame)
        async with self._db.transaction() as session:
            has_lease = await events.mark_dispatched(session, event, frame, now=self._clock.now())
            if has_lease:
                await self._outbox.add(session, frame_event(frame))
        if has_lease:
            self._metrics.dispatched.labels(frame.picture_source.value.lower()).inc()
        else:
            self._logger.info(
                "lease expired, another replica dispatches the event", event_id=str(event.event_id)
            )

    async def _with_fresh_picture(self, event: PendingEvent, frame: CapturedFrame) -> CapturedFrame:
        """The frame with a fresh picture of the spot, or with the pushed one and the reason."""
        try:
            site = await self._directory.by_id(event.camera_id)
            self._devices.access(site)
        except (NotFound, UpstreamUnreachable) as error:
            return frame.with_pushed_fallback(error.detail[:TEXT_CHARS])
        if not self._devices.circuit(event.camera_id).may_call(self._clock.now().timestamp()):
            return frame.with_pushed_fallback(
                "the last calls to the camera failed; it is not called for a while"
            )
        try:
            fresh = await self._devices.frame_since(site, frame.received_at)
            picture = await self._store(event.event_id, fresh)
        except LookoutError as error:
            # Also when the fresh picture cannot be stored: a later one would show a later moment.
            self._logger.info("exit dispatched with its pushed picture", code=error.code, reason=error.detail)
            return frame.with_pushed_fallback(error.detail[:TEXT_CHARS])
        return frame.with_fetched_picture(picture)

    async def _store(self, event_id: UUID, fresh: Frame) -> StoredPicture:
        # Named by the event, so that a second attempt after a crash replaces the first one's picture.
        key = new_blob_key(EXITS, fresh.captured_at, fresh.header.suffix, event_id)
        return await store_picture(self._blobs, key, fresh.data, fresh.header)

    async def _release(self, event: PendingEvent | None) -> None:
        """Return the lease of one event, or all leases."""
        try:
            async with self._db.transaction() as session:
                await events.release(session, event)
        except LookoutError as error:
            self._logger.warning("leases not returned; they expire", error=error.detail)

    async def _count_pending(self) -> None:
        while True:
            try:
                async with self._db.reading() as session:
                    self._metrics.pending_events.set(await events.count_pending(session))
            except LookoutError as error:
                self._logger.warning("cannot count pending events", error=error.detail)
            await asyncio.sleep(_COUNT_INTERVAL_S)
