"""`POST /api/v1/post`: cameras push parking events. Public: cameras cannot sign in."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_network
from typing import Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from ingest.domain.outcomes import Outcome, OutcomeDocument
from ingest.domain.parking_push import Purpose
from ingest.domain.preferences import Preferences, parse_prefer
from ingest.domain.push_access import SIGNATURE_HEADER, Network, PushCaller, is_in_networks
from ingest.handlers.accept_parking_push import Accepted, AcceptParkingPush
from ingest.handlers.admit_push import AdmitPush, PushRefused
from ingest.handlers.outcome_waiters import OutcomeWaiters
from ingest.http.push_schema import SECRET, push_openapi
from ingest.metrics import IngestMetrics
from ingest.settings import ParkingPushSettings
from kit.addresses import limit_key
from kit.body_budget import declared_bytes
from kit.byte_budget import ByteBudget
from kit.disk import DiskReserve
from kit.errors import Invalid, LookoutError, UnsupportedMedia
from kit.problems import problem_response
from kit.query import any_query

POST_PATH = "/api/v1/post"
POST_ALIASES = ("/post",)
"""Other paths of it at the gateway, which the `uri` of HTTP Digest names."""
_EVENTS_PATH = "/api/v1/camera-events"
_ACCEPTED_STATUS = 202

_DESCRIPTION = """\
A camera pushes that a vehicle entered a spot or left it. Every field is required; numbers may be strings.
The event is stored before the 2xx; a repeat of the same event gets the first answer and `Lookout-Duplicate: true`.

