"""A role goes; nobody has it any more."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.access import check_changes_role
from gateway.handlers.acting import load_role, refusals, standing_of
from gateway.store import roles, sessions
from kit.auth import Principal
from kit.clock import Clock
from kit.db import Database


@dataclass(frozen=True, slots=True)
class DeleteRole:
    """`forget` is called after tokens were revoked."""

    db: Database
    clock: Clock
    forget: Callable[[], None]

    async def __call__(self, caller: Principal, role_id: int) -> None:
        """Delete it; access tokens of those who had it are revoked.

        Raises:
            NotFound: no such role.
            Conflict: it is the superadmin role.
            Forbidden: it is above the caller.
        """
        with refusals():
            async with self.db.transaction() as session:
                role = await load_role(session, role_id)
                check_changes_role(await standing_of(session, caller), role.grant)
                holders = await roles.holders_of_role(session, role_id)
                await roles.delete_role(session, role_id)
                await sessions.revoke_access_of(session, holders, self.clock.now())
        self.forget()
