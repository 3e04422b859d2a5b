"""Change the name, the password, the state or the roles of a user."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.access import check_changes_user, check_grants_roles, check_superadmin_remains
from gateway.domain.accounts import User
from gateway.domain.passwords import PasswordHasher, PasswordRules
from gateway.handlers.account_rules import (
    SUPERADMIN_LOCK,
    access_of_user,
    check_password,
    current_access,
    load_roles,
    load_user,
    map_rule_errors,
    refuse_lookalike,
)
from gateway.store import sessions, users
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class UserChange:
    """What is to be set; None leaves a part unchanged."""

    username: str | None = None
    password: str | None = None
    is_active: bool | None = None
    role_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class ChangeUser:
    """`clear_token_cache` is called after tokens were revoked, so that they are refused at once."""

    db: Database
    passwords: PasswordHasher
    password_rules: PasswordRules
    clock: Clock
    clear_token_cache: Callable[[], None]

    async def __call__(self, caller: Principal, user_id: int, change: UserChange) -> User:
        """The user as stored. A new password or being disabled ends the user's sessions; other roles revoke the
        user's access tokens, since these contain the permissions.

        Raises:
            NotFound: there is no such user.
            Conflict: the name is taken or looks like one that is, or this is the last active superadmin.
            Invalid: a role does not exist, or the password breaks the rules.
            Forbidden: the user or a role has a permission that the caller does not have.
        """
        if change.password is not None:
            check_password(change.password, await self._name_after(user_id, change), self.password_rules)
        password_hash = None if change.password is None else await self.passwords.hash(change.password)
        with map_rule_errors(f"There is already a user {change.username}."):
            async with self.db.transaction() as session:
                await self.db.advisory_lock(session, SUPERADMIN_LOCK)
                user = await load_user(session, user_id, for_update=True)
                await self._check(session, caller, user, change)
                if change.username is not None:
                    await refuse_lookalike(session, change.username, except_user_id=user_id)
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
                    await sessions.revoke_access_tokens(session, [user_id], now)
                if password_hash is not None or change.is_active is False:
                    await sessions.end_user_sessions(session, user_id, now)
                changed = await load_user(session, user_id)
        self.clear_token_cache()
        return changed

    async def _name_after(self, user_id: int, change: UserChange) -> str:
        if change.username is not None:
            return change.username
        async with self.db.reading() as session:
            return (await load_user(session, user_id)).username

    async def _check(self, session: AsyncSession, caller: Principal, user: User, change: UserChange) -> None:
        actor = await current_access(session, caller)
        check_changes_user(actor, await access_of_user(session, user))
        is_superadmin_after = user.is_superadmin
        if change.role_ids is not None:
            asked = await load_roles(session, change.role_ids)
            held = {role_id for role_id, _ in user.roles}
            check_grants_roles(actor, [role for role in asked if role.role_id not in held])
            is_superadmin_after = any(role.is_superadmin for role in asked)
        is_active_after = user.is_active if change.is_active is None else change.is_active
        check_superadmin_remains(
            is_superadmin_before=user.is_superadmin and user.is_active,
            is_superadmin_after=is_superadmin_after and is_active_after,
            others=await users.count_other_superadmins(session, user.user_id),
        )
