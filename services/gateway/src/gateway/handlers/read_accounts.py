"""Read users, roles and permissions, one or a page at a time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.accounts import Permission, Role, User
from gateway.handlers.account_rules import load_permission, load_role, load_user
from gateway.store import roles, users
from kit.db import Database

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`limit` rows by id: those after the row `after_id`, or those after the first `offset`."""

    limit: int
    offset: int = 0
    after_id: int | None = None


@dataclass(frozen=True, slots=True)
class Rows(Generic[R]):
    """The rows of one page, and how many rows there are in all."""

    items: list[R]
    total: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class ReadAccounts:
    """The caller's permission to use this is checked by the route."""

    db: Database

    async def user(self, user_id: int) -> User:
        """One user. Raises NotFound where there is none with that id."""
        async with self.db.reading() as session:
            return await load_user(session, user_id)

    async def role(self, role_id: int) -> Role:
        """One role. Raises NotFound where there is none with that id."""
        async with self.db.reading() as session:
            return await load_role(session, role_id)

    async def permission(self, permission_id: int) -> Permission:
        """One permission. Raises NotFound where there is none with that id."""
        async with self.db.reading() as session:
            return await load_permission(session, permission_id)

    async def users(self, page: PageRequest) -> Rows[User]:
        """A page of users."""
        return await self._page(page, users.list_users, users.count_users)

    async def roles(self, page: PageRequest) -> Rows[Role]:
        """A page of roles."""
        return await self._page(page, roles.list_roles, roles.count_roles)

    async def permissions(self, page: PageRequest) -> Rows[Permission]:
        """A page of permissions."""
        return await self._page(page, roles.list_permissions, roles.count_permissions)

    async def _page(
        self,
        page: PageRequest,
        load: Callable[..., Awaitable[list[R]]],
        count: Callable[[AsyncSession], Awaitable[int]],
    ) -> Rows[R]:
        async with self.db.reading() as session:
            # One row more than requested shows whether there is a next page.
            found = await load(session, limit=page.limit + 1, offset=page.offset, after_id=page.after_id)
            return Rows(found[: page.limit], await count(session), len(found) > page.limit)
