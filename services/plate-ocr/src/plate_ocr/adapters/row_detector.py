"""The finder: PP-OCR's text detector, trained further until it marks the rows of number plates and no other writing.

Postprocessing follows PaddleOCR's `DBPostProcess` (Apache-2.0; Liao et al., 2020, https://arxiv.org/abs/1911.08947):
https://github.com/PaddlePaddle/PaddleOCR.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from plate_ocr.adapters.crops import Part, cut
from plate_ocr.adapters.models import ROW_DETECTOR, shipped_model
from plate_ocr.adapters.onnx import OnnxOptions, open_session, provider_of
from plate_ocr.domain.bend import arc_at, sagitta
from plate_ocr.domain.engines import PlateDetector
from plate_ocr.domain.values import Box, Detection, Picture, Point

_STRIDE_PX = 32
_MAX_UPSCALE = 1.0
_TEXT_THRESHOLD = 0.3
_UNCLIP_RATIO = 1.6
_MIN_SIDE_PX = 2
_MIN_RISE = 0.2
"""Of a mark's middle over its ends, as a share of its thickness: the marks of 19 straight rows in 20 are below it."""

_MAX_CLOSER_LOOKS = 3
_MAX_CLOSER_PIXELS = 70_000
_SURE_ROW_PX = 22.0
"""Height of a row in a look, below which its corners are too coarse to read it by."""
_CLOSE_ROW_PX = 28
"""The height that a row is brought to for a closer look, where the picture has as much."""
_CLOSE_ALONG, _CLOSE_ACROSS = 3.0, 2.5
"""Around a row, in its heights."""

FloatArray = NDArray[np.float32]


class RowDetector:
    """Finds the rows of plates: in the whole picture made small, then, unless the surest row is sure and large there,
    closer at the places of the best ones, and where that finds nothing, the same again with the picture less small.

    `first_pass_pixels`, `second_pass_pixels`: to which the whole picture is brought, width times height.
    `proposal_score`: of a row, 0 to 1, from which on its place is looked at closer. `min_score`: of a row that is
    told. `sure_score`: from here on a row makes further looks needless.
    """

    def __init__(
        self,
        model: Path | None = None,
        options: OnnxOptions | None = None,
        *,
        first_pass_pixels: int = 150_000,
        second_pass_pixels: int = 700_000,
        proposal_score: float = 0.15,
        min_score: float = 0.4,
        sure_score: float = 0.6,
    ) -> None:
        self._session = open_session(model or shipped_model(ROW_DETECTOR), options or OnnxOptions())
        self._input = self._session.get_inputs()[0].name
        self._looks = (first_pass_pixels, second_pass_pixels)
        self._proposal_score, self._min_score, self._sure_score = proposal_score, min_score, sure_score
        self.provider = provider_of(self._session)

    def detect(self, picture: Picture) -> tuple[Detection, ...]:
        """Rows of plates, in no order. `corners` clockwise from the top left of the row as it is read."""
        found: tuple[Detection, ...] = ()
        for pixels in self._looks:
            proposed = self._look(picture, pixels, self._proposal_score)
            seen = tuple(row for row in proposed if row.score >= self._min_score)
            if not _is_larger(picture, pixels):
                return seen or found
            scale = (pixels / (picture.shape[0] * picture.shape[1])) ** 0.5
            vague = [
                row for row in seen if row.score < self._sure_score or _height_of(row) * scale < _SURE_ROW_PX
            ]
            found = seen or found
            if len(vague) > _MAX_CLOSER_LOOKS:
                continue  # a car park full of small plates: one larger look costs less than many closer ones
            if seen and max(seen, key=lambda row: row.score) not in vague:
                return seen
            closer, looked_at = self._closer(picture, proposed)
            if closer:
                # What the first of them was not sure of and the closer look did not see is not told.
                others = (row for row in seen if row.score >= self._sure_score or row not in looked_at)
                return (*closer, *(row for row in others if not any(_overlap(row, one) for one in closer)))
        return found

    def look(self, picture: Picture, max_pixels: int) -> tuple[Detection, ...]:
        """One look at the picture, brought to that size."""
        return self._look(picture, max_pixels, self._min_score)

    def _closer(
        self, picture: Picture, proposed: Sequence[Detection]
    ) -> tuple[list[Detection], list[Detection]]:
        """What is seen at the places of the best proposals, rows that two looks see once; and these proposals."""
        found: list[Detection] = []
        looked_at: list[Detection] = []
        for row in sorted(proposed, key=lambda d: d.score, reverse=True):
            if len(looked_at) == _MAX_CLOSER_LOOKS:
                break
            height = _height_of(row)
            part = cut(picture, _around(row, height), margin=0)
            if part is None or any(_holds(other.box, row) for other in found):
                continue
            looked_at.append(row)
            scale = min(_CLOSE_ROW_PX / height, _MAX_UPSCALE)
            pixels = round(part.picture.shape[0] * part.picture.shape[1] * scale**2)
            rows = self.look(part.picture, min(pixels, _MAX_CLOSER_PIXELS))
            moved = [_moved(one, part) for one in rows if not _is_cut(one, part, picture)]
            found += [one for one in moved if not any(_holds(other.box, one) for other in found)]
        return found, looked_at

    def _look(self, picture: Picture, max_pixels: int, min_score: float) -> tuple[Detection, ...]:
        height, width = picture.shape[:2]
        scale = min((max_pixels / (width * height)) ** 0.5, _MAX_UPSCALE)
        net_width, net_height = (
            max(_STRIDE_PX, round(s * scale / _STRIDE_PX) * _STRIDE_PX) for s in (width, height)
        )
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(picture, (net_width, net_height), interpolation=interpolation)
        net = cv2.dnn.blobFromImage(resized, 1 / 127.5, mean=(127.5, 127.5, 127.5))
        probability: FloatArray = self._session.run(None, {self._input: net})[0][0, 0]
        return self._rows(probability, width / net_width, height / net_height, min_score)

    def _rows(
        self, probability: FloatArray, scale_x: float, scale_y: float, min_score: float
    ) -> tuple[Detection, ...]:
        mask = (probability > _TEXT_THRESHOLD).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        found = []
        for contour in contours:
            ((centre_x, centre_y), (width, height), angle), score, rise = _fitted(probability, contour)
            width, height = width + 1, height + 1  # from the middles of the outermost pixels to their edges
            if min(width, height) < _MIN_SIDE_PX or score < min_score:
                continue
            # The network marks the core of a row; its outline lies this far outside (offset by area over length).
            margin = width * height * _UNCLIP_RATIO / (2 * (width + height))
            grown = cv2.boxPoints(
                ((centre_x + 0.5, centre_y + 0.5), (width + 2 * margin, height + 2 * margin), angle)
            )
            corners = tuple(
                Point(float(x) * scale_x, float(y) * scale_y) for x, y in _in_reading_order(grown)
            )
            # The arc goes on in what the outline is longer than the core.
            longer = 1 + 2 * margin / max(width, height)
            bend = rise * longer**2 / (min(width, height) + 2 * margin)
            found.append(Detection(corners, score, bend))
        return tuple(found)


