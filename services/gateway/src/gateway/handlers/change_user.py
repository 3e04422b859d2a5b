"""A user gets another name, password, state or set of roles."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.adapters.passwords import Passwords
from gateway.domain.access import check_changes_user, check_grants_roles, check_superadmin_remains
from gateway.handlers.acting import (
    SUPERADMIN_LOCK,
    load_roles,
    load_user,
    refusals,
    standing_of,
    standing_of_user,
)
from gateway.store import sessions, users
from gateway.store.users import User
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class UserChange:
    """What is to be set; None leaves it as it is."""

    username: str | None = None
    password: str | None = None
    is_active: bool | None = None
    role_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class ChangeUser:
    """`forget` is called after tokens were revoked."""

    db: Database
    passwords: Passwords
    clock: Clock
    forget: Callable[[], None]

    async def __call__(self, caller: Principal, user_id: int, change: UserChange) -> User:
        """The user as stored. A new password or being disabled ends their sessions; other roles revoke their
        access tokens, which say what they may do.

        Raises:
            NotFound: no such user.
            Conflict: the name is taken, or nobody could administer the site any more.
            Invalid: a role is not known.
            Forbidden: the user, or a role, is above the caller.
        """
        password_hash = None if change.password is None else await self.passwords.hash(change.password)
        with refusals(f"There is a user {change.username} already."):
            async with self.db.transaction() as session:
                await self.db.advisory_lock(session, SUPERADMIN_LOCK)
                user = await load_user(session, user_id, for_update=True)
                await self._check(session, caller, user, change)
                now = self.clock.now()
                await users.change_user(
                    session,
                    user_id,
                    now=now,
                    username=change.username,
                    password_hash=password_hash,
                    is_active=change.is_active,
                )
                if change.role_ids is not None:
                    await users.set_roles(session, user_id, change.role_ids)
                    await sessions.revoke_access_of(session, [user_id], now)
                if password_hash is not None or change.is_active is False:
                    await sessions.end_sessions_of(session, user_id, now)
                changed = await load_user(session, user_id)
        self.forget()
        return changed

    async def _check(self, session: AsyncSession, caller: Principal, user: User, change: UserChange) -> None:
        actor = await standing_of(session, caller)
        check_changes_user(actor, await standing_of_user(session, user))
        is_superadmin_after = user.is_superadmin
        if change.role_ids is not None:
            asked = await load_roles(session, change.role_ids)
            held = {role_id for role_id, _ in user.roles}
            check_grants_roles(actor, [role.grant for role in asked if role.role_id not in held])
            is_superadmin_after = any(role.grant.is_superadmin for role in asked)
        is_active_after = user.is_active if change.is_active is None else change.is_active
        check_superadmin_remains(
            is_superadmin_before=user.is_superadmin and user.is_active,
            is_superadmin_after=is_superadmin_after and is_active_after,
            others=await users.count_other_superadmins(session, user.user_id),
        )
