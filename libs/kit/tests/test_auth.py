import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, Depends

from kit.auth import HttpJwks, Principal, StaticJwks, TokenVerifier, parse_jwks, require
from kit.errors import Unauthenticated, Unavailable
from kit.settings import AuthSettings
from testkit import ManualClock

KEYS = {"one": Ed25519PrivateKey.generate(), "two": Ed25519PrivateKey.generate()}


def jwks(*kids: str) -> dict[str, Any]:
    keys = [
        jwt.algorithms.OKPAlgorithm.to_jwk(KEYS[kid].public_key(), as_dict=True) | {"kid": kid, "use": "sig"}
        for kid in kids
    ]
    return {"keys": keys}


CLOCK = ManualClock()
NOW = int(CLOCK.now().timestamp())
CLAIMS: dict[str, Any] = {
    "sub": "amal",
    "uid": 7,
    "roles": ["operator"],
    "permissions": ["tickets:read"],
    "jti": "0193",
    "iat": NOW,
    "exp": NOW + 600,
    "iss": "lookout",
    "aud": "lookout",
    "typ": "access",
}


def signed(kid: str = "one", *, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ...}
    return jwt.encode(claims, KEYS[kid], algorithm="EdDSA", headers={"kid": kid, **(headers or {})})


def verifier(keys: Any = None, clock: ManualClock | None = None, **parts: Any) -> TokenVerifier:
    settings = AuthSettings(leeway_s=30)
    return TokenVerifier(settings, keys or StaticJwks(jwks("one")), clock=clock or ManualClock(), **parts)


async def test_a_valid_token_names_its_caller() -> None:
    principal = await verifier().verify(signed())
    assert principal == Principal(7, "amal", frozenset({"operator"}), frozenset({"tickets:read"}), "0193")
    assert principal.may("tickets:read")
    assert not principal.may("tickets:write")


async def test_a_superadmin_has_every_permission() -> None:
    principal = await verifier().verify(signed(roles=["superadmin"], permissions=[]))
    assert principal.may("manage_users")


def resigned(algorithm: str) -> str:
    # The classic forgery: a symmetric algorithm with the public key as its secret.
    return jwt.encode(CLAIMS, "x" * 64, algorithm=algorithm, headers={"kid": "one"})


def tampered() -> str:
    head, _, signature = signed().split(".")
    return f"{head}.{jwt.utils.base64url_encode(orjson.dumps({**CLAIMS, 'uid': 1})).decode()}.{signature}"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "token_missing"),
        ("", "token_missing"),
        ("nonsense", "token_invalid"),
        ("a.b.c", "token_invalid"),
        ("x" * 20_000, "token_invalid"),
        (signed()[:-6], "token_invalid"),
        (tampered(), "token_invalid"),
        (resigned("HS256"), "token_invalid"),
        (jwt.encode(CLAIMS, "", algorithm="none", headers={"kid": "one"}), "token_invalid"),
        (signed("two"), "token_invalid"),
        (signed("two", headers={"kid": "one"}), "token_invalid"),
        (jwt.encode(CLAIMS, KEYS["one"], algorithm="EdDSA"), "token_invalid"),
        (signed(iss="other"), "token_invalid"),
        (signed(aud="other"), "token_invalid"),
        (signed(aud=["lookout", "other"]), "token_invalid"),
        (signed(typ="refresh"), "token_invalid"),
        (signed(typ=...), "token_invalid"),
        (signed(uid="7"), "token_invalid"),
        (signed(roles="superadmin"), "token_invalid"),
        (signed(permissions=...), "token_invalid"),
        (signed(jti=...), "token_invalid"),
        (signed(exp=...), "token_invalid"),
        (signed(exp=str(NOW + 5)), "token_invalid"),
        (signed(iat=NOW + 31), "token_invalid"),
        (signed(iat=NOW + 29), None),
        (signed(exp=NOW - 29), None),
        (signed(exp=NOW - 30), "token_expired"),
        (signed(exp=NOW - 10_000), "token_expired"),
    ],
)
async def test_invalid_tokens_are_refused(token: str | None, code: str | None) -> None:
    if code is None:
        assert (await verifier().verify(token)).user_id == 7
        return
    with pytest.raises(Unauthenticated) as caught:
        await verifier().verify(token)
    assert caught.value.code == code


