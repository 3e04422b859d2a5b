"""Draws number plates of many countries, flat and clean, with their text and its position known to the pixel.

Layouts, colours and words follow the public descriptions of the plates (dimensions, scripts, bands); the drawing is
our own. Wording and layout are mixed on purpose: what is learned is to find the emirate's name, not to remember a picture.
"""

import random
from collections.abc import Callable

import cv2
import numpy as np
from canvas import BLACK, WHITE, Canvas, Picture, Plate, Row
from emirates import uae
from europe import europe
from gulf import gcc
from states import states
from world import brazil, india, other

__all__ = ["REGIONS", "Picture", "Plate", "Row", "draw", "framed"]

REGIONS = (
    "ae-az", "ae-du", "ae-sj", "ae-aj", "ae-uq", "ae-rk", "ae-fu", "sa", "qa", "kw", "bh", "om", "eu", "us", "br", "in", "other",
)  # fmt: skip

_SHARES: tuple[tuple[Callable[[random.Random], Plate], float], ...] = (
    (uae, 0.30), (gcc, 0.09), (europe, 0.21), (states, 0.22), (brazil, 0.07), (india, 0.04), (other, 0.07),
)  # fmt: skip


def draw(rng: random.Random) -> Plate:
    """Any plate, with bolts, and sometimes in a dealer's frame, whose words are not part of the plate."""
    plate = rng.choices([f for f, _ in _SHARES], [s for _, s in _SHARES])[0](rng)
    h, w = plate.image.shape[:2]
    for _ in range(rng.choice((0, 0, 2, 2, 4))):
        at = (
            rng.choice((round(w * 0.15), round(w * 0.85), round(w * 0.05), round(w * 0.95))),
            rng.choice((round(h * 0.12), round(h * 0.9))),
        )
        shade = rng.randrange(60, 220)
        cv2.circle(plate.image, at, max(round(h * rng.uniform(0.02, 0.05)), 2), (shade, shade, shade), -1)
    return plate


def framed(plate: Plate, rng: random.Random) -> tuple[Picture, tuple[int, int]]:
    """The plate's picture with a dealer's frame around it, and where the plate starts in it (x, y) in pixels."""
    h, w = plate.image.shape[:2]
    if rng.random() < 0.5:
        return plate.image, (0, 0)
    side, top, low = (round(h * rng.uniform(*r)) for r in ((0.02, 0.09), (0.02, 0.12), (0.04, 0.24)))
    colour = rng.choice(
        ((25, 25, 25), (40, 40, 40), (190, 190, 190), (90, 90, 90), (110, 40, 20), (30, 30, 120))
    )
    image = np.full((h + top + low, w + 2 * side, 3), colour, np.uint8)
    image[top : top + h, side : side + w] = plate.image
    if low > h * 0.1 and rng.random() < 0.8:
        canvas = Canvas(rng, 1, (0, 0, 0))
        canvas.image, canvas.unit = image, 1.0
        ink = WHITE if sum(colour) < 300 else BLACK
        text = rng.choice(
            (
                "Al Nabooda Automobiles L.L.C.",
                "EXOTIC CARS www.exoticcarsdubai.com",
                "AGMC Exclusively BMW",
                "Autohaus Schmidt",
                "TOYOTA OF DALLAS",
                "Al-Futtaim motors",
                "DRIVE NOW 800 4242",
                "Honda World",
                "AUTO GRUPPE",
                "CARMAX",
            )
        )
        canvas.small(text, side + w * 0.1, top + h + low * 0.2, w * 0.8, low * 0.6, ink)
    return image, (side, top)
