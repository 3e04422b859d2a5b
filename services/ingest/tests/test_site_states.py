"""The status of cameras and spots: what is observed, on the running service."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from kit.bus import Event
from lookout.common.v1 import common_pb2
from lookout.parking.v1 import parking_pb2
from testkit import CameraMode, HttpCamera, eventually

from .conftest import Ingest, Starter

AT = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
OCCUPIED, FREE = parking_pb2.SPOT_STATUS_OCCUPIED, parking_pb2.SPOT_STATUS_FREE
NO_COUNTS = {"total": 0, "occupied": 0, "free": 0, "unknown": 0}


def said(camera_id: int, spot: int, status: Any, *, minute: int, decided: int) -> Event:
    """What tickets publishes of a spot."""
    message = parking_pb2.TriggerDecided(
        frame_id=str(uuid4()),
        outcome=parking_pb2.TRIGGER_OUTCOME_OPENED,
        camera=common_pb2.CameraRef(camera_id=camera_id),
        spot_ref=common_pb2.SpotRef(spot_number=spot),
        spot_status=status,
    )
    if status:
        message.spot_status_at.FromDatetime(AT + timedelta(minutes=minute))
    message.decided_at.FromDatetime(AT + timedelta(minutes=decided))
    return Event.of(
        message,
        scope=("NAD", "95"),
        partition_key=f"camera:{camera_id}",
        app_id="tickets",
        occurred_at=AT,
        correlation_id=message.frame_id,
    )


async def get(ingest: Ingest, path: str) -> Any:
    answer = await ingest.client.get(f"/api/v1/{path}", headers=ingest.admin)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_spot_is_what_tickets_said_last(ingest: Ingest) -> None:
    camera = await ingest.make_camera(spots=3, number_of_parking=5)
    here = camera["id"]

    async def spots() -> list[tuple[Any, ...]]:
        items = (await get(ingest, f"cameras/{here}/spots"))["items"]
        return [(spot["status"], spot["occupancy"], spot["occupancy_at"]) for spot in items]

    unknown = (0, "UNKNOWN", None)
    assert await spots() == [unknown] * 3
    for event in (
        said(here, 1, OCCUPIED, minute=1, decided=1),
        said(here, 2, FREE, minute=9, decided=9),
        said(here, 2, OCCUPIED, minute=5, decided=5),  # overtaken by the one before
        said(here, 3, parking_pb2.SPOT_STATUS_UNSPECIFIED, minute=0, decided=10),  # of an older tickets
        said(here, 99, OCCUPIED, minute=2, decided=2),  # not registered
        said(here + 1, 1, OCCUPIED, minute=2, decided=2),
    ):
        await ingest.bus.publish(event)
    expected = [(1, "OCCUPIED", "2026-03-14T08:01:00Z"), (0, "FREE", "2026-03-14T08:09:00Z"), unknown]

    async def is_as_expected() -> bool:
        return await spots() == expected

    assert await eventually(is_as_expected)
    counts = {"total": 5, "occupied": 1, "free": 1, "unknown": 3}
    assert (await get(ingest, f"cameras/{here}"))["spot_counts"] == counts
    other = await ingest.make_camera(api_code="96", spots=0, number_of_parking=2)
    assert other["spot_counts"] == {"total": 2, "occupied": 0, "free": 0, "unknown": 2}
    (location,) = (await get(ingest, "locations"))["items"]
    assert location["spot_counts"] == {"total": 7, "occupied": 1, "free": 1, "unknown": 5}
    assert [one["spot_number"] for one in (await get(ingest, "spots?occupancy=FREE"))["items"]] == [2]
    assert [one["spot_number"] for one in (await get(ingest, "spots?status=1"))["items"]] == [1]


async def test_nobody_can_write_what_is_observed(sqlite_ingest: Ingest) -> None:
    ingest = sqlite_ingest
    await ingest.make_camera()
    (spot,) = (await get(ingest, "spots"))["items"]
    for method, body in [("PATCH", {"status": 1}), ("PUT", {**spot, "status": 1, "occupancy": "OCCUPIED"})]:
        answer = await ingest.client.request(
            method, f"/api/v1/spots/{spot['id']}", json=body, headers=ingest.admin
        )
        assert (answer.status_code, answer.json()["status"]) == (200, 0)
    assert (await get(ingest, f"spots/{spot['id']}"))["occupancy"] == "UNKNOWN"


async def test_a_camera_is_online_by_its_pushes(ingest: Ingest) -> None:
    made = await ingest.make_camera()
    await ingest.make_camera(api_code="96")

    async def camera() -> tuple[Any, ...]:
        read = await get(ingest, f"cameras/{made['id']}")
        return read["status"], read["status_reason"], read["last_push_at"]

    assert (made["status"], made["status_reason"], made["spot_counts"]) == (
        "OFFLINE",
        "NEVER_SEEN",
        NO_COUNTS,
    )
    assert (await ingest.post()).status_code == 200
    pushed_at = ingest.clock.now().isoformat().replace("+00:00", "Z")
    assert await camera() == ("ONLINE", "PUSHED", pushed_at)
    assert [one["id"] for one in (await get(ingest, "cameras?status=ONLINE"))["items"]] == [made["id"]]
    offline = await get(ingest, "cameras?status=OFFLINE&search=Cam")
    assert ([one["api_code"] for one in offline["items"]], offline["total"]) == (["96"], 1)
    ingest.clock.advance(24 * 3600 + 1)
    assert await camera() == ("OFFLINE", "SILENT", pushed_at)


async def test_a_camera_is_called_to_see_that_it_works(
    start_ingest: Starter, any_database: str, http_camera: HttpCamera
) -> None:
    ingest: Ingest = await start_ingest(
        any_database,
        devices={"is_loopback_allowed": True},
        health={"check_interval_s": 0.1, "note_interval_s": 0},
    )
    made = await ingest.make_camera(p_ip=http_camera.address)
    disabled = await ingest.make_camera(api_code="96", p_ip=http_camera.address, is_enabled=False)

    async def is_now(status: str, reason: str) -> Any:
        read = await get(ingest, f"cameras/{made['id']}")
        ingest.clock.advance(1)
        return read if (read["status"], read["status_reason"]) == (status, reason) else None

    read = await eventually(lambda: is_now("ONLINE", "ANSWERED"))
    assert (read["last_failure"], read["last_push_at"]) == ("", None)
    http_camera.mode = CameraMode.ERROR
    read = await eventually(lambda: is_now("OFFLINE", "NO_ANSWER"))
    assert read["last_failure"] == "camera_failed"
    assert read["last_failure_at"] > read["last_answer_at"]
    http_camera.mode = CameraMode.OK
    read = await eventually(lambda: is_now("ONLINE", "ANSWERED"))
    assert read["last_failure"] == "camera_failed"
    never_called = await get(ingest, f"cameras/{disabled['id']}")
    assert (never_called["status_reason"], never_called["last_answer_at"]) == ("DISABLED", None)
    for camera in (made, disabled):
        for spot in (await get(ingest, f"cameras/{camera['id']}/spots"))["items"]:
            await ingest.client.delete(f"/api/v1/spots/{spot['id']}", headers=ingest.admin)
        deleted = await ingest.client.delete(f"/api/v1/cameras/{camera['id']}", headers=ingest.admin)
        assert deleted.status_code == 204, deleted.text


async def test_a_call_of_a_user_shows_that_a_camera_works(
    start_ingest: Starter, sqlite_url: str, http_camera: HttpCamera
) -> None:
    ingest: Ingest = await start_ingest(sqlite_url, devices={"is_loopback_allowed": True})
    made = await ingest.make_camera(p_ip=http_camera.address)
    frame = await ingest.client.get(f"/api/v1/cameras/{made['id']}/frame", headers=ingest.admin)
    assert frame.status_code == 200
    read = await get(ingest, f"cameras/{made['id']}")
    assert (read["status"], read["status_reason"]) == ("ONLINE", "ANSWERED")


@pytest.mark.parametrize(
    ("written", "is_enabled"),
    [
        ({"status": "OFFLINE"}, False),
        ({"status": "ONLINE"}, True),
        ({"is_enabled": False, "status": "ONLINE"}, False),
        ({"is_enabled": True, "status": "OFFLINE"}, True),
    ],
)
async def test_the_older_name_of_is_enabled_is_accepted(
    sqlite_ingest: Ingest, written: dict[str, Any], is_enabled: bool
) -> None:
    ingest = sqlite_ingest
    made = await ingest.make_camera(**written)
    assert made["is_enabled"] is is_enabled
    path = f"/api/v1/cameras/{made['id']}"
    changed = await ingest.client.patch(path, json={"is_enabled": not is_enabled}, headers=ingest.admin)
    assert changed.json()["is_enabled"] is not is_enabled
    back = await ingest.client.patch(path, json=written, headers=ingest.admin)
    assert back.json()["is_enabled"] is is_enabled
    assert (await ingest.client.patch(path, json={"name": "New"}, headers=ingest.admin)).json()[
        "is_enabled"
    ] is is_enabled


async def test_a_camera_that_is_offline_is_put_back_enabled(sqlite_ingest: Ingest) -> None:
    ingest = sqlite_ingest
    made = await ingest.make_camera()
    read = await get(ingest, f"cameras/{made['id']}")
    assert (read["status"], read["is_enabled"]) == ("OFFLINE", True)
    answer = await ingest.client.put(f"/api/v1/cameras/{made['id']}", json=read, headers=ingest.admin)
    assert (answer.status_code, answer.json()["is_enabled"]) == (200, True)
