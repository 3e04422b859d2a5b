"""`POST /api/v1/post`: the cameras' push. Public: cameras sign nothing."""

import asyncio
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from ingest.domain.parking_push import FIELDS
from ingest.domain.preferences import Preferences, parse_prefer
from ingest.handlers.accept_parking_push import Accepted, AcceptParkingPush
from ingest.handlers.outcome_waiters import OutcomeDocument, OutcomeWaiters
from ingest.http.byte_budget import ByteBudget
from ingest.settings import ParkingPushSettings
from kit.errors import Invalid, LookoutError, UnsupportedMedia
from kit.metrics import Metrics

POST_PATH = "/api/v1/post"
_EVENTS_PATH = "/api/v1/camera-events"
_ACCEPTED_STATUS = 202

_DESCRIPTION = """\
A camera reports that a vehicle came to a spot or left it. Every field is required; numbers may be strings.
Durable before the 2xx; a repeat of the same event gets the first answer and `Lookout-Duplicate: true`.

`Prefer: wait=N` (RFC 7240) answers with what the event came to, when that is known within N seconds:
`status` is then `opened`, `reopened`, `closed`, `ignored` or `still_occupied`, and else `accepted`.
With `respond-async` an answer without the outcome is a 202."""

_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "example": "wait=10",
    "description": "RFC 7240: `wait=N` and `respond-async`",
}

_OPENAPI = {
    "parameters": [_PREFER],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": list(FIELDS),
                    "properties": {
                        name: {"type": "string"}
                        if name in {"event", "device", "report_type", "parking_area", "time", "snapshot"}
                        else {"type": "number"}
                        for name in FIELDS
                    },
                }
            }
        },
    },
}


def post_routes(
    accept: AcceptParkingPush, board: OutcomeWaiters, settings: ParkingPushSettings, metrics: Metrics
) -> APIRouter:
    """The route, with the memory that all its calls share."""
    router = APIRouter(tags=["reports"])
    budget = ByteBudget(settings.max_bytes_in_hand, timeout_s=settings.admission_timeout_s)
    accepted_total = metrics.counter("reports_accepted_total", "reports accepted", ("purpose",))
    repeats_total = metrics.counter("reports_repeated_total", "reports that were here before")
    refused_total = metrics.counter("reports_refused_total", "reports refused", ("code",))

    @router.post(
        POST_PATH,
        summary="A camera's report",
        description=_DESCRIPTION,
        responses={_ACCEPTED_STATUS: {"description": "Accepted; `respond-async` was asked for"}},
        openapi_extra=_OPENAPI,
    )
    async def post(request: Request) -> Response:
        try:
            async with budget.hold(_declared_bytes(request, settings.max_body_bytes)):
                accepted = await accept(await _read_body(request, settings.body_timeout_s))
        except LookoutError as error:
            refused_total.labels(error.code).inc()
            raise
        if accepted.is_repeat:
            repeats_total.inc()
        else:
            accepted_total.labels(accepted.purpose.value).inc()
        return await _answer(accepted, parse_prefer(request.headers.getlist("prefer")), board, settings)

    del post
    return router


def _declared_bytes(request: Request, max_body_bytes: int) -> int:
    declared = request.headers.get("content-length", "")
    return min(int(declared), max_body_bytes) if declared.isdecimal() else max_body_bytes


async def _read_body(request: Request, timeout_s: float) -> bytes:
    """All of it; its size is limited by the app."""
    if request.headers.get("content-encoding", "identity").lower() not in {"", "identity"}:
        raise UnsupportedMedia("a report comes without Content-Encoding", code="encoded_body")
    try:
        async with asyncio.timeout(timeout_s):
            return await request.body()
    except TimeoutError as error:
        raise Invalid("the report did not arrive in time", code="body_too_slow", status=408) from error


async def _answer(
    accepted: Accepted, preferences: Preferences, board: OutcomeWaiters, settings: ParkingPushSettings
) -> Response:
    outcome, applied = await _outcome(accepted, preferences, board, settings)
    is_async = preferences.respond_async and outcome is None
    headers = {"Location": f"{_EVENTS_PATH}/{accepted.event_id}"}
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
    accepted: Accepted, preferences: Preferences, board: OutcomeWaiters, settings: ParkingPushSettings
) -> tuple[OutcomeDocument | None, list[str]]:
    wait_s = min(preferences.wait_s or 0, settings.max_wait_s)
    if preferences.wait_s is None or wait_s == 0 or not board.has_room:
        return None, []
    return await board.wait(accepted.event_id, wait_s), [f"wait={wait_s}"]


def _document(accepted: Accepted) -> dict[str, Any]:
    return {
        "status": "accepted",
        "event_id": str(accepted.event_id),
        "purpose": accepted.purpose.value,
        "camera_id": accepted.camera_id,
        "spot_number": accepted.spot_number,
        "captured_at": accepted.captured_at.isoformat(),
        "received_at": accepted.received_at.isoformat(),
        "clock_state": accepted.clock_state,
    }
