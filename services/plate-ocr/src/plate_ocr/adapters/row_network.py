"""The network of the row detector: PP-OCR's text detector, trained further until it marks only the rows of number
plates.

Postprocessing follows PaddleOCR's `DBPostProcess` (Apache-2.0; Liao et al., 2020, https://arxiv.org/abs/1911.08947):
https://github.com/PaddlePaddle/PaddleOCR.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from plate_ocr.adapters.models import ROW_DETECTOR, shipped_model
from plate_ocr.adapters.onnx import OnnxOptions, open_session, provider_of
from plate_ocr.domain.bend import arc_at, sagitta
from plate_ocr.domain.values import Detection, Picture, Point

MAX_UPSCALE = 1.0
_STRIDE_PX = 32
_TEXT_THRESHOLD = 0.3
_UNCLIP_RATIO = 1.6
_MIN_SIDE_PX = 2
_MIN_RISE = 0.2
"""Of a mark's middle over its ends, as a share of its thickness; the marks of 19 straight rows in 20 are below it."""

_MAX_PART_PIXELS = 480_000
"""Of one run. 700,000 pixels at once need 70 to 150 MB, parts of this size 50 to 80 MB."""
_SURROUNDINGS_PX = 96

FloatArray = NDArray[np.float32]


class RowNetwork:
    """Detects rows in one pass over a picture."""

    def __init__(self, model: Path | None = None, options: OnnxOptions | None = None) -> None:
        self._session = open_session(model or shipped_model(ROW_DETECTOR), options or OnnxOptions())
        self._input = self._session.get_inputs()[0].name
        self.provider = provider_of(self._session)

    def detect(self, picture: Picture, max_pixels: int, min_score: float) -> tuple[Detection, ...]:
        """Rows with at least that score, in no order, in the picture scaled down to `max_pixels` (width times height).
        `corners` clockwise from the top left of the row as it is read.
        """
        height, width = picture.shape[:2]
        net_width, net_height = input_size(width, height, max_pixels)
        is_smaller = net_width * net_height < width * height
        interpolation = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
        resized = cv2.resize(picture, (net_width, net_height), interpolation=interpolation)
        net = np.asarray(
            cv2.dnn.blobFromImage(resized, 1 / 127.5, mean=(127.5, 127.5, 127.5)), dtype=np.float32
        )
        return self._rows(self._probability(net), width / net_width, height / net_height, min_score)

    def _probability(self, net: FloatArray) -> FloatArray:
        """Of a row at each pixel of the network's input, `(1, 3, height, width)`; a large input is computed in parts,
        one after the other, because memory grows with the input.
        """
        height, width = net.shape[2:]
        is_wide = width >= height
        parts = input_parts(max(width, height), min(width, height))
        if len(parts) == 1:
            return self._run(net)
        probability = np.empty((height, width), np.float32)
        for part in parts:
            if is_wide:
                computed = self._run(np.ascontiguousarray(net[..., part.start : part.stop]))
                probability[:, part.first : part.last] = computed[
                    :, part.first - part.start : part.last - part.start
                ]
            else:
                computed = self._run(net[:, :, part.start : part.stop])
                probability[part.first : part.last] = computed[
                    part.first - part.start : part.last - part.start
                ]
        return probability

    def _run(self, net: FloatArray) -> FloatArray:
        result: FloatArray = self._session.run(None, {self._input: net})[0][0, 0]
        return result

    def _rows(
        self, probability: FloatArray, scale_x: float, scale_y: float, min_score: float
    ) -> tuple[Detection, ...]:
        mask = (probability > _TEXT_THRESHOLD).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        found = []
        for contour in contours:
            ((centre_x, centre_y), (width, height), angle), score, rise = _fit_rectangle(probability, contour)
            width, height = width + 1, height + 1  # from the centres of the outermost pixels to their edges
            if min(width, height) < _MIN_SIDE_PX or score < min_score:
                continue
            # The network marks the core of a row; its outline is this far outside (area over length of the outline).
            margin = width * height * _UNCLIP_RATIO / (2 * (width + height))
            grown = cv2.boxPoints(
                ((centre_x + 0.5, centre_y + 0.5), (width + 2 * margin, height + 2 * margin), angle)
            )
            corners = tuple(
                Point(float(x) * scale_x, float(y) * scale_y) for x, y in _in_reading_order(grown)
            )
            # The arc continues where the outline is longer than the core.
            longer = 1 + 2 * margin / max(width, height)
            bend = rise * longer**2 / (min(width, height) + 2 * margin)
            found.append(Detection(corners, score, bend))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class InputPart:
    """A part of the network's input along its longer side, in pixels from `start` to `stop`. Its result is used from
    `first` to `last`: what is beside these is there because the network looks around each pixel.
    """

    start: int
    stop: int
    first: int
    last: int


