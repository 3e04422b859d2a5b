"""Reads streams of frames and tracks the plates of each camera in them."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass, field, replace

from kit.clock import Clock
from kit.errors import LookoutError, RateLimited
from plate_ocr.domain.appearance import appearance
from plate_ocr.domain.requests import PictureRequest, PictureResult
from plate_ocr.domain.spots import plate_in_spot
from plate_ocr.domain.tracking import (
    PlateObservation,
    Track,
    Tracks,
    advance,
    close_all,
    needs_reading,
    track_at,
)
from plate_ocr.domain.values import Box, Picture, PlateReading
from plate_ocr.handlers.read_picture import ReadPicture


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """`picture`: what to read, or the error with which the frame is answered in its turn. `camera_id`: empty where no
    plate is tracked. `captured_s`: seconds since the epoch, None for the time of arrival.
    """

    request_id: str
    picture: PictureRequest | LookoutError
    camera_id: str = ""
    captured_s: float | None = None


@dataclass(frozen=True, slots=True)
class StreamTrack:
    """A track as the stream reports it. `track_id`: unique within the stream. `evidence_request_id`: of the frame in
    which the text was read. `is_final`: the track has ended.
    """

    track: Track
    track_id: str
    evidence_request_id: str
    is_final: bool


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """To one frame: a result or an error. The last answer of a stream has neither, only the tracks that end with it."""

    request_id: str = ""
    result: PictureResult | None = None
    error: LookoutError | None = None
    tracks: tuple[StreamTrack, ...] = ()


class ReadStream:
    """`window`: frames of one stream that are read at once. `max_cameras`: tracked in one stream."""

    def __init__(self, read_picture: ReadPicture, clock: Clock, *, window: int, max_cameras: int) -> None:
        self._read_picture = read_picture
        self._clock = clock
        self._window = window
        self._max_cameras = max_cameras

    async def __call__(self, frames: AsyncIterator[StreamFrame]) -> AsyncGenerator[StreamAnswer, None]:
        """One answer a frame, in their order; a frame that cannot be read does not end the stream.

        Plates that a camera's tracks know are not read again; see `_KnownPlates`.
        """
        reads: _Reads = asyncio.Queue(self._window)
        cameras = _StreamCameras(self._max_cameras)

        async def take() -> None:
            async for frame in frames:
                arrived_s = self._clock.now().timestamp()
                captured_s = arrived_s if frame.captured_s is None else frame.captured_s
                await reads.put(asyncio.create_task(self._read(frame, captured_s, cameras)))
            await reads.put(None)

        taking = asyncio.create_task(take())
        try:
            while (read := await _next(reads, taking)) is not None:
                yield cameras.answer(await read)
            if tracks := cameras.close():
                yield StreamAnswer(tracks=tracks)
        finally:
            taking.cancel()
            while not reads.empty():
                if (left := reads.get_nowait()) is not None:
                    left.cancel()

    async def _read(self, frame: StreamFrame, captured_s: float, cameras: "_StreamCameras") -> "_FrameRead":
        if isinstance(frame.picture, LookoutError):
            return _FrameRead(StreamAnswer(frame.request_id, error=frame.picture))
        known = _KnownPlates(cameras, frame.camera_id, captured_s) if frame.camera_id else None
        try:
            async with self._read_picture(frame.picture, can_wait=True, skip=known) as (result, picture):
                # Computed here and not when the frame is answered, so that the pixels can be freed.
                observations = _observations(frame.request_id, result, picture) if known else ()
        except LookoutError as error:
            return _FrameRead(StreamAnswer(frame.request_id, error=error))
        if known is None:
            return _FrameRead(StreamAnswer(frame.request_id, result))
        answer = StreamAnswer(frame.request_id, known.added_to(result, frame.picture))
        return _FrameRead(answer, frame.camera_id, captured_s, observations)


def _observations(request_id: str, result: PictureResult, picture: Picture) -> tuple[PlateObservation, ...]:
    read = (
        PlateObservation(request_id, plate.box, plate, appearance(picture, plate.box))
        for plate in result.plates
    )
    skipped = (PlateObservation(request_id, box, None, appearance(picture, box)) for box in result.skipped)
    return (*read, *skipped)


@dataclass(frozen=True, slots=True)
class _FrameRead:
    """A frame's answer before its tracks are known. `camera_id`: empty where no plate is tracked."""

    answer: StreamAnswer
    camera_id: str = ""
    captured_s: float = 0.0
    observations: tuple[PlateObservation, ...] = ()


_Reads = asyncio.Queue[asyncio.Task[_FrameRead] | None]


