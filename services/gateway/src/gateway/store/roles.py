"""Roles and permissions."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.accounts import Permission, Role
from gateway.domain.names import name_key
from gateway.store.tables import permissions, role_permissions, roles, user_roles

_ROLE = (roles.c.role_id, roles.c.name, roles.c.is_built_in)
_PERMISSION = (
    permissions.c.permission_id,
    permissions.c.name,
    permissions.c.description,
    permissions.c.is_built_in,
)


async def find_roles(session: AsyncSession, role_ids: Collection[int]) -> dict[int, Role]:
    """The roles with those ids, by id; an id that no role has is left out."""
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
    """How many roles there are."""
    return (await session.scalar(select(func.count()).select_from(roles))) or 0


async def add_role(
    session: AsyncSession, *, name: str, permission_ids: Collection[int] = (), is_built_in: bool = False
) -> int:
    """Add a role and return its id.

    Raises:
        sqlalchemy.exc.IntegrityError: the name is taken, or a permission was deleted.
    """
    values = {"name": name, "name_key": name_key(name), "is_built_in": is_built_in}
    result = await session.execute(insert(roles).values(values).returning(roles.c.role_id))
    role_id: int = result.scalar_one()
    await set_permissions(session, role_id, permission_ids)
    return role_id


async def rename_role(session: AsyncSession, role_id: int, name: str) -> None:
    """Set the role's name. Raises IntegrityError where it is taken."""
    values = {"name": name, "name_key": name_key(name)}
    await session.execute(update(roles).where(roles.c.role_id == role_id).values(values))


async def set_permissions(session: AsyncSession, role_id: int, permission_ids: Collection[int]) -> None:
    """Give the role exactly these permissions."""
    await session.execute(delete(role_permissions).where(role_permissions.c.role_id == role_id))
    if permission_ids:
        rows = [{"role_id": role_id, "permission_id": one} for one in sorted(set(permission_ids))]
        await session.execute(insert(role_permissions), rows)


async def delete_role(session: AsyncSession, role_id: int) -> None:
    """Delete the role; the foreign keys take it from every user."""
    await session.execute(delete(roles).where(roles.c.role_id == role_id))


async def user_ids_with_role(session: AsyncSession, role_id: int) -> list[int]:
    """The ids of the users who have the role."""
    return list(await session.scalars(select(user_roles.c.user_id).where(user_roles.c.role_id == role_id)))


async def find_role_id(session: AsyncSession, name: str) -> int | None:
    """The id of the role of that name."""
    role_id: int | None = await session.scalar(
        select(roles.c.role_id).where(roles.c.name_key == name_key(name))
    )
    return role_id


async def find_permissions(session: AsyncSession, permission_ids: Collection[int]) -> dict[int, Permission]:
    """The permissions with those ids, by id; an id that no permission has is left out."""
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


async def all_permissions(session: AsyncSession) -> list[Permission]:
    """Every permission, by id."""
    statement = select(*_PERMISSION).order_by(permissions.c.permission_id)
    return [Permission(*row) for row in (await session.execute(statement)).all()]


async def count_permissions(session: AsyncSession) -> int:
    """How many permissions there are."""
    return (await session.scalar(select(func.count()).select_from(permissions))) or 0


async def permission_names(session: AsyncSession) -> frozenset[str]:
    """The names of all permissions."""
    return frozenset(await session.scalars(select(permissions.c.name)))


async def add_permission(
    session: AsyncSession, *, name: str, description: str, is_built_in: bool = False
) -> int:
    """Add a permission and return its id. Raises IntegrityError where the name is taken."""
    values = {"name": name, "description": description, "is_built_in": is_built_in}
    result = await session.execute(insert(permissions).values(values).returning(permissions.c.permission_id))
    permission_id: int = result.scalar_one()
    return permission_id


async def change_permission(
    session: AsyncSession, permission_id: int, *, name: str | None = None, description: str | None = None
) -> None:
    """Set what is not None, and leave the rest unchanged. Raises IntegrityError where the name is taken."""
    values = {
        key: value for key, value in (("name", name), ("description", description)) if value is not None
    }
    if values:
        await session.execute(
            update(permissions).where(permissions.c.permission_id == permission_id).values(values)
        )


async def delete_permission(session: AsyncSession, permission_id: int) -> None:
    """Delete the permission; the foreign keys take it from every role."""
    await session.execute(delete(permissions).where(permissions.c.permission_id == permission_id))


async def user_ids_with_permission(session: AsyncSession, permission_id: int) -> list[int]:
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
    by_role: dict[int, list[tuple[int, str]]] = {}
    for role_id, permission_id, name in (await session.execute(statement)).all():
        by_role.setdefault(role_id, []).append((permission_id, name))
    every: tuple[tuple[int, str], ...] = ()
    if any(role.is_superadmin for role in found):
        every = tuple((one.permission_id, one.name) for one in await all_permissions(session))
    return [
        replace(
            role,
            permissions=(own := tuple(by_role.get(role.role_id, ()))),
            allowed=every if role.is_superadmin else own,
        )
        for role in found
    ]
