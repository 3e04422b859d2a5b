"""What an engine has to be able to do. Plain arrays in, frozen values out; each is called from one thread."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plate_ocr.domain.alphabet import RowPosterior
from plate_ocr.domain.rows import PlateRows
from plate_ocr.domain.values import Box, Detection, Picture, PictureReading, VehicleSighting

Settled = Callable[[Picture, Box], bool]
"""Whether the plate found there need not be read: it is known. Asked on the thread that reads."""


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
        settled: Sequence[Settled | None] = (),
    ) -> list[PictureReading]:
        """One reading a picture, in their order. `regions`: for each picture those that its plates may come from,
        none for any; left out, any for all. `settled`: for each picture what tells the plates to leave out, which
        are then in `left_out`, or None; an engine may read them all the same.
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


class RegionTeller(Protocol):
    """Tells where plates are from by what they look like."""

    @property
    def regions(self) -> tuple[str, ...]:
        """What it tells apart: regions, countries, and families of countries that have no code of two letters."""
        ...

    def tell(self, plates: Sequence[tuple[Picture, PlateRows]]) -> NDArray[np.float32]:
        """(plates, regions), each row a softmax."""
        ...


class VehicleDetector(Protocol):
    """Finds vehicles."""

    def detect(self, picture: Picture) -> tuple[VehicleSighting, ...]:
        """Surest first."""
        ...
