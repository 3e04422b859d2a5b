"""Draws number plates of many countries, flat and clean: what stands on them and where is known to the pixel.

Layouts, colours and words follow the public descriptions of the plates (dimensions, scripts, bands); the drawing is
our own. Wording and layout are mixed on purpose: what is learned is to find the emirate's name, not to remember a picture.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import fonts
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

REGIONS = (
    "ae-az", "ae-du", "ae-sj", "ae-aj", "ae-uq", "ae-rk", "ae-fu", "sa", "qa", "kw", "bh", "om", "eu", "us", "br", "in", "other",
)  # fmt: skip
DIGITS, LETTERS = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BLACK, WHITE, RED, BLUE, YELLOW = (20, 20, 20), (245, 245, 245), (35, 25, 190), (150, 60, 10), (40, 200, 245)


@dataclass(frozen=True, slots=True)
class Row:
    """`text`: what is to be read, `|` between code and number, empty where nothing is. Shares of the plate's size."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(slots=True)
class Plate:
    """`image`: blue, green, red. `rows`: of text, top to bottom."""

    image: Picture
    region: str
    rows: list[Row] = field(default_factory=list)


class Canvas:
    """Millimetre-like units: the plate is 100 units high."""

    def __init__(self, rng: random.Random, width: float, paper: Colour, height_px: int = 128) -> None:
        self.rng, self.unit = rng, height_px / 100
        self.width = width
        self.image = np.full((height_px, round(width * self.unit), 3), paper, np.uint8)
        self.latin = fonts.pick(fonts.narrow() if rng.random() < 0.5 else fonts.latin(), rng)
        self.arab = fonts.pick(fonts.arabic(), rng)
        self.stroke = rng.choice((0, 0, 0, 0, 1, -1))
        self.squeeze = rng.uniform(0.75, 1.25)

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

    def width_of(self, text: str, h: float, gap: float, font: str | None = None) -> float:
        total = 0.0
        for c in text:
            if c in {" ", "-"}:
                total += h * 0.35
            else:
                m = fonts.glyph(font or self.latin, c)
                total += m.shape[1] / 96 * h * self.squeeze + gap
        return total

    def text(
        self, text: str, x: float, y: float, h: float, colour: Colour, *, max_w: float, gap: float | None = None,
        font: str | None = None, align: float = 0.5,
    ) -> tuple[float, float]:  # fmt: skip
        """Capitals and digits, squeezed to `max_w`; a blank or hyphen is a gap. Returns left and right of the ink."""
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
            m = fonts.glyph(font or self.latin, c)
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
    """`D` a digit, `L` a letter, anything else itself."""
    return "".join(rng.choice(DIGITS) if c == "D" else rng.choice(LETTERS) if c == "L" else c for c in shape)


def digits(rng: random.Random, low: int, high: int) -> str:
    n = rng.randint(low, high)
    return "".join(rng.choice(DIGITS) for _ in range(n))


EMIRATES = {
    "ae-az": (("أبوظبي",), ("A.D", "U.A.E A.D", "ABU DHABI", "AbuDhabi")),
    "ae-du": (("دبي",), ("DUBAI",)),
    "ae-sj": (("الشارقة", "الشارقه"), ("SHARJAH", "SHJ", "U.A.E SHJ")),
    "ae-aj": (("عجمان",), ("AJMAN",)),
    "ae-uq": (("أم القيوين", "ام القيوين"), ("U.A.Q", "UMM AL QUWAIN", "UAQ")),
    "ae-rk": (("رأس الخيمة", "راس الخيمة"), ("R.A.K", "RAS AL KHAIMAH", "RAK")),
    "ae-fu": (("الفجيرة", "الفجيره"), ("FUJAIRAH", "FUJ", "AL FUJAIRAH")),
}
_UAE_WORD = "الإمارات"


def uae(rng: random.Random) -> Plate:
    """An Emirates plate. A code of letters or digits, a number of one to five digits, the name in two scripts."""
    region = rng.choices(list(EMIRATES), (5, 5, 2.5, 2, 1.7, 2, 2.5))[0]
    if region == "ae-az":
        code = rng.choice([str(n) for n in (1, *range(4, 23), 50)])
    elif region == "ae-sj":
        code = rng.choice(("1", "2", "3", "4", "5", "3", "2"))
    elif region == "ae-du":
        code = rng.choice(LETTERS) if rng.random() < 0.85 else rng.choice(LETTERS) * 2
    else:
        code = rng.choice(LETTERS)
    if rng.random() < 0.12:
        code = rng.choice((rng.choice(LETTERS), digits(rng, 1, 2)))
    number = digits(rng, 4, 5) if rng.random() < 0.78 else digits(rng, 1, 3)
    paper = rng.choices((WHITE, (200, 225, 235), YELLOW, (225, 225, 225)), (8, 1, 0.7, 1.5))[0]
    ink = BLACK if rng.random() < 0.94 else (130, 40, 20)
    layouts: list[Callable[..., Plate]] = [
        _uae_row, _uae_column, _uae_name_below, _uae_code_below, _uae_band, _uae_emblem,
    ]  # fmt: skip
    weights = {"ae-az": (5, 0.5, 0.5, 0.7, 4, 1.5), "ae-du": (5, 3, 2.5, 0.8, 0.5, 0.1)}.get(
        region, (3, 1.5, 2, 4, 1, 0.3)
    )
    return rng.choices(layouts, weights)[0](rng, region, code, number, paper, ink)


