"""The process is killed at any moment: nothing is lost, nothing goes out twice, nothing overtakes."""

import asyncio
import random
import signal
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from lookout.camera.v1 import camera_pb2
from testkit import HttpCamera, eventually
from testkit.pictures import noise, parking_push
from testkit.processes import free_port, spawn

from .conftest import Starter

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

CAMERAS = 4
EVENTS_EACH = 25
KILLS = 4


class Killed:
    """`ingest serve` in a process of its own, which is killed and started again."""

    def __init__(self, folder: Any, database_url: Any) -> None:
        self.port = free_port()
        self._folder = folder
        self._environment = {
            "LOOKOUT_MODE": "embedded",
            "LOOKOUT_DATA_DIR": str(folder / "data"),
            "LOOKOUT_INGEST__DATABASE__URL": database_url,
            "LOOKOUT_INGEST__HTTP__PORT": str(self.port),
            "LOOKOUT_INGEST__DISPATCH__LEASE_S": "1",
            "LOOKOUT_INGEST__DISPATCH__POLL_INTERVAL_S": "0.1",
            "LOOKOUT_INGEST__LOG__LEVEL": "WARNING",
            "PATH": "/usr/bin:/bin",
        }
        self._process: Any = None

    @property
    def url(self) -> Any:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._process = spawn(
            [sys.executable, "-m", "ingest", "serve"], log=self._folder / "ingest.log", env=self._environment
        )
        async with httpx.AsyncClient(base_url=self.url) as client:

            async def is_up() -> Any:
                assert self._process.poll() is None, (self._folder / "ingest.log").read_text()[-3000:]
                try:
                    return (await client.get("/health/ready")).status_code == 200
                except httpx.HTTPError:
                    return False

            await eventually(is_up, 60, "ingest is up", interval_s=0.1)

    async def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)


async def push(url: Any, camera: Any, number: Any, picture: Any) -> Any:
    """As a camera does: again and again until there is a 2xx."""
    report = parking_push(
        picture=picture, parking_area=f"NAD{camera}", occupancy=int(number % 3 > 0), duration=number
    )
    async with httpx.AsyncClient(base_url=url, timeout=5) as client:

        async def is_taken() -> Any:
            try:
                answer = await client.post("/api/v1/post", json=report)
            except httpx.HTTPError:
                return None
            assert answer.status_code in {200, 503}, answer.text
            return answer.json()["event_id"] if answer.status_code == 200 else None

        return await eventually(is_taken, 90, f"event {number} of camera {camera} is taken", interval_s=0.1)


async def test_killed_at_random(start_ingest: Starter, any_database: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    picture = noise(20_000)
    with HttpCamera(picture=noise(10_000)) as device:
        site = await start_ingest(any_database, name="-site")
        for camera in range(1, CAMERAS + 1):
            await site.make_camera(api_code=str(camera), p_ip=device.address)
        await site.runner.stop()
        # The passwords of the site were encrypted with the key of this run.
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "ingest.key").write_bytes((tmp_path / "data-site" / "ingest.key").read_bytes())
        killed = Killed(tmp_path, any_database)
        await killed.start()
        accepted: defaultdict[int, list[str]] = defaultdict(list)

        async def play(camera: Any) -> None:
            for number in range(EVENTS_EACH):
                accepted[camera].append(await push(killed.url, camera, number, picture))

        def has_accepted(goal: int) -> bool:
            return sum(map(len, accepted.values())) >= goal

        async def kill_now_and_then() -> None:
            for _ in range(KILLS):
                goal = sum(map(len, accepted.values())) + chance.randint(3, 12)
                await eventually(partial(has_accepted, goal), 60)
                await asyncio.sleep(chance.random() * 0.1)  # anywhere within a request or a dispatch
                await killed.kill()
                await killed.start()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(kill_now_and_then())
            for camera in range(1, CAMERAS + 1):
                tasks.create_task(play(camera))

        async def all_out() -> Any:
            rows = await site.rows()
            return len(rows) == CAMERAS * EVENTS_EACH and all(row.state == "DISPATCHED" for row in rows)

        await eventually(all_out, 60, "everything has gone out", interval_s=0.2)
        await killed.kill()
    frames = [camera_pb2.FrameCaptured.FromString(row.body) for row in await site.outbox()]
    for camera in range(1, CAMERAS + 1):
        mine = [frame for frame in frames if frame.camera_api_code == str(camera)]
        assert [frame.frame_id for frame in mine] == accepted[camera]
        assert [frame.previous_state_duration.seconds for frame in mine] == list(range(EVENTS_EACH))
    named = {frame.picture.key for frame in frames}
    kept = {
        str(path.relative_to(tmp_path / "data" / "blobs"))
        for path in (tmp_path / "data" / "blobs").rglob("*.jpg")
    }
    assert named <= kept
