"""Tokens, rate limits, CORS and security headers of the whole chain."""

import asyncio

import pytest

from gateway.domain.clients import TrustedProxies
from gateway.domain.cors import CorsPolicy
from kit.health import Health

pytestmark = pytest.mark.integration

ALICE = {"Authorization": "Bearer alice-token"}
BOB = {"Authorization": "bearer bob-token"}


async def ok(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-asked", b"1")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "token_missing"),
        ({"Authorization": "Basic YTpi"}, 401, "token_missing"),
        ({"Authorization": "Bearer"}, 401, "token_invalid"),
        ({"Authorization": "Bearer nonsense"}, 401, "token_invalid"),
        (ALICE, 200, None),
        (BOB, 200, None),
    ],
)
async def test_a_route_that_is_not_public_requires_a_token(behind, client, headers, status, code):
    url = await behind(ok)
    async with client.get(f"{url}/api/v1/closed/x", headers=headers) as response:
        assert response.status == status
        if code:
            assert (await response.json())["code"] == code
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert "x-asked" not in response.headers


async def test_a_public_route_ignores_tokens(behind, client):
    url = await behind(ok)
    async with client.get(f"{url}/echo", headers={"Authorization": "Bearer nonsense"}) as response:
        assert response.status == 200


async def test_requests_over_the_rate_limit_are_refused(behind, client):
    url = await behind(ok)
    seen = []
    for _ in range(4):
        async with client.get(f"{url}/api/v1/few") as response:
            seen.append((response.status, response.headers["ratelimit-remaining"]))
            assert response.headers["ratelimit-limit"] == "3"
            last = response
    assert seen == [(200, "2"), (200, "1"), (200, "0"), (429, "0")]
    assert 1 <= int(last.headers["retry-after"]) <= 20
    assert 1 <= int(last.headers["ratelimit-reset"]) <= 60
    async with client.get(f"{url}/echo") as response:
        assert response.status == 200  # another route's limit is its own


async def test_each_user_has_their_own_rate_limit(behind, client):
    url = await behind(ok)

    async def statuses(headers, times):
        found = []
        for _ in range(times):
            async with client.get(f"{url}/api/v1/few-closed", headers=headers) as response:
                found.append(response.status)
        return found

    assert await statuses(ALICE, 4) == [200, 200, 200, 429]
    assert await statuses(BOB, 1) == [200]


async def test_wrong_tokens_count_for_the_address(behind, client):
    url = await behind(ok)
    found = []
    for _ in range(4):
        async with client.get(
            f"{url}/api/v1/few-closed", headers={"Authorization": "Bearer guess"}
        ) as response:
            found.append(response.status)
    assert found == [401, 401, 401, 429]


async def test_each_address_behind_a_trusted_proxy_has_its_own_rate_limit(build, client):
    url = await build.asgi(ok, trusted_proxies=TrustedProxies(("127.0.0.0/8",)))

    async def status(address):
        async with client.get(f"{url}/api/v1/few", headers={"X-Forwarded-For": address}) as response:
            return response.status

    assert [await status("203.0.113.1") for _ in range(4)] == [200, 200, 200, 429]
    assert await status("203.0.113.2") == 200


async def test_x_forwarded_for_of_a_client_does_not_evade_the_rate_limit(build, client):
    url = await build.asgi(ok)
    found = []
    for number in range(4):
        async with client.get(
            f"{url}/api/v1/few", headers={"X-Forwarded-For": f"203.0.113.{number}"}
        ) as response:
            found.append(response.status)
    assert found[-1] == 429


async def test_a_listed_origin_may_read_responses_and_send_credentials(behind, client):
    url = await behind(ok, cors=CorsPolicy.parse(("https://portal.example",)))
    for path in ("/echo", "/own", "/api/v1/closed"):  # refusals must be readable too
        async with client.get(url + path, headers={"Origin": "https://portal.example"}) as response:
            assert response.headers["access-control-allow-origin"] == "https://portal.example"
            assert response.headers["access-control-allow-credentials"] == "true"
            assert response.headers["vary"] == "Origin"
    async with client.get(f"{url}/echo", headers={"Origin": "https://evil.example"}) as response:
        assert "access-control-allow-origin" not in response.headers


async def test_a_preflight_is_answered_by_the_gateway(behind, client):
    url = await behind(ok, cors=CorsPolicy.parse(("*",)))
    headers = {
        "Origin": "https://anyone.example",
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization",
    }
    async with client.options(f"{url}/api/v1/closed", headers=headers) as response:
        assert response.status == 204
        assert response.headers["access-control-allow-origin"] == "*"
        assert response.headers["access-control-allow-headers"] == "authorization"
        assert "access-control-allow-credentials" not in response.headers
        assert "x-asked" not in response.headers


async def test_a_preflight_of_an_unlisted_origin_is_refused(behind, client):
    url = await behind(ok, cors=CorsPolicy.parse(("https://portal.example",)))
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    async with client.options(f"{url}/echo", headers=headers) as response:
        assert response.status == 400
        assert "access-control-allow-origin" not in response.headers


async def test_options_without_preflight_headers_are_forwarded(behind, client):
    url = await behind(ok)
    async with client.options(f"{url}/echo") as response:
        assert response.headers["x-asked"] == "1"


async def test_hsts_is_sent_over_tls_only_and_only_when_set(build, client):
    url = await build.asgi(ok, hsts_s=600, trusted_proxies=TrustedProxies(("127.0.0.1",)))
    async with client.get(f"{url}/echo", headers={"X-Forwarded-Proto": "https"}) as response:
        assert response.headers["strict-transport-security"] == "max-age=600"
    async with client.get(f"{url}/echo") as response:
        assert "strict-transport-security" not in response.headers


async def test_requests_are_in_the_log_and_the_metrics(behind, client, metrics, log_lines):
    url = await behind(ok)
    async with client.get(f"{url}/echo/x", headers=ALICE) as response:
        assert response.status == 200
    async with client.get(f"{url}/api/v1/closed") as response:
        assert response.status == 401
    text = metrics.render().decode()
    assert 'lookout_gateway_http_requests_total{method="GET",route="/api/v1/echo",status="200"} 1.0' in text
    assert 'lookout_gateway_http_requests_total{method="GET",route="/api/v1/closed",status="401"} 1.0' in text
    assert 'lookout_gateway_http_requests_refused_total{code="token_missing"} 1.0' in text
    assert "alice-token" not in log_lines.getvalue()


async def test_many_concurrent_clients(behind, client):
    url = await behind(ok)

    async def one():
        async with client.get(f"{url}/echo") as response:
            return response.status

    assert set(await asyncio.gather(*(one() for _ in range(200)))) == {200}


async def test_public_routes_are_forwarded_while_the_gateway_starts(build, client):
    health = Health()
    health.refuse_calls("the service is still starting")
    url = await build.asgi(ok, health=health)
    async with client.get(f"{url}/echo") as response:
        assert response.status == 200
    for path in ("/api/v1/closed", "/own"):
        async with client.get(url + path, headers=ALICE) as response:
            assert (response.status, (await response.json())["code"]) == (503, "starting")
            assert response.headers["retry-after"] == "2"
