"""Delete expired tokens and sessions, so that the tables stay small."""

from dataclasses import dataclass
from datetime import timedelta

from gateway.store import sessions
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class DeleteExpiredTokens:
    """A token stays for `leeway` after its expiry, since verifiers still accept it then."""

    db: Database
    clock: Clock
    leeway: timedelta

    async def __call__(self) -> None:
        """Delete what has expired by now."""
        async with self.db.transaction() as session:
            await sessions.delete_expired(session, self.clock.now() - self.leeway)
