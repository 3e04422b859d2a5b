"""The region network: which emirate, country or group of countries a plate is from, by its words and colours."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from plate_ocr.adapters.crops import rectify_row
from plate_ocr.adapters.models import REGION_CLASSIFIER, shipped_model
from plate_ocr.adapters.onnx import OnnxOptions, open_session
from plate_ocr.domain.engines import ModelError
from plate_ocr.domain.rows import PlateRows
from plate_ocr.domain.values import Margin, Picture

_HEIGHT_PX, _WIDTH_PX = 80, 224
# Margins in heights of a row, as in training: names are above, below and beside the characters.
_ONE_ROW, _TWO_ROWS, _ALONG = 0.75, 0.3, 0.6


class OnnxRegionClassifier:
    """A `RegionClassifier`. `regions`: its classes."""

    def __init__(self, model: Path | None = None, options: OnnxOptions | None = None) -> None:
        self._session = open_session(model or shipped_model(REGION_CLASSIFIER), options or OnnxOptions())
        self._input = self._session.get_inputs()[0].name
        names = self._session.get_modelmeta().custom_metadata_map.get("regions")
        if not names:
            raise ModelError("the region model has no metadata 'regions'")
        self.regions: tuple[str, ...] = tuple(names.split(","))

    def classify(self, plates: Sequence[tuple[Picture, PlateRows]]) -> NDArray[np.float32]:
        """(plates, regions), each row a softmax."""
        if not plates:
            return np.zeros((0, len(self.regions)), np.float32)
        batch = cv2.dnn.blobFromImages(
            [_plate_crop(picture, plate) for picture, plate in plates], 1 / 127.5, mean=(127.5, 127.5, 127.5)
        )
        shares: NDArray[np.float32] = self._session.run(None, {self._input: batch})[0]
        return shares


def _plate_crop(picture: Picture, plate: PlateRows) -> Picture:
    rows = len(plate.rows)
    row = 1 / rows  # a row's height as a share of the outline's, the unit of margins
    across = _ONE_ROW if rows == 1 else _TWO_ROWS * row
    crop = rectify_row(picture, plate.outline, Margin(across, _ALONG * row), row_height_px=_HEIGHT_PX)
    return np.asarray(cv2.resize(crop, (_WIDTH_PX, _HEIGHT_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8)
