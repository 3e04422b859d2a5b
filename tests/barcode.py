"""Pictures whose "plate" is a pattern of black and white blocks, and an engine that reads them in a millisecond.

The engine replaces OCR in tests with thousands of events, through the setting for an operator's own engine.
The text still comes from the pixels of the stored picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from plate_ocr.domain.engines import SkipPlate
from plate_ocr.domain.values import Box, Character, PictureReading, PlateReading

BLOCK_PX = 8
LENGTH = 12
WIDTH, HEIGHT = 320, 180
TOP, LEFT = 120, 60


def draw(text: str | None) -> bytes:
    """A small JPEG with that text as blocks in the lower half; None draws an empty spot."""
    picture = np.full((HEIGHT, WIDTH, 3), 127, np.uint8)
    if text is not None:
        bits = "".join(f"{ord(character):08b}" for character in text.ljust(LENGTH)[:LENGTH])
        for i, bit in enumerate(bits):
            row, column = divmod(i, LENGTH * 2)
            y, x = TOP + row * BLOCK_PX, LEFT + column * BLOCK_PX
            picture[y : y + BLOCK_PX, x : x + BLOCK_PX] = 255 if bit == "1" else 0
    ok, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert ok
    return encoded.tobytes()


def read(picture: np.ndarray) -> str | None:
    """The text of the blocks; None if there are none."""
    rows = LENGTH * 8 // (LENGTH * 2)
    area = picture[TOP : TOP + rows * BLOCK_PX, LEFT : LEFT + LENGTH * 2 * BLOCK_PX, 0]
    if area.shape != (rows * BLOCK_PX, LENGTH * 2 * BLOCK_PX):
        return None
    means = area.reshape(rows, BLOCK_PX, LENGTH * 2, BLOCK_PX).mean(axis=(1, 3)).reshape(-1)
    if np.any((means > 64) & (means < 190)):
        return None
    bits = "".join("1" if mean > 127 else "0" for mean in means)
    text = "".join(chr(int(bits[i : i + 8], 2)) for i in range(0, len(bits), 8)).strip()
    return text if text.isalnum() else None


class BlockReader:
    """A plate engine; `LOOKOUT_PLATE_OCR__ENGINE=barcode:make_engine` selects it."""

    name = "blocks"
    has_vehicle_detector = False
    known_regions: frozenset[str] = frozenset()

    def read(
        self,
        pictures: Sequence[np.ndarray],
        regions: Sequence[tuple[str, ...]] = (),
        skip: Sequence[SkipPlate | None] = (),
    ) -> list[PictureReading]:
        return [PictureReading(self._plates(picture)) for picture in pictures]

    def _plates(self, picture: np.ndarray) -> tuple[PlateReading, ...]:
        text = read(picture)
        if text is None:
            return ()
        box = Box(LEFT, TOP, LENGTH * 2 * BLOCK_PX, LENGTH * 8 // (LENGTH * 2) * BLOCK_PX)
        characters = tuple(Character(character, 1.0) for character in text)
        return (PlateReading(text, text, "", "", text, 1.0, characters, box),)


def make_engine() -> BlockReader:
    return BlockReader()
