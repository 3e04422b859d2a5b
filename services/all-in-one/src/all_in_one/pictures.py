"""Draws what a camera that watches parking spots would show: asphalt, lines, cars from behind, legible plates.

Everything is drawn, so that the demo needs no photographs of people's cars.
Plates follow the layouts of their regions in shape and text; emblems and Arabic script are left out, as
Pillow's built-in font has no such characters.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Region = Literal["ae-du", "ae-az", "de", "us-ca", "br"]
Point = tuple[int, int]
Colour = tuple[int, int, int]

SIZE_PX = (1280, 720)
JPEG_QUALITY = 90

# Everything is drawn this many times larger and scaled down, which smooths the edges.
_SCALE = 2

# A spot as fractions of the picture's height; ratio of its far width to its near width.
_SPOT_TOP, _SPOT_BOTTOM = 0.24, 0.96
_SPOT_TAPER = 0.93
# A car as fractions of its spot.
_CAR_WIDTH, _CAR_TOP, _CAR_BOTTOM = 0.84, 0.16, 0.9
_PLATE_WIDTH = 0.56  # wider than in reality (0.3), because up to three spots share a picture

_SHAPES: dict[Region, float] = {"ae-du": 4.3, "ae-az": 4.3, "de": 4.3, "us-ca": 2.6, "br": 3.1}
"""Width to height. The Californian plate's is 2 in reality, which would not fit between the lights."""

_PAINTS: tuple[Colour, ...] = ((178, 182, 188), (60, 72, 96), (120, 32, 36), (236, 236, 232), (52, 84, 70))

_WHITE: Colour = (246, 246, 242)
_BLACK: Colour = (22, 22, 24)
_BLUE: Colour = (24, 60, 150)
_RED: Colour = (190, 24, 30)


@dataclass(frozen=True)
class ParkedCar:
    """A car in a spot. `plate`: its text, with a space between its parts; None draws no plate.

    A dirty plate cannot be read. `blur_px`: the radius of a Gaussian blur.
    """

    plate: str | None
    region: Region = "ae-du"
    is_dirty: bool = False
    blur_px: float = 0
    paint: int = 0


def draw_car(
    plate: str | None,
    *,
    region: Region = "ae-du",
    size_px: tuple[int, int] = SIZE_PX,
    is_dirty: bool = False,
    blur_px: float = 0,
    paint: int = 0,
    caption: str = "",
) -> bytes:
    """A JPEG of one spot with one car in it."""
    car = ParkedCar(plate, region, is_dirty, blur_px, paint)
    return draw_scene({1: car}, spot_count=1, size_px=size_px, caption=caption)


