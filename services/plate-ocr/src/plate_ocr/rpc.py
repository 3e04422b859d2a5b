"""gRPC in: the PlateReader service."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace

import grpc

from kit.blobs import BlobStore
from kit.clock import Clock, SystemClock
from kit.errors import FieldError, Invalid, LookoutError, RateLimited, TooLarge, Unavailable
from lookout.plates.v1 import plates_pb2 as plates
from lookout.plates.v1 import plates_pb2_grpc as stubs
from plate_ocr.domain.admission import Purpose
from plate_ocr.domain.appearance import appearance
from plate_ocr.domain.spots import plate_in_spot
from plate_ocr.domain.tracks import Sighting, Track, Tracks, advance, close_all, needs_reading, track_at
from plate_ocr.domain.values import Box, Picture, PlateReading
from plate_ocr.handlers.look import Look, Sight
from plate_ocr.messages import (
    OCCUPANCY,
    PURPOSES,
    box_of,
    plate_message,
    polygon_of,
    track_message,
    vehicle_messages,
)
from plate_ocr.settings import RegionsFor
from plate_ocr.worker import QUEUE_FULL, PictureDropped

Context = grpc.aio.ServicerContext[object, object]

MAX_CAMERAS = 256
"""Followed in one stream."""

_EARLIEST_S, _LATEST_S = -62_135_596_800, 253_402_300_799
"""What a Timestamp may say: the years 1 to 9999."""


class PlateReaderRpc(stubs.PlateReaderServicer):
    """`stream_window`: frames of one stream in hand at once. `regions_for`: what plates may be from where a request
    does not say. `clock`: for frames that do not tell their time.
    """

    def __init__(
        self,
        look: Look,
        blobs: BlobStore,
        stream_window: int,
        regions_for: RegionsFor,
        clock: Clock | None = None,
    ) -> None:
        self._regions_for = regions_for
        self._look = look
        self._blobs = blobs
        self._stream_window = stream_window
        self._clock = clock or SystemClock()

    async def Read(  # noqa: N802 - the contract's name
        self, request: plates.ReadRequest, context: Context
    ) -> plates.ReadResponse:
        """One picture, refused with the contract's codes: RESOURCE_EXHAUSTED while the queue is full (UNAVAILABLE
        would be repeated at once), INVALID_ARGUMENT for a picture that is too large.
        """
        try:
            _, response = await self._read(request, waits=False)
        except Unavailable as error:
            if error.code != QUEUE_FULL and not isinstance(error, PictureDropped):
                raise
            raise RateLimited(error.detail, code=error.code, retry_after_s=error.retry_after_s) from error
        except TooLarge as error:
            raise Invalid(error.detail, code=error.code, errors=error.errors) from error
        return response

    async def ReadStream(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[plates.ReadStreamRequest], context: Context
    ) -> AsyncIterator[plates.ReadStreamResponse]:
        """Frames, answered in their order; a bad one is answered with its error and the stream goes on.

        Plates that the camera's tracks know are not read again; see `_Known`.
        """
        in_hand: _InHand = asyncio.Queue(self._stream_window)
        following = _Following()

        async def take() -> None:
            async for request in request_iterator:
                arrived_s = self._clock.now().timestamp()
                await in_hand.put(asyncio.create_task(self._answer(request, arrived_s, following)))
            await in_hand.put(None)

        taking = asyncio.create_task(take())
        try:
            while (task := await _next(in_hand, taking)) is not None:
                yield following.answer(await task)
            if rest := following.rest():
                yield plates.ReadStreamResponse(tracks=rest)
        finally:
            taking.cancel()
            while not in_hand.empty():
                if (left := in_hand.get_nowait()) is not None:
                    left.cancel()

    async def _answer(
        self, request: plates.ReadStreamRequest, arrived_s: float, following: "_Following"
    ) -> "_Answer":
        frame = request.frame
        try:
            taken_s = _taken_s(request, arrived_s)
            known = _Known(following, request.camera_id, taken_s) if request.camera_id else None
            sight, reading = await self._read(frame, waits=True, known=known)
        except LookoutError as error:
            response = plates.ReadStreamResponse(
                error=f"{error.code}: {error.detail}", request_id=frame.request_id
            )
            return _Answer(response)
        response = plates.ReadStreamResponse(reading=reading, request_id=frame.request_id)
        if not request.camera_id:
            return _Answer(response)
        # Made here, not at the answer's turn: the picture need not be kept until then.
        sightings = [
            Sighting(frame.request_id, plate.box, plate, appearance(sight.picture, plate.box))
            for plate in sight.plates
        ]
        sightings += [
            Sighting(frame.request_id, box, None, appearance(sight.picture, box)) for box in sight.left_out
        ]
        return _Answer(response, request.camera_id, taken_s, tuple(sightings))

    async def _read(
        self, request: plates.ReadRequest, *, waits: bool, known: "_Known | None" = None
    ) -> tuple[Sight, plates.ReadResponse]:
        source = request.WhichOneof("source")
        if source is None:
            raise Invalid("neither image nor blob is set", errors=(FieldError("source", "is missing"),))
        data = request.image if source == "image" else await self._blobs.get(request.blob.key)
        spot = polygon_of(request.spot.polygon)
        box = box_of(request.vehicle_box) if request.HasField("vehicle_box") else None
        purpose = PURPOSES.get(request.purpose, Purpose.CALL)
        sight = await self._look(
            data,
            spot=spot,
            camera_box=box,
            waits=waits,
            purpose=purpose,
            regions=self._regions_for("", request.regions),
            settled=known,
        )
        shown, spot_plate_index = list(sight.plates), sight.verdict.plate_index
        if known is not None and sight.left_out:
            shown += [known.plates[box] for box in sight.left_out if box in known.plates]
            shown.sort(key=lambda plate: plate.is_read, reverse=True)
            spot_plate_index = plate_in_spot(shown, sight.vehicles, spot)
            if spot_plate_index > 0:
                shown.insert(0, shown.pop(spot_plate_index))
                spot_plate_index = 0
        height_px, width_px = sight.picture.shape[:2]
        return sight, plates.ReadResponse(
            request_id=request.request_id,
            plates=[plate_message(plate) for plate in shown],
            vehicles=vehicle_messages(sight.vehicles, spot),
            spot_occupancy=OCCUPANCY[sight.verdict.occupancy],
            spot_plate_index=spot_plate_index,
            width_px=width_px,
            height_px=height_px,
            engine=sight.engine,
            elapsed_ms=sight.elapsed_ms,
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """To one frame. `camera_id`: empty where nothing is followed. `taken_s`: since the epoch."""

    response: plates.ReadStreamResponse
    camera_id: str = ""
    taken_s: float = 0.0
    sightings: tuple[Sighting, ...] = ()


_InHand = asyncio.Queue[asyncio.Task[_Answer] | None]


@dataclass(slots=True)
class _Camera:
    """`latest_s`: when its last frame was taken, since the epoch. `frames`: answered so far."""

    tracks: Tracks = field(default_factory=Tracks)
    latest_s: float = -math.inf
    frames: int = 0


class _Following:
    """The tracks of one stream, camera by camera."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}

    def answer(self, answer: _Answer) -> plates.ReadStreamResponse:
        """The response with the tracks that the frame shows, and those that ended before it."""
        response, camera_id = answer.response, answer.camera_id
        if not camera_id:
            return response
        camera = self._cameras.get(camera_id)
        if camera is None:
            if len(self._cameras) >= MAX_CAMERAS:
                return plates.ReadStreamResponse(
                    error=f"too_many_cameras: a stream follows {MAX_CAMERAS} at most",
                    request_id=response.request_id,
                )
            camera = self._cameras[camera_id] = _Camera()
        camera.latest_s = max(camera.latest_s, answer.taken_s)
        camera.frames += 1
        # A caller may leave its request ids out; the number keeps two looks two.
        sightings = [replace(one, frame=f"{camera.frames}:{one.frame}") for one in answer.sightings]
        step = advance(camera.tracks, sightings, camera.latest_s)
        camera.tracks = step.tracks
        response.tracks.extend(_track_messages(camera_id, step.ended, is_final=True))
        response.tracks.extend(_track_messages(camera_id, step.seen, is_final=False))
        return response

    def state(self, camera_id: str) -> tuple[Tracks, float]:
        """The camera's tracks so far and when its last frame was taken. Any thread may ask."""
        camera = self._cameras.get(camera_id)
        return (camera.tracks, camera.latest_s) if camera is not None else (Tracks(), -math.inf)

    def rest(self) -> list[plates.PlateTrack]:
        """What is still open when the frames end."""
        return [
            message
            for camera_id, camera in self._cameras.items()
            for message in _track_messages(camera_id, close_all(camera.tracks), is_final=True)
        ]


