import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import select

from ingest.store.tables import locations, metadata

from .conftest import Ingest

API = "/api/v1"


def corners(**values: Any) -> Any:
    square = {"p1_x": 0, "p1_y": 0, "p2_x": 100, "p2_y": 0, "p3_x": 100, "p3_y": 50, "p4_x": 0, "p4_y": 50}
    return square | values


async def tree(ingest: Ingest) -> Any:
    """One of everything; path → row."""
    made = {"locations": await ingest.create("locations", name="Naif", code="NAD")}
    made["zones"] = await ingest.create("zones", location_id=made["locations"]["id"], code="Z1")
    made["poles"] = await ingest.create("poles", zone_id=made["zones"]["id"], name="Pole", code="P1")
    made["cameras"] = await ingest.create("cameras", pole_id=made["poles"]["id"], name="Cam", api_code="95")
    camera_id = made["cameras"]["id"]
    made["spots"] = await ingest.create("spots", camera_id=camera_id, spot_number=1, **corners())
    made["crop-zones"] = await ingest.create(
        "crop-zones", camera_id=camera_id, points=[[0, 0], [9, 0], [9, 9]]
    )
    return made


async def call(ingest: Ingest, method: Any, path: Any, expected: Any, **body: Any) -> Any:
    answer = await ingest.client.request(method, f"{API}/{path}", headers=ingest.admin, json=body or None)
    assert answer.status_code == expected, answer.text
    return answer.json() if answer.content else None


async def test_every_level_can_be_created_read_changed_and_deleted(ingest: Ingest) -> None:
    made = await tree(ingest)
    # What was made below it since.
    for path in ("locations", "cameras"):
        made[path]["spot_counts"] = {"total": 1, "occupied": 0, "free": 0, "unknown": 1}
    for path, row in made.items():
        assert await call(ingest, "GET", f"{path}/{row['id']}", 200) == row
        listed = await call(ingest, "GET", path, 200)
        assert listed["items"] == [row]
        assert listed["total"] == 1
    changes: dict[str, dict[str, Any]] = {
        "locations": {"name": "New"},
        "zones": {"code": "Z2"},
        "poles": {"router_ip": "10.0.0.1"},
        "cameras": {"vpn_ip": "10.8.0.7"},
        "spots": {"p2_x": 90},
        "crop-zones": {"points": [[0, 0], [5, 0], [5, 5]]},
    }
    ingest.clock.advance(60)
    for path, change in changes.items():
        changed = await call(ingest, "PATCH", f"{path}/{made[path]['id']}", 200, **change)
        (name,) = change
        assert changed[name] == change[name]
        assert changed["updated_at"] > changed["created_at"] == made[path]["created_at"]
        same = {key: value for key, value in changed.items() if key not in {name, "updated_at"}}
        assert same.items() <= made[path].items()
    for path in ("crop-zones", "spots", "cameras", "poles", "zones", "locations"):
        await call(ingest, "DELETE", f"{path}/{made[path]['id']}", 204)
        problem = await call(ingest, "GET", f"{path}/{made[path]['id']}", 404)
        assert problem["code"].endswith("_not_found")


async def test_an_entry_with_children_is_not_deleted(ingest: Ingest) -> None:
    made = await tree(ingest)
    for path, child in [("locations", "zone"), ("zones", "pole"), ("poles", "camera"), ("cameras", "spot")]:
        problem = await call(ingest, "DELETE", f"{path}/{made[path]['id']}", 409)
        assert problem["code"] == "has_children"
        assert f"1 {child}" in problem["errors"][0]["reason"]
    await call(ingest, "DELETE", f"spots/{made['spots']['id']}", 204)
    await call(ingest, "DELETE", f"cameras/{made['cameras']['id']}", 204)
    await call(ingest, "GET", f"crop-zones/{made['crop-zones']['id']}", 404)


async def test_the_flat_spot_of_the_source_document(ingest: Ingest) -> None:
    made = await tree(ingest)
    body = {
        "camera_id": made["cameras"]["id"], "spot_number": 2, "p1_x": 0, "p1_y": 0, "p2_x": 100, "p2_y": 0,
        "p3_x": 100, "p3_y": 50, "p4_x": 0, "p4_y": 50, "status": 0,
    }  # fmt: skip
    spot = await call(ingest, "POST", "spots", 201, **body)
    assert body.items() <= spot.items()
    assert spot["origin"] == "OPERATOR"
    listed = await call(ingest, "GET", f"cameras/{made['cameras']['id']}/spots", 200)
    assert [item["spot_number"] for item in listed["items"]] == [1, 2]
    assert (await call(ingest, "GET", "cameras/999/spots", 404))["code"] == "camera_not_found"


