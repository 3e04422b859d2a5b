"""Signing in and out."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.security import OAuth2PasswordRequestForm

from gateway.handlers.refresh_session import RefreshSession
from gateway.handlers.sign_in import SignIn
from gateway.handlers.sign_out import SignOut
from gateway.http.models import Credentials, Me, PermissionTest, RefreshGiven, Tokens
from gateway.keyring import KeyRing
from kit.auth import SUPERADMIN, Principal, require
from kit.db import Database

Caller = Annotated[Principal, Depends(require())]


@dataclass(frozen=True, slots=True)
class AuthHandlers:
    """The use cases behind these routes."""

    sign_in: SignIn
    refresh: RefreshSession
    sign_out: SignOut
    keyring: KeyRing
    db: Database


def auth_routes(handlers: AuthHandlers) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["sign-in"])

    @router.post("/token", summary="Sign in with a form (OAuth 2 password flow)")
    async def token(
        request: Request, response: Response, form: Annotated[OAuth2PasswordRequestForm, Depends()]
    ) -> Tokens:
        _keep_out_of_caches(response)
        return Tokens.of(await handlers.sign_in(form.username, form.password, _address(request)))

    @router.post("/api/v1/auth/login", summary="Sign in with JSON")
    async def login(request: Request, response: Response, given: Credentials) -> Tokens:
        _keep_out_of_caches(response)
        password = given.password.get_secret_value()
        return Tokens.of(await handlers.sign_in(given.username, password, _address(request)))

    @router.post("/api/v1/auth/refresh", summary="Exchange a refresh token for new tokens")
    async def refresh(response: Response, given: RefreshGiven) -> Tokens:
        _keep_out_of_caches(response)
        return Tokens.of(await handlers.refresh(given.refresh_token.get_secret_value()))

    @router.get("/api/v1/auth/me", summary="Who is signed in")
    async def me(caller: Caller) -> Me:
        return Me(
            id=caller.user_id,
            user_id=caller.user_id,
            username=caller.username,
            roles=sorted(caller.roles),
            permissions=sorted(caller.permissions),
        )

    @router.post("/api/v1/auth/logout", summary="End the session: its tokens are refused from now on")
    async def logout(caller: Caller) -> dict[str, str]:
        await handlers.sign_out(caller)
        return {"status": "signed_out"}

    @router.get("/api/v1/auth/health", summary="Whether signing in works")
    async def auth_health() -> dict[str, str]:
        await handlers.db.ping()
        await handlers.keyring.signer()
        return {"status": "ok"}

    @router.get("/api/v1/auth/permissions/test", summary="Whether the caller holds permissions")
    async def permissions_test(
        caller: Caller,
        permission: Annotated[
            list[str] | None,
            Query(max_length=100, description="to ask about; all of the caller's if left out"),
        ] = None,
    ) -> PermissionTest:
        asked = permission if permission is not None else sorted(caller.permissions)
        return PermissionTest(
            permissions={name: caller.may(name) for name in asked}, is_superadmin=SUPERADMIN in caller.roles
        )

    @router.get("/.well-known/jwks.json", summary="The public keys that tokens are checked with")
    async def jwks(response: Response) -> dict[str, Any]:
        response.headers["Cache-Control"] = "public, max-age=60"
        return await handlers.keyring.document()

    del token, login, refresh, me, logout, auth_health, permissions_test, jwks
    return router


def _keep_out_of_caches(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"
