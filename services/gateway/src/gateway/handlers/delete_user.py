"""Delete a user and their sessions."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_changes_user, check_superadmin_remains
from gateway.handlers.account_rules import (
    SUPERADMIN_LOCK,
    access_of_user,
    current_access,
    load_user,
    map_rule_errors,
)
from gateway.store import users
from kit.auth import Principal
from kit.db import Database


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """`clear_token_cache` is called after tokens were revoked, so that they are refused at once."""

    db: Database
    clear_token_cache: Callable[[], None]

    async def __call__(self, caller: Principal, user_id: int) -> None:
        """Delete the user.

        Raises:
            NotFound: there is no such user.
            Conflict: this is the last active superadmin.
            Forbidden: the user has a permission that the caller does not have.
        """
        with map_rule_errors():
            async with self.db.transaction() as session:
                await self.db.advisory_lock(session, SUPERADMIN_LOCK)
                user = await load_user(session, user_id, for_update=True)
                check_changes_user(await current_access(session, caller), await access_of_user(session, user))
                check_superadmin_remains(
                    is_superadmin_before=user.is_superadmin and user.is_active,
                    is_superadmin_after=False,
                    others=await users.count_other_superadmins(session, user_id),
                )
                await users.delete_user(session, user_id)
        self.clear_token_cache()
