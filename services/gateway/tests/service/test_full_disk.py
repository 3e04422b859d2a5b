"""Signing in while the disk of the database is full, and after the clock was set back."""

from datetime import timedelta

import pytest

pytestmark = pytest.mark.integration


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


async def me(gateway, token):
    return await gateway.client.get("/api/v1/auth/me", headers=bearer(token))


async def post(gateway, path, token, **body):
    return await gateway.client.post(f"/api/v1/auth/{path}", headers=bearer(token), json=body)


async def test_signing_in_works_on_a_full_disk(gateways, small_disk):
    gateway = await gateways.start(f"sqlite:///{small_disk.folder}/gateway.db")
    small_disk.fill()
    for _ in range(3):
        tokens = await gateway.sign_in()
    assert tokens["expires_in"] == 3_600, "shorter: no other replica can check whether it was revoked"
    access = tokens["access_token"]
    assert (await me(gateway, access)).json()["username"] == "superadmin"
    assert (await gateway.client.get("/users", headers=bearer(access))).status_code == 200
    made = await gateway.client.post(
        "/roles", headers=bearer(access), json={"name": "x", "permission_ids": []}
    )
    assert (made.status_code, made.json()["code"]) == (507, "database_full"), "the disk is really full"
    refreshed = await gateway.client.post(
        "/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]}
    )
    assert refreshed.status_code == 401
    wrong = {"username": "superadmin", "password": "wrong"}
    statuses = [(await gateway.client.post("/token", data=wrong)).status_code for _ in range(11)]
    assert statuses[0] == 401
    assert statuses[-1] == 429, "wrong passwords are counted in memory"
    assert (await post(gateway, "logout", access)).status_code == 200
    assert (await me(gateway, access)).status_code == 401


async def test_a_token_of_a_full_disk_ends_when_something_is_revoked_or_it_expires(
    gateways, small_disk, manual_clock
):
    gateway = await gateways.start(f"sqlite:///{small_disk.folder}/gateway.db")
    before = await gateway.headers()
    small_disk.fill()
    unstored = (await gateway.sign_in())["access_token"]
    small_disk.free()
    stored = (await gateway.sign_in())["access_token"]
    assert (await me(gateway, unstored)).status_code == 200
    await gateway.user_with(before, "alice", "tickets:read")
    assert (await post(gateway, "logout", stored)).status_code == 200
    assert (await me(gateway, unstored)).status_code == 401
    small_disk.fill()
    unstored = (await gateway.sign_in())["access_token"]
    manual_clock.advance(timedelta(hours=2))
    assert (await me(gateway, unstored)).status_code == 401


SET_BACK = pytest.mark.parametrize("days", [1, 500])


@SET_BACK
async def test_signing_in_works_after_the_clock_was_set_back(gateway, manual_clock, days):
    old = await gateway.sign_in()
    manual_clock.advance(timedelta(days=-days))
    await check_signing_in(gateway, old)


@SET_BACK
async def test_signing_in_works_after_a_start_with_a_clock_that_was_set_back(
    gateways, sqlite_url, manual_clock, days
):
    old = await (await gateways.start(sqlite_url)).sign_in()
    manual_clock.advance(timedelta(days=-days))
    await check_signing_in(await gateways.start(sqlite_url), old)


@SET_BACK
async def test_a_lockout_does_not_last_until_the_clock_has_caught_up(gateway, manual_clock, days):
    wrong = {"username": "superadmin", "password": "wrong"}

    async def status():
        return (await gateway.client.post("/token", data=wrong)).status_code

    assert [await status() for _ in range(11)] == [401] * 10 + [429]
    manual_clock.advance(timedelta(days=-days))
    await gateway.sign_in()
    assert [await status() for _ in range(11)] == [401] * 10 + [429], "it locks out as before"
    manual_clock.advance(timedelta(minutes=6))
    await gateway.sign_in()


async def check_signing_in(gateway, old):
    tokens = await gateway.sign_in()
    assert (await me(gateway, tokens["access_token"])).status_code == 200
    assert (await gateway.client.get("/api/v1/auth/health")).status_code == 200
    refreshed = await gateway.client.post(
        "/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]}
    )
    assert refreshed.status_code == 200
    refused = await me(gateway, old["access_token"])
    assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
    assert "clock" in refused.json()["detail"]
    assert refused.json()["detail"].endswith("sign in again.")
