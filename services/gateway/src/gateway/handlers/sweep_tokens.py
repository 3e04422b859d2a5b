"""What has expired is forgotten, so that the tables stay small."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from gateway.store import sessions
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class SweepTokens:
    """Every `interval_s`. A token stays for `leeway` past its end, as long as verifiers would take it."""

    db: Database
    clock: Clock
    interval_s: float
    leeway: timedelta

    async def __call__(self) -> None:
        """Forever."""
        while True:
            async with self.db.transaction() as session:
                await sessions.sweep(session, self.clock.now() - self.leeway)
            await asyncio.sleep(self.interval_s)
