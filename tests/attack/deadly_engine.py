"""A plate engine that ends the process when it gets a picture of a certain size; others have no plate.

It stands for a picture that kills the process in the decoder or in a network, which none is known to do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from plate_ocr.domain.engines import SkipPlate
from plate_ocr.domain.values import PictureReading

DEADLY_SIZE_PX = (1000, 600)


class DeadlyEngine:
    """`LOOKOUT_PLATE_OCR__ENGINE=attack.deadly_engine:make_engine` selects it."""

    name = "deadly"
    has_vehicle_detector = False
    known_regions: frozenset[str] = frozenset()

    def read(
        self,
        pictures: Sequence[np.ndarray],
        regions: Sequence[tuple[str, ...]] = (),
        skip: Sequence[SkipPlate | None] = (),
    ) -> list[PictureReading]:
        if any(picture.shape[1::-1] == DEADLY_SIZE_PX for picture in pictures):
            os._exit(137)
        return [PictureReading(()) for _ in pictures]


def make_engine() -> DeadlyEngine:
    return DeadlyEngine()
