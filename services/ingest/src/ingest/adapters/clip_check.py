"""Does a recording play, or did the camera break it off."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2

# Both write past the log, in lines of their own, and broken clips are an everyday thing. OpenCV reads the name when
# it opens its first video; an operator's own value stays. (-8: AV_LOG_QUIET)
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# Enough to know that the stream decodes; a whole clip would cost seconds of a core.
_FRAMES_LOOKED_AT = 3


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What the first frames of a clip say."""

    width_px: int
    height_px: int


def is_playable_clip(path: Path) -> ClipFacts | None:
    """None when nothing in the file decodes. Blocks: call it on a thread."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        facts = None
        for _ in range(_FRAMES_LOOKED_AT):
            is_read, frame = capture.read()
            if not is_read or frame.size == 0:
                break
            facts = ClipFacts(frame.shape[1], frame.shape[0])
        return facts
    finally:
        capture.release()