async def test_secrets_are_sealed_and_never_shown(ingest: Ingest) -> None:
    secrets = {
        "camera_pass": "s3cret-one",
        "portal_password": "s3cret-two",
        "parkonic_api_token": "s3cret-three",
    }
    location = await ingest.create("locations", name="Naif", code="NAD", camera_user="admin", **secrets)
    path = f"locations/{location['id']}"
    answers = [location, await call(ingest, "GET", path, 200), await call(ingest, "GET", "locations", 200)]
    answers.append(await call(ingest, "PATCH", path, 200, name="New"))
    answers.append(await call(ingest, "PUT", path, 200, name="New", code="NAD"))
    for answer in answers:
        assert "s3cret" not in json.dumps(answer)
        assert "sealed" not in json.dumps(answer)
    assert all(answers[-1][f"has_{name}"] for name in secrets)
    async with ingest.db.reading() as session:
        (row,) = (await session.execute(select(locations))).mappings().all()
    assert "s3cret" not in str(dict(row))
    assert row["sealed_camera_pass"].startswith("gAAAA")
    gone = await call(ingest, "PATCH", path, 200, camera_pass=None)
    assert (gone["has_camera_pass"], gone["has_portal_password"]) == (False, True)
    bad = await call(ingest, "POST", "locations", 422, name="", code="1", camera_pass="s3cret-four" * 100)
    assert "s3cret" not in json.dumps(bad)


async def test_codes_and_numbers_are_unique_where_they_must_be(ingest: Ingest) -> None:
    made = await tree(ingest)
    zone_2 = await ingest.create("zones", location_id=made["locations"]["id"], code="Z2")
    pole_2 = await ingest.create("poles", zone_id=zone_2["id"], name="Pole", code="P1")  # another zone's P1
    for path, body, field in [
        ("locations", {"name": "x", "code": "nad"}, "code"),
        ("zones", {"location_id": made["locations"]["id"], "code": "Z1"}, "code"),
        ("poles", {"zone_id": made["zones"]["id"], "name": "x", "code": "P1"}, "code"),
        ("cameras", {"pole_id": pole_2["id"], "name": "x", "api_code": "95"}, "api_code"),
        ("spots", {"camera_id": made["cameras"]["id"], "spot_number": 1, **corners()}, "spot_number"),
    ]:
        problem = await call(ingest, "POST", path, 409, **body)
        assert problem["code"] == f"{field}_taken"
        assert [error["field"] for error in problem["errors"]] == [field]
    problem = await call(ingest, "PATCH", f"zones/{zone_2['id']}", 409, code="Z1")
    assert problem["code"] == "code_taken"
    other = await ingest.create("locations", name="Other", code="OTH")
    zone = await ingest.create("zones", location_id=other["id"], code="Z1")
    pole = await ingest.create("poles", zone_id=zone["id"], name="Pole", code="P1")
    await ingest.create("cameras", pole_id=pole["id"], name="x", api_code="95")  # another location's 95