class RowsInDetectedPlates:
    """Rows within the plates that another detector finds: an operator's own weights, which know no rows."""

    def __init__(self, plates: PlateDetector, finder: RowDetector) -> None:
        self._plates, self._finder = plates, finder

    def detect(self, picture: Picture) -> tuple[Detection, ...]:
        """Of a plate in which no row is found, the plate itself."""
        found: list[Detection] = []
        for plate in self._plates.detect(picture):
            part = cut(picture, plate.box, margin=_PLATE_MARGIN)
            rows = self._finder.look(part.picture, _PLATE_PIXELS) if part else ()
            if part and rows:
                found += [replace(_moved(row, part), score=plate.score) for row in rows]
            else:
                found.append(plate)
        return tuple(found)


_PLATE_MARGIN = 0.3
_PLATE_PIXELS = 40_000


def _fitted(probability: FloatArray, contour: Any) -> tuple[Any, float, float]:
    """The rectangle that holds the mark, as OpenCV tells it; the mean probability there, 0 to 1; and how much higher
    the mark's middle stands than its ends, pixels.

    Where the mark fits an arc better than a straight rectangle, the rectangle is that of the mark unbent; the height
    above the ends is 0 elsewhere.
    """
    rect = cv2.minAreaRect(contour)
    corners = cv2.boxPoints(rect)
    score, core = _mean_inside(probability, corners), _in_reading_order(corners)
    rise = _rise(contour, core)
    if rise:
        unbent = cv2.minAreaRect(_bent(contour[:, 0], core, -rise))
        outline = _bent(_outline(cv2.boxPoints(unbent)), core, rise)
        bent_score = _mean_inside(probability, outline)
        if bent_score > score:
            return unbent, bent_score, rise
    return rect, score, 0.0


