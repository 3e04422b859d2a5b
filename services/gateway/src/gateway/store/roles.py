"""Roles and permissions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.access import RoleGrant
from gateway.domain.names import name_key
from gateway.store.tables import permissions, role_permissions, roles, user_roles


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that may be allowed; services ask for the built-in ones by name."""

    permission_id: int
    name: str
    description: str
    is_built_in: bool


@dataclass(frozen=True, slots=True)
class Role:
    """A role with the permissions that it carries, as `(permission_id, name)`."""

    role_id: int
    name: str
    is_built_in: bool
    permissions: tuple[tuple[int, str], ...] = ()

    @property
    def grant(self) -> RoleGrant:
        """The role as the rules see it."""
        return RoleGrant(self.role_id, self.name, frozenset(name for _, name in self.permissions))


_ROLE = (roles.c.role_id, roles.c.name, roles.c.is_built_in)
_PERMISSION = (
    permissions.c.permission_id,
    permissions.c.name,
    permissions.c.description,
    permissions.c.is_built_in,
)


async def find_roles(session: AsyncSession, role_ids: Collection[int]) -> dict[int, Role]:
    """Those of the roles that there are, by id."""
    rows = (await session.execute(select(*_ROLE).where(roles.c.role_id.in_(role_ids)))).all()
    return {role.role_id: role for role in await _with_permissions(session, [Role(*row) for row in rows])}


async def list_roles(
    session: AsyncSession, *, limit: int, offset: int = 0, after_id: int | None = None
) -> list[Role]:
    """Roles by id: those after `after_id`, or those after the first `offset`."""
    statement = select(*_ROLE).order_by(roles.c.role_id).limit(limit)
    statement = statement.offset(offset) if after_id is None else statement.where(roles.c.role_id > after_id)
    rows = (await session.execute(statement)).all()
    return await _with_permissions(session, [Role(*row) for row in rows])


async def count_roles(session: AsyncSession) -> int:
    """How many there are."""
    return (await session.scalar(select(func.count()).select_from(roles))) or 0


async def add_role(
    session: AsyncSession, *, name: str, permission_ids: Collection[int] = (), is_built_in: bool = False
) -> int:
    """A new role; its id.

    Raises:
        sqlalchemy.exc.IntegrityError: the name is taken, or a permission is gone.
    """
    values = {"name": name, "name_key": name_key(name), "is_built_in": is_built_in}
    result = await session.execute(insert(roles).values(values).returning(roles.c.role_id))
    role_id: int = result.scalar_one()
    await set_permissions(session, role_id, permission_ids)
    return role_id


async def rename_role(session: AsyncSession, role_id: int, name: str) -> None:
    """Raises IntegrityError where the name is taken."""
    values = {"name": name, "name_key": name_key(name)}
    await session.execute(update(roles).where(roles.c.role_id == role_id).values(values))


async def set_permissions(session: AsyncSession, role_id: int, permission_ids: Collection[int]) -> None:
    """Let the role carry exactly these permissions."""
    await session.execute(delete(role_permissions).where(role_permissions.c.role_id == role_id))
    if permission_ids:
        rows = [{"role_id": role_id, "permission_id": one} for one in sorted(set(permission_ids))]
        await session.execute(insert(role_permissions), rows)


async def delete_role(session: AsyncSession, role_id: int) -> None:
    """Delete the role; by the schema, nobody has it any more."""
    await session.execute(delete(roles).where(roles.c.role_id == role_id))


async def holders_of_role(session: AsyncSession, role_id: int) -> list[int]:
    """The ids of the users who have the role."""
    return list(await session.scalars(select(user_roles.c.user_id).where(user_roles.c.role_id == role_id)))


async def find_role_id(session: AsyncSession, name: str) -> int | None:
    """The id of the role of that name."""
    role_id: int | None = await session.scalar(
        select(roles.c.role_id).where(roles.c.name_key == name_key(name))
    )
    return role_id


async def find_permissions(session: AsyncSession, permission_ids: Collection[int]) -> dict[int, Permission]:
    """Those of the permissions that there are, by id."""
    statement = select(*_PERMISSION).where(permissions.c.permission_id.in_(permission_ids))
    return {row[0]: Permission(*row) for row in (await session.execute(statement)).all()}


async def list_permissions(
    session: AsyncSession, *, limit: int, offset: int = 0, after_id: int | None = None
) -> list[Permission]:
    """Permissions by id: those after `after_id`, or those after the first `offset`."""
    statement = select(*_PERMISSION).order_by(permissions.c.permission_id).limit(limit)
    statement = (
        statement.offset(offset)
        if after_id is None
        else statement.where(permissions.c.permission_id > after_id)
    )
    return [Permission(*row) for row in (await session.execute(statement)).all()]


async def count_permissions(session: AsyncSession) -> int:
    """How many there are."""
    return (await session.scalar(select(func.count()).select_from(permissions))) or 0


async def permission_names(session: AsyncSession) -> frozenset[str]:
    """The names of all."""
    return frozenset(await session.scalars(select(permissions.c.name)))


async def add_permission(
    session: AsyncSession, *, name: str, description: str, is_built_in: bool = False
) -> int:
    """A new permission; its id. Raises IntegrityError where the name is taken."""
    values = {"name": name, "description": description, "is_built_in": is_built_in}
    result = await session.execute(insert(permissions).values(values).returning(permissions.c.permission_id))
    permission_id: int = result.scalar_one()
    return permission_id


async def change_permission(
    session: AsyncSession, permission_id: int, *, name: str | None = None, description: str | None = None
) -> None:
    """Set what is given, and leave the rest. Raises IntegrityError where the name is taken."""
    values = {
        key: value for key, value in (("name", name), ("description", description)) if value is not None
    }
    if values:
        await session.execute(
            update(permissions).where(permissions.c.permission_id == permission_id).values(values)
        )


async def delete_permission(session: AsyncSession, permission_id: int) -> None:
    """Delete the permission; by the schema, no role carries it any more."""
    await session.execute(delete(permissions).where(permissions.c.permission_id == permission_id))


async def holders_of_permission(session: AsyncSession, permission_id: int) -> list[int]:
    """The ids of the users who have it through a role."""
    statement = (
        select(user_roles.c.user_id)
        .join(role_permissions, role_permissions.c.role_id == user_roles.c.role_id)
        .where(role_permissions.c.permission_id == permission_id)
        .distinct()
    )
    return list(await session.scalars(statement))


async def _with_permissions(session: AsyncSession, found: Sequence[Role]) -> list[Role]:
    statement = (
        select(role_permissions.c.role_id, permissions.c.permission_id, permissions.c.name)
        .join(permissions, permissions.c.permission_id == role_permissions.c.permission_id)
        .where(role_permissions.c.role_id.in_([role.role_id for role in found]))
        .order_by(permissions.c.permission_id)
    )
    carried: dict[int, list[tuple[int, str]]] = {}
    for role_id, permission_id, name in (await session.execute(statement)).all():
        carried.setdefault(role_id, []).append((permission_id, name))
    return [replace(role, permissions=tuple(carried.get(role.role_id, ()))) for role in found]
