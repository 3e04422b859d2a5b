"""What an engine has to be able to do. Plain arrays in, frozen values out; each is called from one thread."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plate_ocr.domain.alphabet import RowPosterior
from plate_ocr.domain.rows import PlateRows
from plate_ocr.domain.values import (
    Box,
    Detection,
    EncodedCrop,
    Margin,
    Picture,
    PictureReading,
    VehicleDetection,
)

DecodePicture = Callable[[bytes], Picture]
"""An encoded picture → its pixels."""

EncodeCrop = Callable[[Picture, Box], EncodedCrop | None]
"""A picture and a plate's box in it → the crop to store; None where the box lies outside the picture."""

SkipPlate = Callable[[Picture, Box], bool]
"""Whether the plate in the box need not be read because the caller knows it. Called on the engine's thread."""


class ModelError(Exception):
    """A model file or an engine's code is missing or cannot be used. The text says which, and why."""


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

    @property
    def known_regions(self) -> frozenset[str]:
        """Regions and countries that `read` may be told; none where it takes no notice of them."""
        ...

    def read(
        self,
        pictures: Sequence[Picture],
        regions: Sequence[tuple[str, ...]] = (),
        skip: Sequence[SkipPlate | None] = (),
    ) -> list[PictureReading]:
        """One reading a picture, in their order. `regions`: for each picture those that its plates may come from,
        none for any; left out, any for all. `skip`: for each picture what tells the plates to leave out, which
        are then in `skipped`, or None; an engine may read them all the same.
        """
        ...


class PlateDetector(Protocol):
    """Finds plates, or the rows of text on them."""

    def detect(self, picture: Picture) -> tuple[Detection, ...]:
        """In no order; of a plate with two rows, the plate or both rows."""
        ...


class PlateRecognizer(Protocol):
    """Reads crops: upright text, one row each."""

    def recognize(self, crops: Sequence[Picture]) -> list[RowPosterior]:
        """One posterior a crop, in their order."""
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
    """Tells where plates are from by what they look like."""

    @property
    def regions(self) -> tuple[str, ...]:
        """What it tells apart: regions, countries, and families of countries that have no code of two letters."""
        ...

    def classify(self, plates: Sequence[tuple[Picture, PlateRows]]) -> NDArray[np.float32]:
        """(plates, regions), each row a softmax."""
        ...


class VehicleDetector(Protocol):
    """Finds vehicles."""

    def detect(self, picture: Picture) -> tuple[VehicleDetection, ...]:
        """Surest first."""
        ...


class CropEnhancer(Protocol):
    """Makes more of a crop that was read weakly; costs more time than reading it."""

    @property
    def name(self) -> str:
        """Told in readiness and logs."""
        ...

    def enhance(self, crop: Picture) -> Picture:
        """The same view, of the same size or enlarged by a whole factor; the factor is that of the sizes. A crop that
        is too large to be worth it comes back as it is.
        """
        ...
