"""Change the name or the description of a permission."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_changes_permission
from gateway.domain.accounts import Permission
from gateway.handlers.account_rules import current_access, load_permission, map_rule_errors
from gateway.store import roles, sessions
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class ChangePermission:
    """`clear_token_cache` is called after tokens were revoked, so that they are refused at once."""

    db: Database
    clock: Clock
    clear_token_cache: Callable[[], None]

    async def __call__(
        self, caller: Principal, permission_id: int, name: str | None, description: str | None
    ) -> Permission:
        """The permission as stored; None leaves a part as it is.

        Raises:
            NotFound: there is no such permission.
            Conflict: the name is taken, or the permission is built in.
            Forbidden: renamed by somebody who is not a superadmin.
        """
        with map_rule_errors(f"There is already a permission {name}."):
            async with self.db.transaction() as session:
                permission = await load_permission(session, permission_id)
                if name is not None and name != permission.name:
                    check_changes_permission(
                        await current_access(session, caller),
                        permission.name,
                        is_built_in=permission.is_built_in,
                        is_renamed=True,
                    )
                    user_ids = await roles.user_ids_with_permission(session, permission_id)
                    await sessions.revoke_access_tokens(session, user_ids, self.clock.now())
                await roles.change_permission(session, permission_id, name=name, description=description)
                changed = await load_permission(session, permission_id)
        self.clear_token_cache()
        return changed
