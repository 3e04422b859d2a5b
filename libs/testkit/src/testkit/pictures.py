"""Valid and invalid pictures, and the parking push that carries one.

Small and synthetic. They show no cars.
"""

import base64
import struct
from functools import cache
from typing import Any

import cv2
import numpy as np


def solid(width_px: int = 64, height_px: int = 48, colour_bgr: tuple[int, int, int] = (90, 90, 90)) -> bytes:
    """A small JPEG of one colour."""
    return _encode(np.full((height_px, width_px, 3), colour_bgr, dtype=np.uint8))


@cache
def noise(size_bytes: int = 200_000, seed: int = 0) -> bytes:
    """A decodable JPEG of exactly `size_bytes`: noise, padded with comment segments.

    Raises:
        ValueError: below 2,000 bytes.
    """
    if size_bytes < 2000:
        raise ValueError(f"size_bytes is {size_bytes}, the smallest possible is 2,000")
    # At quality 90, noise takes 2 to 3 bytes a pixel, with 1 % variation: encode fewer pixels, pad the rest.
    side = max(8, int((size_bytes / 3.2) ** 0.5))
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    quality = 90
    encoded = _encode(pixels, quality)
    while len(encoded) > size_bytes and quality > 5:
        quality -= 5
        encoded = _encode(pixels, quality)
    return pad(encoded, size_bytes)


def pad(jpeg: bytes, size_bytes: int) -> bytes:
    """`jpeg` padded to exactly `size_bytes` with comment segments after its first marker.

    Raises:
        ValueError: `jpeg` is larger than that, or less than a segment header (4 bytes) smaller.
    """
    missing = size_bytes - len(jpeg)
    if missing == 0:
        return jpeg
    if missing < 4:
        raise ValueError(f"a JPEG of {len(jpeg)} bytes cannot be padded to {size_bytes}")
    segments = []
    while missing > 0:
        # A segment has 4 bytes of header and at most 65,533 of text; the remainder must again hold a header.
        length = min(missing, 65_537)
        if 0 < missing - length < 4:
            length -= 4
        segments.append(b"\xff\xfe" + struct.pack(">H", length - 2) + b" " * (length - 4))
        missing -= length
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def truncated(jpeg: bytes | None = None, keep: float = 0.5) -> bytes:
    """The first part of a JPEG."""
    whole = jpeg if jpeg is not None else noise(20_000)
    return whole[: int(len(whole) * keep)]


def bomb(side_px: int = 50_000) -> bytes:
    """A decompression bomb: a few hundred bytes whose header declares `side_px` squared (50,000 px: 7.5 GB decoded).

    The frame header of a real small picture is rewritten, so that everything but the size is valid.
    """
    jpeg = bytearray(solid())
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", side_px, side_px)
    return bytes(jpeg)


def error_page() -> bytes:
    """The HTML page that a camera answers when it has no picture."""
    return b"<html><body>503 Service Unavailable</body></html>"


def parking_push(*, picture: bytes | None = None, **overrides: Any) -> dict[str, Any]:
    """A valid body of `POST /post`: a car came to spot 1 of camera 95 at location NAD.

    `picture` becomes the base64 snapshot. An override replaces a field; None leaves the field out.
    """
    push: dict[str, Any] = {
        "event": "parking",
        "device": "NAD-P1-C95",
        "report_type": "occupancy",
        "time": "2026-03-14 12:30:00",
        "resolution_w": 1280,
        "resolution_y": 720,
        "parking_area": "NAD95",
        "index_number": 1,
        "occupancy": 1,
        "duration": 600,
        "coordinate_x1": 340,
        "coordinate_y1": 140,
        "coordinate_x2": 940,
        "coordinate_y2": 140,
        "coordinate_x3": 1010,
        "coordinate_y3": 680,
        "coordinate_x4": 270,
        "coordinate_y4": 680,
        "vehicle_frame_x1": 390,
        "vehicle_frame_y1": 170,
        "vehicle_frame_x2": 890,
        "vehicle_frame_y2": 640,
        "snapshot": base64.b64encode(picture if picture is not None else solid()).decode(),
    }
    push |= overrides
    return {field: value for field, value in push.items() if value is not None}


def _encode(pixels_bgr: np.ndarray[Any, np.dtype[np.uint8]], quality: int = 90) -> bytes:
    is_encoded, encoded = cv2.imencode(".jpg", pixels_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert is_encoded
    return encoded.tobytes()
