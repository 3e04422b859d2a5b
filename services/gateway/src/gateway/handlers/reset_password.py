"""Set a user's password from the command line, for an operator who cannot sign in any more."""

from dataclasses import dataclass

from gateway.domain.passwords import PasswordHasher, PasswordRules
from gateway.handlers.account_rules import check_password
from gateway.store import sessions, users
from kit.clock import Clock
from kit.db import Database
from kit.errors import NotFound


@dataclass(frozen=True, slots=True)
class ResetPassword:
    """No permission is checked: whoever can run the command can read the database anyway."""

    db: Database
    passwords: PasswordHasher
    password_rules: PasswordRules
    clock: Clock

    async def __call__(self, username: str, password: str) -> None:
        """Set it, end the user's sessions, and enable the user.

        Raises:
            NotFound: no user has that name.
            Invalid: the password breaks the rules.
        """
        check_password(password, username, self.password_rules)
        password_hash = await self.passwords.hash(password)
        now = self.clock.now()
        async with self.db.transaction() as session:
            found = await users.find_credentials(session, username)
            if found is None:
                raise NotFound(f"there is no user {username}")
            user_id = found[0].user_id
            await users.change_user(session, user_id, now=now, password_hash=password_hash, is_active=True)
            await sessions.end_user_sessions(session, user_id, now)
