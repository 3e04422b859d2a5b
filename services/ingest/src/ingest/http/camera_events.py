"""What cameras reported and what came of it, for people."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, Field

from ingest.domain.outcomes import Outcome
from ingest.domain.parking_push import HIGHEST_SPOT_NUMBER, Purpose
from ingest.handlers.camera_events import CameraEvents
from ingest.http.registry_schemas import Filter, RowId
from kit.auth import require
from kit.blobs import BlobStore
from kit.pagination import PageOf, PageParams

_READ = [Depends(require("site:read"))]


class CameraEventFilter(Filter):
    """Which events."""

    camera_id: RowId | None = None
    location_id: RowId | None = None
    spot_number: int | None = Field(None, ge=1, le=HIGHEST_SPOT_NUMBER)
    purpose: Purpose | None = None
    state: Literal["PENDING", "DISPATCHED"] | None = None
    outcome: Outcome | None = None
    clock_state: Literal["OK", "AHEAD", "BEHIND"] | None = None
    received_start: AwareDatetime | None = Field(None, description="received at this instant or later")
    received_end: AwareDatetime | None = Field(None, description="received before this instant")


class CameraEventOut(BaseModel):
    """An event. `captured_at` is what the system goes by, `reported_time` what the camera's clock said."""

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
    state: str = Field(description="PENDING: waits for its turn or its picture; DISPATCHED: has gone out")
    dispatched_at: datetime | None
    picture_source: str
    picture_note: str
    outcome: Outcome
    outcome_document: dict[str, Any] | None
    decided_at: datetime | None


def camera_event_routes(camera_events: CameraEvents, blobs: BlobStore) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/v1/camera-events", tags=["reports"], dependencies=_READ)

    @router.get("", summary="What cameras reported, newest first")
    async def list_events(
        page: PageParams, wanted: Annotated[CameraEventFilter, Query()]
    ) -> PageOf[CameraEventOut]:
        rows, more = await camera_events.page(page, wanted.model_dump(exclude_none=True, mode="python"))
        return PageOf[CameraEventOut](
            items=[CameraEventOut.model_validate(row) for row in rows],
            page=page.page,
            page_size=page.page_size,
            total=None,
            next_cursor=more,
        )

    @router.get("/{event_id}", summary="One event, with the report as it came")
    async def read_event(event_id: UUID) -> Response:
        row = await camera_events.get(event_id)
        shown = CameraEventOut.model_validate(row).model_dump(mode="json")
        shown["pushed_picture"] = row["pushed_picture"]
        shown["picture"] = row["picture"]
        # The standard library's writer: a report may hold numbers that the fast one refuses.
        report = json.loads(row["raw_report"]) if row["raw_report"] is not None else None
        return Response(json.dumps(shown | {"report": report}), media_type="application/json")

    @router.get("/{event_id}/image", summary="The picture that went out with the event, or the pushed one")
    async def picture(
        event_id: UUID,
        which: Annotated[
            Literal["dispatched", "pushed"], Query(description="`pushed`: the one that came with the report")
        ] = "dispatched",
    ) -> Response:
        blob = await camera_events.picture(event_id, is_pushed=which == "pushed")
        await blobs.stat(blob["key"])
        return StreamingResponse(
            blobs.stream(blob["key"]),
            media_type=blob["content_type"],
            headers={"Content-Length": str(blob["size_bytes"]), "Cache-Control": "private, max-age=3600"},
        )

    del list_events, read_event, picture
    return router
