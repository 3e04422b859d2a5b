"""The operator at the machine sets a user's password: the way back in."""

from dataclasses import dataclass

from gateway.adapters.passwords import Passwords
from gateway.store import sessions, users
from kit.clock import Clock
from kit.db import Database
from kit.errors import NotFound


@dataclass(frozen=True, slots=True)
class ResetPassword:
    """No permission is asked for: who can run this can read the database too."""

    db: Database
    passwords: Passwords
    clock: Clock

    async def __call__(self, username: str, password: str) -> None:
        """Set it, end the user's sessions, and let a disabled user in again.

        Raises:
            NotFound: nobody has that name.
        """
        password_hash = await self.passwords.hash(password)
        now = self.clock.now()
        async with self.db.transaction() as session:
            found = await users.find_credentials(session, username)
            if found is None:
                raise NotFound(f"there is no user {username}")
            user_id = found[0].user_id
            await users.change_user(session, user_id, now=now, password_hash=password_hash, is_active=True)
            await sessions.end_sessions_of(session, user_id, now)
