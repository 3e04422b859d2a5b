import asyncio
import base64
import json
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.argon2 import Argon2PasswordHasher
from gateway.store.users import find_credentials
from kit.auth import StaticJwks, TokenVerifier
from kit.settings import AuthSettings

pytestmark = pytest.mark.integration

ROOT_PASSWORD = "a good long password"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


async def me(gateway, token):
    return await gateway.client.get("/api/v1/auth/me", headers=bearer(token))


async def test_the_documented_form_gives_a_token(gateway):
    answer = await gateway.client.post(
        "/token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        content=f"username=superadmin&password={ROOT_PASSWORD.replace(' ', '+')}",
    )
    tokens = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 86_400)
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert claims["sub"] == "superadmin"
    assert claims["roles"] == ["superadmin"]
    assert claims["exp"] - claims["iat"] == 86_400


@pytest.mark.parametrize("path", ["/api/v1/auth/login", "/api/auth/login"])
async def test_json_gives_a_token(gateway, path):
    answer = await gateway.client.post(path, json={"username": "SuperAdmin", "password": ROOT_PASSWORD})
    assert answer.status_code == 200
    caller = await me(gateway, answer.json()["access_token"])
    assert caller.json()["username"] == "superadmin"
    assert "manage_users" in caller.json()["permissions"]


async def test_any_service_can_verify_the_token_with_the_published_keys(gateway, manual_clock):
    token = (await gateway.sign_in())["access_token"]
    document = (await gateway.client.get("/.well-known/jwks.json")).json()
    assert set(document["keys"][0]) == {"kty", "crv", "use", "alg", "kid", "x"}  # without the private key
    verifier = TokenVerifier(AuthSettings(), StaticJwks(document), clock=manual_clock)
    principal = await verifier.verify(token)
    assert (principal.user_id, principal.username) == (1, "superadmin")
    in_process = TokenVerifier(AuthSettings(), gateway.service.shared.jwks, clock=manual_clock)
    assert await in_process.verify(token) == principal


@pytest.mark.parametrize(
    "given",
    [
        {"username": "superadmin", "password": "wrong"},
        {"username": "nobody", "password": ROOT_PASSWORD},
        {"username": "superadmin", "password": ROOT_PASSWORD + "x"},
        {"username": "superadmin", "password": "x" * 4000},
        {"username": "", "password": ""},
    ],
)
async def test_a_refused_sign_in_does_not_say_what_was_wrong(gateway, given):
    answer = await gateway.client.post("/api/v1/auth/login", json=given)
    assert (answer.status_code, answer.json()["code"]) == (401, "credentials_invalid")
    assert answer.json()["detail"] == "The user name or the password is wrong."


async def test_a_long_password_is_not_truncated(gateways, sqlite_url):
    password = "x" * 256
    gateway = await gateways.start(sqlite_url, superadmin_password=password)
    await gateway.sign_in(password=password)
    answer = await gateway.client.post("/token", data={"username": "superadmin", "password": password + "y"})
    assert answer.status_code == 401


async def test_a_disabled_user_cannot_sign_in(gateway, root):
    user_id, _, _ = await gateway.user_with(root, "alice")
    await gateway.client.patch(f"/users/{user_id}", headers=root, json={"is_active": False})
    answer = await gateway.client.post("/token", data={"username": "alice", "password": "five small boats"})
    assert (answer.status_code, answer.json()["code"]) == (401, "credentials_invalid")


async def test_wrong_passwords_lock_out_the_pair_of_user_and_address(gateways, sqlite_url, manual_clock):
    gateway = await gateways.start(
        sqlite_url, sign_in={"max_failures": 3, "failure_window_s": 600, "lockout_s": 60}
    )

    async def try_it(password, username="superadmin"):
        return await gateway.client.post("/token", data={"username": username, "password": password})

    assert [(await try_it("wrong")).status_code for _ in range(3)] == [401, 401, 401]
    locked = await try_it(ROOT_PASSWORD)
    assert (locked.status_code, locked.json()["code"], locked.headers["retry-after"]) == (
        429,
        "locked_out",
        "60",
    )
    assert (await try_it("x", username="somebody else")).status_code == 401
    manual_clock.advance(61)
    assert (await try_it(ROOT_PASSWORD)).status_code == 200


