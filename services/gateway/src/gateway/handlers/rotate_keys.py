"""A new signing key takes over, with an overlap in which both are published."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.adapters.signing import new_key
from gateway.domain.keys import published_keys
from gateway.store import keys
from kit.clock import Clock
from kit.db import Database
from kit.secrets import SecretBox


@dataclass(frozen=True, slots=True)
class RotateKeys:
    """`publish_ahead`: how long verifiers may take to see a new key; `keep`: how long an old one is kept."""

    db: Database
    secret_box: SecretBox
    clock: Clock
    publish_ahead: timedelta
    keep: timedelta

    async def __call__(self) -> tuple[str, datetime]:
        """Add a key and drop those that no valid token is signed with; the new key's id and its first use.

        Raises:
            Unavailable: the database is away.
        """
        now = self.clock.now()
        made = new_key(now, signs_from=now + self.publish_ahead)
        async with self.db.transaction() as session:
            await self.db.advisory_lock(session, "gateway.keys")
            await keys.add_key(session, made, self.secret_box)
            stored = await keys.list_keys(session, self.secret_box)
            needed = {key.kid for key in published_keys(stored, now, self.keep)}
            await keys.delete_keys(session, [key.kid for key in stored if key.kid not in needed])
        return made.kid, made.signs_from
