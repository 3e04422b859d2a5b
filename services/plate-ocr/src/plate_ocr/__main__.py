"""The commands: `plate-ocr serve` runs the service, `plate-ocr read` prints the plates in picture files."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.command_line import Command, command_line
from kit.errors import LookoutError
from kit.picture_limits import PictureLimits
from plate_ocr.domain.engines import PlateEngine
from plate_ocr.domain.values import PlateReading, UnreadReason
from plate_ocr.settings import InferenceSettings, PictureSettings, PlateOcrSettings
from plate_ocr.wiring.engine import SHIPPED, ModelError, check, decode, open_engine

if TYPE_CHECKING:
    from kit.service import Service

NAME = "plate-ocr"

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_ROW = "{file:40} {text:12} {sure:>5} {region:6} {code:5} {number:10} {box:22} {ms:>8}"


def main() -> None:
    """The program's entry point."""
    read = Command(
        name="read",
        help="read the plates in picture files; needs no server",
        add_arguments=_add_read_arguments,
        run=_read,
    )
    sys.exit(command_line(NAME, "Pictures in, plates out.", _wiring, commands=(read,), has_migrations=False))


def _wiring() -> "tuple[type[PlateOcrSettings], Callable[[PlateOcrSettings], Service]]":
    # Only `serve` needs the service's libraries, which take two seconds to import.
    from plate_ocr.wiring import build  # noqa: PLC0415

    return PlateOcrSettings, build


def _add_read_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object a line, one for each picture"
    )
    parser.add_argument(
        "--regions",
        default="",
        help="regions that the plates may come from, comma separated: ae, ae-du, us-tx",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a picture, or a folder of them")


def _read(options: argparse.Namespace) -> int:
    regions = tuple(filter(None, (region.strip() for region in options.regions.split(","))))
    try:
        return read_files(options.files, regions, as_json=options.json)
    except BrokenPipeError:
        # The output's reader closed the pipe (`| head`). Without this, Python prints an error when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


@dataclass(frozen=True, slots=True)
class FileRead:
    """The result for one file; `error` is empty unless it could not be read. `is_complete`: whether the picture was."""

    file: Path
    plates: tuple[PlateReading, ...]
    elapsed_ms: float
    error: str = ""
    is_complete: bool = True


def read_files(paths: Sequence[Path], regions: tuple[str, ...] = (), *, as_json: bool) -> int:
    """Print the plates in the pictures. Returns the exit status: 0; 1 when a file could not be read; 2 when the engine
    cannot be loaded or has no grammar of one of the `regions` that plates may come from (none: any).
    """
    files = list(pictures_in(paths))
    if not files:
        sys.stderr.write(f"plate-ocr: no pictures in {', '.join(map(str, paths))}\n")
        return 1
    try:
        engine = open_engine(SHIPPED, InferenceSettings(), regions)
    except ModelError as error:
        sys.stderr.write(f"plate-ocr: {error}\n")
        return 2
    if not as_json:
        print(header())
    failed = 0
    for number, file in enumerate(files, 1):
        if sys.stderr.isatty() and len(files) > 1:
            sys.stderr.write(f"\r{number}/{len(files)} ")
        read = read_file(engine, file)
        failed += bool(read.error)
        print(json.dumps(document(read)) if as_json else table_rows(read), flush=True)
    if sys.stderr.isatty() and len(files) > 1:
        sys.stderr.write("\r")
    if failed:
        sys.stderr.write(f"plate-ocr: {failed} of {len(files)} files could not be read\n")
    return 1 if failed else 0


def pictures_in(paths: Sequence[Path]) -> Iterator[Path]:
    """The files, and the pictures in the folders, sorted by name. A file that is given itself may have any suffix."""
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES)
        else:
            yield path


