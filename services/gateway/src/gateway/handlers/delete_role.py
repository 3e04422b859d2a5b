"""Delete a role and take it from every user."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_changes_role
from gateway.handlers.account_rules import current_access, load_role, map_rule_errors
from gateway.store import roles, sessions
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class DeleteRole:
    """`clear_token_cache` is called after tokens were revoked, so that they are refused at once."""

    db: Database
    clock: Clock
    clear_token_cache: Callable[[], None]

    async def __call__(self, caller: Principal, role_id: int) -> None:
        """Delete it, and revoke the access tokens of the users who had it.

        Raises:
            NotFound: there is no such role.
            Conflict: it is the superadmin role.
            Forbidden: it has a permission that the caller does not have.
        """
        with map_rule_errors():
            async with self.db.transaction() as session:
                role = await load_role(session, role_id)
                check_changes_role(await current_access(session, caller), role)
                user_ids = await roles.user_ids_with_role(session, role_id)
                await roles.delete_role(session, role_id)
                await sessions.revoke_access_tokens(session, user_ids, self.clock.now())
        self.clear_token_cache()
