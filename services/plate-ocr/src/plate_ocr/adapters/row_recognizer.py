"""The row recognizer: PP-OCR's recognizer, its head reduced to the characters of plates, trained further on drawn ones.

Besides the characters it has a class for the gap between code and number.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from plate_ocr.adapters.models import ROW_RECOGNIZER, shipped_model
from plate_ocr.adapters.onnx import OnnxOptions, open_session, provider_of
from plate_ocr.domain.alphabet import ALPHABET, RowPosterior
from plate_ocr.domain.engines import ModelError
from plate_ocr.domain.values import Picture

ROW_HEIGHT_PX = 48
_MAX_ROW_WIDTH_PX = 640
_ROW_WIDTH_STEP_PX = 32
_MAX_BATCH = 4
_GREY = 127


class RowRecognizer:
    """A `PlateRecognizer` that batches rows by their width."""

    def __init__(self, model: Path | None = None, options: OnnxOptions | None = None) -> None:
        self._session = open_session(model or shipped_model(ROW_RECOGNIZER), options or OnnxOptions())
        self._input = self._session.get_inputs()[0].name
        metadata = self._session.get_modelmeta().custom_metadata_map
        if metadata.get("alphabet") != f"{ALPHABET}|":
            raise ModelError(f"the recognizer's alphabet is {metadata.get('alphabet')!r}, not {ALPHABET!r}")
        self.provider = provider_of(self._session)

    def recognize(self, crops: Sequence[Picture]) -> list[RowPosterior]:
        """One posterior a row, in their order. Rows are scaled to `ROW_HEIGHT_PX`."""
        rows = [_row(crop) for crop in crops]
        # Rows of the same width share a batch: little padding is computed, and none of it affects the result.
        order = sorted(range(len(rows)), key=lambda index: rows[index].shape[1])
        read: dict[int, RowPosterior] = {}
        start = 0
        while start < len(order):
            width = rows[order[start]].shape[1]
            same = [i for i in order[start : start + _MAX_BATCH] if rows[i].shape[1] == width]
            batch = cv2.dnn.blobFromImages([rows[i] for i in same], 1 / 127.5, mean=(127.5, 127.5, 127.5))
            characters = self._session.run(["characters"], {self._input: batch})[0]
            read.update(zip(same, characters, strict=True))
            start += len(same)
        return [read[index] for index in range(len(rows))]


def _row(crop: Picture) -> Picture:
    """The crop at the network's height, padded with grey to a width that other crops share.

    Its own width is kept: stretched to the shared width, characters are recognized worse.
    """
    height, width = crop.shape[:2]
    wanted = min(max(round(width * ROW_HEIGHT_PX / height), ROW_HEIGHT_PX // 3), _MAX_ROW_WIDTH_PX)
    row = crop
    if (wanted, ROW_HEIGHT_PX) != (width, height):
        interpolation = cv2.INTER_AREA if height > ROW_HEIGHT_PX else cv2.INTER_CUBIC
        row = np.asarray(
            cv2.resize(crop, (wanted, ROW_HEIGHT_PX), interpolation=interpolation), dtype=np.uint8
        )
    filled = np.full(
        (ROW_HEIGHT_PX, -(-wanted // _ROW_WIDTH_STEP_PX) * _ROW_WIDTH_STEP_PX, 3), _GREY, np.uint8
    )
    filled[:, :wanted] = row
    return filled