`Prefer: wait=N` (RFC 7240) answers with the outcome of the event if it is known within N seconds:
`status` is then `opened`, `reopened`, `closed`, `ignored` or `still_occupied`, otherwise `accepted`.
With `respond-async` an answer without the outcome is a 202."""


class PlateOut(BaseModel):
    """The plate of the ticket."""

    text: str
    code: str
    number: str
    city: str = Field(description="as operators name it, such as DXB")
    region: str
    confidence: float = Field(ge=0, le=1)


class PushOut(BaseModel):
    """What became of a push. What is below `clock_state` is there when the outcome is known in time."""

    status: Outcome
    event_id: UUID
    purpose: Purpose
    camera_id: int
    spot_number: int
    captured_at: datetime
    received_at: datetime
    clock_state: Literal["OK", "AHEAD", "BEHIND"]
    ticket_id: int | None = None
    review_id: int | None = Field(None, description="of the manual review, where a person has to look")
    reason: str | None = None
    plate: PlateOut | None = None
    decided_at: datetime | None = None


_EXAMPLE = {
    "status": "opened",
    "event_id": "01a21915-e55e-7182-a444-2228b8cc3bce",
    "purpose": "ENTRY",
    "camera_id": 1,
    "spot_number": 1,
    "captured_at": "2026-03-14T08:30:00+00:00",
    "received_at": "2026-03-14T08:30:01.250000+00:00",
    "clock_state": "OK",
    "ticket_id": 1,
    "review_id": None,
    "reason": None,
    "decided_at": "2026-03-14T08:30:01.400000+00:00",
    "plate": {
        "text": "D71026",
        "code": "D",
        "number": "71026",
        "city": "DXB",
        "region": "ae-du",
        "confidence": 0.98,
    },
}
_CONTENT = {"application/json": {"example": _EXAMPLE}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": PushOut, "description": "Accepted; `status` says what became of it", "content": _CONTENT},
    _ACCEPTED_STATUS: {"model": PushOut, "description": "Accepted, with `respond-async`"},
}


def post_routes(
    accept: AcceptParkingPush,
    admit: AdmitPush,
    waiters: OutcomeWaiters,
    settings: ParkingPushSettings,
    metrics: IngestMetrics,
    reserve: DiskReserve,
) -> APIRouter:
    """The route, with the memory limit that all its calls share."""
    router = APIRouter(tags=["parking pushes"])
    budget = ByteBudget(
        settings.max_buffered_bytes,
        timeout_s=settings.buffer_timeout_s,
        detail="too many pushes at the same time",
    )

    gateways = tuple(ip_network(network, strict=False) for network in settings.gateway_networks)

    @router.post(
        POST_PATH + "/{secret}",
        summary="A camera pushes a parking event, with its secret in the path",
        description="As `POST /api/v1/post`, for a camera with a `push_path_secret`.",
        responses=_ANSWERS,
        response_class=Response,
        openapi_extra=push_openapi(SECRET),
        dependencies=[Depends(any_query)],
        operation_id="push_parking_event_with_secret",
    )
    @router.post(
        POST_PATH,
        summary="A camera pushes a parking event",
        description=_DESCRIPTION,
        responses=_ANSWERS,
        response_class=Response,
        openapi_extra=push_openapi(),
        # The address is typed into cameras, and some firmware adds parameters; no event may be lost for that.
        dependencies=[Depends(any_query)],
    )
    async def push_parking_event(request: Request) -> Response:
        caller = _caller(request, gateways)
        try:
            reserve.check()
            declared = declared_bytes(request, settings.body_limit.max_bytes)
            admit.take_for_address(limit_key(caller.address), declared)
            async with budget.reserve(declared):
                body = await _read_body(request, settings.body_timeout_s)
                if not body:
                    raise admit.challenge()
                accepted = await accept(body, caller)
        except PushRefused as error:
            metrics.pushes_rejected.labels(error.code).inc()
            response = problem_response(error)
            for challenge in error.challenges:
                response.headers.append("WWW-Authenticate", challenge)
            return response
        except LookoutError as error:
            metrics.pushes_rejected.labels(error.code).inc()
            raise
        if accepted.is_repeat:
            metrics.pushes_repeated.inc()
        else:
            metrics.pushes_accepted.labels(accepted.event.purpose.value).inc()
        return await _answer(accepted, parse_prefer(request.headers.getlist("prefer")), waiters, settings)

    del push_parking_event
    return router


def _caller(request: Request, gateways: Sequence[Network]) -> PushCaller:
    secret: str = request.path_params.get("secret", "")
    suffix = f"/{secret}" if secret else ""
    address = request.client.host if request.client else ""
    if is_in_networks(address, gateways):
        # The gateway replaces what its client sent; the first address is the one that it trusts.
        address = request.headers.get("x-forwarded-for", address).partition(",")[0].strip()
    return PushCaller(
        address=address,
        method=request.method,
        uris=tuple(path + suffix for path in (POST_PATH, *POST_ALIASES)),
        authorization=request.headers.get("authorization", ""),
        path_secret=secret,
        signature=request.headers.get(SIGNATURE_HEADER, ""),
    )


async def _read_body(request: Request, timeout_s: float) -> bytes:
    """The whole body; the app limits its size."""
    if request.headers.get("content-encoding", "identity").lower() not in {"", "identity"}:
        raise UnsupportedMedia("a push must come without Content-Encoding", code="encoded_body")
    try:
        async with asyncio.timeout(timeout_s):
            return await request.body()
    except TimeoutError as error:
        raise Invalid("the body did not arrive in time", code="body_too_slow", status=408) from error


async def _answer(
    accepted: Accepted, preferences: Preferences, waiters: OutcomeWaiters, settings: ParkingPushSettings
) -> Response:
    outcome, applied = await _outcome(accepted, preferences, waiters, settings)
    is_async = preferences.respond_async and outcome is None
    headers = {"Location": f"{_EVENTS_PATH}/{accepted.event.event_id}"}
    if is_async:
        applied.insert(0, "respond-async")
    if applied:
        headers["Preference-Applied"] = ", ".join(applied)
    if accepted.is_repeat:
        headers["Lookout-Duplicate"] = "true"
    body = orjson.dumps(_document(accepted) | (outcome or {}))
    status = _ACCEPTED_STATUS if is_async else 200
    return Response(body, status, media_type="application/json", headers=headers)


async def _outcome(
    accepted: Accepted, preferences: Preferences, waiters: OutcomeWaiters, settings: ParkingPushSettings
) -> tuple[OutcomeDocument | None, list[str]]:
    """The outcome, and the preferences that were applied."""
    wait_s = min(preferences.wait_s or 0, settings.max_outcome_wait_s)
    if preferences.wait_s is None or wait_s == 0 or not waiters.has_room:
        return None, []
    return await waiters.wait(accepted.event.event_id, wait_s), [f"wait={wait_s}"]


def _document(accepted: Accepted) -> dict[str, Any]:
    event = accepted.event
    return {
        "status": "accepted",
        "event_id": str(event.event_id),
        "purpose": event.purpose.value,
        "camera_id": event.camera_id,
        "spot_number": event.spot_number,
        "captured_at": event.captured_at.isoformat(),
        "received_at": event.received_at.isoformat(),
        "clock_state": event.clock_state,
    }
