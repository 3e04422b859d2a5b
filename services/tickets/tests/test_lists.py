"""The lists of the REST API on real sockets: filters, sorting, paging, invalid input."""

from typing import Any

import pytest

from kit.pagination import encode_cursor
from lookout.plates.v1 import plates_pb2 as plates
from testkit.waiting import eventually

from .conftest import Frames, RunningTickets

FREE = plates.SPOT_OCCUPANCY_FREE


async def publish_examples(service: RunningTickets) -> None:
    """A morning at two locations.

    1 A12345 NAD/95/1 0-10 closed, 2 B200 (Abu Dhabi) NAD/95/2 5- open, 3 UNKNOWN NAD/96/1 8-20 closed,
    4 K77310 (Ajman) 17/7/1 12- open, 5 A1234 NAD/95/1 30- open.
    """
    gate, yard = Frames(camera_id=95), Frames(camera_id=96)
    south = Frames(camera_id=7, location=(2, "17"))
    await service.publish(
        gate.entry(0), gate.entry(5, "B200", spot=2, region="ae-az", confidence=0.61), gate.exit(10)
    )
    await service.publish(yard.entry(8, "X1", confidence=0.2), yard.exit(20))
    await service.publish(south.entry(12, "K77310", region="ae-aj"))
    await service.publish(gate.entry(30, "A1234"), gate.entry(31, "R90521"))


def ids(page: Any) -> list[int]:
    return [item["id"] for item in page["items"]]


async def test_filters(any_service: RunningTickets) -> None:
    await publish_examples(any_service)
    everything = await any_service.get("/tickets")
    names = {item["plate_text"] + item["entry_time"][11:16]: item["id"] for item in everything["items"]}
    a, b, u, k, again = (
        names[n] for n in ("A1234508:00", "B20008:05", "UNKNOWN08:08", "K7731008:12", "A123408:30")
    )

    async def found(**params: Any) -> set[int]:
        page = await any_service.get("/tickets", **params)
        assert page["total"] == len(page["items"])
        return set(ids(page))

    assert await found() == {a, b, u, k, again}
    assert await found(camera_id=95) == {a, b, again}
    assert await found(spot_number=2) == {b}
    assert await found(camera_id=95, spot_number=1) == {a, again}
    assert await found(plate_number="12345") == {a}
    assert await found(plate_number="a 12345") == {a}
    assert await found(plate_number="1234") == {again}
    assert await found(search="1234") == {a, again}
    assert await found(search="a12") == {a, again}
    assert await found(search="A-123 45") == {a}
    assert await found(search="unk") == {u}
    assert await found(search="\uff11\uff12\uff13\uff14") == {a, again}  # full-width
    assert await found(search="\u0661\u0662\u0663\u0664") == {a, again}  # Arabic-Indic
    assert await found(search="\u200f\u06f1\u06f2\u06f3\u06f4 \uff15") == {
        a
    }  # Persian, written from the right
    assert await found(plate_number="\u0661\u0662\u0663\u0664\u0665") == {a}
    assert await found(plate_code="\uff41") == {a, again}
    assert await found(search="12%34") == set()
    assert await found(search="A_2345") == set()
    assert await found(search="'; DROP TABLE tickets") == set()
    assert await found(plate_code="a") == {a, again}
    assert await found(plate_city="AUH") == {b}
    assert await found(plate_city="dxb", status="OPEN") == {again}
    assert await found(status="CLOSED") == {a, u}
    assert await found(status="closed", sort_order="ASC") == {a, u}
    assert await found(location="NAD") == {a, b, u, again}
    assert await found(location="1") == {a, b, u, again}
    assert await found(location="17") == {k}
    assert await found(location="2") == {k}
    assert await found(location="9" * 30) == set()
    assert await found(entry_start="2026-03-14T08:05:00Z", entry_end="2026-03-14T08:12:00Z") == {b, u, k}
    assert await found(entry_start="2026-03-14T08:05:00") == {b, u, k, again}
    assert await found(entry_start="2026-03-14T12:12:00+04:00") == {k, again}
    assert await found(entry_end="2026-03-14 08:00:00") == {a}
    assert await found(entry_start="2026-03-15") == set()
    assert await found(entry_start="") == {a, b, u, k, again}


