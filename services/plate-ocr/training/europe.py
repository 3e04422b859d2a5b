"""Plates of Europe."""

import random

import cv2
from canvas import BLACK, BLUE, WHITE, Canvas, Plate, anything, plain, some

_EU = (
    "L-LL DDDD", "LL-LL DDD", "LLL-L DDD", "LL-L DDDD", "LL-DDD-LL", "LL DDD LL", "DDDD LLL", "LL DDDDD", "LLL DDDD", "LLL DDDDD",
    "LL DDDLL", "LLDD LLL", "LD LLL", "L DDD LLL", "LL DD LLL", "L DD LLL", "DDD-L-DD", "D-LLL-DDD", "LLL-DDD", "LL-DD-DD",
    "LL-DDD-L", "DD-LL-LL", "DDLLDD", "L-DDD-LL", "DLD DDDD", "DLL DDDD", "LLL DDL", "LL DD DDD", "LLL DDDD", "DDD-LLL", "LL DDDD",
    "L DDDDL", "LL DDD L", "LL DDDDLL", "L DDDD LL", "LL DDDD L", "DDDDLLDD", "LLDDDDLL",
)  # fmt: skip


def _seals(rng: random.Random, canvas: Canvas, x: float, y: float, h: float, hole: float) -> None:
    """Round stickers of the registration and the inspection, one over the other: filled, or rings like an 8."""
    radius = min(hole * rng.uniform(0.3, 0.46), h * 0.2)
    for share in rng.choice(((0.27, 0.73), (0.27, 0.73), (0.3, 0.66), (0.5,))):
        colour = rng.choice(((60, 40, 190), (70, 130, 30), (170, 80, 20), (40, 120, 220), (90, 90, 90)))
        canvas.ellipse(x, y + h * share, radius, radius, colour)
        if rng.random() < 0.6:
            inner = radius * rng.uniform(0.35, 0.7)
            canvas.ellipse(x, y + h * share, inner, inner, WHITE)


def europe(rng: random.Random) -> Plate:
    """A blue band at the left or none, white or yellow background, groups with gaps, seals or coats of arms between them."""
    shown = some(rng, rng.choice(_EU)) if rng.random() < 0.75 else anything(rng)
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
            rows.append((plain(group), left, float(y), right, float(y + h)))
        if rng.random() < 0.8:
            canvas.frame(ink, 1.5, 1)
        return canvas.plate("eu", rows)
    y, h = rng.uniform(14, 22), rng.uniform(58, 70)
    room = right_end - x - 10
    gap = next((i for i, c in enumerate(shown) if c in " -"), 0)
    if gap and rng.random() < 0.4:  # seals in the first gap
        head, tail, hole = shown[:gap], shown[gap + 1 :], h * rng.uniform(0.28, 0.5)
        head_w = (room - hole) * len(head) / (len(head) + len(tail))
        left, end = canvas.text(head, x + 4, y, h, ink, max_w=head_w, align=1)
        start = x + 4 + head_w + hole
        _, right = canvas.text(tail, start, y, h, ink, max_w=room - head_w - hole, align=0)
        _seals(rng, canvas, (end + start) / 2, y, h, hole)
    else:
        left, right = canvas.text(shown, x + 4, y, h, ink, max_w=room)
    if rng.random() < 0.75:
        canvas.frame(ink, rng.uniform(1, 3))
    return canvas.plate("eu", [(plain(shown), left, y, right, y + h)])
