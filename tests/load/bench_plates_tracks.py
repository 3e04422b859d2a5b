"""The gain of combining several looks at a plate by vote over single looks.

The looks are labelled photographs with the degradations that `DEGRADATIONS` lists, the same in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from bench_plates_photographs import Photograph, open_picture, photographs, with_progress
from figures import Figure
from plate_ocr.domain.engines import PlateEngine
from plate_ocr.domain.values import Box, Picture
from plate_ocr.domain.vote import Look, vote

SETS = ("eu", "br")
FRAMES = 7
SEED = 20_260_314
_WIDTHS, _ASPECT = 3.0, 0.6
_SHIFT = 0.4
_HEIGHT_PX = (14.0, 26.0)
_BLUR_PX = (1.0, 5.0)
_GAIN, _OFFSET = (0.55, 1.25), (-15.0, 15.0)
_NOISE = (3.0, 12.0)
_QUALITY = (30, 70)

_SOURCES = " and ".join(SETS)
DEGRADATIONS = f"""\
tracks: {FRAMES} frames of each {_SOURCES} photograph, in each of them at random (seed {SEED}):
  cut {_WIDTHS:.0f} plate widths wide around the label, shifted by up to {_SHIFT} plate widths
  shrunk until the plate is {_HEIGHT_PX[0]:.0f} to {_HEIGHT_PX[1]:.0f} px high
  brightness times {_GAIN[0]} to {_GAIN[1]}, and {_OFFSET[0]:+.0f} to {_OFFSET[1]:+.0f} levels
  motion blur of {_BLUR_PX[0]:.0f} to {_BLUR_PX[1]:.0f} px in any direction
  Gaussian noise of {_NOISE[0]:.0f} to {_NOISE[1]:.0f} levels
  JPEG quality {_QUALITY[0]} to {_QUALITY[1]}
""".splitlines()


@dataclass(frozen=True)
class Counted:
    frames: int
    right_frames: int
    tracks: int
    right_tracks: int


def tracks(engine: PlateEngine, fold: Callable[[str], str], most: int | None = None) -> list[Figure]:
    """`most`: the number of photographs to use; None for all."""
    chosen = [one for name in SETS for one in photographs(name)][:most]
    counted = count(engine, chosen, fold)
    per_frame = 100 * counted.right_frames / counted.frames
    per_track = 100 * counted.right_tracks / counted.tracks
    return [
        Figure("degraded, per-frame exact", per_frame, "%"),
        Figure("degraded, per-track exact", per_track, "%"),
        Figure("per-track above per-frame", per_track - per_frame, "points", goal="≥ 5"),
    ]


def count(engine: PlateEngine, chosen: list[Photograph], fold: Callable[[str], str]) -> Counted:
    right_frames = right_tracks = 0
    for index, photograph in enumerate(with_progress(chosen, "degraded tracks")):
        looks = []
        for number, frame in enumerate(degraded(photograph, index)):
            (reading,) = engine.read([frame])
            if reading.plates:
                looks.append(Look(f"{number}", reading.plates[0]))
        expected = fold(photograph.text)
        right_frames += sum(fold(look.text) == expected for look in looks)
        right_tracks += bool(looks) and fold(vote(looks).reading.text) == expected
    return Counted(FRAMES * len(chosen), right_frames, len(chosen), right_tracks)


def degraded(photograph: Photograph, index: int) -> Iterator[Picture]:
    """The frames of one track. `index`: part of the random seed."""
    random = np.random.default_rng((SEED, index))
    picture = open_picture(photograph.file)
    for _ in range(FRAMES):
        yield _degraded(picture, photograph.box, random)


def _degraded(picture: Picture, box: Box, random: np.random.Generator) -> Picture:
    height_px, width_px = picture.shape[:2]
    across, down = random.uniform(-_SHIFT, _SHIFT, 2) * box.width * (1, _ASPECT)
    centre_x, centre_y = box.centre.x + across, box.centre.y + down
    half_width, half_height = box.width * _WIDTHS / 2, box.width * _WIDTHS * _ASPECT / 2
    left, right = (round(min(max(x, 0), width_px)) for x in (centre_x - half_width, centre_x + half_width))
    top, bottom = (round(min(max(y, 0), height_px)) for y in (centre_y - half_height, centre_y + half_height))
    scale = min(random.uniform(*_HEIGHT_PX) / box.height, 1.0)
    size = (max(round((right - left) * scale), 1), max(round((bottom - top) * scale), 1))
    small = cv2.resize(picture[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    lit = small * random.uniform(*_GAIN) + random.uniform(*_OFFSET)
    blurred = cv2.filter2D(
        lit,
        -1,
        _smear(random.uniform(*_BLUR_PX), random.uniform(0, np.pi)),
        borderType=cv2.BORDER_REPLICATE,
    )
    noisy = blurred + random.normal(0, random.uniform(*_NOISE), blurred.shape)
    quality = int(random.integers(_QUALITY[0], _QUALITY[1] + 1))
    _, data = cv2.imencode(
        ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def _smear(length_px: float, angle: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """A line of that length, drawn eight times finer and scaled down, so that lengths between pixels differ."""
    fine, side = 8, 9
    kernel = np.zeros((side * fine, side * fine), np.float32)
    middle, reach = side * fine / 2, length_px * fine / 2
    ends = [
        (round(middle + sign * reach * np.cos(angle)), round(middle + sign * reach * np.sin(angle)))
        for sign in (-1, 1)
    ]
    cv2.line(kernel, ends[0], ends[1], 1.0, fine)
    small = cv2.resize(kernel, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small / small.sum(), dtype=np.float32)
