"""A permission goes; no role carries it any more."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_changes_permission
from gateway.handlers.acting import load_permission, refusals, standing_of
from gateway.store import roles, sessions
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class DeletePermission:
    """`forget` is called after tokens were revoked."""

    db: Database
    clock: Clock
    forget: Callable[[], None]

    async def __call__(self, caller: Principal, permission_id: int) -> None:
        """Delete it; access tokens of those who had it are revoked.

        Raises:
            NotFound: no such permission.
            Conflict: it is built in.
        """
        with refusals():
            async with self.db.transaction() as session:
                permission = await load_permission(session, permission_id)
                check_changes_permission(
                    await standing_of(session, caller),
                    permission.name,
                    is_built_in=permission.is_built_in,
                    is_renamed=False,
                )
                holders = await roles.holders_of_permission(session, permission_id)
                await roles.delete_permission(session, permission_id)
                await sessions.revoke_access_of(session, holders, self.clock.now())
        self.forget()
