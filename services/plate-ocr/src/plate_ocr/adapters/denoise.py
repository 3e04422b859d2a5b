"""Removes noise from a crop by averaging similar patches: slow on pictures, fast on plates."""

import cv2
import numpy as np

from plate_ocr.domain.values import Picture

_MAX_PIXELS = 400 * 160
"""A larger crop has enough pixels to be read as it is, and would take longer than everything else."""

_PATCH_PX = 5
_SEARCH_PX = 15


class Denoiser:
    """A `CropEnhancer` that keeps the size. `strength`: noise to remove, in grey levels."""

    name = "denoise"

    def __init__(self, strength: float = 7.0) -> None:
        self._strength = strength

    def enhance(self, crop: Picture) -> Picture:
        if crop.shape[0] * crop.shape[1] > _MAX_PIXELS:
            return crop
        quiet = cv2.fastNlMeansDenoisingColored(
            crop, None, self._strength, self._strength, _PATCH_PX, _SEARCH_PX
        )
        return np.asarray(quiet, np.uint8)
