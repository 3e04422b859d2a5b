"""Bus in: captured frames go to the reader. In order for each camera, cameras side by side."""

from uuid import UUID

from kit.bus import Consumer, Metadata, Rejected
from lookout.camera.v1.camera_pb2 import PURPOSE_UNSPECIFIED, FrameCaptured
from plate_ocr.handlers.read_frame import ReadFrame


def consumers(read: ReadFrame) -> list[Consumer[FrameCaptured]]:
    """The events that plate-ocr consumes."""

    async def frame_captured(frame: FrameCaptured, metadata: Metadata) -> None:
        _refuse_incomplete(frame)
        await read(frame, metadata)

    return [Consumer(FrameCaptured, frame_captured)]


def _refuse_incomplete(frame: FrameCaptured) -> None:
    """Protobuf takes any body, an empty one too; what nobody behind us could use is parked here, to be seen."""
    try:
        UUID(frame.frame_id)
    except ValueError:
        raise Rejected(f"the frame's id is no UUID: {frame.frame_id[:80]!r}") from None
    if frame.purpose == PURPOSE_UNSPECIFIED:
        raise Rejected("the frame does not say what it is for")
