"""A new user."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.adapters.passwords import Passwords
from gateway.domain.access import check_grants_roles
from gateway.handlers.acting import load_roles, load_user, refusals, standing_of
from gateway.store import users
from gateway.store.users import User
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class CreateUser:
    """Asks for no permission: the edge does."""

    db: Database
    passwords: Passwords
    clock: Clock

    async def __call__(
        self, caller: Principal, username: str, password: str, role_ids: Collection[int]
    ) -> User:
        """The user as stored.

        Raises:
            Conflict: the name is taken.
            Invalid: a role is not known.
            Forbidden: a role allows what the caller may not do.
        """
        password_hash = await self.passwords.hash(password)
        with refusals(f"There is a user {username} already."):
            async with self.db.transaction() as session:
                granted = await load_roles(session, role_ids)
                check_grants_roles(await standing_of(session, caller), [role.grant for role in granted])
                user_id = await users.add_user(
                    session,
                    username=username,
                    password_hash=password_hash,
                    role_ids=role_ids,
                    now=self.clock.now(),
                )
                return await load_user(session, user_id)
