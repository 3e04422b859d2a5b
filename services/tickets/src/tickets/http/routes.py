"""The routes. All of them require the permission `tickets:read`."""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Response
from pydantic import BaseModel

from kit.auth import require
from kit.clock import Clock
from kit.pagination import Page, PageOf, PageParams
from tickets.domain.lists import IgnoredTriggerFilter, ListPage
from tickets.domain.tickets import ReviewStatus
from tickets.handlers.fetch_pictures import FetchPictures, Image
from tickets.handlers.queries import Queries
from tickets.http.params import Id, Location, TicketQuery, ignored_trigger_query, slice_of, ticket_query
from tickets.http.schemas import (
    CameraOccupancyOut,
    IgnoredTriggerOut,
    LocationStatsOut,
    ReviewOut,
    TicketDetailOut,
    TicketOut,
    camera_occupancy_out,
    ignored_trigger_out,
    location_stats_out,
    review_out,
    ticket_detail_out,
    ticket_out,
)

T = TypeVar("T", bound=BaseModel)

_IMAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
# Says why a picture is not as expected; its body cannot.
_NOTE_HEADER = "X-Image-Note"


def add_routes(app: FastAPI, *, queries: Queries, pictures: FetchPictures, clock: Clock) -> None:
    """Add the routes of tickets, reviews, ignored triggers and occupancy."""
    guard = [Depends(require("tickets:read"))]
    router = APIRouter(prefix="/api/v1", dependencies=guard)
    _add_tickets(router, queries, pictures, clock)
    _add_reviews(router, queries, pictures)
    _add_ignored(router, queries, pictures)
    _add_site(router, queries, clock)
    app.include_router(router)


def _add_tickets(router: APIRouter, queries: Queries, pictures: FetchPictures, clock: Clock) -> None:
    tags: list[str | Enum] = ["tickets"]

    @router.get("/tickets", tags=tags, summary="Tickets, filtered, sorted, in pages")
    async def list_tickets(
        query: Annotated[TicketQuery, Depends(ticket_query)], page: PageParams
    ) -> PageOf[TicketOut]:
        found = await queries.tickets(
            query.wanted, slice_of(page), sort_by=query.sort_by, is_descending=query.is_descending
        )
        now = clock.now()
        return _page(page, found, [ticket_out(ticket, now) for ticket in found.items])

    @router.get("/tickets/{ticket_id}", tags=tags, summary="One ticket")
    async def get_ticket(ticket_id: Id) -> TicketDetailOut:
        return ticket_detail_out(await queries.ticket(ticket_id), clock.now())

    @router.get("/tickets/{ticket_id}/image", tags=tags, summary="The entry snapshot", **_image_route())
    async def get_ticket_image(ticket_id: Id) -> Response:
        return _image(await pictures.entry(ticket_id))

    @router.get(
        "/tickets/{ticket_id}/exit-image",
        tags=tags,
        summary="The exit picture, the spot outlined in red",
        **_image_route(),
    )
    async def get_ticket_exit_image(ticket_id: Id) -> Response:
        return _image(await pictures.exit(ticket_id))

    @router.get("/tickets/{ticket_id}/plate-image", tags=tags, summary="The plate, cut out", **_image_route())
    async def get_ticket_plate_image(ticket_id: Id) -> Response:
        return _image(await pictures.plate(ticket_id))

    del list_tickets, get_ticket, get_ticket_image, get_ticket_exit_image, get_ticket_plate_image


def _add_reviews(router: APIRouter, queries: Queries, pictures: FetchPictures) -> None:
    tags: list[str | Enum] = ["manual reviews"]

    @router.get("/manual-reviews", tags=tags, summary="Plates that a person has to read")
    async def list_manual_reviews(
        page: PageParams, status: Annotated[ReviewStatus, Query()] = ReviewStatus.PENDING
    ) -> PageOf[ReviewOut]:
        found = await queries.reviews(status, slice_of(page))
        return _page(page, found, [review_out(review, ticket) for review, ticket in found.items])

    @router.get("/manual-reviews/{review_id}", tags=tags, summary="One review")
    async def get_manual_review(review_id: Id) -> ReviewOut:
        return review_out(*await queries.review(review_id))

    @router.get("/manual-reviews/{review_id}/image", tags=tags, summary="Its snapshot", **_image_route())
    async def get_manual_review_image(review_id: Id) -> Response:
        return _image(await pictures.review(review_id))

    @router.get(
        "/manual-reviews/{review_id}/plate-image", tags=tags, summary="Its plate, cut out", **_image_route()
    )
    async def get_manual_review_plate_image(review_id: Id) -> Response:
        return _image(await pictures.review_plate(review_id))

    del list_manual_reviews, get_manual_review, get_manual_review_image, get_manual_review_plate_image


def _add_ignored(router: APIRouter, queries: Queries, pictures: FetchPictures) -> None:
    tags: list[str | Enum] = ["ignored triggers"]

    @router.get("/ignored-triggers", tags=tags, summary="Entries and exits that changed no ticket, and why")
    async def list_ignored_triggers(
        wanted: Annotated[IgnoredTriggerFilter, Depends(ignored_trigger_query)], page: PageParams
    ) -> PageOf[IgnoredTriggerOut]:
        found = await queries.ignored(wanted, slice_of(page))
        return _page(page, found, [ignored_trigger_out(row) for row in found.items])

    @router.get("/ignored-triggers/{trigger_id}", tags=tags, summary="One of them")
    async def get_ignored_trigger(trigger_id: Id) -> IgnoredTriggerOut:
        return ignored_trigger_out(await queries.ignored_trigger(trigger_id))

    @router.get("/ignored-triggers/{trigger_id}/image", tags=tags, summary="Its picture", **_image_route())
    async def get_ignored_trigger_image(trigger_id: Id) -> Response:
        return _image(await pictures.ignored(trigger_id))

    del list_ignored_triggers, get_ignored_trigger, get_ignored_trigger_image


def _add_site(router: APIRouter, queries: Queries, clock: Clock) -> None:
    tags: list[str | Enum] = ["occupancy"]

    async def occupancy(location: str | None, page: Page) -> PageOf[CameraOccupancyOut]:
        found = await queries.occupancy(location, slice_of(page))
        now = clock.now()
        return _page(page, found, [camera_occupancy_out(camera, now) for camera in found.items])

    @router.get("/camera-occupancy", tags=tags, summary="Cameras with their occupied spots")
    async def list_camera_occupancy(page: PageParams) -> PageOf[CameraOccupancyOut]:
        return await occupancy(None, page)

    @router.get(
        "/camera-occupancy/{location}", tags=tags, summary="The same of one location, by number or code"
    )
    async def list_location_occupancy(location: Location, page: PageParams) -> PageOf[CameraOccupancyOut]:
        return await occupancy(location, page)

    @router.get("/location-stats", tags=tags, summary="Locations in numbers")
    async def list_location_stats() -> list[LocationStatsOut]:
        return [location_stats_out(counts) for counts in await queries.location_counts()]

    del list_camera_occupancy, list_location_occupancy, list_location_stats


def _page(page: Page, found: ListPage[Any], items: Sequence[T]) -> PageOf[T]:
    return PageOf(
        items=list(items),
        page=page.page,
        page_size=page.page_size,
        total=found.total,
        next_cursor=found.next_cursor,
    )


def _image_route() -> dict[str, Any]:
    return {"response_class": Response, "responses": _IMAGE}


def _image(image: Image) -> Response:
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache"}
    if image.note:
        headers[_NOTE_HEADER] = image.note
    return Response(image.content, media_type=image.content_type, headers=headers)
