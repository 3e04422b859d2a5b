"""The gateway's cost of a camera's POST: requests a second and processor time, compared with direct requests.

The service behind the gateway reads the body and answers. Clients, gateway and service are three processes that
share the machine's cores.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import httpx

from figures import Figure, percentile, publish
from testkit.processes import free_port, spawn, wait_until

BODY_BYTES = 270_000
CLIENTS = 16
REQUESTS = 3_000

SERVICE = """
import sys, uvicorn
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    length = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"ok"})
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error", lifespan="off")
"""


def processor_s(pid: int) -> float:
    """Processor time of a process so far, user and system (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def post_many(url: str) -> tuple[float, list[float]]:
    """Requests a second, and the duration of each in seconds."""
    body = os.urandom(BODY_BYTES)
    took: list[float] = []

    async def client(session: aiohttp.ClientSession, count: int) -> None:
        for _ in range(count):
            started_s = time.perf_counter()
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{url} answered {answer.status}")
            took.append(time.perf_counter() - started_s)

    async with aiohttp.ClientSession() as session:
        await client(session, 50)
        took.clear()
        started_s = time.perf_counter()
        await asyncio.gather(*(client(session, REQUESTS // CLIENTS) for _ in range(CLIENTS)))
        return len(took) / (time.perf_counter() - started_s), took


def main() -> None:
    service_port, gateway_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        service = spawn([sys.executable, "-c", SERVICE, str(service_port)], env=dict(os.environ), log=log)
        settings = {
            "DATABASE_URL": f"sqlite:///{folder}/gateway.db",
            "LOOKOUT_GATEWAY__HTTP__PORT": str(gateway_port),
            "LOOKOUT_GATEWAY__SECRETS_KEY": "a key for the benchmark only",
            "LOOKOUT_GATEWAY__UPSTREAMS__URLS": json.dumps({"ingest": f"http://127.0.0.1:{service_port}"}),
        }
        gateway = spawn([sys.executable, "-m", "gateway", "serve"], env={**os.environ, **settings}, log=log)
        try:
            address = f"http://127.0.0.1:{gateway_port}"
            wait_until(lambda: is_up(f"{address}/health/live"), timeout_s=60, what="the gateway", log=log)
            wait_until(lambda: is_up(f"http://127.0.0.1:{service_port}/"), timeout_s=60, what="the service")
            direct, _ = asyncio.run(post_many(f"http://127.0.0.1:{service_port}/"))
            before_s = processor_s(gateway.pid)
            through, took = asyncio.run(post_many(f"{address}/post"))
            cost_ms = (processor_s(gateway.pid) - before_s) / (REQUESTS + 50) * 1000
        finally:
            for process in (gateway, service):
                process.terminate()
                process.wait(20)
    publish(
        "gateway",
        [
            Figure("posts through the gateway", through, "1/s", direct, through / direct, "at least 100/s"),
            Figure("processor time a post", cost_ms, "ms", goal="at most 3 ms"),
            Figure("latency p50", percentile(took, 0.5) * 1000, "ms"),
            Figure("latency p95", percentile(took, 0.95) * 1000, "ms"),
        ],
        [
            f"{BODY_BYTES} bytes a post, {CLIENTS} clients; floor: the same requests sent directly to the service"
        ],
    )


def is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