async def test_a_token_expires_by_the_clock_of_the_service() -> None:
    clock = ManualClock()
    checks, token = verifier(clock=clock), signed()
    await checks.verify(token)
    clock.advance(600 + 31)
    with pytest.raises(Unauthenticated, match="expired"):
        await checks.verify(token)


async def test_a_token_that_was_signed_out_is_refused() -> None:
    revoked: set[str] = set()

    async def is_revoked(token_id: str) -> bool:
        return token_id in revoked

    checks = verifier(is_revoked=is_revoked)
    await checks.verify(signed())
    revoked.add("0193")
    with pytest.raises(Unauthenticated) as caught:
        await checks.verify(signed())
    assert caught.value.code == "token_revoked"


async def test_keys_may_be_rotated() -> None:
    keys = StaticJwks(jwks("one"))
    checks = verifier(keys)
    keys.replace(jwks("one", "two"))
    await checks.verify(signed("one"))
    await checks.verify(signed("two"))
    keys.replace(jwks("two"))
    with pytest.raises(Unauthenticated):
        await checks.verify(signed("one"))


@pytest.mark.parametrize(
    ("document", "kids"),
    [
        (jwks("one", "two"), {"one", "two"}),
        ({"keys": [{"kty": "RSA", "kid": "x", "n": "AQ", "e": "AQAB"}, *jwks("one")["keys"]]}, {"one"}),
        ({"keys": [{**jwks("one")["keys"][0], "kid": None}]}, set()),
        ({"keys": []}, set()),
        ({}, set()),
    ],
)
def test_only_keys_with_the_right_algorithm_are_accepted(document: Mapping[str, Any], kids: set[str]) -> None:
    assert set(parse_jwks(document)) == kids


class JwksPage:
    def __init__(self) -> None:
        self.body = orjson.dumps(jwks("one"))
        self.status = 200
        self.fetched = 0
        self.url = ""


@contextmanager
def jwks_page() -> Iterator[JwksPage]:
    page = JwksPage()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page.fetched += 1
            self.send_response(page.status)
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        page.url = f"http://127.0.0.1:{server.server_address[1]}/.well-known/jwks.json"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield page
        finally:
            server.shutdown()
            thread.join()


class Watch:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def http_jwks(url: str, watch: Watch) -> HttpJwks:
    settings = AuthSettings(jwks_url=url, jwks_refresh_s=300, jwks_min_refresh_s=10, jwks_timeout_s=5)
    return HttpJwks(settings, monotonic=watch)


@pytest.mark.integration
async def test_the_page_is_fetched_once_for_many_calls_and_again_when_old() -> None:
    watch = Watch()
    with jwks_page() as page:
        checks = verifier(http_jwks(page.url, watch))
        await asyncio.gather(*(checks.verify(signed()) for _ in range(20)))
        assert page.fetched == 1
        watch.at += 301
        await checks.verify(signed())
        assert page.fetched == 2


@pytest.mark.integration
async def test_an_unknown_key_fetches_the_page_again_but_not_for_every_forged_token() -> None:
    watch = Watch()
    with jwks_page() as page:
        checks = verifier(http_jwks(page.url, watch))
        await checks.verify(signed("one"))
        page.body = orjson.dumps(jwks("one", "two"))
        with pytest.raises(Unauthenticated):
            await checks.verify(signed("two"))  # too soon after the last fetch
        watch.at += 11
        await checks.verify(signed("two"))
        for number in range(20):
            with pytest.raises(Unauthenticated):
                await checks.verify(signed(headers={"kid": f"forged-{number}"}))
        assert page.fetched == 2


