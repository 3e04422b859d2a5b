"""Killed between any two steps, everything that was committed has its effect once."""

import asyncio
import importlib.util
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from testkit.processes import spawn
from testkit.waiting import eventually

ACTOR = Path(__file__).with_name("crash_actor.py")


def _load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.chaos
@pytest.mark.timeout(400)
async def test_killed_at_every_point_in_turn_each_source_has_one_effect(service, tmp_path):
    actor = _load(ACTOR)
    async with service.db.engine.begin() as connection:
        await connection.run_sync(actor.metadata.create_all)

    async def run(*options: str) -> int:
        command = [sys.executable, str(ACTOR), service.database_url, service.backend.url, *options]
        log = tmp_path / "actor.log"
        process = spawn(command, log=log)
        try:
            await eventually(lambda: process.poll() is not None, timeout_s=60, message=str(options))
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)
        assert process.returncode in {0, actor.DIED}, log.read_text()[-3000:]
        return process.returncode

    for point in actor.POINTS:
        assert await run("--point", point) == actor.DIED, point
    assert await run() == 0

    async with service.db.reading() as session:
        made = set((await session.execute(select(actor.sources.c.number))).scalars())
        done = Counter((await session.execute(select(actor.effects.c.number))).scalars())
    assert len(made) > 3 * len(actor.POINTS)
    assert set(done) == made
    assert max(done.values()) == 1
    bus = await service.backend.open()
    [info] = await bus.queues()
    assert (info.depth, info.dead_letters) == (0, 0)