@dataclass(slots=True)
class _Camera:
    """`latest_s`: capture time of its newest frame, seconds since the epoch. `frame_count`: answered so far."""

    tracks: Tracks = field(default_factory=Tracks)
    latest_s: float = -math.inf
    frame_count: int = 0


class _StreamCameras:
    """The tracks of one stream, by camera."""

    def __init__(self, max_cameras: int) -> None:
        self._max_cameras = max_cameras
        self._cameras: dict[str, _Camera] = {}

    def answer(self, read: _FrameRead) -> StreamAnswer:
        """The frame's answer with the tracks that it shows and those that ended before it."""
        answer, camera_id = read.answer, read.camera_id
        if not camera_id:
            return answer
        camera = self._cameras.get(camera_id)
        if camera is None:
            if len(self._cameras) >= self._max_cameras:
                error = RateLimited(
                    f"a stream tracks {self._max_cameras} cameras at most", code="too_many_cameras"
                )
                return StreamAnswer(answer.request_id, error=error)
            camera = self._cameras[camera_id] = _Camera()
        camera.latest_s = max(camera.latest_s, read.captured_s)
        camera.frame_count += 1
        # A caller may leave request ids out; the number keeps the looks of different frames apart.
        observations = [replace(one, frame=f"{camera.frame_count}:{one.frame}") for one in read.observations]
        step = advance(camera.tracks, observations, camera.latest_s)
        camera.tracks = step.tracks
        ended = _reported(camera_id, step.ended, is_final=True)
        return replace(answer, tracks=(*ended, *_reported(camera_id, step.seen, is_final=False)))

    def state(self, camera_id: str) -> tuple[Tracks, float]:
        """The camera's tracks and the capture time of its newest frame. Safe to call from any thread."""
        camera = self._cameras.get(camera_id)
        return (camera.tracks, camera.latest_s) if camera is not None else (Tracks(), -math.inf)

    def close(self) -> tuple[StreamTrack, ...]:
        """The tracks that are open when the stream ends."""
        return tuple(
            track
            for camera_id, camera in self._cameras.items()
            for track in _reported(camera_id, close_all(camera.tracks), is_final=True)
        )


def _reported(camera_id: str, tracks: Iterable[Track], *, is_final: bool) -> tuple[StreamTrack, ...]:
    return tuple(
        StreamTrack(
            track,
            f"{camera_id}:{track.track_id}",
            track.vote.evidence.frame.partition(":")[2],
            is_final=is_final,
        )
        for track in tracks
        if track.vote is not None
    )


class _KnownPlates:
    """A `SkipPlate` for one frame: skips the plates that the camera's tracks already know.

    Frames are read at once, so the tracks may lack the frames just before, which at worst costs one more reading.
    """

    def __init__(self, cameras: _StreamCameras, camera_id: str, captured_s: float) -> None:
        self._cameras = cameras
        self._camera_id = camera_id
        self._captured_s = captured_s
        self._boxes: dict[int, Box] = {}
        self._plates: dict[Box, PlateReading] = {}

    def __call__(self, picture: Picture, box: Box) -> bool:
        tracks, latest_s = self._cameras.state(self._camera_id)
        now_s = max(latest_s, self._captured_s)
        track = track_at(tracks, box, now_s)
        if track is None or track.vote is None:
            return False
        if needs_reading(track, box, now_s, appearance(picture, box)):
            return False
        # Where two plates are at the place of one track, only the first can be the track's.
        if self._boxes.setdefault(track.track_id, box) != box:
            return False
        # The outline in the vote is that of another frame.
        self._plates[box] = replace(track.vote.reading, box=box, outline=())
        return True

    def added_to(self, result: PictureResult, request: PictureRequest) -> PictureResult:
        """The result with what the tracks know of the skipped plates, the plate in the spot first."""
        if not result.skipped:
            return result
        plates = [*result.plates, *(self._plates[box] for box in result.skipped if box in self._plates)]
        plates.sort(key=lambda plate: plate.is_read, reverse=True)
        index = plate_in_spot(plates, result.vehicles, request.spot)
        if index > 0:
            plates.insert(0, plates.pop(index))
            index = 0
        return replace(result, plates=tuple(plates), spot=replace(result.spot, plate_index=index))


async def _next(reads: _Reads, taking: asyncio.Task[None]) -> asyncio.Task[_FrameRead] | None:
    """The next frame's task; None at the end of the stream, also where the caller cancelled it."""
    getting = asyncio.create_task(reads.get())
    await asyncio.wait({getting, taking}, return_when=asyncio.FIRST_COMPLETED)
    if getting.done() or not taking.done() or taking.exception() is None:
        return await getting
    getting.cancel()
    taking.result()
    return None
