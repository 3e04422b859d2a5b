"""Change the name or the permissions of a role."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_changes_role, check_grants_permissions
from gateway.domain.accounts import Role
from gateway.handlers.account_rules import current_access, load_permissions, load_role, map_rule_errors
from gateway.store import roles, sessions
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class ChangeRole:
    """`clear_token_cache` is called after tokens were revoked, so that they are refused at once."""

    db: Database
    clock: Clock
    clear_token_cache: Callable[[], None]

    async def __call__(
        self, caller: Principal, role_id: int, name: str | None, permission_ids: tuple[int, ...] | None
    ) -> Role:
        """The role as stored; None leaves a part unchanged. Access tokens of the users who have it are revoked.

        Raises:
            NotFound: there is no such role.
            Conflict: the name is taken, or it is the superadmin role.
            Invalid: a permission does not exist.
            Forbidden: the role has, or would get, a permission that the caller does not have.
        """
        with map_rule_errors(f"There is already a role {name}."):
            async with self.db.transaction() as session:
                role = await load_role(session, role_id)
                actor = await current_access(session, caller)
                check_changes_role(actor, role)
                if permission_ids is not None:
                    granted = await load_permissions(session, permission_ids)
                    check_grants_permissions(actor, [one.name for one in granted])
                    await roles.set_permissions(session, role_id, permission_ids)
                if name is not None:
                    await roles.rename_role(session, role_id, name)
                user_ids = await roles.user_ids_with_role(session, role_id)
                await sessions.revoke_access_tokens(session, user_ids, self.clock.now())
                changed = await load_role(session, role_id)
        self.clear_token_cache()
        return changed
