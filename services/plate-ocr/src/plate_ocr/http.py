"""REST in: one picture, read now."""

from typing import Annotated

from fastapi import APIRouter, File, UploadFile
from pydantic import BaseModel, Field

from plate_ocr.domain.values import Box, PlateReading
from plate_ocr.handlers.look import Look, Sight

PATH = "/api/v1/ocr-image"


class CharacterShown(BaseModel):
    """One character, and how sure the reader is of it, 0 to 1."""

    text: str
    confidence: float


class PlateShown(BaseModel):
    """A plate. `box`: x, y, width, height in pixels of the picture, origin top left."""

    text: str
    raw_text: str
    region: str
    code: str
    number: str
    confidence: float = Field(description="0 to 1")
    box: tuple[float, float, float, float]
    characters: list[CharacterShown]


class VehicleShown(BaseModel):
    """A vehicle; `source` is who saw it."""

    box: tuple[float, float, float, float]
    kind: str
    confidence: float
    source: str


class PictureRead(BaseModel):
    """What one picture shows; plates best first, none when none could be found."""

    plates: list[PlateShown]
    vehicles: list[VehicleShown]
    width_px: int
    height_px: int
    engine: str
    elapsed_ms: float


def routes(look: Look) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["plates"])

    @router.post(PATH, summary="Read the plates in a picture")
    async def ocr_image(
        image: Annotated[UploadFile, File(description="JPEG, PNG, WebP or BMP")],
    ) -> PictureRead:
        """Needs no token. An overloaded reader answers 503 with Retry-After."""
        return shown(await look(await image.read(), waits=False))

    del ocr_image
    return router


def shown(sight: Sight) -> PictureRead:
    """The answer."""
    height_px, width_px = sight.picture.shape[:2]
    return PictureRead(
        plates=[plate_shown(plate) for plate in sight.plates],
        vehicles=[
            VehicleShown(box=rounded(one.box), kind=one.kind, confidence=one.confidence, source=one.source)
            for one in sight.vehicles
        ],
        width_px=width_px,
        height_px=height_px,
        engine=sight.engine,
        elapsed_ms=round(sight.elapsed_ms, 1),
    )


def plate_shown(plate: PlateReading) -> PlateShown:
    """One plate of the answer."""
    return PlateShown(
        text=plate.text,
        raw_text=plate.raw_text,
        region=plate.region,
        code=plate.code,
        number=plate.number,
        confidence=round(plate.confidence, 4),
        box=rounded(plate.box),
        characters=[
            CharacterShown(text=one.text, confidence=round(one.confidence, 4)) for one in plate.characters
        ],
    )


def rounded(box: Box) -> tuple[float, float, float, float]:
    """To a tenth of a pixel."""
    return (round(box.x, 1), round(box.y, 1), round(box.width, 1), round(box.height, 1))
