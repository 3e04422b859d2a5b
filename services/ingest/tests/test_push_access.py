"""Who may push, through HTTP, with real clients of Basic and Digest."""

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from testkit.clock import ManualClock
from testkit.pictures import parking_push, solid

from .conftest import Ingest, Starter

pytestmark = pytest.mark.integration

SECRET, KEY = "a-secret-of-enough-length", "a-key-of-enough-length"
PATH = "/api/v1/post"


@pytest.fixture
async def strict(start_ingest: Starter, sqlite_url: str) -> Ingest:
    """Authentication is required; the requests come through a gateway on this machine."""
    started: Ingest = await start_ingest(sqlite_url, push={"is_authentication_required": True})
    return started


def from_address(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


async def refused(ingest: Ingest) -> list[dict[str, Any]]:
    answer = await ingest.client.get("/api/v1/refused-pushes", headers=ingest.admin)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_stranger_does_not_learn_what_exists(strict: Ingest) -> None:
    await strict.make_camera()
    await strict.make_camera(api_code="96", push_password="pass", push_user="cam")
    answers = [
        await strict.post(),
        await strict.post(parking_area="NAD96"),
        await strict.post(parking_area="NAD97"),
        await strict.post(parking_area="XYZ1"),
        await strict.post(index_number=77),
        await strict.post(parking_area="NAD96", headers={"Authorization": "Basic eDp5"}),
    ]
    shown = set()
    for answer in answers:
        document = answer.json()
        del document["trace_id"]
        challenges = tuple(
            value.partition("nonce")[0] for value in answer.headers.get_list("www-authenticate")
        )
        shown.add((answer.status_code, orjson.dumps(document), challenges))
    assert len(shown) == 1
    [(status, _, challenges)] = shown
    assert status == 401
    assert [challenge.partition(" ")[0] for challenge in challenges] == ["Digest", "Digest", "Basic"]
    assert not await strict.rows()


@pytest.mark.parametrize("is_required", [True, False])
async def test_an_empty_request_is_answered_with_a_challenge(
    start_ingest: Starter, sqlite_url: str, is_required: bool
) -> None:
    """curl and some cameras send the push only after it. Without one they give up."""
    ingest: Ingest = await start_ingest(sqlite_url, push={"is_authentication_required": is_required})
    await ingest.make_camera(push_user="cam", push_password="pass")
    answer = await ingest.client.post(PATH)
    assert (answer.status_code, answer.json()["code"]) == (401, "push_refused")
    digest = httpx.DigestAuth("cam", "pass")
    flow = digest.auth_flow(httpx.Request("POST", f"http://ingest{PATH}"))
    next(flow)
    authorization = flow.send(answer).headers["Authorization"]
    assert (await ingest.post(headers={"Authorization": authorization})).status_code == 200


@pytest.mark.parametrize("auth", [httpx.BasicAuth, httpx.DigestAuth])
async def test_basic_and_digest(strict: Ingest, auth: Callable[[str, str], httpx.Auth]) -> None:
    await strict.make_camera(push_user="cam", push_password="pass")
    for number in range(3):
        body = parking_push(picture=solid(64 + number))
        answer = await strict.client.post(PATH, json=body, auth=auth("cam", "pass"))
        assert answer.status_code == 200, answer.text
    assert len(await strict.rows()) == 3
    assert await refused(strict) == []
    wrong = await strict.client.post(PATH, json=parking_push(), auth=auth("cam", "wrong"))
    assert wrong.status_code == 401
    [row] = await refused(strict)
    assert (row["parking_area"], row["reason"]) == ("NAD95", "wrong_credentials")
    metrics = (await strict.client.get("/metrics")).text
    assert 'lookout_ingest_parking_pushes_refused_total{reason="wrong_credentials"} 1.0' in metrics


async def test_a_secret_in_the_path(strict: Ingest, capsys: pytest.CaptureFixture[str]) -> None:
    await strict.make_camera(push_path_secret=SECRET)
    assert (await strict.client.post(f"{PATH}/{SECRET}", json=parking_push())).status_code == 200
    assert (await strict.client.post(f"{PATH}/{SECRET[:-1]}", json=parking_push())).status_code == 401
    assert (await strict.post()).status_code == 401
    assert SECRET not in capsys.readouterr().out


async def test_a_signature(start_ingest: Starter, sqlite_url: str) -> None:
    clock = ManualClock()
    ingest: Ingest = await start_ingest(sqlite_url, clock=clock)
    await ingest.make_camera(push_hmac_key=KEY)
    body = orjson.dumps(parking_push())
    sent_at = int(clock.now().timestamp())
    code = hmac.new(KEY.encode(), f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Lookout-Signature": f"t={sent_at},v1={code}"}
    assert (await ingest.client.post(PATH, content=body + b" ", headers=headers)).status_code == 401
    assert (await ingest.client.post(PATH, content=body, headers=headers)).status_code == 200
    clock.advance(301)
    assert (await ingest.client.post(PATH, content=body, headers=headers)).status_code == 401
    assert [row["reason"] for row in await refused(ingest)] == ["stale", "wrong_credentials"]


async def test_networks_count_the_address_that_the_gateway_saw(
    start_ingest: Starter, sqlite_url: str
) -> None:
    ingest: Ingest = await start_ingest(sqlite_url)
    await ingest.make_camera(push_networks=["192.0.2.0/24"])
    assert (await ingest.post(headers=from_address("192.0.2.9"))).status_code == 200
    assert (await ingest.post(headers=from_address("192.0.3.9, 192.0.2.9"))).status_code == 401
    assert (await ingest.post()).status_code == 401
    found = {(row["address"], row["reason"], row["count"]) for row in await refused(ingest)}
    assert found == {("192.0.3.9", "network", 1), ("127.0.0.1", "network", 1)}


async def test_the_header_of_somebody_who_is_no_gateway_is_not_believed(
    start_ingest: Starter, sqlite_url: str
) -> None:
    ingest: Ingest = await start_ingest(sqlite_url, push={"gateway_networks": ("198.51.100.0/24",)})
    await ingest.make_camera(push_networks=["192.0.2.0/24"])
    assert (await ingest.post(headers=from_address("192.0.2.9"))).status_code == 401


async def test_what_is_set_is_shown_and_secrets_are_not(ingest: Ingest) -> None:
    camera = await ingest.make_camera(
        push_user="cam", push_password="pass", push_hmac_key=KEY, push_networks=["10.1.2.3/8"]
    )
    assert camera["push_networks"] == ["10.0.0.0/8"]
    assert (camera["push_user"], camera["has_push_password"], camera["has_push_hmac_key"]) == (
        "cam",
        True,
        True,
    )
    assert camera["has_push_path_secret"] is False
    assert KEY not in str(camera)
    one = f"/api/v1/cameras/{camera['id']}"
    changed = await ingest.client.patch(one, json={"push_hmac_key": None}, headers=ingest.admin)
    assert (changed.json()["has_push_hmac_key"], changed.json()["has_push_password"]) == (False, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("push_networks", ["10.0.0"]),
        ("push_path_secret", "short"),
        ("push_path_secret", "with/slash-and-enough-length"),
        ("push_hmac_key", "short"),
        ("push_user", "a:b"),
    ],
)
async def test_a_secret_that_cannot_be_used_is_refused(ingest: Ingest, field: str, value: Any) -> None:
    camera = await ingest.make_camera()
    answer = await ingest.client.patch(
        f"/api/v1/cameras/{camera['id']}", json={field: value}, headers=ingest.admin
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(field)


async def test_the_list_of_refused_pushes_is_bounded(start_ingest: Starter, sqlite_url: str) -> None:
    limits = {"is_authentication_required": True, "max_refusals": 3}
    ingest: Ingest = await start_ingest(sqlite_url, push=limits)
    for number in range(6):
        await ingest.post(parking_area=f"XYZ{number}", headers={"Authorization": "Basic eDp5"})
    found = await refused(ingest)
    assert [row["parking_area"] for row in found] == ["XYZ5", "XYZ4", "XYZ3"]
    assert {row["camera_id"] for row in found} == {None}


async def test_a_camera_and_an_address_have_budgets(start_ingest: Starter, sqlite_url: str) -> None:
    limits = {"camera_events_per_minute": 3, "address_events_per_minute": 5}
    ingest: Ingest = await start_ingest(sqlite_url, push=limits)
    await ingest.make_camera()
    await ingest.make_camera(api_code="96")
    began = time.monotonic()
    answers = [await ingest.post(picture=solid(64 + number)) for number in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json()["code"] == "push_budget_used"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
    assert (await ingest.post(parking_area="NAD96")).status_code == 200
    assert (await ingest.post(parking_area="NAD96")).status_code == 429  # the address's
    assert time.monotonic() - began < 12, (
        "a bucket of 5 a minute was refilled: the machine is too slow for this test"
    )
    other = await ingest.post(parking_area="NAD96", headers=from_address("192.0.2.1"), picture=solid(99))
    assert other.status_code == 200
    assert len(await ingest.rows()) == 5


async def test_bytes_count_by_what_is_declared_before_the_body_is_read(
    start_ingest: Starter, sqlite_url: str
) -> None:
    ingest: Ingest = await start_ingest(sqlite_url, push={"address_bytes_per_minute": 3_000})
    await ingest.make_camera()
    large = b"{" + b" " * 2_990
    assert (await ingest.client.post(PATH, content=large)).status_code == 400
    assert (await ingest.client.post(PATH, content=large)).status_code == 429
