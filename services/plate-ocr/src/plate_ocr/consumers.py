"""Bus in: captured frames, in order for each camera."""

from uuid import UUID

from kit.bus import Consumer, Metadata, Rejected
from lookout.camera.v1.camera_pb2 import PURPOSE_UNSPECIFIED, FrameCaptured
from plate_ocr.handlers.read_frame import ReadFrame


def consumers(read_frame: ReadFrame) -> list[Consumer[FrameCaptured]]:
    """The events that plate-ocr consumes."""

    async def frame_captured(frame: FrameCaptured, metadata: Metadata) -> None:
        _refuse_incomplete(frame)
        await read_frame(frame, metadata)

    return [Consumer(FrameCaptured, frame_captured)]


def _refuse_incomplete(frame: FrameCaptured) -> None:
    """Any bytes parse as protobuf, none too: a frame that no consumer could use becomes a dead letter here.

    Raises: Rejected: the frame has no id or no purpose.
    """
    try:
        UUID(frame.frame_id)
    except ValueError:
        raise Rejected(f"frame_id is not a UUID: {frame.frame_id[:80]!r}") from None
    if frame.purpose == PURPOSE_UNSPECIFIED:
        raise Rejected("the frame has no purpose")
