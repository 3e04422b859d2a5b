"""Accept a parking push: stored before the answer, once for each event."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from ingest.domain.camera_event import AcceptedEvent, EventState, NewCameraEvent
from ingest.domain.camera_time import ClockCheck, check_clock
from ingest.domain.frame import CapturedFrame, FrameSpot, StoredPicture
from ingest.domain.geometry import scale_box
from ingest.domain.parking_push import fingerprint
from ingest.domain.push_access import PushCaller
from ingest.domain.site import CameraSite, RegisteredSpot, SpotOrigin
from ingest.domain.spots import SpotChoice, choose_spot
from ingest.handlers.admit_push import AdmitPush
from ingest.handlers.group_commit import GroupCommit
from ingest.handlers.input_errors import mapped_input_errors
from ingest.handlers.ordered_locks import OrderedLocks
from ingest.handlers.parse_parking_push import ParsedPush, parse_parking_push
from ingest.handlers.pictures import store_picture
from ingest.handlers.site_directory import SiteDirectory
from ingest.mapping import frame_event
from ingest.settings import ParkingPushSettings
from ingest.store import events, registry
from kit.blobs import BlobStore, new_blob_key
from kit.bus import Event
from kit.clock import Clock
from kit.db import Database
from kit.errors import FieldError, Invalid, LookoutError, NotFound
from kit.ids import uuid7
from kit.logging import Logger
from kit.outbox import Outbox
from kit.picture_limits import PictureLimits
from kit.tracing import set_correlation_id

SNAPSHOTS = "snapshots"
MAX_GROUP = 100
"""Events stored in one transaction: as many as clients push at the same time, up to this."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a push. A repeat of an event gets the first one's answer, with `is_repeat` set."""

    event: AcceptedEvent
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class _Draft:
    """A push that can be accepted, before its picture is stored."""

    event_id: UUID
    parsed: ParsedPush
    site: CameraSite
    choice: SpotChoice
    spot: RegisteredSpot
    clock: ClockCheck
    received_at: datetime
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class _Write:
    event: NewCameraEvent
    message: Event


