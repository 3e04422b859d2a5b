"""A role gets another name or other permissions."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_changes_role, check_grants_permissions
from gateway.handlers.acting import load_permissions, load_role, refusals, standing_of
from gateway.store import roles, sessions
from gateway.store.roles import Role
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class ChangeRole:
    """`forget` is called after tokens were revoked."""

    db: Database
    clock: Clock
    forget: Callable[[], None]

    async def __call__(
        self, caller: Principal, role_id: int, name: str | None, permission_ids: tuple[int, ...] | None
    ) -> Role:
        """The role as stored; None leaves a part as it is. Access tokens of those who have it are revoked.

        Raises:
            NotFound: no such role.
            Conflict: the name is taken, or it is the superadmin role.
            Invalid: a permission is not known.
            Forbidden: the role, or a permission, is above the caller.
        """
        with refusals(f"There is a role {name} already."):
            async with self.db.transaction() as session:
                role = await load_role(session, role_id)
                actor = await standing_of(session, caller)
                check_changes_role(actor, role.grant)
                if permission_ids is not None:
                    carried = await load_permissions(session, permission_ids)
                    check_grants_permissions(actor, [one.name for one in carried])
                    await roles.set_permissions(session, role_id, permission_ids)
                if name is not None:
                    await roles.rename_role(session, role_id, name)
                holders = await roles.holders_of_role(session, role_id)
                await sessions.revoke_access_of(session, holders, self.clock.now())
                changed = await load_role(session, role_id)
        self.forget()
        return changed
