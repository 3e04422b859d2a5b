"""Users and their permissions."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.accounts import SUPERADMIN, User
from gateway.domain.names import name_key
from gateway.store.tables import permissions, role_permissions, roles, user_roles, users

_COLUMNS = (users.c.user_id, users.c.username, users.c.is_active, users.c.created_at, users.c.updated_at)


async def find_user(session: AsyncSession, user_id: int, *, for_update: bool = False) -> User | None:
    """The user with that id; `for_update` locks the row until the transaction ends."""
    statement = select(*_COLUMNS).where(users.c.user_id == user_id)
    row = (await session.execute(statement.with_for_update() if for_update else statement)).first()
    return (await _with_roles(session, [User(*row)]))[0] if row is not None else None


async def find_credentials(session: AsyncSession, username: str) -> tuple[User, str] | None:
    """The user of that name and their password hash."""
    statement = select(*_COLUMNS, users.c.password_hash).where(users.c.username_key == name_key(username))
    row = (await session.execute(statement)).first()
    if row is None:
        return None
    *fields, password_hash = row
    return (await _with_roles(session, [User(*fields)]))[0], password_hash


async def find_password_hash(session: AsyncSession, user_id: int) -> str | None:
    """The stored password hash of the user with that id."""
    found: str | None = await session.scalar(select(users.c.password_hash).where(users.c.user_id == user_id))
    return found


async def list_users(
    session: AsyncSession, *, limit: int, offset: int = 0, after_id: int | None = None
) -> list[User]:
    """Users by id: those after `after_id`, or those after the first `offset`."""
    statement = select(*_COLUMNS).order_by(users.c.user_id).limit(limit)
    statement = statement.offset(offset) if after_id is None else statement.where(users.c.user_id > after_id)
    rows = (await session.execute(statement)).all()
    return await _with_roles(session, [User(*row) for row in rows])


async def count_users(session: AsyncSession) -> int:
    """How many users there are."""
    return (await session.scalar(select(func.count()).select_from(users))) or 0


async def add_user(
    session: AsyncSession, *, username: str, password_hash: str, role_ids: Collection[int], now: datetime
) -> int:
    """Add an active user and return the id.

    Raises:
        sqlalchemy.exc.IntegrityError: the name is taken, or a role was deleted.
    """
    result = await session.execute(
        insert(users)
        .values(
            username=username,
            username_key=name_key(username),
            password_hash=password_hash,
            is_active=True,
            created_at=now,
            updated_at=now,
        )
        .returning(users.c.user_id)
    )
    user_id: int = result.scalar_one()
    await set_roles(session, user_id, role_ids)
    return user_id


async def change_user(
    session: AsyncSession,
    user_id: int,
    *,
    now: datetime,
    username: str | None = None,
    password_hash: str | None = None,
    is_active: bool | None = None,
) -> None:
    """Set what is not None, and leave the rest unchanged."""
    values: dict[str, object] = {"updated_at": now}
    if username is not None:
        values |= {"username": username, "username_key": name_key(username)}
    if password_hash is not None:
        values["password_hash"] = password_hash
    if is_active is not None:
        values["is_active"] = is_active
    await session.execute(update(users).where(users.c.user_id == user_id).values(values))


async def set_roles(session: AsyncSession, user_id: int, role_ids: Collection[int]) -> None:
    """Give the user exactly these roles."""
    await session.execute(delete(user_roles).where(user_roles.c.user_id == user_id))
    if role_ids:
        rows = [{"user_id": user_id, "role_id": role_id} for role_id in sorted(set(role_ids))]
        await session.execute(insert(user_roles), rows)


async def delete_user(session: AsyncSession, user_id: int) -> None:
    """Delete the user and, by the schema, their sessions and tokens."""
    await session.execute(delete(users).where(users.c.user_id == user_id))


async def permissions_of(session: AsyncSession, user: User) -> frozenset[str]:
    """The names of the permissions of the user's roles; of a superadmin, the names of all permissions."""
    if user.is_superadmin:
        return frozenset(await session.scalars(select(permissions.c.name)))
    statement = (
        select(permissions.c.name)
        .join(role_permissions, role_permissions.c.permission_id == permissions.c.permission_id)
        .join(user_roles, user_roles.c.role_id == role_permissions.c.role_id)
        .where(user_roles.c.user_id == user.user_id)
    )
    return frozenset(await session.scalars(statement))


async def count_other_superadmins(session: AsyncSession, user_id: int) -> int:
    """How many active superadmins there are apart from that user."""
    statement = (
        select(func.count())
        .select_from(users)
        .join(user_roles, user_roles.c.user_id == users.c.user_id)
        .join(roles, roles.c.role_id == user_roles.c.role_id)
        .where(roles.c.name == SUPERADMIN, users.c.is_active, users.c.user_id != user_id)
    )
    return (await session.scalar(statement)) or 0


async def _with_roles(session: AsyncSession, found: Sequence[User]) -> list[User]:
    statement = (
        select(user_roles.c.user_id, roles.c.role_id, roles.c.name)
        .join(roles, roles.c.role_id == user_roles.c.role_id)
        .where(user_roles.c.user_id.in_([user.user_id for user in found]))
        .order_by(roles.c.role_id)
    )
    by_user: dict[int, list[tuple[int, str]]] = {}
    for user_id, role_id, name in (await session.execute(statement)).all():
        by_user.setdefault(user_id, []).append((role_id, name))
    return [replace(user, roles=tuple(by_user.get(user.user_id, ()))) for user in found]
