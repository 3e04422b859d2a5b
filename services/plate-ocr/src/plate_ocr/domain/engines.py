"""What an engine has to be able to do. Plain arrays in, frozen values out; each is called from one thread."""

from collections.abc import Sequence
from typing import Protocol

from plate_ocr.domain.values import Detection, Picture, TextReading, VehicleSighting


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
    def detect(self, picture: Picture) -> tuple[VehicleSighting, ...]: ...
