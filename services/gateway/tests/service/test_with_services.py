"""The gateway in front of services in the same process: pages, readiness, and tokens verified by both."""

import asyncio
import re
from typing import Annotated

import pytest
from fastapi import Depends, Request

from kit.auth import Principal, TokenVerifier, require
from kit.health import CheckResult, Health
from kit.http import create_app
from kit.metrics import Metrics
from kit.settings import AuthSettings, HttpSettings

pytestmark = pytest.mark.integration


def tickets_app(gateway_keys, clock, logger, *, health=None):
    """An app as services build it with the kit, with its own verification of tokens."""
    app = create_app(
        "tickets",
        "1",
        settings=HttpSettings(),
        logger=logger,
        metrics=Metrics("tickets"),
        health=health or Health(),
        verifier=TokenVerifier(AuthSettings(), gateway_keys, clock=clock),
        clock=clock,
    )

    @app.get("/api/v1/tickets")
    async def list_tickets(caller: Annotated[Principal, Depends(require("tickets:read"))]) -> dict[str, str]:
        return {"caller": caller.username}

    @app.get("/api/v1/tickets/{ticket_id}")
    async def get_ticket(ticket_id: int, request: Request) -> dict[str, object]:
        return {"id": ticket_id, "client": request.client.host, "url": str(request.url)}

    return app


@pytest.fixture
async def site(gateways, sqlite_url, manual_clock, logger):
    applications = {}
    gateway = await gateways.start(sqlite_url, upstreams=applications)
    health = Health()
    applications["tickets"] = tickets_app(gateway.service.shared.jwks, manual_clock, logger, health=health)
    return gateway, applications, health


async def test_a_token_allows_what_its_permissions_allow(site):
    gateway, _, _ = site
    root = await gateway.headers()
    for path in ("/tickets", "/api/v1/tickets", "/tickets/"):
        answer = await gateway.client.get(path, headers=root)
        assert (answer.status_code, answer.json()) == (200, {"caller": "superadmin"})
    _, _, reader = await gateway.user_with(root, "reader", "tickets:read")
    _, _, other = await gateway.user_with(root, "other", "site:read")
    assert (await gateway.client.get("/tickets", headers=reader)).status_code == 200
    assert (await gateway.client.get("/tickets", headers=other)).status_code == 403
    assert (await gateway.client.get("/tickets")).status_code == 401


async def test_a_service_gets_the_clients_address_and_host(site):
    gateway, _, _ = site
    ticket = (await gateway.client.get("/tickets/7", headers=await gateway.headers())).json()
    assert ticket == {"id": 7, "client": "203.0.113.9", "url": "http://gateway/api/v1/tickets/7"}


async def test_a_signed_out_token_is_not_forwarded(site):
    gateway, _, _ = site
    headers = await gateway.headers()
    assert (await gateway.client.get("/tickets", headers=headers)).status_code == 200
    await gateway.client.post("/api/v1/auth/logout", headers=headers)
    answer = await gateway.client.get("/tickets", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")


async def test_readiness_lists_every_service_and_requires_only_the_database(site):
    gateway, _, health = site
    answer = await gateway.client.get("/health/ready")
    checks = answer.json()["checks"]
    assert answer.status_code == 200
    assert checks["database"] == {"ok": True, "required": True, "detail": "sqlite"}
    assert checks["tickets"] == {"ok": True, "required": False, "detail": "ready"}
    assert checks["ingest"]["ok"] is False
    health.add("bus", lambda: asyncio.sleep(0, CheckResult(ok=False, detail="unavailable")))
    checks = (await gateway.client.get("/health/ready")).json()["checks"]
    assert checks["tickets"] == {"ok": False, "required": False, "detail": "without bus"}


async def test_without_its_database_the_gateway_is_not_ready_and_sends_retry_after(
    gateways, postgres_server, manual_clock, logger
):
    async def camera_post(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"taken"})

    url = postgres_server.fresh_database()
    gateway = await gateways.start(url, upstreams={"ingest": camera_post})
    headers = await gateway.headers()
    postgres_server.stop()
    try:
        assert (await gateway.client.get("/health/ready")).status_code == 503
        for answer in (
            await gateway.client.get("/tickets", headers=headers),
            await gateway.client.post("/token", data={"username": "superadmin", "password": "x"}),
            await gateway.client.get("/users", headers=headers),
        ):
            assert answer.status_code == 503, answer.text
            assert "retry-after" in answer.headers
        assert (await gateway.client.post("/post", json={})).text == "taken"  # cameras need no token
    finally:
        postgres_server.start()
    assert (await gateway.client.get("/users", headers=headers)).status_code == 200