class AcceptParkingPush:
    """`on_pending` is called after the commit of an event that has to wait. A resource: start and stop it."""

    def __init__(
        self,
        *,
        db: Database,
        admit: AdmitPush,
        blobs: BlobStore,
        outbox: Outbox,
        directory: SiteDirectory,
        clock: Clock,
        settings: ParkingPushSettings,
        picture_limits: PictureLimits,
        threads: Executor,
        logger: Logger,
        on_pending: Callable[[], None],
    ) -> None:
        self._db = db
        self._admit = admit
        self._blobs = blobs
        self._outbox = outbox
        self._directory = directory
        self._clock = clock
        self._settings = settings
        self._limits = picture_limits
        self._threads = threads
        self._logger = logger
        self._on_pending = on_pending
        self._locks = OrderedLocks()
        self._writes = GroupCommit(self._write, max_items=MAX_GROUP)
        self._recent: OrderedDict[bytes, AcceptedEvent] = OrderedDict()

    async def start(self) -> None:
        """Nothing runs before the first push."""

    async def stop(self) -> None:
        """Finish the write in progress."""
        await self._writes.stop()

    async def __call__(self, body: bytes, caller: PushCaller) -> Accepted:
        """Accept one push.

        Raises:
            PushRefused: `caller` did not show that it may push for the camera.
            RateLimited: the camera has pushed too much.
            Invalid, TooLarge: the push or its picture; each with its own code, naming the fields.
            NotFound: no such location or camera.
            Unavailable, StorageFull: the database or the blob store; nothing was stored, the camera may repeat.
        """
        received_at = self._clock.now()
        with mapped_input_errors():
            parsed = await self._parse(body)
            site = await self._admitted(parsed, body, caller)
            draft = self._draft(parsed, site, received_at)
        if known := self._recent.get(draft.fingerprint):
            return Accepted(known, is_repeat=True)
        set_correlation_id(str(draft.event_id))
        # Reserved before the first wait that depends on the picture's size: events stay in the order of arrival.
        lock = self._locks.reserve(site.camera_id)
        try:
            if draft.choice.is_to_learn:
                draft = replace(draft, spot=await self._learn_spot(draft))
            picture = await self._store_picture(draft)
            async with lock.acquire():
                return await self._accept(draft, picture)
        finally:
            lock.release()

    async def _admitted(self, parsed: ParsedPush, body: bytes, caller: PushCaller) -> CameraSite:
        area = parsed.push.area
        try:
            site = await self._directory.by_area(area)
        except NotFound:
            if self._admit.is_required:
                raise self._admit.refuse_unknown(area, caller) from None
            raise
        self._admit.admit(site, area, caller, body)
        return site

    async def _parse(self, body: bytes) -> ParsedPush:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, parse_parking_push, body, self._settings, self._limits
        )

    def _draft(self, parsed: ParsedPush, site: CameraSite, received_at: datetime) -> _Draft:
        push, settings = parsed.push, self._settings
        choice = choose_spot(
            site,
            push,
            parsed.header.size,
            may_learn=settings.is_spot_learning_enabled,
            max_spots=settings.max_learned_spots,
        )
        try:
            reported_at = push.time.instant(site.time_zone, received_at)
        except ValueError as error:
            raise Invalid(
                "time is not a time of the calendar",
                code="invalid_time",
                errors=[FieldError("time", str(error))],
            ) from error
        known = choice.known or RegisteredSpot(0, choice.spot_number, choice.corners, SpotOrigin.CAMERA)
        return _Draft(
            event_id=uuid7(),
            parsed=parsed,
            site=site,
            choice=choice,
            spot=known,
            clock=check_clock(
                reported_at,
                received_at,
                ahead_limit_s=settings.clock_ahead_limit_s,
                behind_limit_s=settings.clock_behind_limit_s,
            ),
            received_at=received_at,
            fingerprint=fingerprint(push, camera_id=site.camera_id, snapshot_sha256=parsed.sha256),
        )

    async def _learn_spot(self, draft: _Draft) -> RegisteredSpot:
        """Register the spot that the camera reported, in a transaction of its own: it stays if the event fails."""
        number = draft.choice.spot_number
        async with self._db.transaction() as session:
            await registry.learn_spot(
                session,
                camera_id=draft.site.camera_id,
                spot_number=number,
                corners=draft.choice.corners,
                learned_at=draft.received_at,
            )
        self._directory.clear()
        self._logger.info("spot learned from its camera", camera_id=draft.site.camera_id, spot_number=number)
        site = await self._directory.by_area(draft.parsed.push.area)
        return site.spots[number]

    async def _store_picture(self, draft: _Draft) -> StoredPicture:
        header = draft.parsed.header
        key = new_blob_key(SNAPSHOTS, draft.received_at, header.suffix, draft.event_id)
        return await store_picture(self._blobs, key, draft.parsed.picture, header, sha256=draft.parsed.sha256)

    async def _accept(self, draft: _Draft, picture: StoredPicture) -> Accepted:
        if known := self._recent.get(draft.fingerprint):
            await self._discard(picture)
            return Accepted(known, is_repeat=True)
        frame = _frame(draft, picture)
        message = frame_event(frame)
        event = NewCameraEvent(
            frame=frame,
            push=draft.parsed.push,
            fingerprint=draft.fingerprint,
            raw_push=draft.parsed.raw_push,
            encoded_frame=message.body,
            traceparent=message.traceparent,
        )
        state = await self._writes.submit(_Write(event, message))
        if state is None:
            await self._discard(picture)
            return Accepted(self._remember(draft, await self._first(draft.fingerprint)), is_repeat=True)
        return Accepted(self._remember(draft, _accepted(draft)), is_repeat=False)

    async def _write(self, group: Sequence[_Write]) -> list[EventState | None]:
        """The state of each event; None if it was stored before. A camera is in a group once at most."""
        async with self._db.transaction() as session:
            states = await events.accept(session, [write.event for write in group])
            found = [states.get(write.message.message_id) for write in group]
            await self._outbox.add(
                session,
                *(
                    write.message
                    for write, state in zip(group, found, strict=True)
                    if state is EventState.DISPATCHED
                ),
            )
        if EventState.PENDING in found:
            self._on_pending()
        return found

    async def _first(self, fingerprint: bytes) -> AcceptedEvent:
        async with self._db.reading() as session:
            first = await events.by_fingerprint(session, fingerprint)
        if first is None:
            # The row existed a moment ago: retention has just deleted it.
            raise Invalid("this event is older than the events that are kept", code="event_expired")
        return first

    async def _discard(self, picture: StoredPicture) -> None:
        """Delete the picture of a repeat. If that fails it is an orphan, which retention deletes."""
        try:
            await self._blobs.delete(picture.key)
        except LookoutError as error:
            self._logger.warning("picture of a repeat not deleted", key=picture.key, error=error.detail)

    def _remember(self, draft: _Draft, event: AcceptedEvent) -> AcceptedEvent:
        if self._settings.duplicate_cache_size:
            self._recent[draft.fingerprint] = event
            if len(self._recent) > self._settings.duplicate_cache_size:
                self._recent.popitem(last=False)
        return event


def _frame(draft: _Draft, picture: StoredPicture) -> CapturedFrame:
    push = draft.parsed.push
    box = push.vehicle_box
    return CapturedFrame(
        frame_id=draft.event_id,
        purpose=push.purpose,
        camera=draft.site,
        regions=draft.site.regions,
        spot=FrameSpot(draft.spot.spot_id, draft.spot.spot_number, draft.choice.corners),
        vehicle_box=scale_box(box, push.resolution, picture.size) if box is not None else None,
        clock=draft.clock,
        received_at=draft.received_at,
        previous_state_duration_s=push.duration_s,
        picture=picture,
    )


def _accepted(draft: _Draft) -> AcceptedEvent:
    return AcceptedEvent(
        event_id=draft.event_id,
        purpose=draft.parsed.push.purpose,
        camera_id=draft.site.camera_id,
        spot_number=draft.choice.spot_number,
        captured_at=draft.clock.captured_at,
        received_at=draft.received_at,
        clock_state=draft.clock.state.value,
    )