async def test_the_right_password_resets_the_count_of_wrong_ones(gateways, sqlite_url):
    gateway = await gateways.start(sqlite_url, sign_in={"max_failures": 2})
    for password in ("wrong", ROOT_PASSWORD, "wrong", ROOT_PASSWORD):
        await gateway.client.post("/token", data={"username": "superadmin", "password": password})
    answer = await gateway.client.post("/token", data={"username": "superadmin", "password": ROOT_PASSWORD})
    assert answer.status_code == 200


def tampered(token):
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["permissions"] = ["everything"]
    return ".".join([head, encoded(claims), signature])


def unsigned(token):
    return ".".join([encoded({"alg": "none", "typ": "JWT"}), token.split(".")[1], ""])


def symmetric(token):
    """Signed with HMAC, with the public key as the shared secret."""
    return jwt.encode(read(token), "x" * 32, algorithm="HS256", headers={"kid": kid_of(token)})


def strangers(token):
    return jwt.encode(
        read(token), Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": kid_of(token)}
    )


def unknown_key(token):
    return jwt.encode(read(token), Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": "other"})


def encoded(document):
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def read(token):
    return jwt.decode(token, options={"verify_signature": False})


def kid_of(token):
    return jwt.get_unverified_header(token)["kid"]


@pytest.mark.parametrize(
    "forge", [tampered, unsigned, symmetric, strangers, unknown_key, lambda _: "nonsense", lambda _: "a.b.c"]
)
async def test_a_forged_token_is_refused(gateway, forge):
    token = (await gateway.sign_in())["access_token"]
    assert (await me(gateway, token)).status_code == 200
    for path in ("/api/v1/auth/me", "/users", "/tickets"):
        answer = await gateway.client.get(path, headers=bearer(forge(token)))
        assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid"), path


@pytest.mark.parametrize("auth", [{"issuer": "another site"}, {"audience": "another site"}])
async def test_a_token_of_another_issuer_is_refused(gateways, sqlite_url, auth):
    ours = await gateways.start(sqlite_url)
    theirs = await gateways.start(sqlite_url, auth=auth)  # the same database, and so the same keys
    token = (await theirs.sign_in())["access_token"]
    assert (await me(theirs, token)).status_code == 200
    answer = await me(ours, token)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


async def test_a_token_that_was_signed_and_never_issued_is_refused(gateway, manual_clock):
    """A stolen signing key is not enough: a token must also be in the database."""
    token = (await gateway.sign_in())["access_token"]
    keys = gateway.service.shared.jwks
    claims = read(token) | {"jti": "01890000-0000-7000-8000-000000000000"}
    forged = keys.signer.sign(claims, await keys.current())
    answer = await me(gateway, forged)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")


async def test_an_access_token_expires(gateways, sqlite_url, manual_clock):
    gateway = await gateways.start(sqlite_url, tokens={"verification_cache_s": 0.000001})
    tokens = await gateway.sign_in()
    manual_clock.advance(timedelta(hours=24, seconds=-1))
    assert (await me(gateway, tokens["access_token"])).status_code == 200
    manual_clock.advance(timedelta(seconds=60))
    answer = await me(gateway, tokens["access_token"])
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")


async def refresh(gateway, token):
    return await gateway.client.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def test_a_refresh_token_gets_new_tokens(gateway):
    first = await gateway.sign_in()
    second = (await refresh(gateway, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    for tokens in (first, second):
        assert (await me(gateway, tokens["access_token"])).status_code == 200


async def test_a_refresh_token_used_twice_ends_the_session(gateway):
    first = await gateway.sign_in()
    other = await gateway.sign_in()
    second = (await refresh(gateway, first["refresh_token"])).json()
    again = await refresh(gateway, first["refresh_token"])
    assert (again.status_code, again.json()["code"]) == (401, "refresh_reused")
    for tokens in (first, second):
        assert (await me(gateway, tokens["access_token"])).status_code == 401
    assert (await refresh(gateway, second["refresh_token"])).status_code == 401
    assert (
        await me(gateway, other["access_token"])
    ).status_code == 200  # another sign-in has its own session


async def test_of_concurrent_refreshes_one_succeeds(gateways, any_database):
    gateway = await gateways.start(any_database)
    token = (await gateway.sign_in())["refresh_token"]
    answers = await asyncio.gather(*(refresh(gateway, token) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]


@pytest.mark.parametrize("token", ["nonsense", "", "ü", "x" * 1000])
async def test_an_invalid_refresh_token_is_refused(gateway, token):
    answer = await refresh(gateway, token)
    assert (answer.status_code, answer.json()["code"]) == (401, "refresh_invalid")


async def test_an_access_token_is_not_accepted_as_a_refresh_token(gateway):
    tokens = await gateway.sign_in()
    assert (await refresh(gateway, tokens["access_token"])).json()["code"] == "refresh_invalid"
    assert (await me(gateway, tokens["refresh_token"])).json()["code"] == "token_invalid"


async def test_a_refresh_token_expires(gateway, manual_clock):
    token = (await gateway.sign_in())["refresh_token"]
    manual_clock.advance(timedelta(days=30))
    assert (await refresh(gateway, token)).json()["code"] == "refresh_invalid"


@pytest.mark.parametrize("path", ["/api/v1/auth/logout", "/api/auth/logout"])
async def test_signing_out_ends_both_tokens_at_once(gateway, path):
    tokens, other = await gateway.sign_in(), await gateway.sign_in()
    assert (await me(gateway, tokens["access_token"])).status_code == 200
    assert (await gateway.client.post(path, headers=bearer(tokens["access_token"]))).status_code == 200
    answer = await me(gateway, tokens["access_token"])
    assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")
    assert (await refresh(gateway, tokens["refresh_token"])).status_code == 401
    assert (await me(gateway, other["access_token"])).status_code == 200


async def test_a_sign_out_takes_effect_at_another_replica(gateways, any_database):
    here = await gateways.start(any_database)
    there = await gateways.start(any_database, tokens={"verification_cache_s": 0.000001})
    token = (await here.sign_in())["access_token"]
    assert (await me(there, token)).status_code == 200
    await here.client.post("/api/v1/auth/logout", headers=bearer(token))
    assert (await me(there, token)).status_code == 401


async def test_permissions_can_be_tested(gateway, root):
    _, _, headers = await gateway.user_with(root, "alice", "tickets:read")
    answer = await gateway.client.get(
        "/api/v1/auth/permissions/test?permission=tickets:read&permission=manage_users", headers=headers
    )
    assert answer.json() == {
        "permissions": {"tickets:read": True, "manage_users": False},
        "is_superadmin": False,
    }
    everything = await gateway.client.get("/api/v1/auth/permissions/test?permission=whatever", headers=root)
    assert everything.json() == {"permissions": {"whatever": True}, "is_superadmin": True}


async def test_the_health_of_signing_in(gateway):
    assert (await gateway.client.get("/api/v1/auth/health")).json() == {"status": "ok"}


async def test_the_form_must_be_complete(gateway):
    answer = await gateway.client.post("/token", data={"username": "superadmin"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "password"


async def test_no_response_contains_a_password(gateway):
    answer = await gateway.client.post("/api/v1/auth/login", json={"username": "a", "pasword": "hunter2"})
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


async def test_a_hash_with_outdated_parameters_is_replaced(gateways, sqlite_url):
    old = await gateways.start(sqlite_url)
    new = await gateways.start(sqlite_url, sign_in={"hash_memory_kib": 16_384})
    before = await stored_hash(new)
    await old.sign_in()
    assert await stored_hash(new) == before
    await new.sign_in()
    after = await stored_hash(new)
    assert "m=8192" in before
    assert "m=16384" in after
    await old.sign_in()  # either verifies what the other wrote


async def stored_hash(gateway):
    async with gateway.service.resources[0].reading() as session:
        found = await find_credentials(session, "superadmin")
    assert found is not None
    return found[1]


async def test_a_password_that_is_changed_during_the_sign_in_is_checked_again(gateway, monkeypatch):
    root = await gateway.headers()
    user_id, _, _ = await gateway.user_with(root, "olga", password="the old one")
    verify, changes = Argon2PasswordHasher.verify, []

    async def verify_and_change(self, password, stored_hash):
        result = await verify(self, password, stored_hash)
        if not changes:
            new = {"password": "the new one"}
            changes.append(await gateway.client.patch(f"/users/{user_id}", headers=root, json=new))
        return result

    monkeypatch.setattr(Argon2PasswordHasher, "verify", verify_and_change)
    answer = await gateway.client.post("/token", data={"username": "olga", "password": "the old one"})
    assert (answer.status_code, answer.json()["code"]) == (401, "credentials_invalid")
    assert [change.status_code for change in changes] == [200]
    assert (await gateway.sign_in("olga", "the new one"))["access_token"]
