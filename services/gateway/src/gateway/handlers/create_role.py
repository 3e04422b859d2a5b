"""Create a role."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.domain.access import check_grants_permissions
from gateway.domain.accounts import Role
from gateway.handlers.account_rules import current_access, load_permissions, load_role, map_rule_errors
from gateway.store import roles
from kit.auth import Principal
from kit.db import Database


@dataclass(frozen=True, slots=True)
class CreateRole:
    """The caller's permission to use this is checked by the route."""

    db: Database

    async def __call__(self, caller: Principal, name: str, permission_ids: Collection[int]) -> Role:
        """The role as stored.

        Raises:
            Conflict: the name is taken.
            Invalid: a permission does not exist.
            Forbidden: the caller does not have one of the permissions.
        """
        with map_rule_errors(f"There is already a role {name}."):
            async with self.db.transaction() as session:
                granted = await load_permissions(session, permission_ids)
                check_grants_permissions(await current_access(session, caller), [one.name for one in granted])
                role_id = await roles.add_role(session, name=name, permission_ids=permission_ids)
                return await load_role(session, role_id)