@pytest.mark.integration
@pytest.mark.parametrize(
    ("status", "body"), [(500, b""), (200, b"<html>"), (200, b"[]"), (200, b'{"keys": [1]}')]
)
async def test_the_cached_keys_are_used_while_the_page_is_unavailable(status: int, body: bytes) -> None:
    watch = Watch()
    with jwks_page() as page:
        checks = verifier(http_jwks(page.url, watch))
        await checks.verify(signed())
        page.status, page.body = status, body
        watch.at += 1000
        await checks.verify(signed())
        assert page.fetched == 2


@pytest.mark.integration
async def test_without_any_keys_a_call_gets_503_with_retry_after() -> None:
    with jwks_page() as page:
        page.status = 503
        watch = Watch()
        checks = verifier(http_jwks(page.url, watch))
        with pytest.raises(Unavailable) as caught:
            await checks.verify(signed())
        assert (caught.value.code, caught.value.retry_after_s) == ("keys_unavailable", 10)
        page.status = 200
        watch.at += 11
        await checks.verify(signed())


def test_a_page_must_be_on_http() -> None:
    with pytest.raises(ValueError, match="http"):
        HttpJwks(AuthSettings(jwks_url="file:///etc/passwd"))


def guarded() -> APIRouter:
    router = APIRouter(prefix="/api/v1")

    @router.get("/tickets")
    async def tickets(caller: Annotated[Principal, Depends(require("tickets:read"))]) -> str:
        return caller.username

    @router.get("/me")
    async def me(caller: Annotated[Principal, Depends(require())]) -> int:
        return caller.user_id

    @router.delete("/tickets", dependencies=[Depends(require("tickets:write"))])
    async def clear() -> None:
        return None

    return router


@pytest.mark.parametrize(
    ("method", "path", "header", "status", "code"),
    [
        ("GET", "/api/v1/tickets", f"Bearer {signed()}", 200, None),
        ("GET", "/api/v1/me", f"bearer  {signed()}", 200, None),
        ("DELETE", "/api/v1/tickets", f"Bearer {signed()}", 403, "permission_missing"),
        ("DELETE", "/api/v1/tickets", f"Bearer {signed(roles=['superadmin'])}", 200, None),
        ("GET", "/api/v1/me", f"Bearer {signed(permissions=[])}", 200, None),
        ("GET", "/api/v1/tickets", f"Bearer {signed(permissions=[])}", 403, "permission_missing"),
        ("GET", "/api/v1/tickets", None, 401, "token_missing"),
        ("GET", "/api/v1/tickets", "Bearer", 401, "token_missing"),
        ("GET", "/api/v1/tickets", f"Basic {signed()}", 401, "token_missing"),
        ("GET", "/api/v1/tickets", "Bearer x", 401, "token_invalid"),
        ("GET", "/api/v1/tickets", f"Bearer {signed(exp=NOW - 60)}", 401, "token_expired"),
    ],
)
async def test_routes_ask_for_tokens_and_permissions(
    toy: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    header: str | None,
    status: int,
    code: str | None,
) -> None:
    client = (await toy(guarded(), verifier=verifier())).client
    response = await client.request(method, path, headers={"Authorization": header} if header else {})
    assert response.status_code == status, response.text
    if code is not None:
        assert response.json()["code"] == code
        assert response.headers.get("www-authenticate", "").startswith("Bearer") is (status == 401)


async def test_the_api_page_offers_to_sign_in(toy: Callable[..., Awaitable[Any]]) -> None:
    client = (await toy(guarded(), verifier=verifier())).client
    document = (await client.get("/openapi.json")).json()
    scheme = document["components"]["securitySchemes"]["signIn"]
    assert scheme["flows"]["password"]["tokenUrl"] == "/token"
    assert document["paths"]["/api/v1/tickets"]["delete"]["security"] == [{"signIn": []}]
    assert "security" not in document["paths"]["/health/live"]["get"]
