"""The routes. All of them ask for `tickets:read`."""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Response
from pydantic import BaseModel

from kit.auth import require
from kit.clock import Clock
from kit.pagination import Page, PageOf, PageParams
from tickets.domain.tickets import ReviewStatus
from tickets.handlers.pictures import Image, Pictures
from tickets.handlers.read import Found, Read
from tickets.http.params import Id, Location, TicketWish, ignored_wish, slice_of, ticket_wish
from tickets.http.shapes import (
    CameraItem,
    IgnoredItem,
    LocationItem,
    ReviewItem,
    TicketDetail,
    TicketItem,
    camera_item,
    ignored_item,
    location_item,
    review_item,
    ticket_detail,
    ticket_item,
)
from tickets.store.lists import IgnoredFilter

T = TypeVar("T", bound=BaseModel)

_IMAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
# A header that says what is odd about a picture: its body has no room for it.
_NOTE_HEADER = "X-Image-Note"


def add_routes(app: FastAPI, *, read: Read, pictures: Pictures, clock: Clock) -> None:
    """Serve tickets, reviews, ignored triggers and what stands where."""
    guard = [Depends(require("tickets:read"))]
    router = APIRouter(prefix="/api/v1", dependencies=guard)
    _add_tickets(router, read, pictures, clock)
    _add_reviews(router, read, pictures)
    _add_ignored(router, read, pictures)
    _add_site(router, read, clock)
    app.include_router(router)


def _add_tickets(router: APIRouter, read: Read, pictures: Pictures, clock: Clock) -> None:
    tags: list[str | Enum] = ["tickets"]

    @router.get("/tickets", tags=tags, summary="Tickets, filtered, sorted, in pages")
    async def list_tickets(
        wish: Annotated[TicketWish, Depends(ticket_wish)], page: PageParams
    ) -> PageOf[TicketItem]:
        found = await read.tickets(
            wish.wanted, slice_of(page), sort_by=wish.sort_by, is_descending=wish.is_descending
        )
        now = clock.now()
        return _page(page, found, [ticket_item(ticket, now) for ticket in found.items])

    @router.get("/tickets/{ticket_id}", tags=tags, summary="One ticket")
    async def get_ticket(ticket_id: Id) -> TicketDetail:
        return ticket_detail(await read.ticket(ticket_id), clock.now())

    @router.get("/tickets/{ticket_id}/image", tags=tags, summary="The entry snapshot", **_image_route())
    async def get_image(ticket_id: Id) -> Response:
        return _image(await pictures.entry(ticket_id))

    @router.get(
        "/tickets/{ticket_id}/exit-image",
        tags=tags,
        summary="The exit picture, the spot outlined in red",
        **_image_route(),
    )
    async def get_exit_image(ticket_id: Id) -> Response:
        return _image(await pictures.exit(ticket_id))

    @router.get("/tickets/{ticket_id}/plate-image", tags=tags, summary="The plate, cut out", **_image_route())
    async def get_plate_image(ticket_id: Id) -> Response:
        return _image(await pictures.plate(ticket_id))

    del list_tickets, get_ticket, get_image, get_exit_image, get_plate_image


def _add_reviews(router: APIRouter, read: Read, pictures: Pictures) -> None:
    tags: list[str | Enum] = ["manual reviews"]

    @router.get("/manual-reviews", tags=tags, summary="Plates that a person has to look at")
    async def list_reviews(
        page: PageParams, status: Annotated[ReviewStatus, Query()] = ReviewStatus.PENDING
    ) -> PageOf[ReviewItem]:
        found = await read.reviews(status, slice_of(page))
        return _page(page, found, [review_item(review, ticket) for review, ticket in found.items])

    @router.get("/manual-reviews/{review_id}", tags=tags, summary="One review")
    async def get_review(review_id: Id) -> ReviewItem:
        return review_item(*await read.review(review_id))

    @router.get("/manual-reviews/{review_id}/image", tags=tags, summary="Its snapshot", **_image_route())
    async def get_review_image(review_id: Id) -> Response:
        return _image(await pictures.review(review_id))

    @router.get(
        "/manual-reviews/{review_id}/plate-image", tags=tags, summary="Its plate, cut out", **_image_route()
    )
    async def get_review_plate(review_id: Id) -> Response:
        return _image(await pictures.review_plate(review_id))

    del list_reviews, get_review, get_review_image, get_review_plate


def _add_ignored(router: APIRouter, read: Read, pictures: Pictures) -> None:
    tags: list[str | Enum] = ["ignored triggers"]

    @router.get("/ignored-triggers", tags=tags, summary="Entries and exits that changed nothing, and why")
    async def list_ignored(
        wanted: Annotated[IgnoredFilter, Depends(ignored_wish)], page: PageParams
    ) -> PageOf[IgnoredItem]:
        found = await read.ignored(wanted, slice_of(page))
        return _page(page, found, [ignored_item(row) for row in found.items])

    @router.get("/ignored-triggers/{trigger_id}", tags=tags, summary="One of them")
    async def get_ignored(trigger_id: Id) -> IgnoredItem:
        return ignored_item(await read.ignored_trigger(trigger_id))

    @router.get("/ignored-triggers/{trigger_id}/image", tags=tags, summary="Its picture", **_image_route())
    async def get_ignored_image(trigger_id: Id) -> Response:
        return _image(await pictures.ignored(trigger_id))

    del list_ignored, get_ignored, get_ignored_image


def _add_site(router: APIRouter, read: Read, clock: Clock) -> None:
    tags: list[str | Enum] = ["occupancy"]

    async def occupancy(location: str | None, page: Page) -> PageOf[CameraItem]:
        found = await read.occupancy(location, slice_of(page))
        now = clock.now()
        return _page(page, found, [camera_item(camera, now) for camera in found.items])

    @router.get("/camera-occupancy", tags=tags, summary="Cameras with their occupied spots")
    async def all_occupancy(page: PageParams) -> PageOf[CameraItem]:
        return await occupancy(None, page)

    @router.get(
        "/camera-occupancy/{location}", tags=tags, summary="The same of one location, by number or code"
    )
    async def location_occupancy(location: Location, page: PageParams) -> PageOf[CameraItem]:
        return await occupancy(location, page)

    @router.get("/location-stats", tags=tags, summary="Locations in numbers")
    async def location_stats() -> list[LocationItem]:
        return [location_item(counts) for counts in await read.location_counts()]

    del all_occupancy, location_occupancy, location_stats


def _page(page: Page, found: Found[Any], items: Sequence[T]) -> PageOf[T]:
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
