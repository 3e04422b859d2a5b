"""Street scenes: photographs with real plates, and drawn plates pasted over them and beside them."""

import random
from dataclasses import dataclass
from pathlib import Path

import cv2
import degrade
import flats
import fonts
import numpy as np
from plates import Picture

Quad = np.ndarray
"""(4, 2) px, clockwise from the top left."""


@dataclass(slots=True)
class Photograph:
    """`boxes`: (N, 4) x, y, width, height of the plates, pixels. `rows`: the lines of text found inside each."""

    file: Path
    boxes: np.ndarray
    rows: list[list[Quad]]


def photographs(folder: Path) -> list[Photograph]:
    found = []
    for file in sorted(folder.rglob("*.jpg")):
        height, width = cv2.imread(str(file)).shape[:2]
        boxes = []
        for line in file.with_suffix(".txt").read_text().splitlines():
            _, cx, cy, w, h = map(float, line.split()[:5])
            boxes.append(((cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height))
        found.append(Photograph(file, np.array(boxes, np.float32).reshape(-1, 4), [[] for _ in boxes]))
    return found


def scene(
    photo: Photograph, pool: list[flats.Flat], rng: random.Random, size: int
) -> tuple[Picture, list[Quad]]:
    """A `size` x `size` part of the photograph at a random scale, and the rows of plate text in it."""
    image = cv2.imread(str(photo.file))
    height, width = image.shape[:2]
    boxes = photo.boxes
    if len(boxes) and rng.random() < 0.9:
        x, y, w, h = boxes[rng.randrange(len(boxes))]
        wanted = float(np.exp(rng.uniform(np.log(24), np.log(310))))
        scale = wanted / max(w, 4)
        cx, cy = x + w / 2, y + h / 2
    else:
        scale = size / min(height, width) * float(np.exp(rng.uniform(0, 1.2)))
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
    scale = max(min(scale, 3.0), size / max(height, width) * 0.7)
    ox, oy = cx * scale - rng.uniform(0.12, 0.88) * size, cy * scale - rng.uniform(0.12, 0.88) * size
    matrix = np.array([[scale, 0, -ox], [0, scale, -oy]], np.float32)
    cut = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_AREA,
        borderMode=rng.choice((cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)), borderValue=(127, 127, 127),
    ) if scale >= 0.6 else _reduced(image, matrix, scale, size)  # fmt: skip
    quads: list[Quad] = []
    if rng.random() < 0.3:
        cut = _words(cut, rng)
    for (x, y, w, h), rows in zip(boxes, photo.rows, strict=True):
        box = np.array([x * scale - ox, y * scale - oy, w * scale, h * scale])
        if box[0] > size or box[1] > size or box[0] + box[2] < 0 or box[1] + box[3] < 0:
            continue
        if rng.random() < 0.72:
            quads += _pasted(cut, box, pool[rng.randrange(len(pool))], rng)
        else:
            quads += [row * scale - (ox, oy) for row in rows]
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        w = float(np.exp(rng.uniform(np.log(30), np.log(200))))
        box = np.array([rng.uniform(0, size - w * 0.6), rng.uniform(0, size - w * 0.3), w, w * 0.3])
        centre = box[:2] + box[2:] / 2
        if all(np.abs(q.mean(0) - centre).max() > w for q in quads):
            quads += _pasted(cut, box, pool[rng.randrange(len(pool))], rng)
    return _photographed(cut, rng), quads


def _reduced(image: Picture, matrix: np.ndarray, scale: float, size: int) -> Picture:
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    shift = np.array([[1, 0, matrix[0, 2]], [0, 1, matrix[1, 2]]], np.float32)
    return cv2.warpAffine(
        small, shift, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=(127, 127, 127)
    )