async def test_the_api_page_loads_everything_from_the_gateway(site):
    gateway, _, _ = site
    page = await gateway.client.get("/docs")
    assert page.status_code == 200
    assert "script-src" not in page.headers["content-security-policy"]  # default-src 'self' covers scripts
    assert "default-src 'self'" in page.headers["content-security-policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) >= 4
    for link in links:
        assert link.startswith("/")
        answer = await gateway.client.get(link)
        assert answer.status_code == 200, link
        assert answer.headers["x-content-type-options"] == "nosniff"
    script = await gateway.client.get("/docs/assets/swagger-ui-bundle.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert b"SwaggerUIBundle" in script.content
    assert (await gateway.client.get("/docs/assets/..%2f__init__.py")).status_code == 400
    assert (await gateway.client.get("/docs/assets/other.js")).status_code == 404


async def test_the_merged_document(site):
    gateway, _, _ = site
    document = (await gateway.client.get("/openapi.json")).json()
    paths = document["paths"]
    assert {"/token", "/api/v1/users", "/api/v1/users/{user_id}", "/api/v1/tickets/{ticket_id}"} <= set(paths)
    assert not {"/health/ready", "/metrics"} & set(paths)
    assert paths["/api/v1/tickets"]["get"]["tags"] == ["tickets"]
    assert "Also at `/tickets/{ticket_id}`." in paths["/api/v1/tickets/{ticket_id}"]["get"]["description"]
    assert "**ingest** is missing here" in document["info"]["description"]
    assert "**tickets**" not in document["info"]["description"]
    assert document["components"]["securitySchemes"]["signIn"]["flows"]["password"]["tokenUrl"] == "/token"
    ids = [
        operation["operationId"]
        for item in paths.values()
        for operation in item.values()
        if "operationId" in operation
    ]
    assert len(ids) == len(set(ids))
    unresolved = set(re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"')))
    assert unresolved <= set(document["components"]["schemas"])


async def test_a_service_that_starts_later_is_in_the_merged_document(site, manual_clock, logger):
    gateway, applications, _ = site
    before = (await gateway.client.get("/openapi.json")).json()["info"]["description"]
    assert "plate-ocr" in before
    applications["plate-ocr"] = tickets_app(gateway.service.shared.jwks, manual_clock, logger)
    after = (await gateway.client.get("/openapi.json")).json()["info"]["description"]
    assert "plate-ocr" not in after


async def test_the_start_page_shows_readiness(site):
    gateway, _, _ = site
    page = await gateway.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert 'lang="en"' in page.text
    assert re.search(r'tickets</th><td class="up">up', page.text)
    assert re.search(r'ingest</th><td class="down">down', page.text)
    assert 'href="/docs"' in page.text
    assert "<script" not in page.text
    assert not re.search(r'(?:src|href)="(?!/|#)', page.text)


async def test_metrics_and_unknown_paths(site):
    gateway, _, _ = site
    await gateway.client.get("/tickets")
    assert 'route="/api/v1/tickets",status="401"' in (await gateway.client.get("/metrics")).text
    answer = await gateway.client.get("/nothing/here")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["trace_id"]
    own = await gateway.client.get("/users/x", headers=await gateway.headers())
    assert own.status_code == 422
    assert 'route="/api/v1/users/{user_id}",status="422"' in (await gateway.client.get("/metrics")).text
