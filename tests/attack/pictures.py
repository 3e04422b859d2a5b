"""Ten thousand odd and hostile pictures, the same for the same seed, and what the costliest admitted one costs.

`measure` runs them through the path of every public call: the admission check, the decoder, the shipped engine.
"""

from __future__ import annotations

import gc
import io
import json
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from all_in_one.pictures import ParkedCar, draw_scene
from attack.memory import memory_mb, reset_peak
from kit.errors import LookoutError
from kit.memory import return_kept_memory, return_large_blocks
from kit.settings import read as read_settings
from plate_ocr.adapters.decoding import check, decode
from plate_ocr.domain.engines import PlateEngine
from plate_ocr.handlers.inference import read_pictures
from plate_ocr.settings import PlateOcrSettings
from plate_ocr.wiring.engine import open_engine

LARGE_SHARE = 0.02
"""Of pictures with as many pixels as are admitted: they take a second each."""
SIDES_PX = (1, 2, 3, 16, 31, 33, 64, 200, 640, 1280, 1920)
MAX_PIXELS = 40_000_000


@dataclass(frozen=True)
class HostilePicture:
    """`name` says what is odd about it."""

    name: str
    data: bytes


def generate(count: int, seed: int = 1) -> Iterator[HostilePicture]:
    """`count` pictures, among them every family of `FAMILIES`."""
    rng = random.Random(seed)
    families = list(FAMILIES)
    for number in range(count):
        make = families[number % len(families)]
        if is_large(number):
            make = LARGE[number // int(1 / LARGE_SHARE) % len(LARGE)]
        name, data = make(rng)
        if rng.random() < 0.08:
            name, data = damaged(rng, name, data)
        yield HostilePicture(f"{number}: {name}", data)


def is_large(number: int) -> bool:
    return number % int(1 / LARGE_SHARE) == 0


Named = tuple[str, bytes]


def size(rng: random.Random, max_pixels: int = 3_000_000) -> tuple[int, int]:
    """Width and height: common ones, extreme aspects, single rows and columns."""
    kind = rng.random()
    if kind < 0.25:
        long, short = rng.randint(1000, 60_000), rng.randint(1, 40)
        return (long, short) if rng.random() < 0.5 else (short, long)
    width, height = rng.choice(SIDES_PX), rng.choice(SIDES_PX)
    if kind < 0.5:
        width, height = rng.randint(1, 3000), rng.randint(1, 3000)
    while width * height > max_pixels:
        width, height = max(1, width // 2), max(1, height // 2)
    return width, height


def content(rng: random.Random, size_px: tuple[int, int]) -> Image.Image:
    """One grey, noise, stripes, a car park with plates, or hundreds of rows of plate-like text."""
    width, height = size_px
    kind = rng.choice(("flat", "noise", "stripes", "scene", "text", "text"))
    if kind == "flat" or min(size_px) < 8:
        return Image.new("RGB", size_px, tuple(rng.randrange(256) for _ in range(3)))
    if kind == "noise":
        values = np.random.default_rng(rng.randrange(1 << 30)).integers(
            0, 256, (height, width, 3), dtype=np.uint8
        )
        return Image.fromarray(values)
    if kind == "stripes":
        values = (np.indices((height, width)).sum(axis=0) // rng.randint(1, 9) % 2 * 255).astype(np.uint8)
        return Image.fromarray(values).convert("RGB")
    if kind == "scene":
        return Image.open(io.BytesIO(scene())).convert("RGB").resize(size_px)
    return plates_page(size_px, rng.randint(10, 30))


@cache
def scene() -> bytes:
    return draw_scene({1: ParkedCar("D 71026"), 3: ParkedCar("B MX 4821", "de")}, spot_count=3)


@cache
def plates_page(size_px: tuple[int, int], letter_px: int) -> Image.Image:
    """Rows of white plates over the whole picture."""
    width, height = size_px
    picture = Image.new("RGB", size_px, (70, 70, 74))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(letter_px)
    plate_width, plate_height = letter_px * 5, int(letter_px * 1.4)
    number = 0
    for y in range(4, height - plate_height, plate_height * 2):
        for x in range(4, width - plate_width, int(plate_width * 1.3)):
            number += 7919
            draw.rectangle(
                (x, y, x + plate_width, y + plate_height), fill=(240, 240, 238), outline=(10, 10, 10)
            )
            draw.text((x + letter_px // 3, y), f"D {number % 90000 + 10000}", font=font, fill=(15, 15, 15))
    return picture


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(rng: random.Random) -> Named:
    mode = rng.choice(("L", "RGB", "RGB", "CMYK"))
    picture = content(rng, size(rng)).convert(mode)
    quality, subsampling = rng.choice((1, 30, 75, 90, 100)), rng.choice((0, 1, 2))
    if mode != "RGB":
        return f"JPEG {mode} {picture.size}", encoded(picture, "JPEG", quality=quality)
    options: dict[str, Any] = {
        "quality": quality,
        "subsampling": subsampling,
        "progressive": rng.random() < 0.4,
    }
    if rng.random() < 0.3:
        options["exif"] = orientation(rng.randint(0, 9))
    return f"JPEG RGB {picture.size} {options.keys()}", encoded(picture, "JPEG", **options)


def orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


def many_scans(rng: random.Random, scans: int = 0, size_px: tuple[int, int] | None = None) -> Named:
    """A progressive JPEG whose last scan is repeated."""
    scans = scans or rng.choice((5, 20, 50, 85, 150, 500, 3000))
    size_px = size_px or rng.choice(((640, 480), (1600, 1200), (2600, 2000)))
    whole = encoded(content(rng, size_px), "JPEG", quality=30, progressive=True)
    flat = encoded(Image.new("RGB", size_px, (90, 90, 90)), "JPEG", quality=30, progressive=True)
    return f"JPEG with {scans} scans {size_px}", whole[:-2] + flat[
        flat.rindex(b"\xff\xda") : -2
    ] * scans + b"\xff\xd9"


def hidden_scans(rng: random.Random) -> Named:
    """A sequential JPEG of many scans; the parameters of the first one look like the marker of one with all colours."""
    scans, size_px = rng.choice((20, 1000, 10_000)), rng.choice(((640, 480), (4000, 3000)))
    plain = encoded(Image.new("RGB", size_px), "JPEG", quality=50, subsampling=0)
    head = plain[: plain.index(b"\xff\xda")]
    first = b"\xff\xda\x00\x08\x01\x01\x00\xff\xda\x00" + b"\x00\x03\x00\x00"
    scan = b"\xff\xda\x00\x08\x01\x02\x11\x00\x3f\x00\x00"
    return f"JPEG with {scans} hidden scans {size_px}", head + first + scan * scans + b"\xff\xd9"


def jpeg_segments(rng: random.Random) -> Named:
    """A JPEG with thousands of comments or Exif segments."""
    plain = encoded(content(rng, (640, 480)), "JPEG")
    length, count = rng.choice((2, 100, 65_533)), rng.choice((1, 50, 150))
    marker = rng.choice((b"\xff\xfe", b"\xff\xe1", b"\xff\xe2", b"\xff\xed"))
    segment = marker + struct.pack(">H", length) + b"Exif\0\0II*\0".ljust(length - 2, b"\x01")[: length - 2]
    return f"JPEG with {count} segments of {length} bytes", plain[:2] + segment * count + plain[2:]


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def raw_png(
    size_px: tuple[int, int],
    *,
    depth: int = 8,
    colour: int = 0,
    is_interlaced: bool = False,
    extra: bytes = b"",
    value: int = 0x7F,
) -> bytes:
    """A PNG of one value, compressed to some kilobytes. `colour`: the colour type of its header."""
    width, height = size_px
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    bits = channels * depth
    packer = zlib.compressobj(9)
    data = b""
    passes = ADAM7 if is_interlaced else ((0, 0, 1, 1),)
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            row = b"\0" + bytes([value]) * -(-columns * bits // 8)
            for _ in range(rows):
                data += packer.compress(row)
    data += packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(is_interlaced))
    palette = png_chunk(b"PLTE", bytes(range(48)) * 16) if colour == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + extra
        + palette
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Left, top and steps of the seven passes of an interlaced PNG (PNG specification, 8.2)."""


def png(rng: random.Random) -> Named:
    mode = rng.choice(("1", "L", "LA", "P", "RGB", "RGBA"))
    picture = content(rng, size(rng, 1_500_000)).convert(mode)
    return f"PNG {mode} {picture.size}", encoded(picture, "PNG", compress_level=1)


def flat_png(rng: random.Random) -> Named:
    """A few kilobytes that declare many pixels in any of the format's layouts."""
    depth, colour = rng.choice(
        ((1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 3), (8, 4), (16, 4), (8, 6), (16, 6))
    )
    width, height = rng.choice(
        (
            (1_000_000, 1),
            (1, 1_000_000),
            (300_000, 100),
            (100, 100_000),
            (4000, 1000),
            (20, 2000),
            (12_000, 600),
        )
    )
    is_interlaced = rng.random() < 0.3
    return (
        f"PNG {width}x{height} depth {depth} colour {colour}" + " interlaced" * is_interlaced,
        raw_png((width, height), depth=depth, colour=colour, is_interlaced=is_interlaced),
    )


def png_metadata(rng: random.Random) -> Named:
    """Compressed texts and profiles that become a thousand times larger."""
    unpacked, count = rng.choice((1_000, 900_000, 8_000_000)), rng.choice((1, 20, 200))
    packed = deflated(unpacked)
    kind = rng.choice((b"zTXt", b"iTXt", b"iCCP", b"tEXt", b"eXIf", b"prVt"))
    body = {
        b"zTXt": b"Comment\0\0" + packed,
        b"iTXt": b"Comment\0\1\0\0\0" + packed,
        b"iCCP": b"profile\0\0" + packed,
    }.get(kind, b"Comment\0" + b"a" * min(unpacked, 50_000))
    extra = png_chunk(kind, body) * count
    return f"PNG with {count} {kind.decode()} of {unpacked}", raw_png((640, 480), extra=extra)


@cache
def deflated(size_bytes: int) -> bytes:
    return zlib.compress(b"a" * size_bytes, 9)


def animation(rng: random.Random) -> Named:
    kind = rng.choice(("PNG", "WEBP", "GIF"))
    frames = [content(rng, (64, 64)) for _ in range(rng.randint(2, 12))]
    return f"animation, {kind}", encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def webp(rng: random.Random) -> Named:
    picture = content(rng, size(rng, 700_000)).convert(rng.choice(("RGB", "RGBA")))
    picture = picture.crop((0, 0, min(picture.width, 16_383), min(picture.height, 16_383)))
    is_lossless = rng.random() < 0.4
    options: dict[str, Any] = {"lossless": is_lossless, "quality": rng.choice((1, 80)), "method": 0}
    if rng.random() < 0.3:
        options["exif"] = orientation(rng.randint(1, 8))
    return f"WebP {picture.mode} {picture.size} lossless={is_lossless}", encoded(picture, "WEBP", **options)


def bmp(rng: random.Random) -> Named:
    picture = content(rng, size(rng, 700_000)).convert(rng.choice(("1", "L", "P", "RGB", "RGBA")))
    data = bytearray(encoded(picture, "BMP"))
    if rng.random() < 0.2:
        data[22:26] = struct.pack("<i", -picture.height)
    return f"BMP {picture.mode} {picture.size}", bytes(data)


def run_length_bmp(rng: random.Random, size_px: tuple[int, int] | None = None) -> Named:
    """A BMP whose runs draw a large picture with few bytes."""
    width, height = size_px or (rng.choice((200, 4000)), rng.choice((200, 4000)))
    row = b"".join(bytes((min(255, width - x), rng.randrange(256))) for x in range(0, width, 255)) + b"\0\0"
    pixels = row * height + b"\0\1"
    palette = bytes(range(256)) * 4
    offset = 54 + len(palette)
    header = b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset)
    header += struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 2835, 2835, 256, 256)
    return f"BMP with runs {width}x{height}", header + palette + pixels


def declared(rng: random.Random) -> Named:
    """A real picture whose header declares another size."""
    width, height = rng.choice(
        ((65_535, 600), (6000, 6000), (65_500, 65_500), (1, 65_535), (0, 100), (8000, 5000))
    )
    kind = rng.choice(("JPEG", "PNG", "BMP"))
    data = bytearray(encoded(content(rng, (320, 240)), kind))
    match kind:
        case "JPEG":
            at = data.index(b"\xff\xc0")
            data[at + 5 : at + 9] = struct.pack(">HH", height, width)
        case "PNG":
            data[16:24] = struct.pack(">II", width, height)
            data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
        case _:
            data[18:26] = struct.pack("<ii", width, height)
    return f"{kind} that declares {width}x{height}", bytes(data)


def second_header(rng: random.Random) -> Named:
    """A JPEG with a second frame header of another size after the first."""
    data = encoded(content(rng, (320, 240)), "JPEG")
    at = data.index(b"\xff\xc0")
    frame = bytearray(data[at : at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]])
    frame[5:9] = struct.pack(">HH", 8000, 5000)
    is_before = rng.random() < 0.5
    where = at if is_before else at + len(frame)
    return "JPEG with two frame headers", data[:where] + bytes(frame) + data[where:]


def dense(rng: random.Random) -> Named:
    """Hundreds of plates."""
    size_px = rng.choice(((1920, 1080), (1280, 720), (3840, 2160)))
    return f"page of plates {size_px}", page_bytes(size_px, rng.choice((12, 16, 24, 40)))


@cache
def page_bytes(size_px: tuple[int, int], letter_px: int) -> bytes:
    return encoded(plates_page(size_px, letter_px), "JPEG", quality=85)


def other(rng: random.Random) -> Named:
    kind = rng.choice(("GIF", "TIFF", "PPM", "ICO", "nothing", "text", "zeros"))
    if kind == "nothing":
        return kind, b""
    if kind in {"text", "zeros"}:
        return kind, (b"<html>503</html>" if kind == "text" else b"\0" * 5000)
    return kind, encoded(content(rng, (64, 64)), kind)


def damaged(rng: random.Random, name: str, data: bytes) -> Named:
    """Cut off, or with changed bytes."""
    if not data:
        return name, data
    if rng.random() < 0.5:
        return f"{name}, cut off", data[: rng.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(rng.randint(1, 20)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return f"{name}, changed", bytes(changed)


FAMILIES: tuple[Callable[[random.Random], Named], ...] = (
    jpeg,
    png,
    flat_png,
    png_metadata,
    jpeg_segments,
    webp,
    bmp,
    run_length_bmp,
    declared,
    second_header,
    many_scans,
    hidden_scans,
    dense,
    animation,
    other,
)

WIDE_PX, SQUARE_PX, QUARTER_PX = (8000, 5000), (6300, 6300), (4472, 4472)


@cache
def large_jpeg(
    size_px: tuple[int, int], is_progressive: bool, quality: int, subsampling: int, turn: int
) -> bytes:
    """Noise over a part and plates over the rest."""
    picture = plates_page(size_px, 40).copy()
    noise = np.random.default_rng(1).integers(0, 256, (size_px[1] // 3, size_px[0] // 3, 3), dtype=np.uint8)
    picture.paste(Image.fromarray(noise), (0, 0))
    options: dict[str, Any] = {"exif": orientation(turn)} if turn else {}
    return encoded(
        picture, "JPEG", progressive=is_progressive, quality=quality, subsampling=subsampling, **options
    )


def large(_: random.Random, what: str, size_px: tuple[int, int], options: tuple[Any, ...]) -> Named:
    return f"large JPEG {what} {size_px}", large_jpeg(size_px, *options)


def large_webp(_: random.Random, *, lossless: bool) -> Named:
    return f"large WebP lossless={lossless}", webp_bytes(lossless)


@cache
def webp_bytes(lossless: bool) -> bytes:
    return encoded(plates_page(SQUARE_PX, 40), "WEBP", lossless=lossless, quality=20, method=0)


@cache
def large_raw_png(size_px: tuple[int, int], depth: int, colour: int, is_interlaced: bool) -> bytes:
    return raw_png(size_px, depth=depth, colour=colour, is_interlaced=is_interlaced)


def large_png(
    _: random.Random, *, size_px: tuple[int, int], depth: int, colour: int, is_interlaced: bool
) -> Named:
    what = f"large PNG {size_px} depth {depth} colour {colour}" + " interlaced" * is_interlaced
    return what, large_raw_png(size_px, depth, colour, is_interlaced)


LARGE: tuple[Callable[[random.Random], Named], ...] = (
    *(
        partial(large, what=what, size_px=size_px, options=options)
        for what, size_px, options in (
            ("baseline", WIDE_PX, (False, 90, 2, 0)),
            ("baseline, turned", WIDE_PX, (False, 75, 2, 6)),
            ("baseline 4:4:4", SQUARE_PX, (False, 75, 0, 0)),
            ("progressive", QUARTER_PX, (True, 75, 2, 0)),
            ("progressive", WIDE_PX, (True, 75, 2, 0)),
            ("progressive 4:4:4", SQUARE_PX, (True, 75, 0, 3)),
        )
    ),
    partial(many_scans, scans=90, size_px=(2000, 1600)),
    partial(many_scans, scans=90, size_px=WIDE_PX),
    partial(run_length_bmp, size_px=SQUARE_PX),
    partial(large_webp, lossless=False),
    partial(large_webp, lossless=True),
    *(
        partial(large_png, size_px=size_px, depth=depth, colour=colour, is_interlaced=is_interlaced)
        for size_px, depth, colour, is_interlaced in (
            (WIDE_PX, 8, 2, False),
            (WIDE_PX, 16, 0, False),
            (WIDE_PX, 16, 6, False),
            (SQUARE_PX, 8, 2, True),
            (QUARTER_PX, 16, 6, True),
            (QUARTER_PX, 8, 6, False),
            (QUARTER_PX, 1, 0, True),
        )
    ),
)


def main() -> None:
    """`python -m attack.pictures COUNT SEED [FOLDER | write]`: print what the costliest admitted pictures cost, as
    JSON, and write these into the folder; with `write`, print all pictures, for `from_another_process`.
    """
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:] != ["write"]:
        folder = Path(sys.argv[3]) if sys.argv[3:] else None
        print(json.dumps(asdict(measure(count, seed, folder))))
        return
    for picture in generate(count, seed):
        name = picture.name.encode()
        sys.stdout.buffer.write(struct.pack(">II", len(name), len(picture.data)) + name + picture.data)


def from_another_process(count: int, seed: int) -> Iterator[HostilePicture]:
    """As `generate`, whose own memory must not be counted."""
    command = [sys.executable, "-m", "attack.pictures", str(count), str(seed), "write"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        while header := process.stdout.read(8):
            name_bytes, data_bytes = struct.unpack(">II", header)
            yield HostilePicture(process.stdout.read(name_bytes).decode(), process.stdout.read(data_bytes))
        if process.wait():
            raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")


@dataclass
class Cost:
    """`worst_memory_mb`: above the memory of the idle process; with `worst_processor_s`: of one picture."""

    admitted: int = 0
    refused: int = 0
    idle_mb: float = 0.0
    end_mb: float = 0.0
    worst_memory_mb: float = 0.0
    worst_memory_of: str = ""
    worst_processor_s: float = 0.0
    worst_processor_of: str = ""
    errors: list[str] = field(default_factory=list)


WORST_OF_MEMORY, WORST_OF_TIME = "most-memory", "most-processor-time"
"""Names of the files that `measure` writes."""


def measure(count: int, seed: int = 1, folder: Path | None = None) -> Cost:
    """Decode and read the pictures in this process, as plate-ocr does for a public call. The costliest admitted ones
    are written into the folder.
    """
    settings = read_settings(
        PlateOcrSettings, environ={}, defaults={"mode": "embedded", "data_dir": "unused"}
    )
    return_large_blocks()
    engine = open_engine(settings.engine, settings.inference, settings.regions)
    read = partial(read_picture, settings, engine)
    read(scene())
    gc.collect()
    cost = Cost(idle_mb=memory_mb())
    return_at = time.monotonic()
    for number, picture in enumerate(from_another_process(count, seed), 1):
        weigh(cost, picture, read, folder)
        if time.monotonic() > return_at:
            return_kept_memory()  # as the service does
            return_at = time.monotonic() + settings.inference.return_memory_interval_s
        if number % 500 == 0:
            print(
                f"  {number} of {count} pictures: {cost.admitted} admitted, at most {cost.worst_memory_mb:.0f} MB and"
                f" {cost.worst_processor_s:.2f} s",
                file=sys.stderr,
            )
    gc.collect()
    cost.end_mb = memory_mb()
    return cost


def read_picture(settings: PlateOcrSettings, engine: PlateEngine, data: bytes) -> None:
    admitted = check(data, max_bytes=settings.pictures.max_bytes, limits=settings.limits_of_pictures)
    read_pictures(engine, [decode(data, admitted)], [()], [None])


def weigh(
    cost: Cost, picture: HostilePicture, read: Callable[[bytes], None], folder: Path | None = None
) -> None:
    """Read one picture and note what it cost."""
    is_admitted = False
    reset_peak()
    before_s = time.process_time()
    try:
        read(picture.data)
        cost.admitted += 1
        is_admitted = True
    except LookoutError:
        cost.refused += 1
    except Exception as error:  # noqa: BLE001 - reported with the picture that caused it
        cost.errors.append(f"{picture.name}: {type(error).__name__}: {error}")
    used_s, used_mb = time.process_time() - before_s, memory_mb(what="VmHWM") - cost.idle_mb
    if used_mb > cost.worst_memory_mb:
        cost.worst_memory_mb, cost.worst_memory_of = used_mb, picture.name
        if folder and is_admitted:
            (folder / WORST_OF_MEMORY).write_bytes(picture.data)
    if used_s > cost.worst_processor_s:
        cost.worst_processor_s, cost.worst_processor_of = used_s, picture.name
        if folder and is_admitted:
            (folder / WORST_OF_TIME).write_bytes(picture.data)


if __name__ == "__main__":
    main()
