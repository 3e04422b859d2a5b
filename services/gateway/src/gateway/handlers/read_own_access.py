"""What a signed-in user may do, and where they are signed in."""

from dataclasses import dataclass
from uuid import UUID

from gateway.domain.accounts import SUPERADMIN, Permission
from gateway.domain.sessions import ActiveSession
from gateway.store import roles, sessions
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database

MAX_SESSIONS = 100
"""Sessions that are listed; a program may sign in thousands of times."""


@dataclass(frozen=True, slots=True)
class OwnSessions:
    """The latest `MAX_SESSIONS` of the user, how many there are in all, and which is the caller's.

    `current_id`: None for a token of which nothing is stored, as while the disk is full.
    """

    items: list[ActiveSession]
    total: int
    current_id: UUID | None


@dataclass(frozen=True, slots=True)
class ReadOwnAccess:
    """Needs no permission: every user may know it of themselves."""

    db: Database
    clock: Clock

    async def permissions(self, caller: Principal) -> list[Permission]:
        """The permissions that the caller's token has; every one for a superadmin."""
        async with self.db.reading() as session:
            found = await roles.all_permissions(session)
        return [one for one in found if SUPERADMIN in caller.roles or one.name in caller.permissions]

    async def sessions(self, caller: Principal) -> OwnSessions:
        """The sessions that a new password ends."""
        now = self.clock.now()
        async with self.db.reading() as session:
            return OwnSessions(
                await sessions.list_active_sessions(session, caller.user_id, now, limit=MAX_SESSIONS),
                await sessions.count_active_sessions(session, caller.user_id, now),
                await sessions.session_of_token(session, UUID(caller.token_id)),
            )