async def test_an_offset_whose_plus_was_not_escaped(service: RunningTickets) -> None:
    await publish_examples(service)
    response = await service.http.get("/api/v1/tickets?entry_start=2026-03-14T12:12:00+04:00")
    assert response.json()["total"] == 2


async def test_sorting_and_paging_by_number_and_cursor(any_service: RunningTickets) -> None:
    await publish_examples(any_service)
    default = await any_service.get("/tickets")
    assert ids(default) == sorted(ids(default), reverse=True)
    assert (default["page"], default["page_size"], default["total"], default["next_cursor"]) == (
        1,
        50,
        5,
        None,
    )
    for sort_by in (
        *("id", "entry_time", "exit_time", "plate_number", "plate_code", "plate_city", "plate_text"),
        *("confidence", "status", "spot_number", "camera_id", "location_id"),
    ):
        up = await any_service.get("/tickets", sort_by=sort_by, sort_order="asc")
        down = await any_service.get("/tickets", sort_by=sort_by, sort_order="desc")
        assert ids(up) == ids(down)[::-1], sort_by
        if sort_by != "exit_time":
            values = [item[sort_by] for item in up["items"]]
            assert values == sorted(values), sort_by
        for order, whole in (("asc", up), ("desc", down)):
            by_number = []
            for page in (1, 2, 3, 4):
                part = await any_service.get(
                    "/tickets", sort_by=sort_by, sort_order=order, page=page, page_size=2
                )
                by_number += ids(part)
                assert part["total"] == 5
            assert by_number == ids(whole), sort_by
            by_cursor, cursor = [], None
            while cursor != "":
                more: dict[str, Any] = {"cursor": cursor} if cursor else {}
                part = await any_service.get(
                    "/tickets", sort_by=sort_by, sort_order=order, page_size=2, **more
                )
                by_cursor += ids(part)
                cursor = part["next_cursor"] or ""
            assert by_cursor == ids(whole), sort_by


async def test_open_tickets_have_the_latest_exit_time(service: RunningTickets) -> None:
    await publish_examples(service)
    page = await service.get("/tickets", sort_by="exit_time", sort_order="asc")
    assert [item["exit_time"] for item in page["items"]][:2] == [
        "2026-03-14T08:10:00Z",
        "2026-03-14T08:20:00Z",
    ]
    assert [item["exit_time"] for item in page["items"]][2:] == [None] * 3


async def test_a_cursor_stays_valid_while_tickets_are_opened(service: RunningTickets) -> None:
    await publish_examples(service)
    first = await service.get("/tickets", page_size=2)
    await service.publish(Frames(camera_id=200).entry(40, "Z99999"))
    second = await service.get("/tickets", page_size=10, cursor=first["next_cursor"])
    assert ids(second) == [3, 2, 1]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"page": 0}, "page"),
        ({"page": "x"}, "page"),
        ({"page": 10**30}, "page"),
        ({"page_size": 0}, "page_size"),
        ({"page_size": 201}, "page_size"),
        ({"page_size": "1e9"}, "page_size"),
        ({"camera_id": "NAD"}, "camera_id"),
        ({"camera_id": 2**63}, "camera_id"),
        ({"camera_id": -1}, "camera_id"),
        ({"spot_number": 2**31}, "spot_number"),
        ({"entry_start": "yesterday"}, "entry_start"),
        ({"entry_start": "2026-02-30"}, "entry_start"),
        ({"entry_end": "1700000000"}, "entry_end"),
        ({"entry_end": "0001-01-01T00:00:00+14:00"}, "entry_end"),
        ({"entry_start": "2026-03-15", "entry_end": "2026-03-14"}, "entry_end"),
        ({"sort_by": "colour"}, "sort_by"),
        ({"sort_by": "id; DROP TABLE tickets"}, "sort_by"),
        ({"sort_order": "up"}, "sort_order"),
        ({"status": "GONE"}, "status"),
        ({"search": "x" * 65}, "search"),
        ({"search": "a\x00b"}, "search"),
        ({"cursor": "invalid"}, "cursor"),
        ({"cursor": "!!!"}, "cursor"),
        ({"cursor": encode_cursor("id asc", 1, 1)}, "cursor"),
        ({"cursor": encode_cursor("id desc", "1", 1)}, "cursor"),
        ({"cursor": encode_cursor("id desc", None, 1)}, "cursor"),
        ({"cursor": encode_cursor("id desc", 1)}, "cursor"),
    ],
)
async def test_invalid_input_is_reported_by_field(
    service: RunningTickets, params: dict[str, Any], field: str
) -> None:
    problem = await service.get_problem("/tickets", 422, **params)
    assert field in [error["field"] for error in problem["errors"]], problem
    assert problem["trace_id"]


