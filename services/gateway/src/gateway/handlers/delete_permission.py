"""Delete a permission and take it from every role."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_changes_permission
from gateway.handlers.account_rules import current_access, load_permission, map_rule_errors
from gateway.store import roles, sessions
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class DeletePermission:
    """`clear_token_cache` is called after tokens were revoked, so that they are refused at once."""

    db: Database
    clock: Clock
    clear_token_cache: Callable[[], None]

    async def __call__(self, caller: Principal, permission_id: int) -> None:
        """Delete it, and revoke the access tokens of the users who had it.

        Raises:
            NotFound: there is no such permission.
            Conflict: it is built in.
        """
        with map_rule_errors():
            async with self.db.transaction() as session:
                permission = await load_permission(session, permission_id)
                check_changes_permission(
                    await current_access(session, caller),
                    permission.name,
                    is_built_in=permission.is_built_in,
                    is_renamed=False,
                )
                user_ids = await roles.user_ids_with_permission(session, permission_id)
                await roles.delete_permission(session, permission_id)
                await sessions.revoke_access_tokens(session, user_ids, self.clock.now())
        self.clear_token_cache()