async def test_of_many_concurrent_requests_for_one_code_one_succeeds(ingest: Ingest) -> None:
    answers = await asyncio.gather(
        *(
            ingest.client.post(f"{API}/locations", json={"name": "x", "code": "ONE"}, headers=ingest.admin)
            for _ in range(8)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_a_camera_follows_its_pole_and_what_carries_cameras_stays(ingest: Ingest) -> None:
    made = await tree(ingest)
    other = await ingest.create("locations", name="Other", code="OTH")
    zone = await ingest.create("zones", location_id=other["id"], code="Z1")
    pole = await ingest.create("poles", zone_id=zone["id"], name="Pole", code="P1")
    moved = await call(ingest, "PATCH", f"cameras/{made['cameras']['id']}", 200, pole_id=pole["id"])
    assert moved["location_id"] == other["id"]
    assert (await ingest.post(parking_area="OTH95")).status_code == 200
    assert (await ingest.post(parking_area="NAD95")).status_code == 404
    for path, change in [("poles", {"zone_id": zone["id"]}), ("zones", {"location_id": other["id"]})]:
        problem = await call(ingest, "PATCH", f"{path}/{made[path]['id']}", 409, **change)
        assert problem["code"] == "cannot_move"
        assert [error["field"] for error in problem["errors"]] == list(change)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("locations", {"name": "x", "code": "N4D"}, "code"),
        ("locations", {"name": " ", "code": "NAD"}, "name"),
        ("locations", {"code": "NAD"}, "name"),
        ("locations", {"name": "x", "code": "NAD", "time_zone": "Mars"}, "time_zone"),
        ("locations", {"name": "x", "code": "NAD", "regions": ["UAE1"]}, "regions"),
        ("locations", {"name": "x", "code": "NAD", "parameters": [1]}, "parameters"),
        ("locations", {"name": "x", "code": "NAD", "parameters": {"a": 10**30}}, "parameters"),
        ("locations", {"name": "x", "code": "NAD", "parameters": {"a": "x" * 70_000}}, "parameters"),
        ("locations", {"name": "x", "code": "NAD", "colour": "red"}, "colour"),
        ("locations", {"name": "a\nb", "code": "NAD"}, "name"),
        ("locations", {"name": None, "code": "NAD"}, "name"),
        ("zones", {"location_id": 999, "code": "Z1"}, "location_id"),
        ("zones", {"location_id": 0, "code": "Z1"}, "location_id"),
        ("zones", {"location_id": 2**70, "code": "Z1"}, "location_id"),
        ("zones", {"location_id": 1, "code": "Z 1"}, "code"),
        ("cameras", {"pole_id": 1, "name": "x", "api_code": "A1"}, "api_code"),
        ("cameras", {"pole_id": 1, "name": "x", "api_code": "1", "p_ip": "http://1.2.3.4"}, "p_ip"),
        ("cameras", {"pole_id": 1, "name": "x", "api_code": "1", "status": "BROKEN"}, "status"),
        (
            "cameras",
            {"pole_id": 1, "name": "x", "api_code": "1", "number_of_parking": -1},
            "number_of_parking",
        ),
        ("spots", {"camera_id": 1, "spot_number": 0, **corners()}, "spot_number"),
        ("spots", {"camera_id": 1, "spot_number": 5, **corners(status=2)}, "status"),
        ("spots", {"camera_id": 1, "spot_number": 5, **corners(p2_x="wide")}, "p2_x"),
        ("spots", {"camera_id": 1, "spot_number": 5, **corners(p2_x=0, p3_x=0)}, "p1_x"),
        ("spots", {"camera_id": 1, "spot_number": 5, **corners(p2_x=10**9)}, "p2_x"),
        ("spots", {"camera_id": 1, "spot_number": 5, "p1_x": 1}, "p1_y"),
        ("spots", {"camera_id": 1, "spot_number": "5", **corners()}, "spot_number"),
        ("spots", {"camera_id": 1, "spot_number": 5, **corners(p2_x="100")}, "p2_x"),
        ("zones", {"location_id": 1, "code": 7}, "code"),
        ("zones", {"location_id": "1", "code": "Z7"}, "location_id"),
        ("cameras", {"pole_id": 1, "name": "C", "api_code": 7}, "api_code"),
        ("cameras", {"pole_id": 1, "name": "C", "api_code": "7", "is_enabled": "yes"}, "is_enabled"),
        ("crop-zones", {"camera_id": 1, "points": [[0, 0], [1, 1]]}, "points"),
        ("crop-zones", {"camera_id": 1, "points": [[0, 0], [1, 1], [2, 2]]}, "points"),
        ("crop-zones", {"camera_id": 1, "points": [[0, 0], [1, 1], [2]]}, "points.2"),
    ],
)
async def test_an_error_names_the_field(sqlite_ingest: Ingest, path: Any, body: Any, field: Any) -> None:
    await tree(sqlite_ingest)
    answer = await sqlite_ingest.client.post(f"{API}/{path}", json=body, headers=sqlite_ingest.admin)
    assert answer.status_code in {404, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(error["field"].startswith(field) for error in answer.json()["errors"]), answer.text


async def test_a_change_is_checked_by_the_same_rules(sqlite_ingest: Ingest) -> None:
    made = await tree(sqlite_ingest)
    changes: list[tuple[str, dict[str, Any], str]] = [
        ("locations", {"code": "N4D"}, "code"),
        ("locations", {"name": None}, "name"),
        ("locations", {"colour": "red"}, "colour"),
        ("cameras", {"p_ip": "a b"}, "p_ip"),
        ("spots", {"p2_x": 0, "p3_x": 0}, "p1_x"),
        ("spots", {"p1_x": None}, "p1_x"),
    ]
    for path, change, field in changes:
        problem = await call(sqlite_ingest, "PATCH", f"{path}/{made[path]['id']}", 422, **change)
        assert any(error["field"].startswith(field) for error in problem["errors"]), problem
    missing = await call(sqlite_ingest, "PUT", f"zones/{made['zones']['id']}", 422, code="Z9")
    assert [error["field"] for error in missing["errors"]] == ["location_id"]
    assert (await call(sqlite_ingest, "PATCH", "zones/999", 404, code="Z9"))["code"] == "zone_not_found"
    await call(sqlite_ingest, "PATCH", f"zones/{made['zones']['id']}", 404, location_id=999)


async def test_replacing_sets_what_is_left_out_back(ingest: Ingest) -> None:
    made = await tree(ingest)
    path = f"cameras/{made['cameras']['id']}"
    await call(ingest, "PATCH", path, 200, p_ip="10.0.0.1:8080", number_of_parking=4, is_enabled=False)
    replaced = await call(ingest, "PUT", path, 200, pole_id=made["poles"]["id"], name="New", api_code="96")
    assert (replaced["p_ip"], replaced["number_of_parking"], replaced["is_enabled"]) == ("", 0, True)
    assert replaced["api_code"] == "96"


async def test_lists_are_filtered_searched_and_paged(ingest: Ingest) -> None:
    for number in range(5):
        location = await ingest.create("locations", name=f"Place {number} 50%", code="ABCDE"[number] * 3)
        zone = await ingest.create("zones", location_id=location["id"], code=f"Z{number}")
        pole = await ingest.create("poles", zone_id=zone["id"], name="Pole", code="P")
        camera = {"pole_id": pole["id"], "name": f"Cam {number}", "api_code": "1"}
        await ingest.create("cameras", **camera, is_enabled=number % 2 == 1)
    for query, count in [
        ("locations?search=place 3", 1), ("locations?search=50%25", 5), ("locations?search=_", 0),
        ("locations?search=\uff50lace \u0663", 1),
        ("locations?code=CCC", 1), ("zones?location_id=2", 1), ("zones?code=Z4", 1), ("poles?location_id=3", 1),
        ("cameras?location_id=3", 1), ("cameras?zone_id=3", 1), ("cameras?pole_id=3", 1),
        ("cameras?is_enabled=false", 3), ("cameras?is_enabled=false&location_id=2", 0), ("cameras?search=cam 1", 1),
        ("cameras?status=ONLINE", 0), ("cameras?status=OFFLINE", 5), ("cameras?status=OFFLINE&location_id=2", 1),
        ("spots?location_id=1", 0), ("cameras?api_code=1", 5),
    ]:  # fmt: skip
        listed = await call(ingest, "GET", query, 200)
        assert (len(listed["items"]), listed["total"]) == (count, count), query
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await call(ingest, "GET", f"cameras?page_size=2{cursor and f'&cursor={cursor}'}", 200)
        seen += [row["id"] for row in page["items"]]
        cursor = page["next_cursor"]
        assert page["total"] == 5
    assert seen == sorted(set(seen))
    assert len(seen) == 5
    second = await call(ingest, "GET", "cameras?page=2&page_size=2", 200)
    assert [row["id"] for row in second["items"]] == seen[2:4]
    for query in (
        "cameras?page=0",
        "cameras?page_size=1000",
        "cameras?status=BROKEN",
        "cameras?cursor=x",
        "cameras?search=",
    ):
        await call(ingest, "GET", query, 422)


@pytest.mark.parametrize("path", ["locations", "zones", "poles", "cameras", "spots", "crop-zones"])
async def test_reading_and_writing_each_need_their_permission(sqlite_ingest: Ingest, path: Any) -> None:
    client, headers = sqlite_ingest.client, sqlite_ingest.headers
    for method, suffix in [
        ("GET", ""),
        ("GET", "/1"),
        ("POST", ""),
        ("PUT", "/1"),
        ("PATCH", "/1"),
        ("DELETE", "/1"),
    ]:
        needed, other = ("site:read", "site:write") if method == "GET" else ("site:write", "site:read")
        url = f"{API}/{path}{suffix}"
        body: dict[str, Any] = {} if method in {"GET", "DELETE"} else {"json": {}}
        assert (await client.request(method, url, **body)).status_code == 401
        assert (await client.request(method, url, headers=headers(other), **body)).status_code == 403
        allowed = await client.request(method, url, headers=headers(needed), **body)
        assert allowed.status_code in {200, 404, 422}


def test_secrets_are_encrypted_in_the_database() -> None:
    names = {column.name for table in metadata.tables.values() for column in table.columns}
    assert not {"camera_pass", "portal_password", "parkonic_api_token"} & names


@pytest.mark.parametrize("path", ["locations", "zones", "poles", "cameras", "spots", "crop-zones"])
async def test_what_was_read_can_be_changed_and_put_back(sqlite_ingest: Ingest, path: str) -> None:
    ingest = sqlite_ingest
    camera = await ingest.make_camera(push_user="cam", push_password="pass")
    await ingest.create("crop-zones", camera_id=camera["id"], points=[[0, 0], [9, 0], [9, 9]])
    [read] = (await ingest.client.get(f"/api/v1/{path}", headers=ingest.admin)).json()["items"]
    one = f"/api/v1/{path}/{read['id']}"
    answer = await ingest.client.put(one, json=read, headers=ingest.admin)
    assert answer.status_code == 200, answer.text
    times = {"updated_at": ""}
    assert {**answer.json(), **times} == {**read, **times} | (
        {"origin": "OPERATOR"} if "origin" in read else {}
    )
    unknown = await ingest.client.put(one, json={**read, "nmae": "x"}, headers=ingest.admin)
    assert unknown.status_code == 422
