"""Routes for users, roles and permissions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path

from gateway.handlers.change_permission import ChangePermission
from gateway.handlers.change_role import ChangeRole
from gateway.handlers.change_user import ChangeUser, UserChange
from gateway.handlers.create_permission import CreatePermission
from gateway.handlers.create_role import CreateRole
from gateway.handlers.create_user import CreateUser
from gateway.handlers.delete_permission import DeletePermission
from gateway.handlers.delete_role import DeleteRole
from gateway.handlers.delete_user import DeleteUser
from gateway.handlers.read_accounts import PageRequest, ReadAccounts, Rows
from gateway.handlers.reset_user_password import ResetUserPassword
from gateway.http.schemas import (
    PasswordReset,
    PermissionCreate,
    PermissionOut,
    PermissionReplace,
    PermissionUpdate,
    RoleCreate,
    RoleOut,
    RoleReplace,
    RoleUpdate,
    RowId,
    UserCreate,
    UserOut,
    UserReplace,
    UserUpdate,
)
from kit.auth import Principal, require
from kit.pagination import Page, PageOf, PageParams, decode_cursor, encode_cursor

UserAdmin = Annotated[Principal, Depends(require("manage_users"))]
HelpDesk = Annotated[Principal, Depends(require("reset_passwords"))]
RoleAdmin = Annotated[Principal, Depends(require("manage_roles"))]
PermissionAdmin = Annotated[Principal, Depends(require("manage_permissions"))]
Id = Annotated[RowId, Path()]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class AccountHandlers:
    """The use cases behind these routes."""

    read: ReadAccounts
    create_user: CreateUser
    change_user: ChangeUser
    reset_user_password: ResetUserPassword
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
    async def list_users(_caller: UserAdmin, page: PageParams) -> PageOf[UserOut]:
        rows = await handlers.read.users(_page_request(page))
        return _page(page, rows, UserOut.of)

    @router.post("/users", status_code=201, summary="Create a user")
    async def create_user(caller: UserAdmin, body: UserCreate) -> UserOut:
        password = body.password.get_secret_value()
        return UserOut.of(await handlers.create_user(caller, body.username, password, body.role_ids))

    @router.get("/users/{user_id}", summary="Get a user")
    async def get_user(_caller: UserAdmin, user_id: Id) -> UserOut:
        return UserOut.of(await handlers.read.user(user_id))

    @router.put("/users/{user_id}", summary="Replace a user")
    async def replace_user(caller: UserAdmin, user_id: Id, body: UserReplace) -> UserOut:
        return await update(caller, user_id, body)

    @router.patch("/users/{user_id}", summary="Change parts of a user")
    async def update_user(caller: UserAdmin, user_id: Id, body: UserUpdate) -> UserOut:
        return await update(caller, user_id, body)

    @router.delete("/users/{user_id}", status_code=204, summary="Delete a user")
    async def delete_user(caller: UserAdmin, user_id: Id) -> None:
        await handlers.delete_user(caller, user_id)

    @router.post(
        "/users/{user_id}/password",
        status_code=204,
        summary="Set the password of a user who is allowed less than the caller; the user's sessions end",
    )
    async def reset_user_password(caller: HelpDesk, user_id: Id, body: PasswordReset) -> None:
        await handlers.reset_user_password(caller, user_id, body.password.get_secret_value())

    async def update(caller: Principal, user_id: int, body: UserReplace | UserUpdate) -> UserOut:
        change = UserChange(
            username=body.username,
            password=None if body.password is None else body.password.get_secret_value(),
            is_active=body.is_active,
            role_ids=None if body.role_ids is None else tuple(body.role_ids),
        )
        return UserOut.of(await handlers.change_user(caller, user_id, change))

    del list_users, create_user, get_user, replace_user, update_user, delete_user, reset_user_password


def _add_roles(router: APIRouter, handlers: AccountHandlers) -> None:
    @router.get("/roles", summary="List roles")
    async def list_roles(_caller: RoleAdmin, page: PageParams) -> PageOf[RoleOut]:
        rows = await handlers.read.roles(_page_request(page))
        return _page(page, rows, RoleOut.of)

    @router.post("/roles", status_code=201, summary="Create a role")
    async def create_role(caller: RoleAdmin, body: RoleCreate) -> RoleOut:
        return RoleOut.of(await handlers.create_role(caller, body.name, body.permission_ids))

    @router.get("/roles/{role_id}", summary="Get a role")
    async def get_role(_caller: RoleAdmin, role_id: Id) -> RoleOut:
        return RoleOut.of(await handlers.read.role(role_id))

    @router.put("/roles/{role_id}", summary="Replace a role")
    async def replace_role(caller: RoleAdmin, role_id: Id, body: RoleReplace) -> RoleOut:
        return await update(caller, role_id, body)

    @router.patch("/roles/{role_id}", summary="Change parts of a role")
    async def update_role(caller: RoleAdmin, role_id: Id, body: RoleUpdate) -> RoleOut:
        return await update(caller, role_id, body)

    @router.delete("/roles/{role_id}", status_code=204, summary="Delete a role")
    async def delete_role(caller: RoleAdmin, role_id: Id) -> None:
        await handlers.delete_role(caller, role_id)

    async def update(caller: Principal, role_id: int, body: RoleCreate | RoleUpdate) -> RoleOut:
        permission_ids = None if body.permission_ids is None else tuple(body.permission_ids)
        return RoleOut.of(await handlers.change_role(caller, role_id, body.name, permission_ids))

    del list_roles, create_role, get_role, replace_role, update_role, delete_role


def _add_permissions(router: APIRouter, handlers: AccountHandlers) -> None:
    @router.get("/permissions", summary="List permissions")
    async def list_permissions(_caller: PermissionAdmin, page: PageParams) -> PageOf[PermissionOut]:
        rows = await handlers.read.permissions(_page_request(page))
        return _page(page, rows, PermissionOut.of)

    @router.post("/permissions", status_code=201, summary="Create a permission")
    async def create_permission(_caller: PermissionAdmin, body: PermissionCreate) -> PermissionOut:
        return PermissionOut.of(await handlers.create_permission(body.name, body.description))

    @router.get("/permissions/{permission_id}", summary="Get a permission")
    async def get_permission(_caller: PermissionAdmin, permission_id: Id) -> PermissionOut:
        return PermissionOut.of(await handlers.read.permission(permission_id))

    @router.put("/permissions/{permission_id}", summary="Replace a permission")
    async def replace_permission(
        caller: PermissionAdmin, permission_id: Id, body: PermissionReplace
    ) -> PermissionOut:
        return await update(caller, permission_id, body)

    @router.patch("/permissions/{permission_id}", summary="Change parts of a permission")
    async def update_permission(
        caller: PermissionAdmin, permission_id: Id, body: PermissionUpdate
    ) -> PermissionOut:
        return await update(caller, permission_id, body)

    @router.delete("/permissions/{permission_id}", status_code=204, summary="Delete a permission")
    async def delete_permission(caller: PermissionAdmin, permission_id: Id) -> None:
        await handlers.delete_permission(caller, permission_id)

    async def update(
        caller: Principal, permission_id: int, body: PermissionCreate | PermissionUpdate
    ) -> PermissionOut:
        return PermissionOut.of(
            await handlers.change_permission(caller, permission_id, body.name, body.description)
        )

    del list_permissions, create_permission, get_permission, replace_permission, update_permission
    del delete_permission


def _page_request(page: Page) -> PageRequest:
    after_id: int | None = decode_cursor(page.cursor, int)[0] if page.cursor else None
    return PageRequest(page.page_size, page.offset, after_id)


def _page(page: Page, rows: Rows[R], to_item: Callable[[R], Any]) -> PageOf[Any]:
    items = [to_item(row) for row in rows.items]
    return PageOf(
        items=items,
        page=page.page,
        page_size=page.page_size,
        total=rows.total,
        next_cursor=encode_cursor(items[-1].id) if rows.has_more else None,
    )
