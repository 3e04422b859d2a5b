"""Whether the picture around a plate has changed: cheap enough to compute in every frame."""

import numpy as np

from plate_ocr.domain.values import Box, Picture

SIDE = 8
_SAMPLES = 4
_MARGIN_HEIGHTS = 1.5
"""Around the plate: two white plates look the same, the bumpers around them seldom do."""


def appearance(picture: Picture, box: Box) -> bytes | None:
    """8 x 8 means of grey around the box, row by row, 0 to 255 each; None where the box is outside the picture."""
    height_px, width_px = picture.shape[:2]
    margin = _MARGIN_HEIGHTS * box.height
    part = Box(box.x - margin, box.y - margin, box.width + 2 * margin, box.height + 2 * margin)
    part = part.clipped(width_px, height_px)
    if part.width < 1 or part.height < 1:
        return None
    steps = (np.arange(SIDE * _SAMPLES) + 0.5) / (SIDE * _SAMPLES)
    rows = np.minimum((part.y + part.height * steps).astype(int), height_px - 1)
    columns = np.minimum((part.x + part.width * steps).astype(int), width_px - 1)
    grey = picture[np.ix_(rows, columns)].mean(axis=2)
    means = grey.reshape(SIDE, _SAMPLES, SIDE, _SAMPLES).mean(axis=(1, 3))
    return bytes(means.astype(np.uint8))


def appearance_change(before: bytes, after: bytes) -> float:
    """Mean difference in grey levels, 0 to 255, after both are brought to the same brightness: a cloud is not
    another car.
    """
    first, second = (np.frombuffer(one, np.uint8).astype(np.float32) for one in (before, after))
    difference = (first - first.mean()) - (second - second.mean())
    return float(np.abs(difference).mean())
