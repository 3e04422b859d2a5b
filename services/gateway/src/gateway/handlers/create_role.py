"""A new role."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.domain.access import check_grants_permissions
from gateway.handlers.acting import load_permissions, load_role, refusals, standing_of
from gateway.store import roles
from gateway.store.roles import Role
from kit.auth import Principal
from kit.db import Database


@dataclass(frozen=True, slots=True)
class CreateRole:
    """Asks for no permission: the edge does."""

    db: Database

    async def __call__(self, caller: Principal, name: str, permission_ids: Collection[int]) -> Role:
        """The role as stored.

        Raises:
            Conflict: the name is taken.
            Invalid: a permission is not known.
            Forbidden: the caller does not have one of the permissions.
        """
        with refusals(f"There is a role {name} already."):
            async with self.db.transaction() as session:
                carried = await load_permissions(session, permission_ids)
                check_grants_permissions(await standing_of(session, caller), [one.name for one in carried])
                role_id = await roles.add_role(session, name=name, permission_ids=permission_ids)
                return await load_role(session, role_id)