def _name(
    rng: random.Random, canvas: Canvas, region: str, x: float, y: float, w: float, h: float, ink: Colour
) -> None:
    """The emirate's name in Arabic, Latin or both, stacked in the box."""
    arabic, latin = (rng.choice(names) for names in EMIRATES[region])
    style = rng.random()
    logo = (
        rng.choice(((190, 120, 20), (120, 30, 190), (60, 30, 200), ink, ink))
        if region in {"ae-du", "ae-az"}
        else ink
    )
    if style < 0.22 and region == "ae-du":
        _dubai_mark(rng, canvas, arabic, x, y + h * 0.15, w, h * rng.uniform(0.6, 0.75))
    elif style < 0.2 and region == "ae-az":  # the emirate's word mark: both scripts run into one
        canvas.small(latin, x, y + h * 0.18, w, h * 0.62, logo)
        if rng.random() < 0.5:
            canvas.small(
                arabic,
                x + w * 0.45,
                y + h * 0.2,
                w * 0.4,
                h * 0.5,
                rng.choice(((120, 30, 190), logo)),
                is_arabic=True,
            )
    elif style < 0.62:
        canvas.small(arabic, x, y + h * 0.02, w, h * 0.48, ink, is_arabic=True)
        canvas.small(latin, x, y + h * 0.62, w, h * 0.32, ink)
    elif style < 0.85:
        canvas.small(_UAE_WORD, x, y, w, h * 0.27, ink, is_arabic=True)
        canvas.small(arabic, x, y + h * 0.33, w, h * 0.3, ink, is_arabic=True)
        canvas.small(
            latin if "U" in latin else f"U.A.E {latin}" if len(latin) < 5 else latin,
            x,
            y + h * 0.74,
            w,
            h * 0.22,
            ink,
        )
    elif style < 0.93:
        canvas.small(latin, x, y + h * 0.3, w, h * 0.4, logo)
    else:
        canvas.small(arabic, x, y + h * 0.2, w, h * 0.6, ink, is_arabic=True)


def _dubai_mark(
    rng: random.Random, canvas: Canvas, arabic: str, x: float, y: float, w: float, h: float
) -> None:
    """Dubai's word mark: Latin letters in several colours, the Arabic name in the strokes of two of them."""
    inks = rng.choice((
        [(170, 90, 10), (170, 90, 10), (120, 30, 190), (190, 150, 30), (190, 150, 30)],
        [(150, 60, 20), (150, 60, 20), (60, 30, 200), (170, 110, 20), (170, 110, 20)],
        [BLACK] * 5,
    ))  # fmt: skip
    font = fonts.pick(fonts.latin(), rng)
    step = w / 5
    for i, c in enumerate("DUBAI"):
        canvas.stamp(fonts.glyph(font, c), x + i * step, y, step * (0.92 if c != "I" else 0.35), h, inks[i])
    if rng.random() < 0.7:
        ink = rng.choice((inks[2], inks[3]))
        canvas.small(arabic, x + step, y + h * 0.1, step * 2.6, h * 0.9, ink, is_arabic=True)


def _sticker(rng: random.Random, canvas: Canvas, x: float, y: float, h: float, ink: Colour) -> None:
    """Month and year of the registration: small digits that are not part of the number."""
    if rng.random() < 0.35:
        canvas.small(digits(rng, 1, 2), x, y, h, h, ink)
        if rng.random() < 0.7:
            canvas.small(digits(rng, 2, 4), x, y + 1.3 * h, h * 1.1, h, ink)


def _uae_row(rng: random.Random, region: str, code: str, number: str, paper: Colour, ink: Colour) -> Plate:
    canvas = Canvas(rng, rng.uniform(400, 490), paper)
    y, h = rng.uniform(17, 26), rng.uniform(50, 64)
    end = canvas.width - rng.uniform(10, 30)
    code_h = h * rng.choice((1, 1, 1, rng.uniform(0.5, 0.95)))
    code_w = rng.uniform(38, 60) + 24 * (len(code) - 1)
    code_x = rng.uniform(10, 34)
    code_ink = ink
    if (region == "ae-az" and rng.random() < 0.75) or rng.random() < 0.06:
        canvas.fill(4, 4, code_x + code_w + 4, 92, (*rng.choice((RED, (60, 50, 170), (40, 40, 150), BLUE)),))
        code_ink = WHITE
    left, _ = canvas.text(code, code_x, y + (h - code_h) * rng.uniform(0, 1), code_h, code_ink, max_w=code_w)
    name_x = code_x + code_w + rng.uniform(6, 18)
    name_w = rng.uniform(68, 115)
    _name(rng, canvas, region, name_x, y - 4, name_w, h + 8, ink)
    _sticker(rng, canvas, name_x + name_w + 2, y + 8, 13, ink)
    number_x = name_x + name_w + rng.uniform(4, 22)
    _, right = canvas.text(
        number, number_x, y, h, ink, max_w=max(end - number_x, 60), align=rng.choice((0.5, 1, 0.2))
    )
    if rng.random() < 0.7:
        canvas.frame(ink, rng.uniform(1, 3))
    return canvas.plate(region, [(f"{code}|{number}", left, y, right, y + h)])


