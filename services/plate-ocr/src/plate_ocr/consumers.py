"""Bus in: captured frames, in order for each camera."""

from functools import partial

from kit.bus import Consumer, Metadata
from lookout.camera.v1.camera_pb2 import FrameCaptured
from plate_ocr.handlers.read_frame import ReadFrame
from plate_ocr.mapping import captured_frame_from_message, plates_read_event


def consumers(read_frame: ReadFrame) -> list[Consumer[FrameCaptured]]:
    """The events that plate-ocr consumes."""

    async def frame_captured(message: FrameCaptured, metadata: Metadata) -> None:
        frame = captured_frame_from_message(message)
        await read_frame(frame, metadata.message_id, partial(plates_read_event, message, metadata))

    async def give_up(message: FrameCaptured, metadata: Metadata, reason: str) -> None:
        frame = captured_frame_from_message(message)
        event_of = partial(plates_read_event, message, metadata)
        await read_frame.give_up(frame, metadata.message_id, reason, event_of)

    return [Consumer(FrameCaptured, frame_captured, give_up=give_up)]
