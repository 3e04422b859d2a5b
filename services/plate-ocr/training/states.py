"""Plates of the United States."""

import random

import cv2
import fonts
import numpy as np
from canvas import BLACK, BLUE, RED, WHITE, YELLOW, Canvas, Plate, anything, digits, pale, plain, some

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
    shown = some(rng, rng.choice(_US)) if rng.random() < 0.75 else anything(rng)
    ink = rng.choices((BLACK, (120, 40, 20), (30, 30, 160), (40, 90, 20), (90, 20, 60)), (4, 3, 2, 1, 0.5))[0]
    top, low = pale(rng), pale(rng)
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
    if rng.random() < 0.42 and len(plain(shown)) >= 5:  # a picture in the middle of the characters
        k = rng.randint(2, len(plain(shown)) - 2)
        text = plain(shown)
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
    return canvas.plate("us", [(plain(shown), left, y, right, y + h)])


def _scenery(rng: random.Random, canvas: Canvas) -> None:
    h, w = canvas.image.shape[:2]
    for _ in range(rng.randint(1, 4)):
        layer = canvas.image.copy()
        colour = pale(rng)
        points = np.array(
            [(rng.randrange(-20, w + 20), rng.randrange(-20, h + 20)) for _ in range(rng.randint(3, 6))],
            np.int32,
        )
        cv2.fillPoly(layer, [points], colour)
        canvas.image[:] = cv2.addWeighted(canvas.image, 0.5, layer, 0.5, 0)
