"""Delete expired tokens and sessions at intervals, so that the tables stay small."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from gateway.store import sessions
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class DeleteExpiredTokens:
    """Every `interval_s`. A token stays for `leeway` after its expiry, since verifiers still accept it then."""

    db: Database
    clock: Clock
    interval_s: float
    leeway: timedelta

    async def __call__(self) -> None:
        """Run until cancelled."""
        while True:
            async with self.db.transaction() as session:
                await sessions.delete_expired(session, self.clock.now() - self.leeway)
            await asyncio.sleep(self.interval_s)
