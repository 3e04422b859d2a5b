"""Create a user."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.domain.access import check_grants_roles
from gateway.domain.accounts import User
from gateway.domain.passwords import PasswordHasher, PasswordRules
from gateway.handlers.account_rules import (
    check_password,
    current_access,
    load_roles,
    load_user,
    map_rule_errors,
    refuse_lookalike,
)
from gateway.store import users
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class CreateUser:
    """The caller's permission to use this is checked by the route."""

    db: Database
    passwords: PasswordHasher
    password_rules: PasswordRules
    clock: Clock

    async def __call__(
        self, caller: Principal, username: str, password: str, role_ids: Collection[int]
    ) -> User:
        """The user as stored.

        Raises:
            Conflict: the name is taken, or looks like one that is.
            Invalid: a role does not exist, or the password breaks the rules.
            Forbidden: a role has a permission that the caller does not have.
        """
        check_password(password, username, self.password_rules)
        password_hash = await self.passwords.hash(password)
        with map_rule_errors(f"There is already a user {username}."):
            async with self.db.transaction() as session:
                granted = await load_roles(session, role_ids)
                check_grants_roles(await current_access(session, caller), granted)
                await refuse_lookalike(session, username)
                user_id = await users.add_user(
                    session,
                    username=username,
                    password_hash=password_hash,
                    role_ids=role_ids,
                    now=self.clock.now(),
                )
                return await load_user(session, user_id)