async def test_the_json_of_a_ticket(service: RunningTickets, frames: Frames) -> None:
    await service.publish(frames.entry(0, confidence=0.934), frames.exit(30))
    item = (await service.get("/tickets"))["items"][0]
    assert item == {
        "id": 1,
        "status": "CLOSED",
        "plate_number": "12345",
        "plate_code": "A",
        "plate_city": "DXB",
        "plate_text": "A12345",
        "region": "ae-du",
        "confidence": 93,
        "is_unknown": False,
        "location_id": 1,
        "location_code": "NAD",
        "zone_code": "Z1",
        "pole_code": "P1",
        "camera_id": 95,
        "camera_name": "NAD-P1-C95",
        "spot_id": 101,
        "spot_number": 1,
        "entry_time": "2026-03-14T08:00:00Z",
        "exit_time": "2026-03-14T08:30:00Z",
        "entry_time_local": "2026-03-14T12:00:00+04:00",
        "exit_time_local": "2026-03-14T12:30:00+04:00",
        "time_zone": "Asia/Dubai",
        "duration_s": 1800,
        "reopened_count": 0,
        "review_id": None,
        "has_image": True,
        "has_exit_image": True,
        "has_plate_image": True,
        "is_picture_incomplete": False,
    }
    detail = await service.get("/tickets/1")
    assert item.items() <= detail.items()
    assert detail["characters"][0] == {"text": "A", "confidence": 93}


async def test_an_open_ticket_lasts_until_now_and_a_plate_without_number_is_shown_whole(
    service: RunningTickets,
) -> None:
    await service.publish(Frames().entry(0, "BAB1234", region="de", time_zone="Nowhere/At-All"))
    item = await service.get("/tickets/1")
    assert (item["plate_number"], item["plate_code"], item["plate_city"]) == ("BAB1234", "", "DE")
    assert (item["status"], item["exit_time"], item["duration_s"]) == ("OPEN", None, 1800)
    assert item["entry_time_local"] == "2026-03-14T08:00:00+00:00"


async def test_ticket_not_found(service: RunningTickets) -> None:
    for number in (1, 2**53 - 1):
        assert (await service.get_problem(f"/tickets/{number}", 404))["code"] == "not_found"
    for invalid in ("0", "-1", str(2**53), "one"):
        await service.get_problem(f"/tickets/{invalid}", 422)


@pytest.mark.parametrize(
    "path",
    [
        "/tickets",
        "/tickets/1",
        "/tickets/1/image",
        "/tickets/1/exit-image",
        "/tickets/1/plate-image",
        "/manual-reviews",
        "/manual-reviews/1",
        "/manual-reviews/1/image",
        "/ignored-triggers",
        "/ignored-triggers/1",
        "/ignored-triggers/1/image",
        "/camera-occupancy",
        "/camera-occupancy/1",
        "/location-stats",
    ],
)
async def test_every_route_requires_a_token_with_the_permission(service: RunningTickets, path: str) -> None:
    assert (await service.anonymous.get(f"/api/v1{path}")).status_code == 401
    header = service.tokens.headers("plates:read")
    assert (await service.anonymous.get(f"/api/v1{path}", headers=header)).status_code == 403


