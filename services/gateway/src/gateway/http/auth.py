"""Routes for signing in and out."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.security import OAuth2PasswordRequestForm

from gateway.handlers.change_own_password import ChangeOwnPassword
from gateway.handlers.check_sign_in import CheckSignIn
from gateway.handlers.read_own_access import ReadOwnAccess
from gateway.handlers.refresh_session import RefreshSession
from gateway.handlers.sign_in import SignIn
from gateway.handlers.sign_out import SignOut
from gateway.handlers.signing_keys import SigningKeys
from gateway.http.schemas import (
    AllowedOut,
    CallerOut,
    Credentials,
    PasswordChange,
    PermissionTestOut,
    SessionsOut,
    TokenRefresh,
    TokensOut,
)
from kit.auth import SUPERADMIN, Principal, require

Caller = Annotated[Principal, Depends(require())]


@dataclass(frozen=True, slots=True)
class AuthHandlers:
    """The use cases behind these routes."""

    sign_in: SignIn
    refresh: RefreshSession
    sign_out: SignOut
    change_own_password: ChangeOwnPassword
    own_access: ReadOwnAccess
    check_sign_in: CheckSignIn
    signing_keys: SigningKeys


def auth_routes(handlers: AuthHandlers) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["sign-in"])

    @router.post("/token", summary="Sign in with a form (OAuth 2 password flow)")
    async def sign_in_with_form(
        request: Request, response: Response, form: Annotated[OAuth2PasswordRequestForm, Depends()]
    ) -> TokensOut:
        _forbid_caching(response)
        return TokensOut.of(await handlers.sign_in(form.username, form.password, _address(request)))

    @router.post("/api/v1/auth/login", summary="Sign in with JSON")
    async def sign_in(request: Request, response: Response, body: Credentials) -> TokensOut:
        _forbid_caching(response)
        password = body.password.get_secret_value()
        return TokensOut.of(await handlers.sign_in(body.username, password, _address(request)))

    @router.post("/api/v1/auth/refresh", summary="Exchange a refresh token for new tokens")
    async def refresh_tokens(response: Response, body: TokenRefresh) -> TokensOut:
        _forbid_caching(response)
        return TokensOut.of(await handlers.refresh(body.refresh_token.get_secret_value()))

    @router.get("/api/v1/auth/me", summary="Who is signed in")
    async def get_caller(caller: Caller) -> CallerOut:
        return CallerOut(
            id=caller.user_id,
            user_id=caller.user_id,
            username=caller.username,
            roles=sorted(caller.roles),
            permissions=sorted(caller.permissions),
            is_superadmin=SUPERADMIN in caller.roles,
        )

    @router.post("/api/v1/auth/logout", summary="End the session: its tokens are refused from now on")
    async def sign_out(caller: Caller) -> dict[str, str]:
        await handlers.sign_out(caller)
        return {"status": "signed_out"}

    @router.post(
        "/api/v1/auth/password",
        status_code=204,
        summary="Change the caller's own password; all their sessions end, this one too",
    )
    async def change_own_password(request: Request, caller: Caller, body: PasswordChange) -> None:
        current, new = body.current_password.get_secret_value(), body.new_password.get_secret_value()
        await handlers.change_own_password(caller, current, new, _address(request))

    @router.get("/api/v1/auth/sessions", summary="Where the caller is signed in: what a new password ends")
    async def list_own_sessions(caller: Caller) -> SessionsOut:
        return SessionsOut.of(await handlers.own_access.sessions(caller))

    @router.get("/api/v1/auth/permissions", summary="What the caller may do")
    async def list_own_permissions(caller: Caller) -> list[AllowedOut]:
        allowed = await handlers.own_access.permissions(caller)
        return [AllowedOut(name=one.name, description=one.description) for one in allowed]

    @router.get("/api/v1/auth/health", summary="Whether signing in works")
    async def get_sign_in_health() -> dict[str, str]:
        await handlers.check_sign_in()
        return {"status": "ok"}

    @router.get("/api/v1/auth/permissions/test", summary="Whether the caller has permissions")
    async def check_permissions(
        caller: Caller,
        permission: Annotated[
            list[str] | None,
            Query(max_length=100, description="to test; all of the caller's if left out"),
        ] = None,
    ) -> PermissionTestOut:
        names = permission if permission is not None else sorted(caller.permissions)
        return PermissionTestOut(
            permissions={name: caller.may(name) for name in names}, is_superadmin=SUPERADMIN in caller.roles
        )

    @router.get("/.well-known/jwks.json", summary="The public keys that tokens are verified with")
    async def get_signing_keys(response: Response) -> dict[str, Any]:
        response.headers["Cache-Control"] = "public, max-age=60"
        return await handlers.signing_keys.document()

    del (
        sign_in_with_form,
        sign_in,
        refresh_tokens,
        get_caller,
        sign_out,
        change_own_password,
        list_own_sessions,
        list_own_permissions,
        get_sign_in_health,
    )
    del check_permissions, get_signing_keys
    return router


def _forbid_caching(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"