def _uae_column(rng: random.Random, region: str, code: str, number: str, paper: Colour, ink: Colour) -> Plate:
    """The name over the code at the left, the number beside them."""
    canvas = Canvas(rng, rng.uniform(390, 480), paper)
    y, h = rng.uniform(16, 26), rng.uniform(46, 62)
    w, x = rng.uniform(55, 95), rng.uniform(10, 30)
    latin, arabic = rng.choice(EMIRATES[region][1]), rng.choice(EMIRATES[region][0])
    word_h = rng.uniform(15, 24)
    if rng.random() < 0.75:
        canvas.small(latin, x, y - 2, w, word_h, ink)
        if rng.random() < 0.3:
            canvas.small(arabic, x + w * 0.5, y - 2, w * 0.5, word_h, ink, is_arabic=True)
    else:
        canvas.small(arabic, x, y - 2, w, word_h, ink, is_arabic=True)
    code_h = rng.uniform(25, 34)
    code_y = max(y + h - code_h + rng.uniform(-2, 6), y + word_h + 3)
    canvas.text(code, x, code_y, code_h, ink, max_w=w, align=rng.uniform(0.1, 0.6))
    _sticker(rng, canvas, x + w + 6, y + 20, 13, ink)
    number_x = x + w + rng.uniform(20, 60)
    _, right = canvas.text(
        number, number_x, y, h, ink, max_w=canvas.width - 20 - number_x, align=rng.choice((0.5, 0.9, 0.3))
    )
    if rng.random() < 0.6:
        canvas.frame(ink, rng.uniform(1, 3))
    return canvas.plate(region, [(f"{code}|{number}", x, y - 2, right, max(y + h, code_y + code_h))])


def _uae_emblem(rng: random.Random, region: str, code: str, number: str, paper: Colour, ink: Colour) -> Plate:
    """A small code beside an emblem, the name under both, the number at the right."""
    canvas = Canvas(rng, rng.uniform(400, 490), paper)
    y, h = rng.uniform(16, 24), rng.uniform(48, 62)
    code_h, x = rng.uniform(24, 34), rng.uniform(12, 26)
    w = rng.uniform(80, 120)
    canvas.text(code, x, y + rng.uniform(-2, 8), code_h, ink, max_w=w * 0.34, align=0.3)
    emblem = rng.choice(((40, 30, 200), (60, 40, 170), (40, 80, 190), (120, 60, 20)))
    centre = (x + w * rng.uniform(0.6, 0.75), y + h * 0.3)
    canvas.ellipse(*centre, rng.uniform(13, 20), rng.uniform(11, 17), emblem)
    canvas.small(
        rng.choice(EMIRATES[region][0]), centre[0] - 11, centre[1] - 8, 22, 15, WHITE, is_arabic=True
    )
    latin = (
        rng.choice((*EMIRATES[region][1], "AbuDhabi"))
        if region == "ae-az"
        else rng.choice(EMIRATES[region][1])
    )
    canvas.small(latin, x, y + h * 0.68, w, h * 0.36, ink)
    if rng.random() < 0.6:
        canvas.small(rng.choice(("U.A.E", "UAE", _UAE_WORD)), x + w + 4, y + h * 0.4, 16, 7, ink)
        canvas.small(digits(rng, 1, 4), x + w + 4, y + h * 0.7, 16, 8, ink)
    number_x = x + w + rng.uniform(24, 50)
    _, right = canvas.text(
        number, number_x, y, h, ink, max_w=canvas.width - 20 - number_x, align=rng.choice((0.5, 0.9, 0.3))
    )
    if rng.random() < 0.7:
        canvas.frame(ink, rng.uniform(1, 3))
    return canvas.plate(region, [(f"{code}|{number}", x, y - 2, right, y + h + 2)])


def _uae_name_below(
    rng: random.Random, region: str, code: str, number: str, paper: Colour, ink: Colour
) -> Plate:
    """Two rows: code and number, and under them the name."""
    canvas = Canvas(rng, rng.uniform(130, 190), paper, 220)
    y, h = rng.uniform(10, 18), rng.uniform(36, 46)
    left, right = canvas.text(f"{code} {number}", 8, y, h, ink, max_w=canvas.width - 16)
    low, low_h = rng.uniform(62, 70), rng.uniform(16, 22)
    half = canvas.width / 2
    arabic, latin = (rng.choice(names) for names in EMIRATES[region])
    first = rng.random() < 0.7
    canvas.small(latin, 8 if first else half, low, half - 14, low_h, ink)
    canvas.small(arabic, half if first else 8, low - 2, half - 14, low_h + 6, ink, is_arabic=True)
    if rng.random() < 0.6:
        canvas.frame(ink, rng.uniform(0.8, 2))
    return canvas.plate(
        region,
        [(f"{code}|{number}", left, y, right, y + h), ("", 8, low - 2, canvas.width - 8, low + low_h + 4)],
    )


