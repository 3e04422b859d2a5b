"""Plates of Brazil and India, and of no country."""

import random

from canvas import BLACK, BLUE, WHITE, YELLOW, Canvas, Plate, anything, digits, pale, plain, some


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
    """Of no country: any characters, any colours, so that the recognizer does not depend on known formats."""
    paper = pale(rng) if rng.random() < 0.7 else tuple(int(v * 0.4) for v in pale(rng))
    ink = BLACK if sum(paper) > 300 else WHITE
    canvas = Canvas(rng, rng.uniform(220, 490), paper, 128)
    shown = anything(rng)
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
    return canvas.plate("other", [(plain(shown), left, y, right, y + h)])
