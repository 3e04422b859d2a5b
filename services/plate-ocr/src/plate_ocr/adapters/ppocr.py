"""The PP-OCR networks that ship inside the `rapidocr` wheel, run on ONNX Runtime directly.

Only the wheel's model files are used. Its Python code hides the per-character probabilities that a plate reading
needs, logs to its own handler, and fetches a model over the network when a file is not where it looks.

Pre- and postprocessing follow PaddleOCR (Apache-2.0): https://github.com/PaddlePaddle/PaddleOCR, `DBPostProcess`
(Liao et al., 2020, https://arxiv.org/abs/1911.08947) and `CTCLabelDecode`.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from plate_ocr.adapters.onnx import ModelMissing, OnnxOptions, open_session, provider_of
from plate_ocr.domain.values import Character, Detection, Picture, Point, TextReading

DETECTOR_FILE = "PP-OCRv6_det_small.onnx"
RECOGNIZER_FILE = "PP-OCRv6_rec_small.onnx"

_STRIDE_PX = 32
_MAX_UPSCALE = 3.0
_TEXT_THRESHOLD = 0.3
_MIN_SCORE = 0.5
_UNCLIP_RATIO = 1.6
_MIN_SIDE_PX = 3

_ROW_HEIGHT_PX = 48
_MAX_ROW_WIDTH_PX = 960
_ROW_WIDTH_STEP_PX = 32
_MAX_BATCH = 8
_GREY = 127

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

FloatArray = NDArray[np.float32]


def shipped_model(file_name: str) -> Path:
    """Where the wheel keeps a model; found without importing the wheel.

    Raises: ModelMissing: the wheel is not installed.
    """
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise ModelMissing("the rapidocr wheel, which carries the default models, is not installed")
    return Path(spec.origin).parent / "models" / file_name


class PpocrDetector:
    """Finds lines of text. On plates it finds their characters, line by line, and much that is no plate."""

    def __init__(self, model: Path | None = None, options: OnnxOptions | None = None) -> None:
        self._session = open_session(model or shipped_model(DETECTOR_FILE), options or OnnxOptions())
        self._input = self._session.get_inputs()[0].name
        self.provider = provider_of(self._session)

    def detect(self, picture: Picture, max_pixels: int) -> tuple[Detection, ...]:
        height, width = picture.shape[:2]
        scale = min((max_pixels / (width * height)) ** 0.5, _MAX_UPSCALE)
        net_width, net_height = (
            max(_STRIDE_PX, round(s * scale / _STRIDE_PX) * _STRIDE_PX) for s in (width, height)
        )
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(picture, (net_width, net_height), interpolation=interpolation)
        probability: FloatArray = self._session.run(None, {self._input: _normal(_as_picture(resized))[None]})[
            0
        ][0, 0]
        return _text_regions(probability, width / net_width, height / net_height)


class PpocrRecognizer:
    """Reads a row of text, with the probability of each character among A-Z, 0-9, separators and nothing."""

    def __init__(self, model: Path | None = None, options: OnnxOptions | None = None) -> None:
        self._session = open_session(model or shipped_model(RECOGNIZER_FILE), options or OnnxOptions())
        self._input = self._session.get_inputs()[0].name
        listed = self._session.get_modelmeta().custom_metadata_map.get("character")
        if not listed:
            raise ModelMissing("the recogniser's model does not name its characters")
        # Class 0 is the CTC blank, the last one the space; the model's list names those between.
        self._classes = ["", *listed.splitlines(), " "]
        index_of = {character: index for index, character in enumerate(self._classes)}
        self._upper = np.array([index_of[c] for c in _ALPHABET])
        self._lower = np.array([index_of[c.lower()] for c in _ALPHABET[10:]])

    def recognize(self, crops: Sequence[Picture]) -> list[TextReading]:
        rows = [_row(crop) for crop in crops]
        # Rows of like width share a batch, so that little padding is computed and none of it misleads.
        order = sorted(range(len(rows)), key=lambda index: rows[index].shape[1])
        readings = [TextReading((), "")] * len(rows)
        start = 0
        while start < len(order):
            width = rows[order[start]].shape[1]
            same = [i for i in order[start : start + _MAX_BATCH] if rows[i].shape[1] == width]
            batch = np.stack([_normal(rows[i]) for i in same])
            posteriors: FloatArray = self._session.run(None, {self._input: batch})[0]
            for index, posterior in zip(same, posteriors, strict=True):
                readings[index] = self._decoded(posterior)
            start += len(same)
        return readings

    def _decoded(self, posterior: FloatArray) -> TextReading:
        """Best path through the posterior (T, classes), with every class that is no letter or digit as one separator.

        The separators stay in the race: cut to letters and digits alone, hyphens, dots and coats of arms turn
        into characters that no plate carries (measured: 0.84 to 0.73 on US plates).
        """
        reduced = np.empty((len(posterior), len(_ALPHABET) + 2), dtype=np.float32)
        reduced[:, 0] = posterior[:, 0]
        reduced[:, 1:-1] = posterior[:, self._upper]
        reduced[:, 11:-1] += posterior[:, self._lower]
        reduced[:, -1] = np.maximum(0.0, 1.0 - reduced[:, :-1].sum(axis=1))
        path, as_printed = reduced.argmax(axis=1), posterior.argmax(axis=1)
        characters: list[Character] = []
        for step, symbol in enumerate(path):
            if 0 < symbol <= len(_ALPHABET) and (step == 0 or path[step - 1] != symbol):
                sure = min(float(reduced[step, symbol]), 1.0)
                characters.append(Character(_ALPHABET[symbol - 1], sure))
        printed = [
            self._classes[symbol]
            for step, symbol in enumerate(as_printed)
            if symbol and (step == 0 or as_printed[step - 1] != symbol)
        ]
        return TextReading(tuple(characters), "".join(printed).strip())


def _normal(picture: Picture) -> FloatArray:
    """H x W x 3 in 0..255 to 3 x H x W in -1..1, contiguous."""
    return np.ascontiguousarray((picture.astype(np.float32) / 127.5 - 1.0).transpose(2, 0, 1))


def _row(crop: Picture) -> Picture:
    """The crop at the network's height, filled up with grey to a width that other crops share.

    Its own width is kept exactly: stretching it to the shared width costs 3 to 4 points on US plates.
    """
    height, width = crop.shape[:2]
    wanted = min(max(round(width * _ROW_HEIGHT_PX / height), _ROW_HEIGHT_PX // 3), _MAX_ROW_WIDTH_PX)
    row = crop
    if (wanted, _ROW_HEIGHT_PX) != (width, height):
        interpolation = cv2.INTER_AREA if height > _ROW_HEIGHT_PX else cv2.INTER_CUBIC
        row = _as_picture(cv2.resize(crop, (wanted, _ROW_HEIGHT_PX), interpolation=interpolation))
    filled = np.full(
        (_ROW_HEIGHT_PX, -(-wanted // _ROW_WIDTH_STEP_PX) * _ROW_WIDTH_STEP_PX, 3), _GREY, np.uint8
    )
    filled[:, :wanted] = row
    return filled


def _text_regions(probability: FloatArray, scale_x: float, scale_y: float) -> tuple[Detection, ...]:
    mask = cv2.dilate((probability > _TEXT_THRESHOLD).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for contour in contours:
        (centre_x, centre_y), (width, height), angle = cv2.minAreaRect(contour)
        if min(width, height) < _MIN_SIDE_PX:
            continue
        score = _mean_inside(probability, cv2.boxPoints(((centre_x, centre_y), (width, height), angle)))
        if score < _MIN_SCORE:
            continue
        # The network marks the core of a line; its outline lies this far outside (offset by area over length).
        margin = width * height * _UNCLIP_RATIO / (2 * (width + height))
        grown = cv2.boxPoints(((centre_x, centre_y), (width + 2 * margin, height + 2 * margin), angle))
        corners = tuple(Point(float(x) * scale_x, float(y) * scale_y) for x, y in _in_reading_order(grown))
        found.append(Detection(corners, score))
    return tuple(found)


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
    """Clockwise from the top left, for text that leans less than a quarter turn."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    (top_left, bottom_left), (top_right, bottom_right) = (
        side[np.argsort(side[:, 1])] for side in (left, right)
    )
    return np.array([top_left, top_right, bottom_right, bottom_left])


def _as_picture(array: Any) -> Picture:
    return np.asarray(array, dtype=np.uint8)
