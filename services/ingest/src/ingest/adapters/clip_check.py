"""Check whether a clip can be played: cameras often send broken ones."""

import os
from pathlib import Path

import cv2

# Both libraries write to stderr past the log, and broken clips are common. OpenCV reads the variable when it opens its
# first video; a value that the operator has set stays. (-8: AV_LOG_QUIET)
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def is_playable_clip(path: Path) -> bool:
    """Whether the first frame decodes; decoding a whole clip would take seconds. Blocks: call it on a thread."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        is_read, frame = capture.read()
        return is_read and frame.size > 0
    finally:
        capture.release()
