"""A new permission. Nobody has it until a superadmin puts it into a role."""

from dataclasses import dataclass

from gateway.handlers.acting import load_permission, refusals
from gateway.store import roles
from gateway.store.roles import Permission
from kit.db import Database


@dataclass(frozen=True, slots=True)
class CreatePermission:
    """Asks for no permission: the edge does."""

    db: Database

    async def __call__(self, name: str, description: str) -> Permission:
        """The permission as stored.

        Raises:
            Conflict: the name is taken.
        """
        with refusals(f"There is a permission {name} already."):
            async with self.db.transaction() as session:
                permission_id = await roles.add_permission(session, name=name, description=description)
                return await load_permission(session, permission_id)
