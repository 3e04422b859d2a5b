"""Users, roles and permissions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.handlers.acting import load_permission, load_role, load_user
from gateway.handlers.change_permission import ChangePermission
from gateway.handlers.change_role import ChangeRole
from gateway.handlers.change_user import ChangeUser, UserChange
from gateway.handlers.create_permission import CreatePermission
from gateway.handlers.create_role import CreateRole
from gateway.handlers.create_user import CreateUser
from gateway.handlers.delete_permission import DeletePermission
from gateway.handlers.delete_role import DeleteRole
from gateway.handlers.delete_user import DeleteUser
from gateway.http.models import (
    PermissionGiven,
    PermissionPatched,
    PermissionShown,
    RoleGiven,
    RolePatched,
    RoleShown,
    RowId,
    UserGiven,
    UserPatched,
    UserReplaced,
    UserShown,
)
from gateway.settings import SignInSettings
from gateway.store import roles, users
from kit.auth import Principal, require
from kit.db import Database
from kit.errors import FieldError, Invalid
from kit.pagination import Page, PageOf, PageParams, decode_cursor, encode_cursor

UserAdmin = Annotated[Principal, Depends(require("manage_users"))]
RoleAdmin = Annotated[Principal, Depends(require("manage_roles"))]
PermissionAdmin = Annotated[Principal, Depends(require("manage_permissions"))]
Id = Annotated[RowId, Path()]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class AccountHandlers:
    """The use cases behind these routes."""

    db: Database
    password_rules: SignInSettings
    create_user: CreateUser
    change_user: ChangeUser
    delete_user: DeleteUser
    create_role: CreateRole
    change_role: ChangeRole
    delete_role: DeleteRole
    create_permission: CreatePermission
    change_permission: ChangePermission
    delete_permission: DeletePermission


def account_routes(handlers: AccountHandlers) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/v1")
    _add_users(router, handlers)
    _add_roles(router, handlers)
    _add_permissions(router, handlers)
    return router


def _add_users(router: APIRouter, handlers: AccountHandlers) -> None:
    @router.get("/users", summary="List users")
    async def list_users(_caller: UserAdmin, page: PageParams) -> PageOf[UserShown]:
        return await _page(handlers.db, page, users.list_users, users.count_users, UserShown.of)

    @router.post("/users", status_code=201, summary="Create a user")
    async def create_user(caller: UserAdmin, given: UserGiven) -> UserShown:
        password = _checked(given.password, handlers.password_rules)
        return UserShown.of(await handlers.create_user(caller, given.username, password, given.role_ids))

    @router.get("/users/{user_id}", summary="Get a user")
    async def get_user(_caller: UserAdmin, user_id: Id) -> UserShown:
        async with handlers.db.reading() as session:
            return UserShown.of(await load_user(session, user_id))

    @router.put("/users/{user_id}", summary="Set a user anew")
    async def replace_user(caller: UserAdmin, user_id: Id, given: UserReplaced) -> UserShown:
        return await change(caller, user_id, given)

    @router.patch("/users/{user_id}", summary="Change parts of a user")
    async def patch_user(caller: UserAdmin, user_id: Id, given: UserPatched) -> UserShown:
        return await change(caller, user_id, given)

    @router.delete("/users/{user_id}", status_code=204, summary="Delete a user")
    async def delete_user(caller: UserAdmin, user_id: Id) -> None:
        await handlers.delete_user(caller, user_id)

    async def change(caller: Principal, user_id: int, given: UserReplaced | UserPatched) -> UserShown:
        asked = UserChange(
            username=given.username,
            password=None if given.password is None else _checked(given.password, handlers.password_rules),
            is_active=given.is_active,
            role_ids=None if given.role_ids is None else tuple(given.role_ids),
        )
        return UserShown.of(await handlers.change_user(caller, user_id, asked))

    del list_users, create_user, get_user, replace_user, patch_user, delete_user


def _add_roles(router: APIRouter, handlers: AccountHandlers) -> None:
    @router.get("/roles", summary="List roles")
    async def list_roles(_caller: RoleAdmin, page: PageParams) -> PageOf[RoleShown]:
        return await _page(handlers.db, page, roles.list_roles, roles.count_roles, RoleShown.of)

    @router.post("/roles", status_code=201, summary="Create a role")
    async def create_role(caller: RoleAdmin, given: RoleGiven) -> RoleShown:
        return RoleShown.of(await handlers.create_role(caller, given.name, given.permission_ids))

    @router.get("/roles/{role_id}", summary="Get a role")
    async def get_role(_caller: RoleAdmin, role_id: Id) -> RoleShown:
        async with handlers.db.reading() as session:
            return RoleShown.of(await load_role(session, role_id))

    @router.put("/roles/{role_id}", summary="Set a role anew")
    async def replace_role(caller: RoleAdmin, role_id: Id, given: RoleGiven) -> RoleShown:
        return await change(caller, role_id, given)

    @router.patch("/roles/{role_id}", summary="Change parts of a role")
    async def patch_role(caller: RoleAdmin, role_id: Id, given: RolePatched) -> RoleShown:
        return await change(caller, role_id, given)

    @router.delete("/roles/{role_id}", status_code=204, summary="Delete a role")
    async def delete_role(caller: RoleAdmin, role_id: Id) -> None:
        await handlers.delete_role(caller, role_id)

    async def change(caller: Principal, role_id: int, given: RoleGiven | RolePatched) -> RoleShown:
        permission_ids = None if given.permission_ids is None else tuple(given.permission_ids)
        return RoleShown.of(await handlers.change_role(caller, role_id, given.name, permission_ids))

    del list_roles, create_role, get_role, replace_role, patch_role, delete_role


def _add_permissions(router: APIRouter, handlers: AccountHandlers) -> None:
    @router.get("/permissions", summary="List permissions")
    async def list_permissions(_caller: PermissionAdmin, page: PageParams) -> PageOf[PermissionShown]:
        return await _page(
            handlers.db, page, roles.list_permissions, roles.count_permissions, PermissionShown.of
        )

    @router.post("/permissions", status_code=201, summary="Create a permission")
    async def create_permission(_caller: PermissionAdmin, given: PermissionGiven) -> PermissionShown:
        return PermissionShown.of(await handlers.create_permission(given.name, given.description))

    @router.get("/permissions/{permission_id}", summary="Get a permission")
    async def get_permission(_caller: PermissionAdmin, permission_id: Id) -> PermissionShown:
        async with handlers.db.reading() as session:
            return PermissionShown.of(await load_permission(session, permission_id))

    @router.put("/permissions/{permission_id}", summary="Set a permission anew")
    async def replace_permission(
        caller: PermissionAdmin, permission_id: Id, given: PermissionGiven
    ) -> PermissionShown:
        return await change(caller, permission_id, given)

    @router.patch("/permissions/{permission_id}", summary="Change parts of a permission")
    async def patch_permission(
        caller: PermissionAdmin, permission_id: Id, given: PermissionPatched
    ) -> PermissionShown:
        return await change(caller, permission_id, given)

    @router.delete("/permissions/{permission_id}", status_code=204, summary="Delete a permission")
    async def delete_permission(caller: PermissionAdmin, permission_id: Id) -> None:
        await handlers.delete_permission(caller, permission_id)

    async def change(
        caller: Principal, permission_id: int, given: PermissionGiven | PermissionPatched
    ) -> PermissionShown:
        return PermissionShown.of(
            await handlers.change_permission(caller, permission_id, given.name, given.description)
        )

    del list_permissions, create_permission, get_permission, replace_permission, patch_permission
    del delete_permission


async def _page(
    db: Database,
    page: Page,
    load: Callable[..., Awaitable[list[R]]],
    count: Callable[[AsyncSession], Awaitable[int]],
    show: Callable[[R], Any],
) -> PageOf[Any]:
    after_id: int | None = decode_cursor(page.cursor, int)[0] if page.cursor else None
    async with db.reading() as session:
        rows = await load(session, limit=page.page_size + 1, offset=page.offset, after_id=after_id)
        total = await count(session)
    shown = [show(row) for row in rows[: page.page_size]]
    more = len(rows) > page.page_size
    return PageOf(
        items=shown,
        page=page.page,
        page_size=page.page_size,
        total=total,
        next_cursor=encode_cursor(shown[-1].id) if more else None,
    )


def _checked(password: SecretStr, rules: SignInSettings) -> str:
    text = password.get_secret_value()
    if not rules.min_password_chars <= len(text) <= rules.max_password_chars:
        reason = f"must have {rules.min_password_chars} to {rules.max_password_chars} characters"
        raise Invalid("The password is too short or too long.", errors=(FieldError("password", reason),))
    return text