async def test_ignored_triggers(any_service: RunningTickets) -> None:
    service, frames = any_service, Frames()
    await service.publish(
        frames.exit(0),
        frames.entry(1),
        frames.entry(2, "K77310"),
        frames.entry(3, spot=2, occupancy=FREE),
        Frames(camera_id=7, location=(2, "17")).entry(4, occupancy=FREE),
    )
    page = await service.get("/ignored-triggers")
    assert (page["total"], [item["reason"] for item in page["items"]]) == (
        4,
        ["No car detected", "No car detected", "Spot already occupied", "No open ticket"],
    )

    async def found(**params: Any) -> list[str]:
        return [item["time"][14:16] for item in (await service.get("/ignored-triggers", **params))["items"]]

    assert await found(camera_id=95) == ["03", "02", "00"]
    assert await found(spot_number=2) == ["03"]
    assert await found(location="17") == ["04"]
    assert await found(reason="No car detected") == ["04", "03"]
    assert await found(reason="NO_CAR_DETECTED") == ["04", "03"]
    assert await found(reason="no such reason") == []
    assert await found(start="2026-03-14T08:02:00Z", end="2026-03-14T08:03:00Z") == ["03", "02"]
    first = await service.get("/ignored-triggers", page_size=3)
    rest = await service.get("/ignored-triggers", page_size=3, cursor=first["next_cursor"])
    assert [item["time"][14:16] for item in first["items"] + rest["items"]] == ["04", "03", "02", "00"]
    one = await service.get(f"/ignored-triggers/{page['items'][2]['id']}")
    assert one["ticket_id"] == 1
    assert (one["plate_text"], one["plate_confidence"], one["purpose"]) == ("K77310", 93, "ENTRY")
    assert one["notes"] == ["another plate than the ticket's: K77310, not A12345"]
    assert one["time_local"] == "2026-03-14T12:02:00+04:00"


async def test_ignored_trigger_not_found(service: RunningTickets, frames: Frames) -> None:
    await service.publish(frames.entry(0))
    await service.get_problem("/ignored-triggers/1", 404)  # it opened a ticket
    await service.get_problem("/ignored-triggers/99", 404)
    await service.get_problem("/ignored-triggers", 422, start="noon")
    await service.get_problem("/ignored-triggers", 422, cursor=encode_cursor("id desc", 1, 1))


async def test_manual_reviews(any_service: RunningTickets) -> None:
    service, frames = any_service, Frames()
    await service.publish(
        frames.entry(0, "A12345", confidence=0.31), frames.entry(1, None, spot=2), frames.entry(2, spot=3)
    )
    page = await service.get("/manual-reviews")
    assert (page["total"], ids(page)) == (2, [2, 1])
    assert await service.get("/manual-reviews", status="PENDING") == page
    assert (await service.get("/manual-reviews", status="RESOLVED"))["items"] == []
    review = await service.get("/manual-reviews/1")
    expected = {
        "id": 1,
        "status": "PENDING",
        "reason": "low_confidence",
        "ticket_id": 1,
        "ticket_status": "OPEN",
        "camera_id": 95,
        "spot_number": 1,
        "guess_text": "A12345",
        "guess_code": "A",
        "guess_number": "12345",
        "guess_city": "DXB",
        "guess_confidence": 31,
        "has_image": True,
        "has_plate_image": True,
    }
    assert {name: review[name] for name in expected} == expected
    assert page["items"][0]["reason"] == "unread_plate"
    assert (page["items"][0]["guess_text"], page["items"][0]["has_plate_image"]) == ("", False)
    assert (await service.get("/tickets/1"))["review_id"] == 1
    first = await service.get("/manual-reviews", page_size=1)
    rest = await service.get("/manual-reviews", page_size=1, cursor=first["next_cursor"])
    assert (ids(first), ids(rest), rest["next_cursor"]) == ([2], [1], None)
    await service.get_problem("/manual-reviews", 422, status="LOST")
    await service.get_problem("/manual-reviews/9", 404)