def _uae_code_below(
    rng: random.Random, region: str, code: str, number: str, paper: Colour, ink: Colour
) -> Plate:
    """Two rows: the number, and under it U.A.E, the code and the name."""
    canvas = Canvas(rng, rng.uniform(130, 200), paper, 220)
    y, h = rng.uniform(10, 16), rng.uniform(38, 48)
    left, right = canvas.text(number, 8, y, h, ink, max_w=canvas.width - 16)
    low, low_h = rng.uniform(64, 69), rng.uniform(18, 25)
    third = canvas.width / 3
    at_code = third * rng.uniform(0.95, 1.2)
    latin = rng.choice(EMIRATES[region][1])
    canvas.small(rng.choice(("U.A.E", "U.A.E", "UAE", latin)), 8, low + 1, at_code - 12, low_h - 3, ink)
    canvas.text(code, at_code, low - 1, low_h + 2, ink, max_w=third * 0.55)
    canvas.small(
        rng.choice(EMIRATES[region][0]),
        at_code + third * 0.62,
        low - 2,
        canvas.width - at_code - third * 0.62 - 8,
        low_h + 4,
        ink,
        is_arabic=True,
    )
    _sticker(rng, canvas, 10, y, 6, ink)
    if rng.random() < 0.6:
        canvas.frame(ink, rng.uniform(0.8, 2))
    return canvas.plate(
        region, [(number, left, y, right, y + h), (code, 8, low - 2, canvas.width - 8, low + low_h + 3)]
    )


def _uae_band(rng: random.Random, region: str, code: str, number: str, paper: Colour, ink: Colour) -> Plate:
    """Two rows: a coloured band with the names and the code, and under it the number."""
    canvas = Canvas(rng, rng.uniform(130, 190), paper, 220)
    band = rng.uniform(34, 42)
    has_band = rng.random() < 0.85
    if has_band:
        canvas.fill(
            2, 2, canvas.width - 4, band, rng.choice((RED, (60, 50, 170), (40, 40, 150), BLUE, (30, 110, 30)))
        )
    light = WHITE if has_band else ink
    third = canvas.width / 3
    arabic, latin = (rng.choice(names) for names in EMIRATES[region])
    ch = band * rng.uniform(0.5, 0.66)
    code_y = 2 + (band - ch) * rng.uniform(0.3, 0.7)
    canvas.text(code, third, code_y, ch, light, max_w=third)
    sides = [(arabic, latin), (_UAE_WORD, "U.A.E")]
    rng.shuffle(sides)
    for place, (upper, lower) in zip((6, 2 * third + 2), sides, strict=True):
        canvas.small(upper, place, 6, third - 10, band * 0.42, light, is_arabic=True)
        if len(lower) < 9:
            canvas.small(lower, place, 6 + band * 0.52, third - 10, band * 0.26, light)
    y = band + rng.uniform(9, 14)
    h = rng.uniform(38, 46)
    left, right = canvas.text(number, 10, y, h, ink, max_w=canvas.width - 20)
    _sticker(rng, canvas, canvas.width - 14, y, 6, ink)
    if rng.random() < 0.6:
        canvas.frame(ink, rng.uniform(0.8, 2))
    return canvas.plate(region, [(code, 6, 5, canvas.width - 6, band), (number, left, y, right, y + h)])


_ARABIC_DIGITS = "٠١٢٣٤٥٦٧٨٩"
_SAUDI = dict(zip("ABJDRSXTEGKLZNHUV", "ابحدرسصطعقكلمنهوى", strict=True))


def gcc(rng: random.Random) -> Plate:
    return rng.choice((_saudi, _saudi, _qatar, _kuwait, _bahrain, _oman))(rng)


def _saudi(rng: random.Random) -> Plate:
    """Arabic digits and letters over Latin ones; the strip with KSA stands right, or between in the long form."""
    number = digits(rng, 1, 4) if rng.random() < 0.25 else digits(rng, 4, 4)
    letters = "".join(rng.choice(list(_SAUDI)) for _ in range(3))
    is_long = rng.random() < 0.4
    paper = rng.choices((WHITE, (200, 220, 235), YELLOW, (210, 140, 60)), (8, 1, 1, 0.5))[0]
    canvas = Canvas(
        rng, rng.uniform(380, 460) if is_long else rng.uniform(165, 205), paper, 160 if is_long else 220
    )
    strip = rng.uniform(18, 30) if not is_long else rng.uniform(30, 55)
    body = canvas.width - strip - 6
    split = body * rng.uniform(0.48, 0.56)
    letters_x = split + (strip if is_long else 0)
    strip_x = split if is_long else body + 3
    y1, h1, y2, h2 = rng.uniform(8, 12), rng.uniform(30, 38), rng.uniform(54, 59), rng.uniform(28, 36)
    arabic_number = "".join(_ARABIC_DIGITS[int(c)] for c in number)
    arabic_letters = " ".join(_SAUDI[c] for c in reversed(letters))
    canvas.small(arabic_number, 8, y1, split - 14, h1, BLACK, is_arabic=True)
    canvas.small(arabic_letters, letters_x + 4, y1, body - split - 10, h1, BLACK, is_arabic=True)
    gap = h2 * rng.uniform(0.1, 0.5)
    left, _ = canvas.text(number, 8, y2, h2, BLACK, max_w=split - 14, gap=gap)
    _, right = canvas.text(letters, letters_x + 4, y2, h2, BLACK, max_w=body - split - 10, gap=gap)
    for i, c in enumerate("KSA"):
        canvas.small(c, strip_x + strip * 0.2, 44 + i * 16, strip * 0.6, 11, BLACK)
    canvas.small("السعودية", strip_x, 12, strip, 9, BLACK, is_arabic=True)
    if rng.random() < 0.9:
        canvas.fill(0, 49.3, strip_x if not is_long else canvas.width, 1.2, BLACK)
        canvas.fill(split, 2, 1.2, 96, BLACK)
        canvas.fill(strip_x, 2, 1.2, 96, BLACK)
    canvas.frame(BLACK, 1.5, 1)
    return canvas.plate(
        "sa", [("", 6, y1, right, y1 + h1), (f"{number}|{letters}", left, y2, right, y2 + h2)]
    )


