"""REST in: reads the plates in one picture."""

from typing import Annotated

from fastapi import APIRouter, File, UploadFile
from pydantic import BaseModel, Field

from kit.body_budget import limited_route
from kit.byte_budget import ByteBudget
from plate_ocr.domain.requests import PictureRequest, PictureResult
from plate_ocr.domain.values import Box, PlateReading, PlateState, UnreadReason
from plate_ocr.handlers.read_picture import ReadPicture
from plate_ocr.settings import PictureSettings

PATH = "/api/v1/ocr-image"


# Lists of fixed length: generators of clients know no tuples.
Four = Annotated[list[float], Field(min_length=4, max_length=4)]
Corner = Annotated[list[float], Field(min_length=2, max_length=2, description="x and y in pixels")]


class CharacterOut(BaseModel):
    """One character and its confidence, 0 to 1."""

    text: str
    confidence: float


class PlateOut(BaseModel):
    """A plate. `box`: x, y, width, height in pixels of the picture, origin top left."""

    text: str
    raw_text: str
    region: str
    code: str
    number: str
    confidence: float = Field(description="0 to 1")
    box: Four
    characters: list[CharacterOut]
    state: PlateState = Field(
        description="`seen_not_read`: a plate is there, its text is empty and `unread_reason` says why"
    )
    unread_reason: UnreadReason | None
    height_px: float = Field(description="of the plate in the picture in pixels, 0 when not measured")
    outline: list[Corner] = Field(
        description="four corners, clockwise from the plate's own top left; empty when only the box is known"
    )
    region_confidence: float = Field(description="0 to 1, 0 when the region is not known")
    code_confidence: float = Field(description="0 to 1, 0 when the code is not known")
    number_confidence: float = Field(description="0 to 1")
    pattern: str = Field(description="the grammar's name for the format of the text, or empty")


class VehicleOut(BaseModel):
    """A vehicle. `source`: the detector's name."""

    box: Four
    kind: str
    confidence: float
    source: str


class PictureOut(BaseModel):
    """What was read in one picture. `plates`: best first, none where none was found."""

    plates: list[PlateOut]
    vehicles: list[VehicleOut]
    width_px: int
    height_px: int
    engine: str
    elapsed_ms: float
    is_complete: bool = Field(
        description="false for a JPEG that ends before it is complete; it was read as far as it goes"
    )


def routes(read_picture: ReadPicture, settings: PictureSettings) -> APIRouter:
    """The routes of plate-ocr, with the memory limit that all calls share."""
    budget = ByteBudget(
        settings.max_buffered_call_bytes,
        timeout_s=settings.buffer_timeout_s,
        detail="too many pictures at the same time",
    )
    route_class = limited_route(
        budget, max_bytes=settings.body_limit.max_bytes, timeout_s=settings.body_timeout_s
    )
    router = APIRouter(tags=["plates"], route_class=route_class)

    @router.post(PATH, summary="Read the plates in a picture")
    async def read_plates(
        image: Annotated[UploadFile, File(description="JPEG, PNG, WebP or BMP")],
    ) -> PictureOut:
        """Needs no token. 503 with Retry-After while the queue is full."""
        async with read_picture(PictureRequest(await image.read()), can_wait=False) as (result, _):
            return picture_out(result)

    del read_plates
    return router


def picture_out(result: PictureResult) -> PictureOut:
    """The response."""
    return PictureOut(
        plates=[plate_out(plate) for plate in result.plates],
        vehicles=[
            VehicleOut(box=rounded(one.box), kind=one.kind, confidence=one.confidence, source=one.source)
            for one in result.vehicles
        ],
        width_px=result.width_px,
        height_px=result.height_px,
        engine=result.engine,
        elapsed_ms=round(result.elapsed_ms, 1),
        is_complete=result.is_complete,
    )


def plate_out(plate: PlateReading) -> PlateOut:
    """One plate of the response."""
    return PlateOut(
        text=plate.text,
        raw_text=plate.raw_text,
        region=plate.region,
        code=plate.code,
        number=plate.number,
        confidence=round(plate.confidence, 4),
        box=rounded(plate.box),
        characters=[
            CharacterOut(text=one.text, confidence=round(one.confidence, 4)) for one in plate.characters
        ],
        state=plate.state,
        unread_reason=plate.unread_reason,
        height_px=round(plate.height_px, 1),
        outline=[[round(point.x, 1), round(point.y, 1)] for point in plate.outline],
        region_confidence=round(plate.region_confidence, 4),
        code_confidence=round(plate.code_confidence, 4),
        number_confidence=round(plate.number_confidence, 4),
        pattern=plate.pattern,
    )


def rounded(box: Box) -> list[float]:
    """To a tenth of a pixel."""
    return [round(box.x, 1), round(box.y, 1), round(box.width, 1), round(box.height, 1)]
