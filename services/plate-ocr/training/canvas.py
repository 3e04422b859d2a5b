"""What all plates are drawn with: the canvas, colours, and random texts of a format."""

import random
from dataclasses import dataclass, field

import cv2
import fonts
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
DIGITS, LETTERS = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BLACK, WHITE, RED, BLUE, YELLOW = (20, 20, 20), (245, 245, 245), (35, 25, 190), (150, 60, 10), (40, 200, 245)


@dataclass(frozen=True, slots=True)
class Row:
    """`text`: the label, `|` between code and number, empty for a row without one. Positions as shares of the plate's size."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(slots=True)
class Plate:
    """`image`: BGR. `rows`: of text, top to bottom."""

    image: Picture
    region: str
    rows: list[Row] = field(default_factory=list)


class Canvas:
    """Coordinates in units of which the plate is 100 high."""

    def __init__(self, rng: random.Random, width: float, paper: Colour, height_px: int = 128) -> None:
        self.rng, self.unit = rng, height_px / 100
        self.width = width
        self.image = np.full((height_px, round(width * self.unit), 3), paper, np.uint8)
        self.latin = fonts.pick(fonts.narrow() if rng.random() < 0.5 else fonts.latin(), rng)
        self.arab = fonts.pick(fonts.arabic(), rng)
        self.stroke = rng.choice((0, 0, 0, 0, 1, -1))
        self.squeeze = rng.uniform(0.75, 1.25)
        self.is_w_upright = rng.random() < 0.4

    def fill(self, x: float, y: float, w: float, h: float, colour: Colour) -> None:
        a, b, c, d = (round(v * self.unit) for v in (x, y, x + w, y + h))
        self.image[max(b, 0) : d, max(a, 0) : c] = colour

    def frame(self, colour: Colour, thick: float, inset: float = 2.0) -> None:
        h, w = self.image.shape[:2]
        i, t = round(inset * self.unit), max(round(thick * self.unit), 1)
        cv2.rectangle(self.image, (i, i), (w - 1 - i, h - 1 - i), colour, t)

    def ellipse(self, x: float, y: float, a: float, b: float, colour: Colour) -> None:
        at, axes = ((round(v * self.unit), round(u * self.unit)) for v, u in ((x, y), (a, b)))
        cv2.ellipse(self.image, at, axes, 0, 0, 360, colour, -1)

    def stamp(self, mask: NDArray[np.uint8], x: float, y: float, w: float, h: float, colour: Colour) -> None:
        x0, y0 = round(x * self.unit), round(y * self.unit)
        w_px, h_px = max(round(w * self.unit), 1), max(round(h * self.unit), 1)
        m = cv2.resize(mask, (w_px, h_px), interpolation=cv2.INTER_AREA)
        x1, y1 = min(x0 + w_px, self.image.shape[1]), min(y0 + h_px, self.image.shape[0])
        if x0 < 0 or y0 < 0 or x1 <= x0 or y1 <= y0:
            x0c, y0c = max(x0, 0), max(y0, 0)
            m = m[y0c - y0 :, x0c - x0 :]
            x0, y0 = x0c, y0c
            if x1 <= x0 or y1 <= y0:
                return
        m = m[: y1 - y0, : x1 - x0, None].astype(np.float32) / 255
        part = self.image[y0:y1, x0:x1].astype(np.float32)
        self.image[y0:y1, x0:x1] = (part * (1 - m) + np.array(colour, np.float32) * m).astype(np.uint8)

    def _glyph(self, font: str, character: str) -> NDArray[np.uint8]:
        """A W like an M upside down, with vertical sides: common on plates, in no typeface."""
        if character == "W" and self.is_w_upright:
            return fonts.glyph(font, "M")[::-1]
        return fonts.glyph(font, character)

    def width_of(self, text: str, h: float, gap: float, font: str | None = None) -> float:
        total = 0.0
        for c in text:
            if c in {" ", "-"}:
                total += h * 0.35
            else:
                m = self._glyph(font or self.latin, c)
                total += m.shape[1] / 96 * h * self.squeeze + gap
        return total

    def text(
        self, text: str, x: float, y: float, h: float, colour: Colour, *, max_w: float, gap: float | None = None,
        font: str | None = None, align: float = 0.5,
    ) -> tuple[float, float]:  # fmt: skip
        """Capitals and digits, narrowed to `max_w`; a space or hyphen is a gap. Returns left and right edge of the ink."""
        gap = h * self.rng.uniform(0.06, 0.22) if gap is None else gap
        wide = max(self.width_of(text, h, gap, font) - gap, 0.1)
        shrink = min(1.0, max_w / wide)
        at = x + (max_w - wide * shrink) * align
        left = at
        for c in text:
            if c in " -":
                if c == "-" and self.rng.random() < 0.8:
                    self.fill(at + h * 0.05 * shrink, y + h * 0.46, h * 0.2 * shrink, h * 0.09, colour)
                at += h * 0.35 * shrink
                continue
            m = self._glyph(font or self.latin, c)
            w = m.shape[1] / 96 * h * self.squeeze * shrink
            if self.stroke > 0:
                m = cv2.dilate(np.pad(m, 3), np.ones((7, 7), np.uint8))[3:-3, 3:-3]
            elif self.stroke < 0:
                m = cv2.erode(m, np.ones((5, 5), np.uint8))
            self.stamp(m, at, y, w, h, colour)
            at += w + gap * shrink
        return left, at - gap * shrink

    def small(
        self, text: str, x: float, y: float, w: float, h: float, colour: Colour, *, is_arabic: bool = False
    ) -> None:
        """A word fitted into a box, keeping its proportions."""
        mask = fonts.word(self.arab if is_arabic else self.latin, text)
        shown = min(mask.shape[1] / 64 * h, w)
        self.stamp(mask, x + (w - shown) / 2, y, shown, h, colour)

    def plate(self, region: str, rows: list[tuple[str, float, float, float, float]]) -> Plate:
        made = [Row(t, a / self.width, b / 100, c / self.width, d / 100) for t, a, b, c, d in rows]
        return Plate(self.image, region, made)


def some(rng: random.Random, shape: str) -> str:
    """`D` is a digit, `L` a letter, anything else itself."""
    return "".join(rng.choice(DIGITS) if c == "D" else rng.choice(LETTERS) if c == "L" else c for c in shape)


def digits(rng: random.Random, low: int, high: int) -> str:
    n = rng.randint(low, high)
    return "".join(rng.choice(DIGITS) for _ in range(n))


def anything(rng: random.Random) -> str:
    """Four to eight letters and digits in no format, sometimes with a gap between them."""
    n = rng.randint(4, 8)
    letters_share = rng.choice((0.3, 0.5, 0.5, 0.72))
    text = "".join(
        rng.choice(LETTERS) if rng.random() < letters_share else rng.choice(DIGITS) for _ in range(n)
    )
    if rng.random() < 0.5:
        k = rng.randint(2, n - 2)
        text = f"{text[:k]}{rng.choice(' -')}{text[k:]}"
    return text


def plain(shown: str) -> str:
    """Without gaps and hyphens."""
    return "".join(c for c in shown if c.isalnum())


def pale(rng: random.Random) -> tuple[int, int, int]:
    return (rng.randrange(150, 256), rng.randrange(150, 256), rng.randrange(150, 256))
