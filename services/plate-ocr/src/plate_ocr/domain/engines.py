"""What an engine has to be able to do. Plain arrays in, frozen values out; each is called from one thread."""

from collections.abc import Sequence
from typing import Protocol

from plate_ocr.domain.values import Detection, Picture, PictureReading, TextReading, VehicleSighting


class PlateEngine(Protocol):
    """Reads whole pictures: what the service runs, and what an operator may replace."""

    @property
    def name(self) -> str:
        """Told beside every reading."""
        ...

    @property
    def has_vehicle_detector(self) -> bool:
        """Whether it looks for vehicles at all: without, none found says nothing."""
        ...

    def read(self, pictures: Sequence[Picture]) -> list[PictureReading]:
        """One reading a picture, in their order."""
        ...


class PlateDetector(Protocol):
    """Finds what may be a plate, or a part of one."""

    def detect(self, picture: Picture, max_pixels: int) -> tuple[Detection, ...]:
        """`max_pixels`: the size to which the picture may be brought for the search, width times height."""
        ...


class PlateRecognizer(Protocol):
    """Reads crops: upright text, one row each."""

    def recognize(self, crops: Sequence[Picture]) -> list[TextReading]:
        """One reading a crop, in their order; an empty reading where nothing is legible."""
        ...


class VehicleDetector(Protocol):
    """Finds vehicles."""

    def detect(self, picture: Picture) -> tuple[VehicleSighting, ...]:
        """Surest first."""
        ...