def read_file(engine: PlateEngine, file: Path) -> FileRead:
    """Read one file; the time is that of decoding and reading."""
    limits = PictureSettings()
    began = time.perf_counter()
    try:
        data = file.read_bytes()
        admitted = check(data, max_bytes=limits.max_bytes, limits=PictureLimits(max_pixels=limits.max_pixels))
        picture = decode(data, admitted)
    except LookoutError as error:
        return FileRead(file, (), elapsed(began), error.detail)
    except OSError as error:
        return FileRead(file, (), elapsed(began), error.strerror or str(error))
    (reading,) = engine.read([picture])
    return FileRead(file, reading.plates, elapsed(began), is_complete=admitted.is_complete)


def elapsed(began: float) -> float:
    """Milliseconds since then. `began`: of `time.perf_counter`."""
    return round((time.perf_counter() - began) * 1000, 1)


def document(read: FileRead) -> dict[str, Any]:
    """The JSON object of one file: `plates` are those with a text, `seen` those that could not be read."""
    shown: dict[str, Any] = {
        "file": str(read.file),
        "plates": [plate_document(plate) for plate in read.plates if plate.is_read],
        "seen": [plate_document(plate) for plate in read.plates if not plate.is_read],
        "elapsed_ms": read.elapsed_ms,
    }
    if not read.is_complete:
        shown["is_complete"] = False
    return shown | ({"error": read.error} if read.error else {})


def plate_document(plate: PlateReading) -> dict[str, Any]:
    """The JSON object of one plate."""
    return {
        "text": plate.text,
        "confidence": round(plate.confidence, 4),
        "box": [round(v, 1) for v in (plate.box.x, plate.box.y, plate.box.width, plate.box.height)],
        "region": plate.region,
        "code": plate.code,
        "number": plate.number,
        "raw_text": plate.raw_text,
        "state": plate.state.value,
        "unread_reason": plate.unread_reason.value if plate.unread_reason else "",
        "height_px": round(plate.height_px, 1),
        "outline": [[round(point.x, 1), round(point.y, 1)] for point in plate.outline],
        "region_confidence": round(plate.region_confidence, 4),
        "code_confidence": round(plate.code_confidence, 4),
        "number_confidence": round(plate.number_confidence, 4),
        "pattern": plate.pattern,
        "sharpness": round(plate.sharpness, 3),
        "characters": [[one.text, round(one.confidence, 4)] for one in plate.characters],
    }


def header() -> str:
    """The table's first line."""
    return _ROW.format(
        file="file",
        text="plate",
        sure="sure",
        region="region",
        code="code",
        number="number",
        box="box",
        ms="ms",
    )


def table_rows(read: FileRead) -> str:
    """A line for each plate, read ones first, or a line that says that there is none, or the error."""
    blank = {"text": "-", "sure": "", "region": "", "code": "", "number": "", "box": ""}
    file = str(read.file) if len(str(read.file)) <= 40 else "…" + str(read.file)[-39:]
    if read.error:
        return f"{file:40} {read.error}"
    plates = sorted(read.plates, key=lambda plate: not plate.is_read)
    rows = [_row(plate) for plate in plates] or [blank]
    lines = [_ROW.format(file=file, ms=f"{read.elapsed_ms:.0f}", **row).rstrip() for row in rows]
    if not read.is_complete:
        lines.append(f"{file:40} ends before it is complete: read as far as it goes")
    return "\n".join(lines)


def _row(plate: PlateReading) -> dict[str, str]:
    box = f"{plate.box.x:.0f},{plate.box.y:.0f} {plate.box.width:.0f}x{plate.box.height:.0f}"
    if not plate.is_read:
        why = plate.unread_reason or UnreadReason.UNSURE
        text = f"(seen: {why}, {plate.height_px:.0f} px)"
        return {"text": text, "sure": "", "region": "", "code": "", "number": "", "box": box}
    return {
        "text": plate.text,
        "sure": f"{min(plate.confidence, 0.99):.2f}",  # never 1.00: no picture proves a plate
        "region": plate.region,
        "code": plate.code,
        "number": plate.number,
        "box": box,
    }


if __name__ == "__main__":
    main()
