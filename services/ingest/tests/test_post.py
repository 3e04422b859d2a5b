import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ingest.domain.parking_push import FIELDS
from ingest.http.camera_events import CameraEventDetailOut
from ingest.http.parking_push import PushOut
from kit.size_limits import MAX_PICTURE_BYTES
from lookout.camera.v1 import camera_pb2
from lookout.common.v1 import common_pb2
from testkit import eventually
from testkit.pictures import bomb, error_page, noise, parking_push, solid, truncated

from .conftest import Ingest, Starter

EVENTS = "/api/v1/camera-events"


async def test_an_entry_is_durable_and_on_the_bus(ingest: Ingest) -> None:
    camera = await ingest.make_camera()
    picture = noise(30_000)
    answer = await ingest.post(picture=picture)
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "accepted"
    assert body["purpose"] == "ENTRY"
    assert body["camera_id"] == camera["id"]
    assert body["spot_number"] == 1
    assert body["captured_at"] == "2026-03-14T08:30:00+00:00"
    assert body["clock_state"] == "OK"
    assert "lookout-duplicate" not in answer.headers
    (row,) = await ingest.rows()
    assert str(row.event_id) == body["event_id"]
    assert row.state == "DISPATCHED"
    kept = json.loads(row.raw_report)
    assert kept["parking_area"] == "NAD95"
    assert "snapshot" not in kept
    (blob,) = ingest.blobs("snapshots")
    assert blob.read_bytes() == picture
    (event,) = await eventually(lambda: ingest.frames)
    assert event.routing_key == "camera.frame_captured.v1.NAD.95"
    assert event.partition_key == f"camera:{camera['id']}"
    assert str(event.message_id) == event.correlation_id == body["event_id"]
    assert event.traceparent
    assert event.traceparent.split("-")[1] == answer.headers["x-trace-id"]


async def test_the_event_is_complete(ingest: Ingest) -> None:
    camera = await ingest.make_camera()
    await ingest.post(picture=solid(640, 360))
    (frame,) = await ingest.sent()
    (row,) = await ingest.rows()
    assert frame.frame_id == str(row.event_id)
    assert frame.purpose == camera_pb2.PURPOSE_ENTRY
    assert (frame.location_code, frame.zone_code, frame.pole_code) == ("NAD", "Z1", "P1")
    assert (frame.camera_id, frame.camera_name, frame.camera_api_code) == (camera["id"], "Cam", "95")
    assert frame.time_zone == "Asia/Dubai"
    assert list(frame.regions) == ["ae"]
    assert frame.spot.spot_number == 1
    assert frame.spot.spot_id > 0
    # The registry's corners are the snapshot's pixels already; the camera's box is scaled from 1280 x 720.
    assert [(point.x, point.y) for point in frame.spot.polygon.points] == [
        (10, 5),
        (50, 5),
        (50, 40),
        (10, 40),
    ]
    box = frame.vehicle_box
    assert (box.x, box.y, box.width, box.height) == (195, 85, 250, 235)
    assert (frame.picture.width_px, frame.picture.height_px) == (640, 360)
    assert frame.picture.key == row.pushed_picture["key"]
    assert frame.picture.sha256 == row.pushed_picture["sha256"]
    assert frame.picture_source == camera_pb2.PICTURE_SOURCE_PUSHED
    assert frame.previous_state_duration.seconds == 600


async def test_an_empty_vehicle_box_is_absent_from_the_event(sqlite_ingest: Ingest) -> None:
    await sqlite_ingest.make_camera()
    empty: dict[str, Any] = {f"vehicle_frame_{axis}{n}": 0 for axis in "xy" for n in (1, 2)}
    await sqlite_ingest.post(**empty)
    (frame,) = await sqlite_ingest.sent()
    assert not frame.HasField("vehicle_box")


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "text/plain", "application/x-www-form-urlencoded", "x"]
)
async def test_cameras_send_any_content_type(sqlite_ingest: Ingest, content_type: Any) -> None:
    await sqlite_ingest.make_camera()
    headers = {"content-type": content_type} if content_type else {}
    answer = await sqlite_ingest.client.post(
        "/api/v1/post", content=json.dumps(parking_push()).encode(), headers=headers
    )
    assert answer.status_code == 200


async def expect_error(
    ingest: Ingest, code: Any, status: Any, *, fields: Any = None, **overrides: Any
) -> Any:
    answer = await ingest.post(**overrides)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert problem["trace_id"]
    if fields is not None:
        assert [error["field"] for error in problem["errors"]] == fields
    return problem


def coded(data: Any) -> Any:
    return base64.b64encode(data).decode()


