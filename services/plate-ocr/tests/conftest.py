# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""The shipped engine, loaded once, and functions that draw pictures."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from plate_ocr.domain.values import Box, Picture
from plate_ocr.handlers.plate_pipeline import PlatePipeline
from plate_ocr.settings import InferenceSettings
from plate_ocr.wiring.engine import SHIPPED, open_engine
from testkit.clock import ManualClock

from .running_service import FakeEngine, RunningService, running

SHARED_PLATES = Path(__file__).parents[4] / "shared" / "data" / "plates"


@pytest.fixture(scope="session")
def engine() -> PlatePipeline:
    made = open_engine(SHIPPED, InferenceSettings(threads=1))
    assert isinstance(made, PlatePipeline)
    return made


def font(size: int) -> ImageFont.FreeTypeFont:
    found = ImageFont.load_default(size)
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found


def canvas(width: int = 1280, height: int = 720, grey: int = 110) -> Image.Image:
    noise = np.random.default_rng(7).normal(grey, 6, (height, width, 3)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(noise)


def put_plate(
    picture: Image.Image, text: str, at: tuple[int, int], height: int = 60
) -> tuple[int, int, int, int]:
    """A white plate with black characters; returns its x, y, width, height."""
    draw = ImageDraw.Draw(picture)
    face = font(round(height * 0.8))
    width = round(draw.textlength(text, font=face)) + height
    x, y = at
    draw.rectangle((x - 12, y - 12, x + width + 12, y + height + 12), fill=(20, 20, 24))
    draw.rectangle((x, y, x + width, y + height), fill=(245, 245, 240), outline=(30, 30, 30), width=2)
    draw.text((x + height / 2, y + height * 0.02), text, font=face, fill=(15, 15, 15))
    return x, y, width, height


def put_text(picture: Image.Image, text: str, at: tuple[int, int], size: int, fill: str = "white") -> None:
    ImageDraw.Draw(picture).text(at, text, font=font(size), fill=fill)


def bgr(picture: Image.Image) -> Picture:
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])


def bent_around(picture: Picture, plate: Box, bend: float) -> Picture:
    """The picture with the plate bent: its middle is higher than its ends by that share of its height."""
    x, y = np.meshgrid(
        np.arange(picture.shape[1], dtype=np.float32), np.arange(picture.shape[0], dtype=np.float32)
    )
    places = (x - plate.centre.x) / (plate.width / 2)
    y -= (bend * plate.height * (places**2 - 1 / 3)).astype(np.float32)
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def jpeg(picture: Image.Image, quality: int = 92) -> bytes:
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def encoded(picture: Picture, suffix: str = ".jpg") -> bytes:
    done, data = cv2.imencode(suffix, picture)
    assert done
    return data.tobytes()


@pytest.fixture
async def ocr(tmp_path: Path, manual_clock: ManualClock) -> AsyncIterator[RunningService]:
    FakeEngine.plates.clear()
    FakeEngine.go.set()
    async with running(tmp_path, manual_clock) as made:
        await made.is_ready()
        yield made