def _side_name(rng: random.Random, region: str, arabic: str, latin: str, shown: str, label: str) -> Plate:
    paper = rng.choices((WHITE, YELLOW, (225, 225, 225)), (6, 2, 1))[0]
    canvas = Canvas(rng, rng.uniform(330, 470), paper)
    y, h, side = rng.uniform(18, 28), rng.uniform(48, 62), rng.uniform(50, 85)
    ink = BLACK
    if rng.random() < 0.4:
        canvas.fill(2, 2, side, 96, rng.choice(((40, 20, 110), RED, BLUE, (60, 40, 120))))
        ink = WHITE
    canvas.small(arabic, 6, 22, side - 10, 26, ink, is_arabic=True)
    canvas.small(latin, 6, 58, side - 10, 18, ink)
    left, right = canvas.text(shown, side + 10, y, h, BLACK, max_w=canvas.width - side - 22)
    if rng.random() < 0.6:
        canvas.frame(BLACK, 2)
    return canvas.plate(region, [(label, left, y, right, y + h)])


def _qatar(rng: random.Random) -> Plate:
    number = digits(rng, 3, 6)
    return _side_name(rng, "qa", "قطر", rng.choice(("QATAR", "Qatar")), number, number)


def _bahrain(rng: random.Random) -> Plate:
    number = digits(rng, 3, 6)
    return _side_name(rng, "bh", "البحرين", "BAHRAIN", number, number)


def _kuwait(rng: random.Random) -> Plate:
    code, number = digits(rng, 1, 2), digits(rng, 3, 5)
    return _side_name(rng, "kw", "الكويت", "KUWAIT", f"{code} {number}", f"{code}|{number}")


def _oman(rng: random.Random) -> Plate:
    code, number = (
        "".join(rng.choice("ABDHKLMRSTWY") for _ in range(rng.choice((1, 2, 2)))),
        digits(rng, 1, 5),
    )
    return _side_name(rng, "om", "عمان", "OMAN", f"{number} {code}", f"{number}|{code}")


_EU = (
    "L-LL DDDD", "LL-LL DDD", "LLL-L DDD", "LL-L DDDD", "LL-DDD-LL", "LL DDD LL", "DDDD LLL", "LL DDDDD", "LLL DDDD", "LLL DDDDD",
    "LL DDDLL", "LLDD LLL", "LD LLL", "L DDD LLL", "LL DD LLL", "L DD LLL", "DDD-L-DD", "D-LLL-DDD", "LLL-DDD", "LL-DD-DD",
    "LL-DDD-L", "DD-LL-LL", "DDLLDD", "L-DDD-LL", "DLD DDDD", "DLL DDDD", "LLL DDL", "LL DD DDD", "LLL DDDD", "DDD-LLL", "LL DDDD",
    "L DDDDL", "LL DDD L", "LL DDDDLL", "L DDDD LL", "LL DDDD L", "DDDDLLDD", "LLDDDDLL",
)  # fmt: skip


