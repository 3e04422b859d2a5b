"""Plates of the United Arab Emirates."""

import random
from collections.abc import Callable

import fonts
from canvas import BLACK, BLUE, LETTERS, RED, WHITE, YELLOW, Canvas, Colour, Plate, digits

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
    """The emirate's name in Arabic, Latin or both, one above the other in the box."""
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
