"""Somebody at a help desk sets the password of a user who is allowed less."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_resets_password
from gateway.domain.passwords import PasswordHasher, PasswordRules
from gateway.handlers.account_rules import (
    access_of_user,
    check_password,
    current_access,
    load_user,
    map_rule_errors,
)
from gateway.store import sessions, users
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class ResetUserPassword:
    """The caller's permission to use this is checked by the route. `clear_token_cache` as in `ChangeOwnPassword`."""

    db: Database
    passwords: PasswordHasher
    password_rules: PasswordRules
    clock: Clock
    clear_token_cache: Callable[[], None]

    async def __call__(self, caller: Principal, user_id: int, password: str) -> None:
        """Set it, and end the user's sessions. A disabled user stays disabled.

        Raises:
            NotFound: there is no such user.
            Invalid: the password breaks the rules.
            Forbidden: the user is not allowed less than the caller, or is the caller.
        """
        async with self.db.reading() as session:
            username = (await load_user(session, user_id)).username
        check_password(password, username, self.password_rules)
        password_hash = await self.passwords.hash(password)
        now = self.clock.now()
        with map_rule_errors():
            async with self.db.transaction() as session:
                user = await load_user(session, user_id, for_update=True)
                actor = await current_access(session, caller)
                check_resets_password(actor, await access_of_user(session, user))
                await users.change_user(session, user_id, now=now, password_hash=password_hash)
                await sessions.end_user_sessions(session, user_id, now)
        self.clear_token_cache()
