"""The labelled photographs of the plate benchmark, their scorer, and their conversion to camera frames."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import cv2
import numpy as np

from kit.settings import PictureLimitSettings
from plate_ocr.adapters.decoding import check, decode
from plate_ocr.domain.values import Box, Picture
from plate_ocr.settings import PictureSettings

SHARED = Path(__file__).parents[3] / "shared"
FOLDER = SHARED / "data" / "plates"
SCORER = SHARED / "tools" / "score-plates"
SETS = ("eu", "us", "br")
CROPS = FOLDER / "uae-crops" / "labels.csv"

FRAME_WIDTH_PX, FRAME_HEIGHT_PX = 1280, 720
FRAMES = 40
_GREY = 127

Row = dict[str, Any]
"""What `plate-ocr read --json` prints for a file."""

T = TypeVar("T")


@dataclass(frozen=True)
class Photograph:
    """`box`, `text`: of the labelled plate."""

    file: Path
    box: Box
    text: str


def are_available() -> bool:
    return SCORER.is_file() and FOLDER.is_dir()


def load_scorer() -> ModuleType:
    loader = SourceFileLoader("score_plates", str(SCORER))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def photographs(name: str) -> Iterator[Photograph]:
    """The photographs of a set, by file name."""
    for label in sorted((FOLDER / "openalpr" / name).glob("*.txt")):
        _, *sides, text = label.read_text().strip().split("\t")[:6]
        yield Photograph(label.with_suffix(".jpg"), Box(*(float(side) for side in sides)), text)


def crops() -> Iterator[tuple[str, str]]:
    """File names, with code and number of their plates."""
    with CROPS.open(newline="") as rows:
        for row in csv.DictReader(rows):
            yield row["file"], row["code"] + row["number"]


def plates_at_label(row: Row, box: Box) -> list[Row]:
    """The plates at the label, by the scorer's rule: their centre is in its box or close to it."""
    found = []
    for plate in row["plates"]:
        x, y, width, height = plate["box"]
        across, down = (x + width / 2 - box.x) / box.width, (y + height / 2 - box.y) / box.height
        if -0.1 <= across <= 1.1 and -0.2 <= down <= 1.2:
            found.append(plate)
    return found


def frames() -> list[Picture]:
    """About forty photographs of all sets as 1280 x 720 frames, the same ones in every run."""
    every = [one for name in SETS for one in photographs(name)]
    return [as_frame(open_picture(one.file)) for one in every[:: max(len(every) // FRAMES, 1)]]


def as_frame(picture: Picture) -> Picture:
    """The picture scaled to fit 1280 x 720, padded with grey."""
    height, width = picture.shape[:2]
    scale = min(FRAME_WIDTH_PX / width, FRAME_HEIGHT_PX / height)
    size = (min(round(width * scale), FRAME_WIDTH_PX), min(round(height * scale), FRAME_HEIGHT_PX))
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    frame = np.full((FRAME_HEIGHT_PX, FRAME_WIDTH_PX, 3), _GREY, np.uint8)
    left, top = (FRAME_WIDTH_PX - size[0]) // 2, (FRAME_HEIGHT_PX - size[1]) // 2
    frame[top : top + size[1], left : left + size[0]] = resized
    return frame


def open_picture(file: Path) -> Picture:
    data = file.read_bytes()
    admitted = check(
        data,
        max_bytes=PictureSettings().max_bytes,
        limits=PictureLimitSettings().limits(PictureSettings().max_pixels),
    )
    return np.ascontiguousarray(decode(data, admitted))


def print_progress(line: str) -> None:
    """Print the progress, because the benchmark takes minutes."""
    print(f"  … {line}", flush=True)


def with_progress(items: Iterable[T], what: str, every: int = 25) -> Iterator[T]:
    """Iterate over `items` and print their number after every `every` of them."""
    number = 0
    for number, item in enumerate(items, 1):
        yield item
        if number % every == 0:
            print_progress(f"{what}: {number}")
    if number % every:
        print_progress(f"{what}: {number}")