def _track_messages(camera_id: str, tracks: Iterable[Track], *, is_final: bool) -> list[plates.PlateTrack]:
    return [
        track_message(
            track,
            f"{camera_id}:{track.track_id}",
            track.vote.evidence.frame.partition(":")[2],
            is_final=is_final,
        )
        for track in tracks
        if track.vote is not None
    ]


class _Known:
    """Asked for each plate of one frame: whether its camera's tracks know it, so that it need not be read.

    Frames are in hand at once: the tracks may lack those just before, which at worst costs a reading. `plates`: what
    the tracks say of those that they know, the vote with the plate's place in this frame.
    """

    def __init__(self, following: _Following, camera_id: str, taken_s: float) -> None:
        self.plates: dict[Box, PlateReading] = {}
        self._following = following
        self._camera_id = camera_id
        self._taken_s = taken_s
        self._boxes: dict[int, Box] = {}

    def __call__(self, picture: Picture, box: Box) -> bool:
        tracks, latest_s = self._following.state(self._camera_id)
        now_s = max(latest_s, self._taken_s)
        track = track_at(tracks, box, now_s)
        if track is None or track.vote is None:
            return False
        if needs_reading(track, box, now_s, appearance(picture, box)):
            return False
        # Of two that lie where one is known, the second is not that one.
        if self._boxes.setdefault(track.track_id, box) != box:
            return False
        # The vote's outline is that of another frame.
        self.plates[box] = replace(track.vote.reading, box=box, outline=())
        return True


def _taken_s(request: plates.ReadStreamRequest, arrived_s: float) -> float:
    if not request.HasField("captured_at"):
        return arrived_s
    at = request.captured_at
    if not _EARLIEST_S <= at.seconds <= _LATEST_S or not 0 <= at.nanos < 1_000_000_000:
        raise Invalid("captured_at is no time", errors=(FieldError("captured_at", "is no time"),))
    return at.seconds + at.nanos / 1_000_000_000


async def _next(in_hand: _InHand, taking: asyncio.Task[None]) -> asyncio.Task[_Answer] | None:
    """The next answer; None at the end of the stream, also when the caller broke it off."""
    getting = asyncio.create_task(in_hand.get())
    await asyncio.wait({getting, taking}, return_when=asyncio.FIRST_COMPLETED)
    if getting.done() or not taking.done() or taking.exception() is None:
        return await getting
    getting.cancel()
    taking.result()
    return None
