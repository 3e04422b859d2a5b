"""Events that could not go out at once: exits, which look at the spot again first, and what is behind them.

One at a time per camera, cameras side by side. The lease in the row is what makes several replicas and
crashes safe: event and outbox row are written in one transaction, which holds only while the lease does, so
whoever dies in between has done nothing, and whoever comes too late does nothing.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from ingest.adapters.http_camera import CameraUnreachable
from ingest.domain.parking_push import Purpose
from ingest.handlers.device_calls import DeviceCalls, Frame
from ingest.handlers.site_directory import SiteDirectory
from ingest.mapping import blob_ref, frame_event, with_fetched_picture, with_pushed_fallback
from ingest.settings import DispatchSettings
from ingest.store import events
from ingest.store.events import PendingEvent
from ingest.store.tables import TEXT_CHARS
from kit.blobs import BlobStore, StoredBlob, new_blob_key
from kit.clock import Clock
from kit.db import Database
from kit.errors import LookoutError, NotFound
from kit.ids import uuid7
from kit.logging import Logger
from kit.metrics import Metrics
from kit.outbox import Outbox
from kit.tracing import use_trace
from lookout.camera.v1 import camera_pb2

EXITS = "exits"
_MEASURE_S = 10.0


@dataclass(frozen=True, slots=True)
class _Outgoing:
    frame: camera_pb2.FrameCaptured
    source: str


class PendingEventDispatcher:
    """Sends out what waits. `wake` says that there may be something."""

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
        metrics: Metrics,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._outbox = outbox
        self._directory = directory
        self._devices = devices
        self._clock = clock
        self._settings = settings
        self._logger = logger
        self._wake = asyncio.Event()
        self._held: dict[int, PendingEvent] = {}
        self._backlog = metrics.gauge("dispatch_backlog", "events that wait for their turn or their picture")
        self._failed = metrics.counter("dispatch_bugs_total", "attempts to send an event that crashed")
        self._sent = metrics.counter("dispatched_total", "events sent out after waiting", ("picture",))

    def wake(self) -> None:
        """Something waits."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled. What is in hand then stays in the table for the next one."""
        try:
            if self._db.dialect == "sqlite":
                # The file serves one process: leases in it are those of our predecessor, who is gone.
                await self._release(None)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._measure())
                while True:
                    await self._hand_out(tasks)
                    await self._pause()
        finally:
            for event in list(self._held.values()):
                await asyncio.shield(self._release(event))

    async def _hand_out(self, tasks: asyncio.TaskGroup) -> None:
        """Give every camera that has something waiting a task, as far as there is room."""
        self._wake.clear()
        room = self._settings.concurrency - len(self._held)
        if room <= 0:
            return
        try:
            claimed = await self._claim(room)
        except LookoutError as error:
            self._logger.warning("cannot look for waiting events", error=error.detail)
            return
        for event in claimed:
            self._held[event.event_no] = event
            tasks.create_task(self._serve(event), name=f"dispatch:{event.camera_id}")
        if len(claimed) == room:
            self._wake.set()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._settings.poll_s):
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

    async def _serve(self, event: PendingEvent) -> None:
        with use_trace(event.traceparent, str(event.event_id)):
            try:
                async with asyncio.timeout(self._settings.lease_s):
                    await self._send(event)
            except (LookoutError, TimeoutError) as error:
                self._logger.warning("event not sent yet", event_id=str(event.event_id), error=str(error))
                await asyncio.sleep(self._settings.retry_s)
                await self._release(event)
            except Exception:
                # A bug with this one must not stop the other cameras': its lease runs out, it comes again.
                self._failed.inc()
                self._logger.exception("event not sent", event_id=str(event.event_id))
            self._held.pop(event.event_no, None)
            self._wake.set()

    async def _send(self, event: PendingEvent) -> None:
        frame = camera_pb2.FrameCaptured.FromString(event.frame)
        outgoing = await self._look_again(event, frame) if event.purpose is Purpose.EXIT else None
        outgoing = outgoing or _Outgoing(frame, "PUSHED")
        async with self._db.transaction() as session:
            is_ours = await events.dispatched(
                session,
                event,
                now=self._clock.now(),
                values=_columns(outgoing),
            )
            if is_ours:
                await self._outbox.add(session, frame_event(outgoing.frame, event.event_id))
        if is_ours:
            self._sent.labels(outgoing.source.lower()).inc()
        else:
            self._logger.info("lease lost, another replica sends", event_id=str(event.event_id))

    async def _look_again(self, event: PendingEvent, frame: camera_pb2.FrameCaptured) -> _Outgoing:
        """A fresh picture of the spot, or the pushed one with the reason why."""
        try:
            site = await self._directory.by_id(event.camera_id)
            self._devices.access(site)
        except (NotFound, CameraUnreachable) as error:
            return _fallback(frame, error.detail)
        if not self._devices.circuit(event.camera_id).may_call(self._clock.now()):
            return _fallback(frame, "the camera did not answer of late and is left alone for a while")
        try:
            fresh = await self._devices.frame_of(site)
            blob = await self._keep(event.event_id, fresh)
        except LookoutError as error:
            # Also when the fresh picture cannot be stored: the moment has passed, and the pushed one is safe.
            self._logger.info("exit goes out with its pushed picture", code=error.code, reason=error.detail)
            return _fallback(frame, error.detail)
        return _Outgoing(with_fetched_picture(frame, blob_ref(blob, fresh.header.size)), "FETCHED")

    async def _keep(self, event_id: UUID, fresh: Frame) -> StoredBlob:
        # Named by the event, so that a second attempt after a crash replaces the first one's.
        key = new_blob_key(EXITS, fresh.captured_at, fresh.header.suffix, event_id)
        return await self._blobs.put(key, fresh.data, fresh.header.content_type)

    async def _release(self, event: PendingEvent | None) -> None:
        """Give the lease of one event back, or everybody's."""
        try:
            async with self._db.transaction() as session:
                await events.release(session, event)
        except LookoutError as error:
            self._logger.warning("leases not given back; they run out", error=error.detail)

    async def _measure(self) -> None:
        while True:
            try:
                async with self._db.reading() as session:
                    self._backlog.set(await events.count_pending(session))
            except LookoutError as error:
                self._logger.warning("cannot count waiting events", error=error.detail)
            await asyncio.sleep(_MEASURE_S)


def _fallback(frame: camera_pb2.FrameCaptured, note: str) -> _Outgoing:
    return _Outgoing(with_pushed_fallback(frame, note[:TEXT_CHARS]), "PUSHED_FALLBACK")


def _columns(outgoing: _Outgoing) -> dict[str, Any]:
    picture = outgoing.frame.picture
    return {
        "frame": outgoing.frame.SerializeToString(),
        "picture": {
            "key": picture.key,
            "content_type": picture.content_type,
            "size_bytes": picture.size_bytes,
            "sha256": picture.sha256,
            "width_px": picture.width_px,
            "height_px": picture.height_px,
        },
        "picture_source": outgoing.source,
        "picture_note": outgoing.frame.picture_note,
    }
