"""Bus in: captured frames go to the reader. In order for each camera, cameras side by side."""

from kit.bus import Delivery, Handler, Subscription
from lookout.camera.v1.camera_pb2 import FrameCaptured
from plate_ocr.handlers.read_frame import ReadFrame

FRAME_CAPTURED = Subscription("plate-ocr", "frame_captured", "camera.frame_captured.v1.#", ordered=True)


def frame_captured(read: ReadFrame) -> Handler:
    """The handler of `FRAME_CAPTURED`."""

    async def handle(delivery: Delivery) -> None:
        await read(delivery.event.parse(FrameCaptured), delivery.event)

    return handle
