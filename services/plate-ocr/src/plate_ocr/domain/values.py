"""The values that detectors, recognizers and rules exchange.

Pixel coordinates have their origin at the top left of the picture they refer to, x to the right, y down.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""An H x W x 3 array, channels blue, green, red."""


class Point(NamedTuple):
    """Pixels."""

    x: float
    y: float


Polygon = tuple[Point, ...]
"""Corners in order, not closed; either turning direction."""


@dataclass(frozen=True, slots=True)
class Box:
    """Upright rectangle: top left corner and size, pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> Point:
        return Point(self.x + self.width / 2, self.y + self.height / 2)

    @property
    def area(self) -> float:
        return max(self.width, 0.0) * max(self.height, 0.0)

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def corners(self) -> Polygon:
        """Clockwise on the screen, from the top left."""
        return (
            Point(self.x, self.y),
            Point(self.right, self.y),
            Point(self.right, self.bottom),
            Point(self.x, self.bottom),
        )

    def clipped(self, width_px: int, height_px: int) -> "Box":
        """The part of the box inside a picture of that size; of size 0 where there is none."""
        left, top = min(max(self.x, 0.0), width_px), min(max(self.y, 0.0), height_px)
        right, bottom = max(min(self.right, width_px), left), max(min(self.bottom, height_px), top)
        return Box(left, top, right - left, bottom - top)

    @classmethod
    def around(cls, points: Polygon) -> "Box":
        left, top = min(p.x for p in points), min(p.y for p in points)
        return cls(left, top, max(p.x for p in points) - left, max(p.y for p in points) - top)


@dataclass(frozen=True, slots=True)
class Detection:
    """A region with a row of text, or a plate.

    `corners`: four, clockwise from the top left of the text as it is read. `score`: 0 to 1, the detector's own.
    `bend`: how much higher the middle of the text is than its two ends, as a share of the region's height; negative
    where the ends are higher. The corners are those of the text unbent, at the mean height of its arc.
    """

    corners: Polygon
    score: float
    bend: float = 0.0

    @property
    def box(self) -> Box:
        return Box.around(self.corners)


@dataclass(frozen=True, slots=True)
class Margin:
    """Added around a row, as shares of its height; negative cuts off. `along`: left and right of it."""

    across: float
    along: float


class EncodedCrop(NamedTuple):
    """A JPEG."""

    data: bytes
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Character:
    """`confidence`: 0 to 1."""

    text: str
    confidence: float


Slot = tuple[Character, ...]
"""The alternatives for one character, likeliest first; the confidences are probabilities, at most 1 in total."""


class PlateState(StrEnum):
    """How far a plate was read. The values are part of the API."""

    READ = "read"
    SINGLE_LOOK = "single_look"
    SEEN_NOT_READ = "seen_not_read"


class UnreadReason(StrEnum):
    """Why a plate that was seen was not read."""

    TOO_SMALL = "too_small"
    TOO_BLURRED = "too_blurred"
    COVERED = "covered"
    UNSURE = "unsure"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class PlateReading:
    """A plate as it was read in one picture, or as the looks of a track agree on it.

    `text`: A-Z 0-9, code and number together. `raw_text`: the greedy reading before any rule, with the rows of the
    plate joined by a space. `region`: ISO 3166, lower case ("ae-du", "us-tx"), empty where not known. `code`: the
    category beside the number, empty where there is none or it is not known; `number` is the whole text then.
    `confidence`: 0 to 1.

    `state`: SEEN_NOT_READ has a reason and an empty text, code and number; SINGLE_LOOK is for tracks only.
    `height_px`: of the plate perpendicular to its text, 0 where not measured. `outline`: four corners, clockwise
    from the plate's own top left, or none. The parts' confidences are 0 to 1, 0 where the part is not known.
    `pattern`: the grammar's name for the format of the text. `sharpness`: 0 to 1, of the crop; 0 where not measured.
    `slots`: one for each character, none where the recognizer kept none. `looks`: frames of a track that read
    exactly this text, 0 for a single picture.
    """

    text: str
    raw_text: str
    region: str
    code: str
    number: str
    confidence: float
    characters: tuple[Character, ...]
    box: Box
    state: PlateState = PlateState.READ
    unread_reason: UnreadReason | None = None
    height_px: float = 0.0
    outline: Polygon = ()
    region_confidence: float = 0.0
    code_confidence: float = 0.0
    number_confidence: float = 0.0
    pattern: str = ""
    sharpness: float = 0.0
    slots: tuple[Slot, ...] = ()
    looks: int = 0

    @property
    def is_read(self) -> bool:
        """Whether it has a text."""
        return self.state is not PlateState.SEEN_NOT_READ and bool(self.text)


def seen_not_read(
    box: Box,
    reason: UnreadReason,
    *,
    height_px: float,
    raw_text: str = "",
    outline: Polygon = (),
    sharpness: float = 0.0,
    confidence: float = 0.0,
) -> PlateReading:
    """A plate that is there and cannot be read. `confidence`: that it is a plate at all, 0 to 1."""
    return PlateReading(
        text="",
        raw_text=raw_text,
        region="",
        code="",
        number="",
        confidence=confidence,
        characters=(),
        box=box,
        state=PlateState.SEEN_NOT_READ,
        unread_reason=reason,
        height_px=height_px,
        outline=outline,
        sharpness=sharpness,
    )


@dataclass(frozen=True, slots=True)
class VehicleDetection:
    """`kind`: "car", "motorcycle", "bus", "truck" or empty. `source`: "camera" or the detector's name."""

    box: Box
    kind: str
    confidence: float
    source: str


@dataclass(frozen=True, slots=True)
class AdmittedPicture:
    """`decoding_bytes`: memory that decoding it needs. `is_complete`: False where its end is missing."""

    decoding_bytes: int
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class PictureReading:
    """What an engine reads in a picture. `plates`: best first.

    Times in milliseconds; where a stage ran on several pictures at once, this picture's share. `stages`: name and
    time of those other than detection and recognition. `skipped`: boxes of plates that were found and, as the caller
    knows them, not read.
    """

    plates: tuple[PlateReading, ...]
    vehicles: tuple[VehicleDetection, ...] = ()
    detect_ms: float = 0.0
    recognize_ms: float = 0.0
    stages: tuple[tuple[str, float], ...] = ()
    skipped: tuple[Box, ...] = ()


class SpotOccupancy(Enum):
    """Whether a parking spot is occupied."""

    OCCUPIED = "occupied"
    FREE = "free"
    UNKNOWN = "unknown"
