import contextlib
from dataclasses import dataclass, field

import httpx
import pytest

from gateway.settings import GatewaySettings
from gateway.wiring import build
from kit.service import Service, Shared

ROOT_PASSWORD = "a good long password"
EXAMPLE_PASSWORD = "five small boats"


@dataclass
class Running:
    """A started gateway and an HTTP client for it."""

    service: Service
    client: httpx.AsyncClient
    printed: list[str] = field(default_factory=list)

    async def is_ready(self):
        return (await self.client.get("/health/ready")).status_code == 200

    async def sign_in(self, username="superadmin", password=ROOT_PASSWORD):
        answer = await self.client.post("/token", data={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def headers(self, username="superadmin", password=ROOT_PASSWORD):
        return bearer((await self.sign_in(username, password))["access_token"])

    async def permission_ids(self, root, *names):
        listed = (await self.client.get("/permissions?page_size=100", headers=root)).json()["items"]
        by_name = {one["name"]: one["id"] for one in listed}
        return [by_name[name] for name in names]

    async def user_with(self, root, username, *permissions, password=EXAMPLE_PASSWORD):
        """Create a user with exactly these permissions; returns the ids of user and role, and the headers."""
        ids = await self.permission_ids(root, *permissions)
        role = await self.client.post(
            "/roles", headers=root, json={"name": f"role of {username}", "permission_ids": ids}
        )
        assert role.status_code == 201, role.text
        user = await self.client.post(
            "/users",
            headers=root,
            json={"username": username, "password": password, "role_ids": [role.json()["id"]]},
        )
        assert user.status_code == 201, user.text
        return user.json()["id"], role.json()["id"], await self.headers(username, password)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class Gateways:
    def __init__(self, tmp_path, clock, stack):
        self.tmp_path, self.clock, self.stack = tmp_path, clock, stack

    async def start(self, database_url, *, upstreams=None, **changes):
        values = {
            "mode": "embedded",
            "data_dir": self.tmp_path,
            "database": {"url": database_url},
            "log": {"level": "ERROR"},
            "superadmin_password": ROOT_PASSWORD,
            **changes,
        }
        values["sign_in"] = {"hash_memory_kib": 8192, "hash_passes": 1, "hash_lanes": 1} | changes.get(
            "sign_in", {}
        )
        printed = []
        service = build(
            GatewaySettings(**values),
            Shared(clock=self.clock, apps={} if upstreams is None else upstreams),
            print_text=printed.append,
        )
        await service.start()
        self.stack.push_async_callback(service.stop)
        transport = httpx.ASGITransport(service.app, client=("203.0.113.9", 1))
        client = await self.stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://gateway")
        )
        return Running(service, client, printed)


@pytest.fixture
async def gateways(tmp_path, manual_clock):
    async with contextlib.AsyncExitStack() as stack:
        yield Gateways(tmp_path, manual_clock, stack)


@pytest.fixture
async def gateway(gateways, sqlite_url):
    return await gateways.start(sqlite_url)


@pytest.fixture
async def root(gateway):
    return await gateway.headers()