def input_parts(longer_px: int, shorter_px: int) -> tuple[InputPart, ...]:
    """The parts in which an input of that size, multiples of 32, is computed, so that none has more than
    `_MAX_PART_PIXELS`. Where a part would be mostly surroundings, it is larger.
    """
    count = 1
    while True:
        step = -(-longer_px // (count * _STRIDE_PX)) * _STRIDE_PX
        surroundings = min(count - 1, 2) * _SURROUNDINGS_PX
        if (step + surroundings) * shorter_px <= _MAX_PART_PIXELS or step <= 2 * _SURROUNDINGS_PX:
            break
        count += 1
    firsts = range(0, longer_px, step)
    return tuple(
        InputPart(
            max(0, first - _SURROUNDINGS_PX),
            min(longer_px, first + step + _SURROUNDINGS_PX),
            first,
            min(longer_px, first + step),
        )
        for first in firsts
    )


def input_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """The size to which a picture is scaled for the network: multiples of 32, with about the picture's aspect ratio and
    no more than `max_pixels` and a tenth, or one square of 32 by 32.

    Pictures of one row of pixels are stretched: a side cannot be less than 32, so the other one is shortened.
    """
    scale = min((max_pixels / (width * height)) ** 0.5, MAX_UPSCALE)
    net_width, net_height = (
        max(_STRIDE_PX, round(side * scale / _STRIDE_PX) * _STRIDE_PX) for side in (width, height)
    )
    longest = max(_STRIDE_PX, int(1.1 * max_pixels / min(net_width, net_height)) // _STRIDE_PX * _STRIDE_PX)
    return min(net_width, longest), min(net_height, longest)


def _fit_rectangle(probability: FloatArray, contour: Any) -> tuple[Any, float, float]:
    """The rectangle around the mark, as OpenCV returns it; the mean probability in it, 0 to 1; and how much higher
    the mark's middle is than its ends, pixels.

    Where an arc fits the mark better than a straight rectangle, the rectangle is that of the mark unbent; otherwise the
    middle is no higher: 0.
    """
    rect = cv2.minAreaRect(contour)
    corners = cv2.boxPoints(rect)
    score, core = _mean_inside(probability, corners), _in_reading_order(corners)
    rise = _middle_rise(contour, core)
    if rise:
        unbent = cv2.minAreaRect(_bend(contour[:, 0], core, -rise))
        outline = _bend(_outline(cv2.boxPoints(unbent)), core, rise)
        bent_score = _mean_inside(probability, outline)
        if bent_score > score:
            return unbent, bent_score, rise
    return rect, score, 0.0


def _middle_rise(contour: Any, core: Any) -> float:
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


def _bend(points: Any, core: Any, rise: float) -> Any:
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
    """Clockwise from the top left, for rows tilted by less than a quarter turn."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    (top_left, bottom_left), (top_right, bottom_right) = (
        side[np.argsort(side[:, 1])] for side in (left, right)
    )
    return np.array([top_left, top_right, bottom_right, bottom_left])