def _pasted(cut: Picture, box: np.ndarray, flat: flats.Flat, rng: random.Random) -> list[Quad]:
    """Pastes the drawn plate over the box, at the brightness of the place; returns where its rows are."""
    image = flat.image()
    x, y, w, h = flat.inner
    full = np.array(
        [[0, 0], [image.shape[1], 0], [image.shape[1], image.shape[0]], [0, image.shape[0]]], np.float32
    )
    ratio = w / h
    cover = max(box[2] * 1.06 / image.shape[1], box[3] * (1.1 if ratio > 3 else 1.0) / image.shape[0])
    if ratio < 2.6:
        cover = min(cover, box[2] * 1.06 / image.shape[1] * 1.3)
    centre = box[:2] + box[2:] / 2
    target = (full - full[2] / 2) * cover
    lean, turn = rng.gauss(0, 0.07), rng.gauss(0, 0.12)
    target[:, 0] *= max(0.5, 1 - abs(rng.gauss(0, 0.15)))
    target[:, 1] += target[:, 0] * turn
    target[:, 0] += target[:, 1] * lean
    far = 1 + rng.gauss(0, 0.06)
    target[[0, 3], 1] *= far
    target = (target + centre).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(full, target)
    size = (cut.shape[1], cut.shape[0])
    mask = cv2.warpPerspective(np.full(image.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_AREA)
    if not mask.any():
        return []
    small = cover < 0.5
    if small:
        image = cv2.GaussianBlur(image, (0, 0), 0.35 / cover)
    drawn = cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR).astype(np.float32)
    place = cut[mask > 127]
    if place.size == 0:
        return []
    level = np.percentile(place, 85) / 255 if rng.random() < 0.7 else rng.uniform(0.25, 1)
    level = float(np.clip(level * rng.uniform(0.8, 1.25), 0.15, 1.1))
    floor = float(np.percentile(place, 5)) * rng.uniform(0, 0.8)
    tint = place.mean(0) / max(place.mean(), 1)
    tint = 1 + (tint - 1) * rng.uniform(0, 0.8)
    drawn = floor + drawn / 255 * (level * 255 - floor * 0.5) * tint
    soft = cv2.GaussianBlur(mask, (0, 0), 0.6)[..., None].astype(np.float32) / 255
    cut[:] = np.clip(cut * (1 - soft) + drawn * soft, 0, 255).astype(np.uint8)
    quads = []
    for row in flat.rows:
        if row.text:
            corners = np.array(
                [[row.left, row.top], [row.right, row.top], [row.right, row.bottom], [row.left, row.bottom]]
            ) * (w, h) + (x, y)
            quads.append(cv2.perspectiveTransform(corners[None].astype(np.float32), matrix)[0])
    return quads


def _words(cut: Picture, rng: random.Random) -> Picture:
    """Writing that is not a plate: shop signs, captions, time stamps, badges, a printed page."""
    size = cut.shape[0]
    kind = rng.random()
    lines = rng.randint(5, 14) if kind < 0.15 else rng.randint(1, 3)
    h = rng.uniform(8, 16) if kind < 0.15 else rng.uniform(8, 36)
    x, y = rng.uniform(-10, size * 0.6), rng.uniform(0, size * 0.85) if kind >= 0.15 else rng.uniform(0, 40)
    ink = tuple(rng.randrange(256) for _ in range(3))
    font = fonts.pick(fonts.latin(), rng)
    if rng.random() < 0.5:
        back = tuple(rng.randrange(256) for _ in range(3))
        cv2.rectangle(cut, (int(x) - 5, int(y) - 4), (int(x + h * 8), int(y + h * 1.4 * lines)), back, -1)
    for i in range(lines):
        text = " ".join(_a_word(rng) for _ in range(rng.randint(1, 3 if kind >= 0.15 else 6)))
        mask = fonts.word(font, text)
        w = int(mask.shape[1] / 64 * h)
        m = cv2.resize(mask, (max(w, 1), max(int(h), 1)), interpolation=cv2.INTER_AREA)
        x0, y0 = int(x), int(y + i * h * 1.4)
        x1, y1 = min(x0 + m.shape[1], size), min(y0 + m.shape[0], size)
        xs, ys = max(x0, 0), max(y0, 0)
        if x1 <= xs or y1 <= ys:
            continue
        part = m[ys - y0 : y1 - y0, xs - x0 : x1 - x0, None].astype(np.float32) / 255
        cut[ys:y1, xs:x1] = (cut[ys:y1, xs:x1] * (1 - part) + np.array(ink, np.float32) * part).astype(
            np.uint8
        )
    return cut


def _a_word(rng: random.Random) -> str:
    return rng.choice((
        "HONDA", "Toyota", "TDI", "4x4", "QUATTRO", "AUTO", "TAXI", "POLICE", "www.shop.com", "800-4242", "2012-06-19", "12:45:07", "Camera 01",
        "ENTRANCE", "STOP", "EXIT", "HOTEL", "Restaurant", "PENSKE", "Truck Rental", "Sale", "Open", "GARAGE", "the", "and", "parking", "ticket",
        "machine", "please", "pay", "2016/01/02", "CAM 3", "FIRE LANE", "CAMRY", "Tel", "04 339", "Main St", "BANK", "DRIVE", "HYBRID", "V6", "320d",
    ))  # fmt: skip


def _photographed(cut: Picture, rng: random.Random) -> Picture:
    if rng.random() < 0.7:
        cut = degrade.lit(cut, rng)
    if rng.random() < 0.4:
        cut = degrade.blurred(cut, rng, 1.1)
    if rng.random() < 0.35:
        cut = degrade.noisy(cut, rng)
    if rng.random() < 0.4:
        cut = degrade.jpeg(cut, rng)
    return cut