def draw_scene(
    cars: Mapping[int, ParkedCar],
    *,
    spot_count: int = 3,
    size_px: tuple[int, int] = SIZE_PX,
    is_one_passing: bool = False,
    caption: str = "",
    seed: int = 0,
) -> bytes:
    """A JPEG of `spot_count` spots side by side, from the left, with `cars` by spot number from 1.

    `is_one_passing` puts a car in the lane behind the spots, seen from the side. `caption` is the text that
    cameras write into a corner of their pictures.

    Raises:
        ValueError: a car is in a spot that does not exist, or its plate's text has not the format of its region.
    """
    if wrong := [spot for spot in cars if not 1 <= spot <= spot_count]:
        raise ValueError(f"cars in spots {wrong}, but there are only {spot_count} spots")
    large = (size_px[0] * _SCALE, size_px[1] * _SCALE)
    picture = _ground(large, seed).copy()
    draw = ImageDraw.Draw(picture)
    for spot in range(1, spot_count + 1):
        _draw_spot(draw, spot_polygon(spot, spot_count, large))
    if is_one_passing:
        _draw_from_the_side(draw, large)
    for spot, car in sorted(cars.items()):
        _draw_from_behind(picture, vehicle_box(spot, spot_count, large), car)
    if caption:
        height = large[1] // 28
        draw.text((height, height // 2), caption, font=_font(height), fill=_WHITE)
    return _jpeg(picture.resize(size_px, Image.Resampling.LANCZOS))


def spot_polygon(spot: int, spot_count: int = 1, size_px: tuple[int, int] = SIZE_PX) -> tuple[Point, ...]:
    """The corners p1…p4 of a spot in pixels: far left, far right, near right, near left."""
    width, height = size_px
    near = _spot_edges(spot, spot_count, width)
    middle = width / 2
    far = [middle + (x - middle) * _SPOT_TAPER for x in near]
    top, bottom = round(height * _SPOT_TOP), round(height * _SPOT_BOTTOM)
    return (
        (round(far[0]), top),
        (round(far[1]), top),
        (round(near[1]), bottom),
        (round(near[0]), bottom),
    )


def vehicle_box(
    spot: int, spot_count: int = 1, size_px: tuple[int, int] = SIZE_PX
) -> tuple[int, int, int, int]:
    """The box of a car in that spot: x1, y1, x2, y2 in pixels."""
    width, height = size_px
    left, right = _spot_edges(spot, spot_count, width)
    spot_height = height * (_SPOT_BOTTOM - _SPOT_TOP)
    top, bottom = height * _SPOT_TOP + spot_height * _CAR_TOP, height * _SPOT_TOP + spot_height * _CAR_BOTTOM
    # Limited by its height: a single spot is wider than a car.
    car_width = min((right - left) * _CAR_WIDTH, (bottom - top) * 1.15)
    middle = width / 2 + ((left + right) / 2 - width / 2) * (1 + _SPOT_TAPER) / 2
    return (round(middle - car_width / 2), round(top), round(middle + car_width / 2), round(bottom))


def passing_vehicle_box(size_px: tuple[int, int] = SIZE_PX) -> tuple[int, int, int, int]:
    """The box of a car in the lane behind the spots: x1, y1, x2, y2 in pixels."""
    width, height = size_px
    return (round(width * 0.36), round(height * 0.03), round(width * 0.64), round(height * 0.2))


def _spot_edges(spot: int, spot_count: int, width: float) -> tuple[float, float]:
    # A single spot keeps a spot's proportions; several fill the picture.
    usable = width * (0.56 if spot_count == 1 else 0.96)
    start = (width - usable) / 2
    each = usable / spot_count
    return (start + each * (spot - 1), start + each * spot)


@lru_cache(maxsize=4)
def _ground(size: tuple[int, int], seed: int) -> Image.Image:
    """Asphalt: grey, lighter towards the far end, with grain."""
    width, height = size
    grain = np.random.default_rng(seed).normal(0, 9, (height // _SCALE, width // _SCALE))
    shade = np.linspace(122, 84, height // _SCALE)[:, None]
    grey = np.clip(grain + shade, 0, 255).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(grey)] * 3).resize(size, Image.Resampling.BILINEAR)


def _draw_spot(draw: ImageDraw.ImageDraw, corners: tuple[Point, ...]) -> None:
    far_left, far_right, near_right, near_left = corners
    line = max(4, (near_right[0] - near_left[0]) // 60)
    for start, end in ((far_left, near_left), (far_right, near_right), (far_left, far_right)):
        draw.line([start, end], fill=(214, 214, 206), width=line)


def _draw_from_the_side(draw: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    left, top, right, bottom = passing_vehicle_box(size)
    body = right - left
    roof = [(left + body * part, top) for part in (0.3, 0.68)]
    sill = [
        (left + body * 0.85, top + (bottom - top) * 0.45),
        (left + body * 0.16, top + (bottom - top) * 0.45),
    ]
    draw.polygon([*roof, *sill], fill=(40, 46, 54))
    draw.rounded_rectangle(
        (left, top + (bottom - top) * 0.42, right, bottom - (bottom - top) * 0.1),
        radius=body * 0.05,
        fill=(92, 104, 128),
    )
    for part in (0.2, 0.8):
        middle, radius = left + body * part, (bottom - top) * 0.2
        draw.ellipse((middle - radius, bottom - 2 * radius, middle + radius, bottom), fill=(24, 24, 26))


def _draw_from_behind(picture: Image.Image, box: tuple[int, int, int, int], car: ParkedCar) -> None:
    left, top, right, bottom = box
    patch = Image.new("RGBA", (right - left, bottom - top))
    _draw_body(ImageDraw.Draw(patch), patch.size, _PAINTS[car.paint % len(_PAINTS)])
    if car.plate is not None:
        plate = _plate(car.plate, car.region, round(patch.width * _PLATE_WIDTH))
        if car.is_dirty:
            plate = _muddy(plate)
        at = ((patch.width - plate.width) // 2, round(patch.height * 0.66) - plate.height // 2)
        patch.paste(plate, at)
    if car.blur_px:
        patch = patch.filter(ImageFilter.GaussianBlur(car.blur_px * _SCALE))
    shadow = Image.new("RGBA", picture.size)
    ImageDraw.Draw(shadow).ellipse(
        (left, bottom - (bottom - top) // 12, right, bottom + (bottom - top) // 24), fill=(0, 0, 0, 120)
    )
    picture.paste(shadow, (0, 0), shadow)
    picture.paste(patch, (left, top), patch)


def _draw_body(draw: ImageDraw.ImageDraw, size: tuple[int, int], paint: Colour) -> None:
    width, height = size

    def across(*fractions: float) -> tuple[float, float, float, float]:
        x1, y1, x2, y2 = fractions
        return (width * x1, height * y1, width * x2, height * y2)

    darker = tuple(round(part * 0.72) for part in paint)
    for x1, x2 in ((0.05, 0.2), (0.8, 0.95)):
        draw.rounded_rectangle(across(x1, 0.8, x2, 1), radius=width * 0.02, fill=(20, 20, 22))
    roof = [(0.16, 0.36), (0.25, 0.04), (0.75, 0.04), (0.84, 0.36)]
    draw.polygon([(width * x, height * y) for x, y in roof], fill=paint)
    window = [(0.2, 0.35), (0.275, 0.09), (0.725, 0.09), (0.8, 0.35)]
    draw.polygon([(width * x, height * y) for x, y in window], fill=(30, 38, 46))
    draw.rounded_rectangle(across(0.02, 0.34, 0.98, 0.92), radius=width * 0.06, fill=paint)
    draw.line([(width * 0.08, height * 0.56), (width * 0.92, height * 0.56)], fill=darker, width=width // 90)
    for x1, x2 in ((0.05, 0.25), (0.75, 0.95)):
        draw.rounded_rectangle(across(x1, 0.4, x2, 0.53), radius=width * 0.02, fill=(168, 20, 22))
        draw.rounded_rectangle(across(x1, 0.49, x2, 0.53), radius=width * 0.01, fill=(226, 150, 60))
    draw.rounded_rectangle(across(0.03, 0.78, 0.97, 0.92), radius=width * 0.03, fill=darker)
    recess = (1 - _PLATE_WIDTH) / 2 - 0.02
    draw.rectangle(across(recess, 0.57, 1 - recess, 0.76), fill=darker)


def _plate(text: str, region: Region, width: int) -> Image.Image:
    """A plate `width` pixels wide."""
    plate = Image.new("RGB", (width, round(width / _SHAPES[region])), _WHITE)
    draw = ImageDraw.Draw(plate)
    height = plate.height
    match region:
        case "ae-du":
            code, number = _two_parts(text, region)
            _fit(draw, "DUBAI", (0.42, 0.04, 0.62, 0.19), plate.size, _BLACK)
            _fit(draw, code, (0.04, 0.24, 0.2, 0.92), plate.size, _BLACK)
            _fit(draw, number, (0.27, 0.24, 0.97, 0.92), plate.size, _BLACK)
        case "ae-az":
            code, number = _two_parts(text, region)
            draw.rectangle((0, 0, width * 0.26, height), fill=_RED)
            _fit(draw, code, (0.03, 0.2, 0.24, 0.94), plate.size, _WHITE)
            _fit(draw, "A.D", (0.54, 0.04, 0.69, 0.19), plate.size, _BLACK)
            _fit(draw, number, (0.3, 0.24, 0.97, 0.92), plate.size, _BLACK)
        case "de":
            draw.rectangle((0, 0, width * 0.09, height), fill=_BLUE)
            _fit(draw, "D", (0.02, 0.6, 0.07, 0.9), plate.size, _WHITE)
            _fit(draw, text, (0.12, 0.12, 0.97, 0.88), plate.size, _BLACK)
        case "us-ca":
            _fit(draw, "California", (0.28, 0.05, 0.72, 0.24), plate.size, _RED)
            _fit(draw, text, (0.05, 0.3, 0.95, 0.92), plate.size, _BLUE)
        case "br":
            draw.rectangle((0, 0, width, height * 0.25), fill=_BLUE)
            _fit(draw, "BRASIL", (0.38, 0.05, 0.62, 0.21), plate.size, _WHITE)
            _fit(draw, text, (0.05, 0.32, 0.95, 0.94), plate.size, _BLACK)
    draw.rectangle((0, 0, width - 1, height - 1), outline=(60, 60, 60), width=max(2, width // 130))
    return plate


def _two_parts(text: str, region: Region) -> tuple[str, str]:
    code, found, number = text.partition(" ")
    if not (found and code and number.isdigit()):
        raise ValueError(f"a plate of {region} must be a code, a space and a number: {text!r}")
    return code, number


def _fit(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    colour: Colour,
) -> None:
    """Write `text`, centred, slightly bold and as large as `box` (fractions of the plate) allows."""
    x1, y1, x2, y2 = box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]
    # Stamped letters are spaced.
    font_size = y2 - y1
    spaced = " ".join(text) if len(text) < 9 and not text.isalpha() else text
    font = _font(font_size * 1.35)
    left, top, right, bottom = draw.textbbox((0, 0), spaced, font=font)
    shrink = min(1.0, (x2 - x1) / (right - left), (y2 - y1) / (bottom - top))
    font = _font(font_size * 1.35 * shrink)
    draw.text(
        ((x1 + x2) / 2, (y1 + y2) / 2),
        spaced,
        font=font,
        fill=colour,
        anchor="mm",
        stroke_width=max(1, round(font_size / 26)),
        stroke_fill=colour,
    )


def _muddy(plate: Image.Image) -> Image.Image:
    """A plate that cannot be read: blurred, with a brown texture over it."""
    random = np.random.default_rng(7)
    mud = random.integers(60, 120, (plate.height // 6, plate.width // 6), dtype=np.uint8)
    cover = Image.fromarray(mud).resize(plate.size, Image.Resampling.BICUBIC)
    brown = Image.merge("RGB", [cover, cover.point(lambda v: v * 0.8), cover.point(lambda v: v * 0.6)])
    smeared = plate.filter(ImageFilter.GaussianBlur(plate.height / 4))
    return ImageChops.blend(smeared, brown, 0.85)


@lru_cache(maxsize=64)
def _font(size: float) -> Any:
    # Pillow's built-in font, scalable since 10.1, so that no font of the machine is needed.
    return ImageFont.load_default(size=max(8, size))


def _jpeg(picture: Image.Image) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=JPEG_QUALITY)
    return encoded.getvalue()
