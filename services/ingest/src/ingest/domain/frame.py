"""A frame that a camera captured, complete: what consumers need to act without a call back."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ingest.domain.camera_time import ClockCheck
from ingest.domain.geometry import Box, Quad, Size, scale_quad
from ingest.domain.parking_push import Purpose
from ingest.domain.site import CameraRef


class PictureSource(StrEnum):
    """Where a frame's picture came from."""

    PUSHED = "PUSHED"
    FETCHED = "FETCHED"
    # A fresh picture was wanted, but the camera did not deliver one.
    PUSHED_FALLBACK = "PUSHED_FALLBACK"


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture in the blob store. `sha256` is lower-case hex."""

    key: str
    content_type: str
    size_bytes: int
    sha256: str
    width_px: int
    height_px: int

    @property
    def size(self) -> Size:
        """Its size in pixels."""
        return Size(self.width_px, self.height_px)


@dataclass(frozen=True, slots=True)
class FrameSpot:
    """The spot that a frame is about; `corners` are in pixels of the frame's picture."""

    spot_id: int
    spot_number: int
    corners: Quad


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """`vehicle_box` is in pixels of the pushed picture. `picture_note` says why the picture is not a fresh one."""

    frame_id: UUID
    purpose: Purpose
    camera: CameraRef
    regions: tuple[str, ...]
    spot: FrameSpot
    vehicle_box: Box | None
    clock: ClockCheck
    received_at: datetime
    previous_state_duration_s: float
    picture: StoredPicture
    picture_source: PictureSource = PictureSource.PUSHED
    picture_note: str = ""

    @property
    def partition_key(self) -> str:
        """Frames of one camera stay in order."""
        return f"camera:{self.camera.camera_id}"

    def with_fetched_picture(self, picture: StoredPicture) -> "CapturedFrame":
        """The same frame with a fresh picture of the spot.

        The corners are scaled, because a camera's snapshots may have another size than its pushes. The vehicle box
        is dropped: it says where the vehicle was when the camera pushed, and the fresh picture may no longer show it.
        """
        corners = scale_quad(self.spot.corners, self.picture.size, picture.size)
        return replace(
            self,
            spot=replace(self.spot, corners=corners),
            vehicle_box=None,
            picture=picture,
            picture_source=PictureSource.FETCHED,
        )

    def with_pushed_fallback(self, note: str) -> "CapturedFrame":
        """The same frame with the reason why its picture is the pushed one."""
        return replace(self, picture_source=PictureSource.PUSHED_FALLBACK, picture_note=note)