def europe(rng: random.Random) -> Plate:
    """A blue band at the left or none, white or yellow paper, groups with gaps, seals or coats of arms between them."""
    shown = some(rng, rng.choice(_EU)) if rng.random() < 0.75 else _anything(rng)
    is_double = rng.random() < 0.12
    paper = rng.choices(
        (WHITE, (60, 215, 250), (30, 190, 240), (225, 225, 225), (30, 30, 30)), (8, 1, 0.8, 1, 0.4)
    )[0]
    ink = WHITE if max(paper) < 60 else rng.choices((BLACK, (130, 40, 20), (30, 30, 150)), (9, 0.4, 0.6))[0]
    canvas = Canvas(
        rng, rng.uniform(125, 180) if is_double else rng.uniform(400, 490), paper, 220 if is_double else 128
    )
    x = 6.0
    if rng.random() < 0.8:
        band = rng.uniform(34, 46) * (0.5 if is_double else 1)
        canvas.fill(
            2,
            2,
            band,
            96 if not is_double else 50,
            rng.choice((BLUE, (160, 50, 0), (110, 50, 20), (170, 80, 30))),
        )
        cv2.circle(
            canvas.image,
            (round((2 + band / 2) * canvas.unit), round(24 * canvas.unit)),
            round(band * 0.3 * canvas.unit),
            (60, 210, 240),
            1,
        )
        letters = rng.choice(
            (
                "D",
                "F",
                "I",
                "E",
                "NL",
                "B",
                "PL",
                "A",
                "CZ",
                "SK",
                "H",
                "RO",
                "BG",
                "P",
                "IRL",
                "DK",
                "S",
                "LV",
                "LT",
                "EST",
                "SLO",
                "HR",
                "GB",
                "N",
                "FIN",
                "UA",
                "L",
            )
        )
        canvas.small(
            letters,
            4,
            (62 if not is_double else 36),
            band - 4,
            18 if not is_double else 9,
            rng.choice((WHITE, (60, 210, 240))),
        )
        x += band
    right_end = canvas.width - 6
    if not is_double and rng.random() < 0.15:
        canvas.fill(right_end - 30, 2, 34, 96, BLUE)
        canvas.small(some(rng, rng.choice(("DD", "LL", "DDL"))), right_end - 26, 62, 24, 18, WHITE)
        right_end -= 34
    if is_double:
        groups = (
            shown.replace("-", " ").split(" ", 1)
            if " " in shown.replace("-", " ")
            else [shown[:3], shown[3:]]
        )
        rows = []
        for i, (group, y) in enumerate(zip(groups, (8, 54), strict=False)):
            h = 36
            left, right = canvas.text(
                group, (x if i == 0 else 8), y, h, ink, max_w=canvas.width - (x if i == 0 else 8) - 8
            )
            rows.append((_plain(group), left, float(y), right, float(y + h)))
        if rng.random() < 0.8:
            canvas.frame(ink, 1.5, 1)
        return canvas.plate("eu", rows)
    y, h = rng.uniform(14, 22), rng.uniform(58, 70)
    left, right = canvas.text(shown, x + 4, y, h, ink, max_w=right_end - x - 10)
    if rng.random() < 0.5:  # a seal in a gap
        cx = rng.uniform(left + 0.2 * (right - left), left + 0.5 * (right - left))
        if canvas.image[round(45 * canvas.unit), round(cx * canvas.unit)].min() > 180:
            gap_h = rng.uniform(6, 10)
            for dy in (34, 62):
                patch = canvas.image[
                    :, max(round((cx - gap_h) * canvas.unit), 0) : round((cx + gap_h) * canvas.unit)
                ]
                if patch.size and patch.min() > 120:
                    cv2.circle(
                        canvas.image,
                        (round(cx * canvas.unit), round(dy * canvas.unit)),
                        round(gap_h * canvas.unit),
                        (rng.randrange(60, 200), rng.randrange(60, 200), rng.randrange(60, 200)),
                        -1,
                    )
    if rng.random() < 0.75:
        canvas.frame(ink, rng.uniform(1, 3))
    return canvas.plate("eu", [(_plain(shown), left, y, right, y + h)])


_US = (
    "LLL DDDD", "LLLDDDD", "DLLL DDD", "DLLLDDD", "LLL-DDDD", "LLL DDD", "DDD LLL", "LL DDDDD", "LLDDDDD", "DDDDDD", "DDD DDD", "LDDDDDD",
    "LDD DDL", "DLD DDDD", "DLL DDD", "DDLLDD", "LLD DLL", "DDDLLL", "DLLDDD", "L DDDDD", "LLL LDD", "LDDLLL", "DDL DDD", "LLLDLD",
    "DDDD LL", "LL DDLL", "CDLDDD", "DD DDDLD",
)  # fmt: skip
_STATES = [
    "ALABAMA",
    "ALASKA",
    "ARIZONA",
    "ARKANSAS",
    "CALIFORNIA",
    "COLORADO",
    "CONNECTICUT",
    "DELAWARE",
    "FLORIDA",
    "GEORGIA",
    "HAWAII",
    "IDAHO",
    "ILLINOIS",
    "INDIANA",
    "IOWA",
    "KANSAS",
    "KENTUCKY",
    "LOUISIANA",
    "MAINE",
    "MARYLAND",
    "MASSACHUSETTS",
    "MICHIGAN",
    "MINNESOTA",
    "MISSISSIPPI",
    "MISSOURI",
    "MONTANA",
    "NEBRASKA",
    "NEVADA",
    "OHIO",
    "OKLAHOMA",
    "OREGON",
    "PENNSYLVANIA",
    "TENNESSEE",
    "TEXAS",
    "UTAH",
    "VERMONT",
    "VIRGINIA",
    "WASHINGTON",
    "WISCONSIN",
    "WYOMING",
]
_SLOGANS = (
    "Sunshine State",
    "Great Lakes",
    "Show-Me State",
    "Land of Lincoln",
    "The Lone Star State",
    "Garden State",
    "First in Flight",
    "Live Free or Die",
    "dmv.ca.gov",
    "www.state.us",
    "Famous Potatoes",
    "Native America",
    "IN GOD WE TRUST",
    "COUNTY",
    "Peach State",
)


