"""gRPC in: the PlateReader service."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc

from kit.errors import Invalid, LookoutError, RateLimited, TooLarge, Unavailable
from lookout.plates.v1 import plates_pb2 as plates
from lookout.plates.v1 import plates_pb2_grpc as stubs
from plate_ocr.handlers.inference import QUEUE_FULL, PictureDropped
from plate_ocr.handlers.read_picture import ReadPicture
from plate_ocr.handlers.read_stream import ReadStream, StreamAnswer, StreamFrame
from plate_ocr.mapping import (
    capture_time_from_message,
    picture_request_from_message,
    read_response_to_message,
    track_to_message,
)
from plate_ocr.settings import RegionsFor

Context = grpc.aio.ServicerContext[object, object]


class PlateReaderRpc(stubs.PlateReaderServicer):
    """`regions_for`: the regions that plates may come from where a request names none."""

    def __init__(self, read_picture: ReadPicture, read_stream: ReadStream, regions_for: RegionsFor) -> None:
        self._read_picture = read_picture
        self._read_stream = read_stream
        self._regions_for = regions_for

    async def Read(  # noqa: N802 - the contract's name
        self, request: plates.ReadRequest, context: Context
    ) -> plates.ReadResponse:
        """One picture. RESOURCE_EXHAUSTED while the queue is full (gRPC clients repeat UNAVAILABLE at once),
        INVALID_ARGUMENT for a picture that is too large.
        """
        try:
            picture = picture_request_from_message(request, self._regions_for("", request.regions))
            async with self._read_picture(picture, can_wait=False) as (result, _):
                return read_response_to_message(request.request_id, result)
        except Unavailable as error:
            if error.code != QUEUE_FULL and not isinstance(error, PictureDropped):
                raise
            raise RateLimited(error.detail, code=error.code, retry_after_s=error.retry_after_s) from error
        except TooLarge as error:
            raise Invalid(error.detail, code=error.code, errors=error.errors) from error

    async def ReadStream(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[plates.ReadStreamRequest], context: Context
    ) -> AsyncIterator[plates.ReadStreamResponse]:
        """Frames, answered in their order; a frame that cannot be read is answered with its error."""
        frames = (self._frame(request) async for request in request_iterator)
        async with aclosing(self._read_stream(frames)) as answers:
            async for answer in answers:
                yield _stream_response(answer)

    def _frame(self, request: plates.ReadStreamRequest) -> StreamFrame:
        frame = request.frame
        try:
            captured_s = capture_time_from_message(request)
            picture = picture_request_from_message(frame, self._regions_for("", frame.regions))
        except Invalid as error:
            return StreamFrame(frame.request_id, error)
        return StreamFrame(frame.request_id, picture, request.camera_id, captured_s)


def _stream_response(answer: StreamAnswer) -> plates.ReadStreamResponse:
    return plates.ReadStreamResponse(
        request_id=answer.request_id,
        error=_error_text(answer.error) if answer.error else "",
        reading=read_response_to_message(answer.request_id, answer.result) if answer.result else None,
        tracks=[
            track_to_message(one.track, one.track_id, one.evidence_request_id, is_final=one.is_final)
            for one in answer.tracks
        ],
    )


def _error_text(error: LookoutError) -> str:
    return f"{error.code}: {error.detail}"
