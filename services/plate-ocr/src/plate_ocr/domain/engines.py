"""The interfaces of engines: plain arrays in, frozen values out. Each is called from one thread."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plate_ocr.domain.alphabet import RowPosterior
from plate_ocr.domain.rows import PlateRows
from plate_ocr.domain.values import (
    AdmittedPicture,
    Box,
    Detection,
    EncodedCrop,
    Margin,
    Picture,
    PictureReading,
    VehicleDetection,
)

CheckPicture = Callable[[bytes], AdmittedPicture]
"""An encoded picture → what it needs. Raises the error of the API if it is not admitted."""

DecodePicture = Callable[[bytes, AdmittedPicture], Picture]
"""A picture that was admitted → its pixels; grey where the picture is not complete."""

EncodeCrop = Callable[[Picture, Box], EncodedCrop | None]
"""A picture and a plate's box in it → the crop to store; None where the box is outside the picture."""

SkipPlate = Callable[[Picture, Box], bool]
"""Whether the plate in the box need not be read because the caller knows it. Called on the engine's thread."""


class ModelError(Exception):
    """A model file or an engine's code is missing or cannot be used. The text says which, and why."""


class PlateEngine(Protocol):
    """Reads whole pictures: what the service runs, and what an operator may replace."""

    @property
    def name(self) -> str:
        """Reported with every reading."""
        ...

    @property
    def has_vehicle_detector(self) -> bool:
        """Whether it detects vehicles; otherwise, no vehicle in a reading is no information."""
        ...

    @property
    def known_regions(self) -> frozenset[str]:
        """Regions and countries that `read` accepts; none where it ignores them."""
        ...

    def read(
        self,
        pictures: Sequence[Picture],
        regions: Sequence[tuple[str, ...]] = (),
        skip: Sequence[SkipPlate | None] = (),
    ) -> list[PictureReading]:
        """One reading a picture, in their order. `pictures`: BGR. `regions`: for each picture those that its plates
        may come from, none for any; left out, any for all. `skip`: for each picture what decides which plates to
        skip, which are then in `skipped`, or None; an engine may read them all the same.
        """
        ...


class PlateDetector(Protocol):
    """Detects plates, or the rows of text on them."""

    def detect(self, picture: Picture) -> tuple[Detection, ...]:
        """In no order. `picture`: BGR. Of a plate with two rows, the plate or both rows."""
        ...


class PlateRecognizer(Protocol):
    """Recognizes the characters of upright crops, one row of text each."""

    def recognize(self, crops: Sequence[Picture]) -> list[RowPosterior]:
        """One posterior a crop, in their order. `crops`: BGR."""
        ...


class RowCropper(Protocol):
    """Cuts rows out of pictures."""

    def crop(self, picture: Picture, row: Detection, margin: Margin) -> Picture:
        """The row upright, straight and unbent, with the margin around it."""
        ...

    def sharpness(self, crop: Picture) -> float:
        """0 (flat or wholly blurred) to 1."""
        ...


class RegionClassifier(Protocol):
    """Classifies where plates are from by their look: words, colours, layout."""

    @property
    def regions(self) -> tuple[str, ...]:
        """Its classes: regions, countries, and groups of countries that have no two-letter code."""
        ...

    def classify(self, plates: Sequence[tuple[Picture, PlateRows]]) -> NDArray[np.float32]:
        """(plates, regions), each row a softmax."""
        ...


class VehicleDetector(Protocol):
    """Detects vehicles."""

    def detect(self, picture: Picture) -> tuple[VehicleDetection, ...]:
        """Highest confidence first. `picture`: BGR."""
        ...


class CropEnhancer(Protocol):
    """Improves a crop that was read with low confidence; takes longer than reading it."""

    @property
    def name(self) -> str:
        """Reported by readiness and in logs."""
        ...

    def enhance(self, crop: Picture) -> Picture:
        """The same view, of the same size or enlarged by a whole factor. A crop that is too large to gain from it is
        returned as it is.
        """
        ...