def states(rng: random.Random) -> Plate:
    """Twice as wide as high; the state's name above, a motto below, pictures behind and between the characters."""
    shown = some(rng, rng.choice(_US)) if rng.random() < 0.75 else _anything(rng)
    ink = rng.choices((BLACK, (120, 40, 20), (30, 30, 160), (40, 90, 20), (90, 20, 60)), (4, 3, 2, 1, 0.5))[0]
    top, low = _pale(rng), _pale(rng)
    if rng.random() < 0.12:
        top = low = tuple(int(v * 0.35) for v in top)
        ink = rng.choice((WHITE, YELLOW, (90, 220, 240)))
    if rng.random() < 0.5:  # most are nearly white, or white that runs into a pale blue
        top = tuple(rng.randrange(225, 256) for _ in range(3))
        low = (
            top
            if rng.random() < 0.5
            else (rng.randrange(200, 256), rng.randrange(170, 230), rng.randrange(150, 220))
        )
        ink = rng.choice((BLACK, BLACK, (110, 50, 20), (90, 60, 40)))
    canvas = Canvas(rng, rng.uniform(188, 212), WHITE, 200)
    if rng.random() < 0.75:  # tall, narrow dies
        canvas.latin, canvas.squeeze = fonts.pick(fonts.narrow(), rng), rng.uniform(0.68, 1.05)
    ramp = np.linspace(0, 1, canvas.image.shape[0])[:, None, None] ** rng.uniform(0.5, 2)
    canvas.image[:] = ((1 - ramp) * np.array(top) + ramp * np.array(low)).astype(np.uint8)
    if rng.random() < 0.5:
        _scenery(rng, canvas)
    y, h = rng.uniform(27, 35), rng.uniform(36, 46)
    name_ink = rng.choice((ink, (30, 30, 170), (150, 60, 10), WHITE, (60, 60, 60)))
    if rng.random() < 0.35:
        canvas.fill(
            0, 0, canvas.width, rng.uniform(16, 24), rng.choice((BLUE, RED, (90, 40, 20), (60, 130, 60)))
        )
        name_ink = WHITE
    if rng.random() < 0.9:
        name_h = rng.uniform(10, 17)
        canvas.small(
            rng.choice(_STATES), canvas.width * 0.2, rng.uniform(5, 9), canvas.width * 0.6, name_h, name_ink
        )
    if rng.random() < 0.75:
        canvas.small(
            rng.choice(_SLOGANS),
            canvas.width * 0.2,
            rng.uniform(82, 88),
            canvas.width * 0.6,
            rng.uniform(6, 10),
            name_ink,
        )
    for x in (6.0, canvas.width - 34):
        if rng.random() < 0.4:  # month and year stickers in the corners
            up = rng.random() < 0.5
            canvas.fill(
                x,
                4 if up else 84,
                rng.uniform(18, 28),
                12,
                rng.choice((YELLOW, RED, (60, 160, 40), WHITE, (200, 120, 30))),
            )
            canvas.small(
                rng.choice(("JAN", "MAR", "JUN", "SEP", "DEC", "12", "09", "2012", "14")),
                x + 3,
                6 if up else 86,
                16,
                8,
                rng.choice((BLACK, WHITE)),
            )
    max_w = canvas.width - 14
    if rng.random() < 0.42 and len(_plain(shown)) >= 5:  # a picture in the middle of the characters
        k = rng.randint(2, len(_plain(shown)) - 2)
        text = _plain(shown)
        hole = rng.uniform(10, 26)
        w1 = max_w * k / len(text) - hole / 2
        left, _ = canvas.text(text[:k], 7, y, h, ink, max_w=w1, align=1)
        _, right = canvas.text(text[k:], 7 + w1 + hole, y, h, ink, max_w=max_w - w1 - hole, align=0)
        centre = (round((7 + w1 + hole / 2) * canvas.unit), round((y + h / 2) * canvas.unit))
        colour = (rng.randrange(40, 220), rng.randrange(40, 220), rng.randrange(40, 220))
        if (kind := rng.random()) < 0.3:  # a sticker with the year
            box = (7 + w1 + hole * 0.2, y + h * 0.2, hole * 0.6, h * 0.45)
            canvas.fill(*box, colour)
            canvas.small(digits(rng, 2, 2), *box, BLACK)
        elif kind < 0.6:
            cv2.circle(canvas.image, centre, round(hole * 0.33 * canvas.unit), colour, -1)
        else:
            angle = rng.uniform(0, 360)
            points = cv2.boxPoints(
                (centre, (hole * 0.5 * canvas.unit, hole * rng.uniform(0.3, 0.7) * canvas.unit), angle)
            )
            cv2.fillPoly(canvas.image, [points.astype(np.int32)], colour)
    else:
        left, right = canvas.text(shown, 7, y, h, ink, max_w=max_w)
    if rng.random() < 0.5:
        canvas.frame(ink, rng.uniform(0.8, 2), 1)
    return canvas.plate("us", [(_plain(shown), left, y, right, y + h)])


def _scenery(rng: random.Random, canvas: Canvas) -> None:
    h, w = canvas.image.shape[:2]
    for _ in range(rng.randint(1, 4)):
        layer = canvas.image.copy()
        colour = _pale(rng)
        points = np.array(
            [(rng.randrange(-20, w + 20), rng.randrange(-20, h + 20)) for _ in range(rng.randint(3, 6))],
            np.int32,
        )
        cv2.fillPoly(layer, [points], colour)
        canvas.image[:] = cv2.addWeighted(canvas.image, 0.5, layer, 0.5, 0)


