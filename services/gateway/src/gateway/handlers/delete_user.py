"""A user goes, and with them their sessions."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_changes_user, check_superadmin_remains
from gateway.handlers.acting import SUPERADMIN_LOCK, load_user, refusals, standing_of, standing_of_user
from gateway.store import users
from kit.auth import Principal
from kit.db import Database


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """`forget` is called after tokens were revoked."""

    db: Database
    forget: Callable[[], None]

    async def __call__(self, caller: Principal, user_id: int) -> None:
        """Delete them.

        Raises:
            NotFound: no such user.
            Conflict: they are the last active superadmin.
            Forbidden: they are above the caller.
        """
        with refusals():
            async with self.db.transaction() as session:
                await self.db.advisory_lock(session, SUPERADMIN_LOCK)
                user = await load_user(session, user_id, for_update=True)
                check_changes_user(await standing_of(session, caller), await standing_of_user(session, user))
                check_superadmin_remains(
                    is_superadmin_before=user.is_superadmin and user.is_active,
                    is_superadmin_after=False,
                    others=await users.count_other_superadmins(session, user_id),
                )
                await users.delete_user(session, user_id)
        self.forget()