async def test_camera_occupancy_and_location_stats(any_service: RunningTickets) -> None:
    service = any_service
    await publish_examples(service)
    page = await service.get("/camera-occupancy")
    assert [(c["camera_id"], c["known_spots"], c["occupied_count"]) for c in page["items"]] == [
        (7, 1, 1),
        (95, 2, 2),
        (96, 1, 0),
    ]
    spot = page["items"][1]["occupied"][1]
    assert spot == {
        "spot_number": 2,
        "spot_id": 102,
        "ticket_id": spot["ticket_id"],
        "plate_text": "B200",
        "plate_number": "200",
        "plate_code": "B",
        "plate_city": "AUH",
        "is_unknown": False,
        "since": "2026-03-14T08:05:00Z",
        "since_local": "2026-03-14T12:05:00+04:00",
        "duration_s": 25 * 60,
    }
    for location, expected in (("1", [95, 96]), ("NAD", [95, 96]), ("17", [7]), ("2", [7])):
        found = await service.get(f"/camera-occupancy/{location}")
        assert [camera["camera_id"] for camera in found["items"]] == expected
    second = await service.get("/camera-occupancy", page=2, page_size=2)
    assert ([c["camera_id"] for c in second["items"]], second["total"]) == ([96], 3)
    assert (await service.get("/camera-occupancy/1", page=2))["items"] == []
    assert await service.get("/location-stats") == [
        {
            "location_id": 1,
            "location_code": "NAD",
            "zones": 1,
            "poles": 1,
            "cameras": 2,
            "spots": 3,
            "total_spots": 3,
            "occupied_spots": 2,
            "free_spots": 1,
            "unknown_spots": 0,
            "tickets": 4,
            "open_tickets": 2,
            "manual_reviews": 1,
            "pending_manual_reviews": 1,
        },
        {
            "location_id": 2,
            "location_code": "17",
            "zones": 1,
            "poles": 1,
            "cameras": 1,
            "spots": 1,
            "total_spots": 1,
            "occupied_spots": 1,
            "free_spots": 0,
            "unknown_spots": 0,
            "tickets": 1,
            "open_tickets": 1,
            "manual_reviews": 0,
            "pending_manual_reviews": 0,
        },
    ]


async def test_the_occupancy_of_an_unknown_location_is_not_found(service: RunningTickets) -> None:
    for location in ("NOWHERE", "1"):
        problem = await service.get_problem(f"/camera-occupancy/{location}", 404)
        assert (problem["code"], problem["errors"][0]["field"]) == ("unknown_location", "location")
        assert f"No camera of a location {location} " in problem["detail"]
    assert (await service.get("/camera-occupancy"))["items"] == []


async def test_metrics_count_decisions(service: RunningTickets, frames: Frames) -> None:
    service.clock.advance(5)
    await service.publish(frames.entry(0), frames.entry(1), frames.entry(2, None, spot=2))
    rendered = (await service.anonymous.get("/metrics")).text
    assert 'decisions_total{decision="IGNORED",reason="SPOT_ALREADY_OCCUPIED"} 1.0' in rendered
    assert 'decisions_total{decision="OPENED",reason=""} 2.0' in rendered
    assert 'lookout_tickets_decision_lag_seconds_count{since="received"} 3.0' in rendered


async def test_readiness_names_its_checks(service: RunningTickets) -> None:
    async def is_ready() -> dict[str, Any]:
        response = await service.anonymous.get("/health/ready")
        return dict(response.json()["checks"]) if response.status_code == 200 else {}

    checks: dict[str, Any] = await eventually(is_ready)
    assert {"database", "bus", "blobs"} <= set(checks)
    assert checks["database"]["required"]
    assert not checks["blobs"]["required"]


async def test_free_spots_can_be_computed(any_service: RunningTickets) -> None:
    """Of the spots that a camera is registered to watch: occupied, free, or nothing is known."""
    service, gate, yard = any_service, Frames(camera_id=95), Frames(camera_id=96)
    await service.publish(gate.entry(0, number_of_parking=4), gate.entry(1, "B200", spot=2))

    async def counts() -> list[tuple[int, int, int, int]]:
        names = ("total_count", "occupied_count", "free_count", "unknown_count")
        items = (await service.get("/camera-occupancy"))["items"]
        return [tuple(camera[name] for name in names) for camera in items]

    # Each entry and exit tells the number of its time.
    assert await counts() == [(2, 2, 0, 0)]
    await service.publish(
        gate.exit(9, number_of_parking=4), gate.exit(10, "K77310", spot=3, number_of_parking=4)
    )
    assert await counts() == [(4, 1, 1, 2)]
    await service.publish(yard.exit(11, number_of_parking=1))
    assert await counts() == [(4, 1, 1, 2), (1, 0, 1, 0)]
    (location,) = await service.get("/location-stats")
    names = ("spots", "total_spots", "occupied_spots", "free_spots", "unknown_spots")
    assert [location[name] for name in names] == [4, 5, 1, 2, 2]


