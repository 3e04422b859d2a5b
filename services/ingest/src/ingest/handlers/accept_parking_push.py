"""`POST /post`: durable before the answer, once for each event."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from ingest.domain.camera_time import ClockJudgement, judge_clock
from ingest.domain.geometry import scale_box
from ingest.domain.outcomes import Outcome
from ingest.domain.parking_push import Purpose, fingerprint
from ingest.domain.site import CameraSite, RegisteredSpot, SpotOrigin
from ingest.domain.spots import SpotChoice, choose_spot
from ingest.handlers.input_errors import mapped_input_errors
from ingest.handlers.ordered_locks import OrderedLocks
from ingest.handlers.parse_parking_push import ParsedPush, parse_parking_push
from ingest.handlers.site_directory import SiteDirectory
from ingest.mapping import blob_ref, frame_captured, frame_event, spot_message
from ingest.settings import ParkingPushSettings
from ingest.store import events, registry
from ingest.store.events import AcceptedRow
from ingest.store.tables import TEXT_CHARS
from kit.blobs import BlobStore, StoredBlob, new_blob_key
from kit.clock import Clock
from kit.db import Database
from kit.errors import FieldError, Invalid, LookoutError
from kit.ids import uuid7
from kit.logging import Logger
from kit.outbox import Outbox
from kit.tracing import current_trace, set_correlation_id
from lookout.camera.v1 import camera_pb2

SNAPSHOTS = "snapshots"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the camera is told. A repeat gets the first event's, with `is_repeat` set."""

    event_id: UUID
    purpose: Purpose
    camera_id: int
    spot_number: int
    captured_at: datetime
    received_at: datetime
    clock_state: str
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A report that may be accepted: everything but the place of its picture."""

    event_id: UUID
    read: ParsedPush
    site: CameraSite
    choice: SpotChoice
    spot: RegisteredSpot
    clock: ClockJudgement
    received_at: datetime
    fingerprint: bytes


class AcceptParkingPush:
    """Accepts parking pushes. `on_waiting` is called after the commit of an event that has to wait."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: BlobStore,
        outbox: Outbox,
        directory: SiteDirectory,
        clock: Clock,
        settings: ParkingPushSettings,
        threads: Executor,
        logger: Logger,
        on_waiting: Callable[[], None],
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._outbox = outbox
        self._directory = directory
        self._clock = clock
        self._settings = settings
        self._threads = threads
        self._logger = logger
        self._on_waiting = on_waiting
        self._turns = OrderedLocks()
        self._recent: OrderedDict[bytes, Accepted] = OrderedDict()

    async def __call__(self, body: bytes) -> Accepted:
        """Accept one report.

        Raises:
            Invalid, TooLarge: the report or its picture; each with its own code, naming the fields.
            NotFound: no such location or camera.
            Unavailable, StorageFull: the database or the blob store; nothing was kept, the camera may repeat.
        """
        received_at = self._clock.now()
        with mapped_input_errors():
            read = await self._read(body)
            site = await self._directory.by_area(read.report.area)
            arrival = self._arrival(read, site, received_at)
        if repeat := self._recent.get(arrival.fingerprint):
            return replace(repeat, is_repeat=True)
        set_correlation_id(str(arrival.event_id))
        # The turn is taken before the first wait that depends on the picture's size.
        turn = self._turns.take(site.camera_id)
        try:
            if arrival.choice.is_to_learn:
                arrival = replace(arrival, spot=await self._learn(arrival))
            picture = await self._keep_picture(arrival)
            async with turn.come():
                return await self._accept(arrival, picture)
        finally:
            turn.give_up()

    async def _read(self, body: bytes) -> ParsedPush:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, parse_parking_push, body, self._settings)

    def _arrival(self, read: ParsedPush, site: CameraSite, received_at: datetime) -> _Arrival:
        report, settings = read.report, self._settings
        choice = choose_spot(
            site,
            report,
            read.header.size,
            may_learn=settings.learns_spots,
            most_spots=settings.max_learned_spots,
        )
        try:
            reported_at = report.time.instant(site.time_zone, received_at)
        except ValueError as error:
            raise Invalid(
                "time is no time in the calendar",
                code="invalid_time",
                errors=[FieldError("time", str(error))],
            ) from error
        known = choice.known or RegisteredSpot(0, choice.spot_number, choice.corners, SpotOrigin.CAMERA)
        return _Arrival(
            event_id=uuid7(),
            read=read,
            site=site,
            choice=choice,
            spot=known,
            clock=judge_clock(
                reported_at,
                received_at,
                ahead_limit_s=settings.clock_ahead_limit_s,
                behind_limit_s=settings.clock_behind_limit_s,
            ),
            received_at=received_at,
            fingerprint=fingerprint(report, camera_id=site.camera_id, snapshot_sha256=read.sha256),
        )

    async def _learn(self, arrival: _Arrival) -> RegisteredSpot:
        """Put down the spot that the camera taught; it stands without the event, so on its own."""
        corners = {
            f"p{number}_{axis}": value
            for number, corner in enumerate(arrival.choice.corners, start=1)
            for axis, value in zip("xy", corner, strict=True)
        }
        async with self._db.transaction() as session:
            await registry.learn_spot(
                session,
                {
                    "camera_id": arrival.site.camera_id,
                    "spot_number": arrival.choice.spot_number,
                    **corners,
                    "status": 0,
                    "origin": SpotOrigin.CAMERA.value,
                    "created_at": arrival.received_at,
                    "updated_at": arrival.received_at,
                },
            )
        self._directory.forget()
        self._logger.info(
            "spot learned from its camera",
            camera_id=arrival.site.camera_id,
            spot_number=arrival.choice.spot_number,
        )
        site = await self._directory.by_area(arrival.read.report.area)
        return site.spots[arrival.choice.spot_number]

    async def _keep_picture(self, arrival: _Arrival) -> StoredBlob:
        header = arrival.read.header
        key = new_blob_key(SNAPSHOTS, arrival.received_at, header.suffix, arrival.event_id)
        return await self._blobs.put(key, arrival.read.picture, header.content_type)

    async def _accept(self, arrival: _Arrival, picture: StoredBlob) -> Accepted:
        if repeat := self._recent.get(arrival.fingerprint):
            await self._discard(picture)
            return replace(repeat, is_repeat=True)
        frame = self._frame(arrival, picture)
        is_dispatched: bool | None = None
        first: AcceptedRow | None = None
        async with self._db.transaction() as session:
            is_dispatched = await events.accept(
                session,
                self._row(arrival, picture, frame),
                must_wait=arrival.read.report.purpose is Purpose.EXIT,
            )
            if is_dispatched:
                await self._outbox.add(session, frame_event(frame, arrival.event_id))
            elif is_dispatched is None:
                first = await events.by_fingerprint(session, arrival.fingerprint)
        if is_dispatched is None:
            await self._discard(picture)
            return self._remember(arrival.fingerprint, _first_answer(first), is_repeat=True)
        if not is_dispatched:
            self._on_waiting()
        return self._remember(arrival.fingerprint, _answer(arrival), is_repeat=False)

    def _frame(self, arrival: _Arrival, picture: StoredBlob) -> camera_pb2.FrameCaptured:
        report, size = arrival.read.report, arrival.read.header.size
        box = report.vehicle_box
        return frame_captured(
            frame_id=arrival.event_id,
            site=arrival.site,
            report=report,
            spot=spot_message(arrival.spot, arrival.choice.corners),
            vehicle_box=scale_box(box, report.resolution, size) if box is not None else None,
            clock=arrival.clock,
            received_at=arrival.received_at,
            picture=blob_ref(picture, size),
        )

    def _row(self, arrival: _Arrival, picture: StoredBlob, frame: camera_pb2.FrameCaptured) -> dict[str, Any]:
        report, size, trace = arrival.read.report, arrival.read.header.size, current_trace()
        is_exit = report.purpose is Purpose.EXIT
        document = {
            "key": picture.key,
            "content_type": picture.content_type,
            "size_bytes": picture.size_bytes,
            "sha256": picture.sha256,
            "width_px": size.width_px,
            "height_px": size.height_px,
        }
        return {
            "event_id": arrival.event_id,
            "fingerprint": arrival.fingerprint,
            "camera_id": arrival.site.camera_id,
            "location_id": arrival.site.location_id,
            "parking_area": f"{report.area.location_code}{report.area.api_code}",
            "spot_number": report.index_number,
            "purpose": report.purpose.value,
            "device": report.device[:TEXT_CHARS],
            "reported_time": report.time.key,
            "captured_at": arrival.clock.captured_at,
            "received_at": arrival.received_at,
            "clock_state": arrival.clock.state.value,
            "clock_skew_s": arrival.clock.skew_s,
            "raw_report": arrival.read.raw_text,
            "pushed_picture": document,
            # What waits behind an exit goes out with its pushed picture as well.
            "picture": None if is_exit else document,
            "picture_source": "PUSHED",
            "picture_note": "",
            "frame": frame.SerializeToString(),
            "traceparent": trace.traceparent if trace is not None else None,
            "dispatched_at": None if is_exit else arrival.received_at,
            "outcome": Outcome.ACCEPTED.value,
        }

    async def _discard(self, picture: StoredBlob) -> None:
        """Take a repeat's picture away again. One that stays is an orphan, and swept as such."""
        try:
            await self._blobs.delete(picture.key)
        except LookoutError as error:
            self._logger.warning("picture of a repeat not deleted", key=picture.key, error=error.detail)

    def _remember(self, key: bytes, accepted: Accepted, *, is_repeat: bool) -> Accepted:
        if self._settings.remembered_repeats:
            self._recent[key] = accepted
            if len(self._recent) > self._settings.remembered_repeats:
                self._recent.popitem(last=False)
        return replace(accepted, is_repeat=is_repeat)


def _answer(arrival: _Arrival) -> Accepted:
    return Accepted(
        event_id=arrival.event_id,
        purpose=arrival.read.report.purpose,
        camera_id=arrival.site.camera_id,
        spot_number=arrival.choice.spot_number,
        captured_at=arrival.clock.captured_at,
        received_at=arrival.received_at,
        clock_state=arrival.clock.state.value,
        is_repeat=False,
    )


def _first_answer(row: AcceptedRow | None) -> Accepted:
    if row is None:
        # The row stood in the way a moment ago: retention has just deleted it.
        raise Invalid("this event is older than what is kept", code="event_expired")
    return Accepted(
        event_id=row.event_id,
        purpose=row.purpose,
        camera_id=row.camera_id,
        spot_number=row.spot_number,
        captured_at=row.captured_at,
        received_at=row.received_at,
        clock_state=row.clock_state,
        is_repeat=True,
    )
