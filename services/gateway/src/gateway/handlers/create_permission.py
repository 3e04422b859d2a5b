"""Create a permission. Nobody has it until a superadmin puts it into a role."""

from dataclasses import dataclass

from gateway.domain.accounts import Permission
from gateway.handlers.account_rules import load_permission, map_rule_errors
from gateway.store import roles
from kit.db import Database


@dataclass(frozen=True, slots=True)
class CreatePermission:
    """The caller's permission to use this is checked by the route."""

    db: Database

    async def __call__(self, name: str, description: str) -> Permission:
        """The permission as stored.

        Raises:
            Conflict: the name is taken.
        """
        with map_rule_errors(f"There is already a permission {name}."):
            async with self.db.transaction() as session:
                permission_id = await roles.add_permission(session, name=name, description=description)
                return await load_permission(session, permission_id)
