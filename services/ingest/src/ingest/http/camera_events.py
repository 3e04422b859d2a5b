"""Camera events and their outcomes, for users."""

import json
import re
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ingest.domain.camera_event import EventState
from ingest.domain.outcomes import Outcome
from ingest.domain.parking_push import HIGHEST_SPOT_NUMBER, Purpose
from ingest.handlers.camera_events import CameraEvents
from ingest.http.registry_schemas import Filter, RowId
from kit.auth import require
from kit.blobs import BlobStore
from kit.json_types import Instant
from kit.pagination import PageOf, PageParams

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_READ = [Depends(require("site:read"))]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the picture",
        "content": {f"image/{kind}": _BINARY for kind in ("jpeg", "png", "webp", "bmp")},
    }
}


def _day(value: Any) -> Any:
    """Only a date without a time is a day."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return value
    raise ValueError("must be a time with an offset, as 2024-01-31T23:59:59Z, or a date, as 2024-01-31")


Moment = Annotated[Instant | Annotated[date, BeforeValidator(_day)], Field(union_mode="left_to_right")]


class CameraEventFilter(Filter):
    """Which events."""

    camera_id: RowId | None = None
    location_id: RowId | None = None
    spot_number: int | None = Field(None, ge=1, le=HIGHEST_SPOT_NUMBER)
    purpose: Purpose | None = None
    state: EventState | None = None
    outcome: Outcome | None = None
    clock_state: Literal["OK", "AHEAD", "BEHIND"] | None = None
    received_start: Moment | None = Field(
        None, description="received at this instant or later, or on this day of the location or later"
    )
    received_end: Moment | None = Field(
        None, description="received before this instant, or on this day of the location or earlier"
    )


class CameraEventOut(BaseModel):
    """An event. `captured_at` is the time that all services use, `reported_time` what the camera's clock showed."""

    model_config = ConfigDict(from_attributes=True)

    event_id: UUID
    camera_id: int
    location_id: int
    parking_area: str
    spot_number: int
    purpose: Purpose
    device: str
    reported_time: str
    captured_at: datetime
    received_at: datetime
    clock_state: str
    clock_skew_s: float = Field(description="the camera's clock minus ours, in seconds")
    state: EventState = Field(
        description="PENDING: waits for a fresh picture, or behind an event that does; DISPATCHED: published"
    )
    dispatched_at: datetime | None
    picture_source: str
    picture_note: str
    outcome: Outcome
    outcome_document: dict[str, Any] | None
    decided_at: datetime | None


class StoredPictureOut(BaseModel):
    """A picture in the blob store."""

    key: str
    content_type: str
    size_bytes: int
    sha256: str
    width_px: int
    height_px: int


class CameraEventDetailOut(CameraEventOut):
    """An event with its pictures and the push as it was received, without the picture in it."""

    pushed_picture: StoredPictureOut
    picture: StoredPictureOut | None
    report: dict[str, Any] | None = Field(description="null when it was deleted at the end of its retention")


def camera_event_routes(camera_events: CameraEvents, blobs: BlobStore) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/v1/camera-events", tags=["camera events"], dependencies=_READ)

    @router.get("", summary="Camera events, newest first")
    async def list_camera_events(
        page: PageParams, filters: Annotated[CameraEventFilter, Query()]
    ) -> PageOf[CameraEventOut]:
        found, more = await camera_events.page(page, filters.model_dump(exclude_none=True, mode="python"))
        return PageOf[CameraEventOut](
            items=[CameraEventOut.model_validate(event) for event in found],
            page=page.page,
            page_size=page.page_size,
            total=None,
            next_cursor=more,
        )

    @router.get(
        "/{event_id}",
        summary="One event, with the push as it was received",
        responses={200: {"model": CameraEventDetailOut}},
        response_class=Response,
    )
    async def get_camera_event(event_id: UUID) -> Response:
        event, raw_push = await camera_events.get(event_id)
        document = CameraEventOut.model_validate(event).model_dump(mode="json")
        document["pushed_picture"] = asdict(event.pushed_picture)
        document["picture"] = asdict(event.picture) if event.picture is not None else None
        # The standard library's writer: a push may contain numbers that orjson does not write.
        document["report"] = json.loads(raw_push) if raw_push is not None else None
        return Response(json.dumps(document), media_type="application/json")

    @router.get(
        "/{event_id}/image",
        summary="The picture that was published with the event, or the pushed one",
        responses=_PICTURE,
        response_class=Response,
    )
    async def get_camera_event_image(
        event_id: UUID,
        which: Annotated[
            Literal["dispatched", "pushed"], Query(description="`pushed`: the picture in the push")
        ] = "dispatched",
    ) -> Response:
        picture = await camera_events.picture(event_id, is_pushed=which == "pushed")
        await blobs.stat(picture.key)
        return StreamingResponse(
            blobs.stream(picture.key),
            media_type=picture.content_type,
            headers={"Content-Length": str(picture.size_bytes), "Cache-Control": "private, max-age=3600"},
        )

    del list_camera_events, get_camera_event, get_camera_event_image
    return router
