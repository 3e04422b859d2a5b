"""What a caller asks about one picture, and the answer."""

from dataclasses import dataclass

from plate_ocr.domain.admission import Purpose
from plate_ocr.domain.spots import SpotOverlap, SpotState
from plate_ocr.domain.values import Box, PlateReading, Polygon, VehicleDetection


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """`image`: the encoded picture, or None where it is the blob `blob_key`. `spot`: the parking spot to judge, no
    corners for none. `camera_box`: the vehicle that the camera itself detected in this very picture. `regions`: those
    that the plates may come from, none for any.
    """

    image: bytes | None = None
    blob_key: str = ""
    spot: Polygon = ()
    camera_box: Box | None = None
    purpose: Purpose = Purpose.CALL
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureResult:
    """`plates`: the one in the spot first, then as the engine ranks them. `overlaps`: of each vehicle with the spot, in
    the order of `vehicles`. `skipped`: boxes of plates that were found and, being known, not read. `is_complete`:
    whether the picture was; the missing part of a JPEG that ends too early is grey.
    """

    plates: tuple[PlateReading, ...]
    vehicles: tuple[VehicleDetection, ...]
    overlaps: tuple[SpotOverlap, ...]
    spot: SpotState
    width_px: int
    height_px: int
    engine: str
    elapsed_ms: float
    skipped: tuple[Box, ...] = ()
    is_complete: bool = True
