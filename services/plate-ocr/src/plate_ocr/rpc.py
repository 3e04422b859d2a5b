"""gRPC in: the PlateReader service."""

import asyncio
from collections.abc import AsyncIterator

import grpc

from kit.blobs import BlobStore
from kit.errors import FieldError, Invalid, LookoutError, RateLimited, TooLarge, Unavailable
from lookout.plates.v1 import plates_pb2 as plates
from lookout.plates.v1 import plates_pb2_grpc as stubs
from plate_ocr.handlers.look import Look
from plate_ocr.messages import OCCUPANCY, box_of, plate_message, polygon_of, vehicle_messages
from plate_ocr.worker import QUEUE_FULL

Context = grpc.aio.ServicerContext[object, object]


class PlateReaderRpc(stubs.PlateReaderServicer):
    """`stream_window`: frames of one stream in hand at once."""

    def __init__(self, look: Look, blobs: BlobStore, stream_window: int) -> None:
        self._look = look
        self._blobs = blobs
        self._stream_window = stream_window

    async def Read(  # noqa: N802 - the contract's name
        self, request: plates.ReadRequest, context: Context
    ) -> plates.ReadResponse:
        """One picture, refused with the contract's codes: RESOURCE_EXHAUSTED while the queue is full (UNAVAILABLE
        would be repeated at once), INVALID_ARGUMENT for a picture that is too large.
        """
        try:
            return await self._read(request, waits=False)
        except Unavailable as error:
            if error.code != QUEUE_FULL:
                raise
            raise RateLimited(error.detail, code=error.code, retry_after_s=error.retry_after_s) from error
        except TooLarge as error:
            raise Invalid(error.detail, code=error.code, errors=error.errors) from error

    async def ReadStream(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[plates.ReadStreamRequest], context: Context
    ) -> AsyncIterator[plates.ReadStreamResponse]:
        """Frames, answered in their order; a bad one is answered with its error and the stream goes on."""
        in_hand: asyncio.Queue[asyncio.Task[plates.ReadStreamResponse] | None] = asyncio.Queue(
            self._stream_window
        )

        async def take() -> None:
            async for request in request_iterator:
                await in_hand.put(asyncio.create_task(self._answer(request.frame)))
            await in_hand.put(None)

        taking = asyncio.create_task(take())
        try:
            while (task := await _next(in_hand, taking)) is not None:
                yield await task
        finally:
            taking.cancel()
            while not in_hand.empty():
                if (left := in_hand.get_nowait()) is not None:
                    left.cancel()

    async def _answer(self, request: plates.ReadRequest) -> plates.ReadStreamResponse:
        try:
            reading = await self._read(request, waits=True)
        except LookoutError as error:
            return plates.ReadStreamResponse(
                error=f"{error.code}: {error.detail}", request_id=request.request_id
            )
        return plates.ReadStreamResponse(reading=reading, request_id=request.request_id)

    async def _read(self, request: plates.ReadRequest, *, waits: bool) -> plates.ReadResponse:
        source = request.WhichOneof("source")
        if source is None:
            raise Invalid("neither image nor blob is set", errors=(FieldError("source", "is missing"),))
        data = request.image if source == "image" else await self._blobs.get(request.blob.key)
        spot = polygon_of(request.spot.polygon)
        box = box_of(request.vehicle_box) if request.HasField("vehicle_box") else None
        sight = await self._look(data, spot=spot, camera_box=box, waits=waits)
        height_px, width_px = sight.picture.shape[:2]
        return plates.ReadResponse(
            request_id=request.request_id,
            plates=[plate_message(plate) for plate in sight.plates],
            vehicles=vehicle_messages(sight.vehicles, spot),
            spot_occupancy=OCCUPANCY[sight.verdict.occupancy],
            spot_plate_index=sight.verdict.plate_index,
            width_px=width_px,
            height_px=height_px,
            engine=sight.engine,
            elapsed_ms=sight.elapsed_ms,
        )


async def _next(
    in_hand: asyncio.Queue[asyncio.Task[plates.ReadStreamResponse] | None], taking: asyncio.Task[None]
) -> asyncio.Task[plates.ReadStreamResponse] | None:
    """The next answer; None at the end of the stream, also when the caller broke it off."""
    getting = asyncio.create_task(in_hand.get())
    await asyncio.wait({getting, taking}, return_when=asyncio.FIRST_COMPLETED)
    if getting.done() or not taking.done() or taking.exception() is None:
        return await getting
    getting.cancel()
    taking.result()
    return None
