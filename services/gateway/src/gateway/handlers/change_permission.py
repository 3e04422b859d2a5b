"""A permission gets another name or description."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_changes_permission
from gateway.handlers.acting import load_permission, refusals, standing_of
from gateway.store import roles, sessions
from gateway.store.roles import Permission
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class ChangePermission:
    """`forget` is called after tokens were revoked."""

    db: Database
    clock: Clock
    forget: Callable[[], None]

    async def __call__(
        self, caller: Principal, permission_id: int, name: str | None, description: str | None
    ) -> Permission:
        """The permission as stored; None leaves a part as it is.

        Raises:
            NotFound: no such permission.
            Conflict: the name is taken, or it is a built-in permission's.
            Forbidden: renamed by somebody who is no superadmin.
        """
        with refusals(f"There is a permission {name} already."):
            async with self.db.transaction() as session:
                permission = await load_permission(session, permission_id)
                if name is not None and name != permission.name:
                    check_changes_permission(
                        await standing_of(session, caller),
                        permission.name,
                        is_built_in=permission.is_built_in,
                        is_renamed=True,
                    )
                    holders = await roles.holders_of_permission(session, permission_id)
                    await sessions.revoke_access_of(session, holders, self.clock.now())
                await roles.change_permission(session, permission_id, name=name, description=description)
                changed = await load_permission(session, permission_id)
        self.forget()
        return changed