async def test_an_incomplete_picture_is_shown(service: RunningTickets) -> None:
    frames = Frames()
    await service.publish(
        frames.entry(0, "X1", confidence=0.2, is_picture_incomplete=True),
        frames.entry(1, spot=2),
        frames.entry(2, is_picture_incomplete=True),
        frames.exit(3, spot=2, is_picture_incomplete=True),
    )
    assert (await service.get("/tickets/1"))["is_picture_incomplete"] is True
    listed = (await service.get("/tickets", sort_order="asc"))["items"]
    assert [ticket["is_picture_incomplete"] for ticket in listed] == [True, False]
    (review,) = (await service.get("/manual-reviews"))["items"]
    assert review["is_picture_incomplete"] is True
    (ignored,) = (await service.get("/ignored-triggers"))["items"]
    assert ignored["is_picture_incomplete"] is True


@pytest.mark.parametrize("name", ["search", "plate_number", "plate_code"])
@pytest.mark.parametrize("text", ["", "  ", "-", "%", "_", "\\", "\u200f"])
async def test_an_empty_search_is_refused(service: RunningTickets, name: str, text: str) -> None:
    """It would find every ticket, which is not what was asked for."""
    problem = await service.get_problem("/tickets", 422, **{name: text})
    assert problem["code"] == "empty_pattern"
    assert problem["errors"] == [
        {"field": name, "reason": "has no letter and no digit: leave the parameter out to get all"}
    ]


async def test_a_date_is_the_day_of_the_location(any_service: RunningTickets) -> None:
    service = any_service
    dubai, lima = Frames(camera_id=95), Frames(camera_id=7, location=(2, "LIM"))
    hour, zone = 60, {"time_zone": "America/Lima"}
    await service.publish(
        dubai.entry(-12 * hour - 1),  # 13 March, 23:59
        dubai.exit(-12 * hour),  # no car any more
        dubai.entry(-12 * hour, spot=2),  # 14 March, 00:00
        dubai.entry(12 * hour - 1, spot=3),  # 14 March, 23:59
        dubai.entry(12 * hour, spot=4),  # 15 March, 00:00
        lima.entry(-3 * hour - 1, **zone),  # 13 March, 23:59
        lima.entry(-3 * hour, spot=2, **zone),  # 14 March, 00:00
        lima.entry(21 * hour - 1, spot=3, **zone),  # 14 March, 23:59
        lima.entry(21 * hour, spot=4, **zone),  # 15 March, 00:00
        dubai.entry(12 * hour + 1, spot=4),  # ignored
        lima.entry(21 * hour - 1, spot=2, **zone),  # ignored, 14 March
    )

    async def found(path: str, **params: Any) -> list[tuple[int, int]]:
        page = await service.get(path, page_size=50, **params)
        assert page["total"] == len(page["items"])
        return sorted((item["camera_id"], item["spot_number"]) for item in page["items"])

    day = "2026-03-14"
    on_the_day = [(7, 2), (7, 3), (95, 2), (95, 3)]
    assert await found("/tickets", entry_start=day, entry_end=day) == on_the_day
    assert await found("/tickets", entry_start=day, entry_end="2026-03-15") == sorted(
        [*on_the_day, (7, 4), (95, 4)]
    )
    assert await found("/tickets", entry_end="2026-03-13") == [(7, 1), (95, 1)]
    assert await found("/tickets", entry_start="2026-03-14T00:00:00", entry_end=day) == [
        (7, 1),
        (7, 2),
        (7, 3),
        (95, 3),
    ]
    assert await found("/ignored-triggers", start=day, end=day) == [(7, 2)]
    assert await found("/ignored-triggers", start="2026-03-15") == [(95, 4)]
    await service.get_problem("/tickets", 422, entry_start="2026-03-15", entry_end=day)


async def test_a_region_with_a_dash_is_found(service: RunningTickets) -> None:
    frames = Frames()
    await service.publish(frames.entry(0, "7ABC123", region="us-ca"), frames.entry(1, spot=2))
    found = await service.get("/tickets", plate_city="us-ca")
    assert [ticket["plate_city"] for ticket in found["items"]] == ["US-CA"]
