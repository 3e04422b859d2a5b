"""Augmentation: what a camera, weather and a bad angle do to a picture. Used by the trainings and the track benchmark."""

import random

import cv2
import numpy as np
from plates import Picture


def row_crop(image: Picture, quad: np.ndarray, rng: random.Random, *, row_px: int = 48) -> Picture:
    """The row inside `quad` ((4, 2) px, clockwise from the top left), cut out with the margins that a detector leaves."""
    top, right, down = quad[0], quad[1], quad[3]
    across, along = down - top, right - top
    height, width = float(np.linalg.norm(across)), float(np.linalg.norm(along))
    unit = along / max(width, 1e-3) * height
    up, low = rng.uniform(-0.03, 0.38), rng.uniform(-0.03, 0.38)
    skipped, right_out = rng.uniform(-0.03, 0.45), rng.uniform(-0.03, 0.45)
    corners = np.array(
        [quad[0] - across * up - unit * skipped, quad[1] - across * up + unit * right_out,
         quad[2] + across * low + unit * right_out, quad[3] + across * low - unit * skipped], np.float32,
    )  # fmt: skip
    wobble = height * 0.06 * (1 if rng.random() < 0.8 else 2)
    corners += np.array([[rng.uniform(-wobble, wobble) for _ in range(2)] for _ in range(4)], np.float32)
    if rng.random() < 0.25:  # a lean that the detector did not straighten
        lean = rng.uniform(-0.14, 0.14) * width
        corners[:2, 1] -= lean / 2 * np.array([1, -1])
        corners[2:, 1] -= lean / 2 * np.array([-1, 1])
    h = height * (1 + up + low)
    w = width + height * (skipped + right_out)
    columns = max(round(w * row_px / max(h, 1.0) * rng.uniform(0.85, 1.18)), 16)
    target = np.array([[0, 0], [columns, 0], [columns, row_px], [0, row_px]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    border = tuple(int(v) for v in image[rng.randrange(image.shape[0]), rng.randrange(image.shape[1])])
    mode = cv2.BORDER_CONSTANT if rng.random() < 0.5 else cv2.BORDER_REPLICATE
    return cv2.warpPerspective(
        image, matrix, (columns, row_px), flags=cv2.INTER_AREA, borderMode=mode, borderValue=border
    )


def shrunk(crop: Picture, rng: random.Random, low_px: float, high_px: float) -> Picture:
    """The row scaled down to that many pixels in height and enlarged again."""
    height, width = crop.shape[:2]
    px = rng.uniform(low_px, high_px)
    if px >= height:
        return crop
    small = cv2.resize(
        crop, (max(round(width * px / height), 4), max(round(px), 4)), interpolation=cv2.INTER_AREA
    )
    small = noisy(small, rng)
    if rng.random() < 0.5:
        small = jpeg(small, rng)
    return cv2.resize(
        small, (width, height), interpolation=rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_CUBIC))
    )


def blurred(crop: Picture, rng: random.Random, most: float) -> Picture:
    if rng.random() < 0.5:
        return cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.3, most))
    length = max(int(rng.uniform(2, most * 4)), 2)
    kernel = np.zeros((length, length), np.float32)
    angle = rng.choice((0.0, 0.0, rng.uniform(0, 180)))
    c = (length - 1) / 2
    d = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]) * c
    cv2.line(kernel, tuple(np.round(c - d).astype(int)), tuple(np.round(c + d).astype(int)), 1.0)
    return cv2.filter2D(crop, -1, kernel / max(kernel.sum(), 1), borderType=cv2.BORDER_REPLICATE)


def lit(crop: Picture, rng: random.Random) -> Picture:
    """Dusk, glare, shadow, infrared, a tinted lens."""
    x = crop.astype(np.float32) / 255
    if rng.random() < 0.25:
        x = np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.4:
        x *= np.array([rng.uniform(0.6, 1.3) for _ in range(3)], np.float32)
    x = np.clip(x, 0, 1) ** rng.uniform(0.5, 2.0)
    low = rng.uniform(0, 0.35)
    x = low + x * rng.uniform(0.18, 1.05 - low)
    h, w = x.shape[:2]
    if rng.random() < 0.35:  # a shadow's edge or a slope of light
        ramp = np.clip(
            (
                np.linspace(-1, 1, w)[None, :] * rng.uniform(-1, 1)
                + np.linspace(-1, 1, h)[:, None] * rng.uniform(-1, 1)
                + rng.uniform(-0.5, 0.5)
            )
            * rng.choice((0.5, 8)),
            0,
            1,
        )
        x *= 1 - rng.uniform(0.1, 0.6) * ramp[..., None]
    if rng.random() < 0.08:
        cx, cy, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.2, 0.8) * h
        yy, xx = np.mgrid[:h, :w]
        x += (rng.uniform(0.2, 0.7) * np.exp(-((xx - cx) ** 2 + (yy - cy) ** 2) / (2 * r * r)))[..., None]
    if rng.random() < 0.04:
        x = 1 - x
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def dirty(crop: Picture, rng: random.Random) -> Picture:
    h, w = crop.shape[:2]
    layer = crop.copy()
    for _ in range(rng.randint(1, 5)):
        shade = rng.randrange(20, 200)
        cv2.ellipse(
            layer,
            (rng.randrange(w), rng.randrange(h)),
            (rng.randint(1, max(h // 6, 2)), rng.randint(1, max(h // 8, 2))),
            rng.uniform(0, 180),
            0,
            360,
            (shade, shade, shade),
            -1,
        )
    share = rng.uniform(0.3, 0.9)
    return cv2.addWeighted(crop, 1 - share, layer, share, 0)


def noisy(crop: Picture, rng: random.Random) -> Picture:
    sigma = rng.uniform(0, 12) if rng.random() < 0.8 else rng.uniform(12, 28)
    grain = np.random.default_rng(rng.getrandbits(32)).normal(0, sigma, (*crop.shape[:2], rng.choice((1, 3))))
    return np.clip(crop + grain, 0, 255).astype(np.uint8)


def jpeg(crop: Picture, rng: random.Random) -> Picture:
    _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, rng.randint(25, 90)])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def spoiled(crop: Picture, rng: random.Random) -> Picture:
    """One row crop, 48 px high, with all degradations."""
    if rng.random() < 0.2:
        crop = dirty(crop, rng)
    if rng.random() < 0.65:
        crop = lit(crop, rng)
    if rng.random() < 0.5:
        crop = blurred(crop, rng, 1.6)
    if rng.random() < 0.65:
        crop = shrunk(crop, rng, 13, 46)
    if rng.random() < 0.4:
        crop = noisy(crop, rng)
    if rng.random() < 0.3:
        crop = jpeg(crop, rng)
    return crop