def brazil(rng: random.Random) -> Plate:
    is_old = rng.random() < 0.6
    text = some(rng, "LLLDDDD") if is_old else some(rng, "LLLDLDD")
    is_double = rng.random() < 0.2
    paper = (
        rng.choice(((190, 190, 190), (170, 170, 170), (205, 205, 205), WHITE, (40, 40, 170)))
        if is_old
        else WHITE
    )
    ink = WHITE if paper == (40, 40, 170) else rng.choices((BLACK, (40, 40, 170)), (8, 1))[0]
    canvas = Canvas(
        rng, rng.uniform(105, 135) if is_double else rng.uniform(285, 325), paper, 220 if is_double else 140
    )
    cap = rng.uniform(17, 26)
    if is_old:
        state, town = (
            rng.choice(("SP", "RJ", "MG", "BA", "PR", "RS", "SC", "CE")),
            rng.choice(("SAO PAULO", "SALVADOR", "CURITIBA", "RIO DE JANEIRO", "SANTOS", "BELO HORIZONTE")),
        )
        canvas.fill(canvas.width * 0.1, 5, canvas.width * 0.8, cap - 4, tuple(int(v * 0.92) for v in paper))
        canvas.small(f"{state}-{town}", canvas.width * 0.15, 7, canvas.width * 0.7, cap - 8, ink)
    else:
        canvas.fill(0, 0, canvas.width, cap, BLUE)
        canvas.small("BRASIL", canvas.width * 0.3, 5, canvas.width * 0.4, cap - 9, WHITE)
        if not is_double and rng.random() < 0.6:
            canvas.small("BR", 8, 82, 18, 9, BLACK)
    if is_double:
        rows = []
        for part, y in ((text[:3], cap + 6), (text[3:], cap + 42)):
            left, right = canvas.text(part, 6, y, 31, ink, max_w=canvas.width - 12)
            rows.append((part, left, y, right, y + 31))
        return canvas.plate("br", rows)
    y, h = cap + rng.uniform(6, 12), rng.uniform(48, 58)
    shown = f"{text[:3]}{rng.choice(('-', ' ', '-'))}{text[3:]}" if is_old else text
    left, right = canvas.text(shown, 8, y, h, ink, max_w=canvas.width - 16)
    if rng.random() < 0.6:
        canvas.frame(ink, 1.5, 1)
    return canvas.plate("br", [(text, left, y, right, y + h)])


def india(rng: random.Random) -> Plate:
    state = rng.choice(("MH", "DL", "KA", "TN", "UP", "GJ", "HR", "WB", "KL", "RJ", "AP", "TS", "PB", "MP"))
    series = some(rng, rng.choice(("L", "LL", "LL", "LLL", "")))
    head, tail = f"{state}{digits(rng, 1, 2) if rng.random() < 0.2 else digits(rng, 2, 2)}", digits(rng, 4, 4)
    paper = rng.choices((WHITE, YELLOW, (90, 170, 60)), (6, 2, 0.5))[0]
    if rng.random() < 0.4:
        canvas = Canvas(rng, rng.uniform(150, 210), paper, 220)
        rows = []
        for part, y in (
            (f"{head}{series}" if rng.random() < 0.6 else head, 12.0),
            (tail, 56.0),
        ):
            left, right = canvas.text(part, 10, y, 32, BLACK, max_w=canvas.width - 20)
            rows.append((part, left, y, right, y + 32))
        canvas.frame(BLACK, 1.5)
        return canvas.plate("in", rows)
    canvas = Canvas(rng, rng.uniform(380, 480), paper)
    x = 8.0
    if rng.random() < 0.6:
        canvas.small("IND", 6, 66, 26, 14, BLUE)
        x = 36
    y, h = rng.uniform(18, 26), rng.uniform(46, 60)
    left, right = canvas.text(
        f"{head} {series} {tail}".replace("  ", " "), x, y, h, BLACK, max_w=canvas.width - x - 10
    )
    canvas.frame(BLACK, 2)
    return canvas.plate("in", [(f"{head}{series}{tail}", left, y, right, y + h)])


def other(rng: random.Random) -> Plate:
    """No country's: any characters, any colours, so that a reader does not lean on the formats it knows."""
    paper = _pale(rng) if rng.random() < 0.7 else tuple(int(v * 0.4) for v in _pale(rng))
    ink = BLACK if sum(paper) > 300 else WHITE
    canvas = Canvas(rng, rng.uniform(220, 490), paper, 128)
    shown = _anything(rng)
    y, h = rng.uniform(14, 30), rng.uniform(44, 64)
    left, right = canvas.text(shown, 10, y, h, ink, max_w=canvas.width - 20)
    if rng.random() < 0.3:
        canvas.small(
            rng.choice(("TAXI", "EXPORT", "TRANSIT", "POLICE", "www.plates.com")),
            canvas.width * 0.3,
            y + h + 6,
            canvas.width * 0.4,
            10,
            ink,
        )
    if rng.random() < 0.6:
        canvas.frame(ink, 2)
    return canvas.plate("other", [(_plain(shown), left, y, right, y + h)])


def _anything(rng: random.Random) -> str:
    n = rng.randint(4, 8)
    letters_share = rng.choice((0.3, 0.5, 0.5, 0.72))
    text = "".join(
        rng.choice(LETTERS) if rng.random() < letters_share else rng.choice(DIGITS) for _ in range(n)
    )
    if rng.random() < 0.5:
        k = rng.randint(2, n - 2)
        text = f"{text[:k]}{rng.choice(' -')}{text[k:]}"
    return text


def _plain(shown: str) -> str:
    return "".join(c for c in shown if c.isalnum())


def _pale(rng: random.Random) -> tuple[int, int, int]:
    return (rng.randrange(150, 256), rng.randrange(150, 256), rng.randrange(150, 256))


_SHARES: tuple[tuple[Callable[[random.Random], Plate], float], ...] = (
    (uae, 0.30), (gcc, 0.09), (europe, 0.21), (states, 0.22), (brazil, 0.07), (india, 0.04), (other, 0.07),
)  # fmt: skip


def draw(rng: random.Random) -> Plate:
    """Any plate, bolted, and in a dealer's frame now and then: the frame's words are no part of the plate."""
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
