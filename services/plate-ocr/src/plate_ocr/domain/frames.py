"""A frame that a camera captured, and what was read in it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from plate_ocr.domain.requests import PictureRequest, PictureResult


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """`request.regions`: those that the frame itself names."""

    frame_id: str
    camera_id: int
    location_code: str
    received_at: datetime
    request: PictureRequest


class ReadFailure(StrEnum):
    """Why a frame was not read."""

    DROPPED = "DROPPED"
    PICTURE_NOT_FOUND = "PICTURE_NOT_FOUND"
    PICTURE_TOO_LARGE = "PICTURE_TOO_LARGE"
    PICTURE_INVALID = "PICTURE_INVALID"
    GIVEN_UP = "GIVEN_UP"


@dataclass(frozen=True, slots=True)
class StoredCrop:
    """The picture of a plate in the blob store."""

    key: str
    content_type: str
    size_bytes: int
    sha256: str
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class FrameRead:
    """`result` is None where the frame was not read; `failure` says why, for people, and `failure_code` for programs.

    `crops`: one a plate of the result, None where none was stored.
    """

    read_id: UUID
    read_at: datetime
    result: PictureResult | None = None
    crops: tuple[StoredCrop | None, ...] = ()
    failure: str = ""
    failure_code: ReadFailure | None = None