async def test_a_jpeg_without_its_end_is_accepted(ingest: Ingest) -> None:
    """The camera does not send it again, and most of it can be read."""
    await ingest.make_camera()
    answer = await ingest.post(picture=truncated(noise(20_000), 0.99))
    assert answer.status_code == 200, answer.text
    (frame,) = await ingest.sent()
    assert frame.picture.content_type == "image/jpeg"


async def test_each_error_has_its_own_code_and_stores_nothing(ingest: Ingest) -> None:
    await ingest.make_camera()
    await expect_error(ingest, "missing_fields", 400, fields=["event", "duration"], event=None, duration=None)
    await expect_error(ingest, "snapshot_missing", 400, fields=["snapshot"], snapshot=None)
    await expect_error(ingest, "snapshot_missing", 400, fields=["snapshot"], snapshot="")
    await expect_error(ingest, "bad_base64", 400, fields=["snapshot"], snapshot="!!!!")
    await expect_error(ingest, "not_a_picture", 422, fields=["snapshot"], picture=error_page())
    await expect_error(ingest, "picture_truncated", 422, fields=["snapshot"], picture=solid()[:200])
    await expect_error(ingest, "picture_too_large_pixels", 413, fields=["snapshot"], picture=bomb())
    await expect_error(
        ingest,
        "picture_too_large_bytes",
        413,
        fields=["snapshot"],
        picture=noise(MAX_PICTURE_BYTES + 100_000),
    )
    await expect_error(ingest, "invalid_index_number", 422, fields=["index_number"], index_number="1e9")
    await expect_error(ingest, "invalid_parking_area", 422, fields=["parking_area"], parking_area="95-NAD")
    await expect_error(ingest, "unknown_location", 404, fields=["parking_area"], parking_area="ZZZ95")
    await expect_error(ingest, "unknown_camera", 404, fields=["parking_area"], parking_area="NAD96")
    await expect_error(ingest, "unknown_spot", 422, fields=["index_number"], index_number=7)
    await expect_error(ingest, "invalid_fields", 422, index_number="x", time="y")
    await expect_error(ingest, "report_too_large", 413, note="x" * 20_000)
    assert await ingest.rows() == []
    assert ingest.blobs() == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b" ", "invalid_json"),
        (b"[1]", "not_an_object"),
        (b'{"event":' + b"[" * 200_000, "invalid_json"),
        (b'{"event": "a", "event": "b"}', "duplicate_field"),
        (b"{}", "missing_fields"),
    ],
)
async def test_bodies_that_are_not_a_push(sqlite_ingest: Ingest, body: Any, code: Any) -> None:
    answer = await sqlite_ingest.client.post("/api/v1/post", content=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == code


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_body_over_the_limit_is_rejected(sqlite_ingest: Ingest, is_streamed: Any) -> None:
    async def stream() -> AsyncIterator[Any]:
        for _ in range(20):
            yield b" " * 1_048_576

    content = stream() if is_streamed else b" " * 20_971_520
    answer = await sqlite_ingest.client.post("/api/v1/post", content=content)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_encoded_body_is_rejected(sqlite_ingest: Ingest) -> None:
    answer = await sqlite_ingest.client.post(
        "/api/v1/post", content=b"x", headers={"Content-Encoding": "gzip"}
    )
    assert answer.status_code == 415


async def test_a_decompression_bomb_is_rejected_by_its_header(sqlite_ingest: Ingest) -> None:
    await sqlite_ingest.make_camera()
    answer = await sqlite_ingest.post(picture=bomb(50_000))
    assert (answer.status_code, answer.json()["code"]) == (413, "picture_too_large_pixels")


async def test_a_repeat_gets_the_first_answer_and_stores_nothing(ingest: Ingest) -> None:
    await ingest.make_camera()
    first = await ingest.post()
    ingest.clock.advance(30)
    again = await ingest.post(index_number=" 1 ", parking_area="nad 95")
    assert again.status_code == 200
    assert again.json() == first.json()
    assert again.headers["lookout-duplicate"] == "true"
    assert len(await ingest.rows()) == len(await ingest.outbox()) == len(ingest.blobs("snapshots")) == 1


async def test_a_repeat_is_known_after_a_restart(start_ingest: Starter, any_database: str) -> None:
    first_run = await start_ingest(any_database)
    await first_run.make_camera()
    first = await first_run.post()
    second_run = await start_ingest(any_database, name="2")
    again = await second_run.post()
    assert again.json() == first.json()
    assert again.headers["lookout-duplicate"] == "true"
    assert len(await second_run.rows()) == len(await second_run.outbox()) == 1
    assert second_run.blobs("snapshots") == []


@pytest.mark.parametrize("occupancy", [0, 1])
async def test_fifty_repeats_at_once_are_one_event(ingest: Ingest, occupancy: Any) -> None:
    await ingest.make_camera()
    answers = await asyncio.gather(*(ingest.post(occupancy=occupancy) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["event_id"] for answer in answers}) == 1
    assert sum("lookout-duplicate" not in answer.headers for answer in answers) == 1
    assert len(await eventually(ingest.outbox)) == 1
    assert len(await ingest.rows()) == len(await ingest.outbox()) == len(ingest.blobs("snapshots")) == 1


async def test_repeats_at_two_replicas_at_once_are_one_event(
    start_ingest: Starter, postgres_url: str
) -> None:
    one = await start_ingest(postgres_url, name="1")
    two = await start_ingest(postgres_url, name="2")
    await one.make_camera()
    answers = await asyncio.gather(*(replica.post() for replica in (one, two) * 20))
    assert len({answer.json()["event_id"] for answer in answers}) == 1
    assert sum("lookout-duplicate" not in answer.headers for answer in answers) == 1
    assert len(await one.rows()) == len(await one.outbox()) == 1
    assert len(one.blobs("snapshots")) + len(two.blobs("snapshots")) == 1


async def test_the_same_push_with_another_picture_is_another_event(sqlite_ingest: Ingest) -> None:
    await sqlite_ingest.make_camera()
    await sqlite_ingest.post(picture=noise(5000, seed=1))
    await sqlite_ingest.post(picture=noise(5000, seed=2))
    assert len(await sqlite_ingest.rows()) == 2


async def test_an_event_with_a_wrong_clock_is_kept(ingest: Ingest) -> None:
    await ingest.make_camera()
    ahead = await ingest.post(time="2036-03-14 12:30:00")
    behind = await ingest.post(time="1970-01-01 00:00:05")
    for answer, state in ((ahead, "AHEAD"), (behind, "BEHIND")):
        assert answer.status_code == 200
        assert answer.json()["clock_state"] == state
        assert answer.json()["captured_at"] == answer.json()["received_at"]
        event = await ingest.client.get(f"{EVENTS}/{answer.json()['event_id']}", headers=ingest.admin)
        assert abs(event.json()["clock_skew_s"]) > 86_400 * 365
    assert (await ingest.rows())[0].reported_time == "2036-03-14T12:30:00"
    events = await eventually(lambda: ingest.frames if len(ingest.frames) == 2 else None)
    frames = [event.parse(camera_pb2.FrameCaptured) for event in events]
    assert [frame.clock_state for frame in frames] == [
        camera_pb2.CLOCK_STATE_AHEAD,
        camera_pb2.CLOCK_STATE_BEHIND,
    ]
    assert frames[0].clock_skew.seconds > 86_400 * 365
    assert frames[1].clock_skew.seconds < -86_400 * 365


async def test_a_frame_names_its_camera_and_spot_in_one_place_and_in_the_old_fields(ingest: Ingest) -> None:
    camera = await ingest.make_camera()
    await ingest.post()
    (event,) = await eventually(lambda: ingest.frames)
    frame = event.parse(camera_pb2.FrameCaptured)
    assert frame.camera == common_pb2.CameraRef(
        camera_id=camera["id"],
        name=frame.camera_name,
        api_code=frame.camera_api_code,
        location_id=frame.location_id,
        location_code=frame.location_code,
        zone_id=frame.zone_id,
        zone_code=frame.zone_code,
        pole_id=frame.pole_id,
        pole_code=frame.pole_code,
        time_zone="Asia/Dubai",
    )
    assert frame.camera_id == camera["id"]
    assert frame.spot_ref == common_pb2.SpotRef(
        spot_id=frame.spot.spot_id, spot_number=frame.spot.spot_number
    )
    assert frame.clock_state == camera_pb2.CLOCK_STATE_OK


async def test_spots_are_learned_from_pushes_until_an_operator_draws_one(ingest: Ingest) -> None:
    camera = await ingest.make_camera(spots=0, number_of_parking=3)
    spots = f"/api/v1/cameras/{camera['id']}/spots"
    assert (await ingest.post(picture=solid(640, 360))).status_code == 200
    (spot,) = (await ingest.client.get(spots, headers=ingest.admin)).json()["items"]
    assert spot["origin"] == "CAMERA"
    assert (spot["p1_x"], spot["p3_y"]) == (170, 340)
    assert (await ingest.post(index_number=2)).status_code == 200
    await expect_error(ingest, "unknown_spot", 422, index_number=4)
    # Redrawn in the camera: the spot follows, under the same id.
    await ingest.post(picture=solid(640, 360), coordinate_x1=300)
    first = (await ingest.client.get(spots, headers=ingest.admin)).json()["items"][0]
    assert (first["id"], first["p1_x"]) == (spot["id"], 150)
    as_it_is = {"spot_number": 1, "p1_x": first["p1_x"]}
    changed = await ingest.client.patch(f"/api/v1/spots/{spot['id']}", json=as_it_is, headers=ingest.admin)
    assert changed.json()["origin"] == "CAMERA"  # such as a GET and PUT that changes something else
    changed = await ingest.client.patch(f"/api/v1/spots/{spot['id']}", json={"p1_x": 5}, headers=ingest.admin)
    assert changed.json()["origin"] == "OPERATOR"
    await ingest.post(occupancy=1, duration=9)
    assert (await ingest.sent())[-1].spot.polygon.points[0].x == 5
    await expect_error(ingest, "unknown_spot", 422, index_number=3)


async def test_the_first_pushes_of_a_new_camera_may_arrive_concurrently(ingest: Ingest) -> None:
    await ingest.make_camera(spots=0)
    answers = await asyncio.gather(*(ingest.post(duration=n) for n in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({frame.spot.spot_id for frame in await ingest.sent()}) == 1


async def test_the_camera_cache_is_cleared_after_a_change(sqlite_ingest: Ingest) -> None:
    camera = await sqlite_ingest.make_camera()
    await sqlite_ingest.post(duration=1)
    await sqlite_ingest.client.patch(
        f"/api/v1/cameras/{camera['id']}", json={"name": "New name"}, headers=sqlite_ingest.admin
    )
    await sqlite_ingest.post(duration=2)
    assert [frame.camera_name for frame in await sqlite_ingest.sent()] == ["Cam", "New name"]


async def test_another_replica_sees_a_change_after_the_cache_has_run_out(
    start_ingest: Starter, any_database: str
) -> None:
    one = await start_ingest(any_database, name="1")
    two = await start_ingest(any_database, name="2", clock=one.clock)
    camera = await one.make_camera()
    await two.post(duration=1)
    await one.client.patch(f"/api/v1/cameras/{camera['id']}", json={"name": "New name"}, headers=one.admin)
    one.clock.advance(one.settings.push.registry_cache_ttl_s + 0.1)
    await two.post(duration=2)
    assert [frame.camera_name for frame in await two.sent()] == ["Cam", "New name"]


async def test_events_can_be_listed_and_read(ingest: Ingest) -> None:
    camera = await ingest.make_camera(spots=2)
    for number in range(5):
        ingest.clock.advance(60)
        await ingest.post(duration=number, index_number=1 + number % 2)
    page = (await ingest.client.get(f"{EVENTS}?page_size=2", headers=ingest.admin)).json()
    seen = page["items"]
    while page["next_cursor"]:
        page = (
            await ingest.client.get(
                f"{EVENTS}?page_size=2&cursor={page['next_cursor']}", headers=ingest.admin
            )
        ).json()
        seen += page["items"]
    assert len({event["event_id"] for event in seen}) == 5
    assert [event["received_at"] for event in seen] == sorted((e["received_at"] for e in seen), reverse=True)
    assert "raw_report" not in seen[0]
    by_number = await ingest.client.get(f"{EVENTS}?page=2&page_size=2", headers=ingest.admin)
    assert [event["event_id"] for event in by_number.json()["items"]] == [e["event_id"] for e in seen[2:4]]
    for query, count in [
        ("spot_number=2", 2), (f"camera_id={camera['id']}", 5), ("camera_id=999", 0), ("purpose=EXIT", 0),
        ("state=DISPATCHED", 5), ("outcome=accepted", 5), ("clock_state=AHEAD", 0),
        ("received_start=2026-03-14T08:33:00Z", 3), ("received_end=2026-03-14T08:33:00Z", 2),
        ("received_start=2026-03-14&received_end=2026-03-14", 5), ("received_end=2026-03-13", 0),
        ("received_start=2026-03-15", 0),
    ]:  # fmt: skip
        listed = await ingest.client.get(f"{EVENTS}?{query}", headers=ingest.admin)
        assert len(listed.json()["items"]) == count, query
    one = await ingest.client.get(f"{EVENTS}/{seen[0]['event_id']}", headers=ingest.admin)
    assert one.json()["report"]["duration"] == 4
    image = await ingest.client.get(f"{EVENTS}/{seen[0]['event_id']}/image", headers=ingest.admin)
    assert image.content == solid()
    assert image.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", 200),
        ("?received_start=yesterday", 422),
        ("?received_start=2026-03-14T08:00:00", 422),
        ("?received_end=2026-02-30", 422),
        ("?purpose=LUNCH", 422),
        ("?cursor=nonsense", 422),
        ("/0198c0de-0000-7000-8000-000000000000", 404),
        ("/0198c0de-0000-7000-8000-000000000000/image", 404),
        ("/12", 422),
    ],
)
async def test_reading_events_needs_a_token_and_valid_filters(
    sqlite_ingest: Ingest, path: Any, status: Any
) -> None:
    assert (await sqlite_ingest.client.get(EVENTS + path)).status_code == 401
    other = await sqlite_ingest.client.get(EVENTS + path, headers=sqlite_ingest.headers("tickets:read"))
    assert other.status_code == 403
    answer = await sqlite_ingest.client.get(EVENTS + path, headers=sqlite_ingest.headers("site:read"))
    assert answer.status_code == status


async def test_a_push_with_unusual_extra_fields_can_be_read(ingest: Ingest) -> None:
    await ingest.make_camera()
    odd: dict[str, Any] = {
        "nul": "a\x00b",
        "half": "\ud800",
        "huge": 10**40,
        "deep": [[[[{"a": None}]]]],
        "tiny": 1e-300,
    }
    body = json.dumps(parking_push(**odd)).encode()
    answer = await ingest.client.post("/api/v1/post", content=body)
    assert answer.status_code == 200, answer.text
    event = await ingest.client.get(f"{EVENTS}/{answer.json()['event_id']}", headers=ingest.admin)
    assert {name: event.json()["report"][name] for name in odd} == odd


async def test_every_field_is_in_the_api_page(sqlite_ingest: Ingest) -> None:
    page = (await sqlite_ingest.client.get("/openapi.json")).json()
    schema = page["paths"]["/api/v1/post"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == list(FIELDS)
    assert "security" not in page["paths"]["/api/v1/post"]["post"]
    assert [one["name"] for one in page["paths"]["/api/v1/post"]["post"]["parameters"]] == ["Prefer"]


async def test_rejected_and_repeated_pushes_are_counted(sqlite_ingest: Ingest) -> None:
    await sqlite_ingest.make_camera()
    await sqlite_ingest.post()
    await sqlite_ingest.post()
    await sqlite_ingest.post(snapshot="!!!")
    page = (await sqlite_ingest.client.get("/metrics")).text
    assert 'lookout_ingest_parking_pushes_accepted_total{purpose="ENTRY"} 1.0' in page
    assert "lookout_ingest_parking_pushes_repeated_total 1.0" in page
    assert 'lookout_ingest_parking_pushes_rejected_total{code="bad_base64"} 1.0' in page


async def test_the_document_describes_the_answer_and_pictures_as_pictures(sqlite_ingest: Ingest) -> None:
    camera = await sqlite_ingest.make_camera()
    answer = (await sqlite_ingest.post()).json()
    assert PushOut.model_validate(answer).camera_id == camera["id"]
    assert set(answer) <= set(PushOut.model_fields)
    document = (await sqlite_ingest.client.get("/openapi.json")).json()
    content = document["paths"]["/api/v1/post"]["post"]["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/PushOut"}
    PushOut.model_validate(content["example"])
    assert set(content["example"]) <= set(PushOut.model_fields)
    for path in ("/api/v1/cameras/{camera_id}/frame", "/api/v1/camera-events/{event_id}/image"):
        kinds = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert all(kind.startswith("image/") for kind in kinds), kinds
    event = await sqlite_ingest.client.get(f"{EVENTS}/{answer['event_id']}", headers=sqlite_ingest.admin)
    CameraEventDetailOut.model_validate(event.json())
    assert set(event.json()) == set(CameraEventDetailOut.model_fields)


async def test_a_date_is_the_day_of_the_location(ingest: Ingest) -> None:
    """20:30 UTC on 14 March is 15 March in Dubai."""
    await ingest.make_camera()
    await ingest.post()
    ingest.clock.advance(12 * 3600)
    await ingest.post(duration=5)

    async def found(query: str) -> int:
        answer = await ingest.client.get(f"{EVENTS}?{query}", headers=ingest.admin)
        assert answer.status_code == 200, answer.text
        return len(answer.json()["items"])

    assert ingest.clock.now().isoformat() == "2026-03-14T20:30:00+00:00"
    assert await found("received_start=2026-03-14&received_end=2026-03-14") == 1
    assert await found("received_start=2026-03-15&received_end=2026-03-15") == 1
    assert await found("received_end=2026-03-15") == 2
    assert await found("received_start=2026-03-14T20:00:00Z") == 1
