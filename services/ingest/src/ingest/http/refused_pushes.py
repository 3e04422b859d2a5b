"""Pushes that were refused to their sender, for users."""

from datetime import datetime

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ingest.domain.push_access import RefusalReason
from ingest.handlers.admit_push import AdmitPush
from kit.auth import require
from kit.pagination import PageOf, PageParams

_DESCRIPTION = """\
By parking area, address and reason, the latest first; not the first request of HTTP Digest, which has no credentials.
Since the start of the process: with several replicas of ingest each lists its own."""


class RefusedPushesOut(BaseModel):
    """Pushes that were refused for one reason."""

    model_config = ConfigDict(from_attributes=True)

    parking_area: str
    camera_id: int | None = Field(description="null: no such camera is registered")
    address: str
    reason: RefusalReason
    count: int
    first_at: datetime
    last_at: datetime


def refused_push_routes(admit: AdmitPush) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/api/v1", tags=["parking pushes"])

    @router.get(
        "/refused-pushes",
        summary="Pushes that were refused to their sender",
        description=_DESCRIPTION,
        dependencies=[Depends(require("site:read"))],
    )
    async def list_refused_pushes(page: PageParams) -> PageOf[RefusedPushesOut]:
        found = admit.refused()
        shown = found[page.offset : page.offset + page.page_size]
        return PageOf(
            items=[RefusedPushesOut.model_validate(one) for one in shown],
            page=page.page,
            page_size=page.page_size,
            total=len(found),
            next_cursor=None,
        )

    del list_refused_pushes
    return router
