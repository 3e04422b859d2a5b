"""Check that users can sign in: the database answers, and there is a key to sign tokens with."""

from dataclasses import dataclass

from gateway.handlers.signing_keys import SigningKeys
from kit.db import Database


@dataclass(frozen=True, slots=True)
class CheckSignIn:
    """Behind `/api/v1/auth/health`."""

    db: Database
    signing_keys: SigningKeys

    async def __call__(self) -> None:
        """Return when both are there.

        Raises:
            Unavailable: one of them is missing.
        """
        await self.db.ping()
        await self.signing_keys.current()
