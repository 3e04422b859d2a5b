"""Plates of the other states of the Gulf: Saudi Arabia, Qatar, Kuwait, Bahrain, Oman."""

import random

from canvas import BLACK, BLUE, RED, WHITE, YELLOW, Canvas, Plate, digits

_ARABIC_DIGITS = "٠١٢٣٤٥٦٧٨٩"
_SAUDI = dict(zip("ABJDRSXTEGKLZNHUV", "ابحدرسصطعقكلمنهوى", strict=True))


def gcc(rng: random.Random) -> Plate:
    return rng.choice((_saudi, _saudi, _qatar, _kuwait, _bahrain, _oman))(rng)


def _saudi(rng: random.Random) -> Plate:
    """Arabic digits and letters over Latin ones; the strip with KSA is on the right, or between them in the long form."""
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
