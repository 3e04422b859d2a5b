"""Replace the signing key, with an overlap in which both keys are published."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.domain.keys import TokenSigner, published_keys
from gateway.store import keys
from kit.clock import Clock
from kit.db import Database
from kit.secrets import SecretBox


@dataclass(frozen=True, slots=True)
class RotateKeys:
    """`publish_ahead`: how long verifiers may take to fetch a new key; `keep`: how long an old one stays published."""

    db: Database
    secret_box: SecretBox
    signer: TokenSigner
    clock: Clock
    publish_ahead: timedelta
    keep: timedelta

    async def __call__(self) -> tuple[str, datetime]:
        """Add a key and delete those that no valid token is signed with; returns the new key's id and first use.

        Raises:
            Unavailable: the database cannot be reached.
        """
        now = self.clock.now()
        key = self.signer.new_key(now, signs_from=now + self.publish_ahead)
        async with self.db.transaction() as session:
            await self.db.advisory_lock(session, "gateway.keys")
            await keys.add_key(session, key, self.secret_box)
            stored = await keys.list_keys(session, self.secret_box)
            needed = {one.kid for one in published_keys(stored, now, self.keep)}
            await keys.delete_keys(session, [one.kid for one in stored if one.kid not in needed])
        return key.kid, key.signs_from