def _rise(contour: Any, core: Any) -> float:
    """Of the mark's middle over its ends, pixels; 0 where it is no more than that of straight rows may be.

    `core`: (4, 2), the corners of the rectangle around it, clockwise from the top left.
    """
    left, top, width, height = cv2.boundingRect(contour)
    mark = np.zeros((height, width), np.uint8)
    cv2.drawContours(mark, [contour], -1, 1, cv2.FILLED, offset=(-left, -top))
    y, x = np.nonzero(mark)
    along, down, _ = _directions(core)
    pixels = np.stack([x + left, y + top], axis=1) - core[0]
    columns = np.maximum(pixels @ along, 0).astype(np.intp)
    counts = np.bincount(columns)
    middles = np.bincount(columns, pixels @ down)[counts > 0] / counts[counts > 0]
    rise = sagitta(middles)
    return rise if abs(rise) >= _MIN_RISE * float(counts.mean()) else 0.0


def _bent(points: Any, core: Any, rise: float) -> Any:
    """Where the points, (N, 2), of a straight mark are when it is bent."""
    along, down, length = _directions(core)
    places = 2 * ((points - core.mean(axis=0)) @ along) / length
    return (points + rise * arc_at(places)[:, None] * down).astype(np.float32)


def _directions(core: Any) -> tuple[Any, Any, float]:
    """Along the row and down across it, unit vectors, and its length, pixels."""
    length = max(float(np.linalg.norm(core[1] - core[0])), 1.0)
    along = (core[1] - core[0]) / length
    return along, np.array([-along[1], along[0]]), length


def _outline(corners: Any) -> Any:
    """(32, 2): eight points from each corner to the next, so that the sides can be bent."""
    steps = np.arange(8)[:, None] / 8
    return np.concatenate(
        [a + (b - a) * steps for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    )


def _is_larger(picture: Picture, pixels: int) -> bool:
    """So much that another look sees more."""
    return bool(picture.shape[0] * picture.shape[1] > 1.3 * pixels)


def _is_cut(row: Detection, part: Part, picture: Picture) -> bool:
    """The row goes on beyond the part: a stump of a neighbour, which would be read as a whole plate."""
    (height, width), box = part.picture.shape[:2], row.box
    return bool(
        (box.x <= 1 and part.left > 0)
        or (box.y <= 1 and part.top > 0)
        or (box.right >= width - 1 and part.left + width < picture.shape[1])
        or (box.bottom >= height - 1 and part.top + height < picture.shape[0])
    )


def _height_of(row: Detection) -> float:
    a, b, c, d = row.corners
    return max((math.dist((a.x, a.y), (d.x, d.y)) + math.dist((b.x, b.y), (c.x, c.y))) / 2, 1.0)


def _around(row: Detection, height: float) -> Box:
    """A window with as much of the street around the row as the network was trained on."""
    box = row.box
    along, across = _CLOSE_ALONG * height, _CLOSE_ACROSS * height
    return Box(box.x - along, box.y - across, box.width + 2 * along, box.height + 2 * across)


def _moved(row: Detection, part: Part) -> Detection:
    """Of the part, to where it is in the whole picture."""
    return replace(row, corners=tuple(Point(p.x + part.left, p.y + part.top) for p in row.corners))


def _holds(box: Box, row: Detection) -> bool:
    centre = row.box.centre
    return box.x <= centre.x <= box.right and box.y <= centre.y <= box.bottom


def _overlap(row: Detection, other: Detection) -> bool:
    return _holds(row.box, other) or _holds(other.box, row)


def _mean_inside(probability: FloatArray, corners: Any) -> float:
    height, width = probability.shape
    left, top = (max(int(v), 0) for v in np.floor(corners.min(axis=0)))
    right, bottom = (
        min(int(np.ceil(corners[:, 0].max())), width - 1),
        min(int(np.ceil(corners[:, 1].max())), height - 1),
    )
    if right < left or bottom < top:
        return 0.0
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [np.asarray(corners - (left, top), np.int32)], 1)
    return float(cv2.mean(probability[top : bottom + 1, left : right + 1], mask)[0])


def _in_reading_order(corners: Any) -> Any:
    """Clockwise from the top left, for rows that lean less than a quarter turn."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    (top_left, bottom_left), (top_right, bottom_right) = (
        side[np.argsort(side[:, 1])] for side in (left, right)
    )
    return np.array([top_left, top_right, bottom_right, bottom_left])
