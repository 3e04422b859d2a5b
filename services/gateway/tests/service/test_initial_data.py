import asyncio
import re
from datetime import timedelta

import jwt
import pytest

from gateway.adapters.argon2 import Argon2PasswordHasher
from gateway.adapters.zxcvbn import guesses_log10
from gateway.domain.passwords import PasswordRules
from gateway.domain.routes import RouteTableError
from gateway.handlers.reset_password import ResetPassword
from gateway.handlers.rotate_keys import RotateKeys
from gateway.settings import GatewaySettings
from gateway.store import sessions, tables
from gateway.wiring import build
from kit.errors import NotFound
from kit.settings import SettingsError, read
from testkit import eventually

pytestmark = pytest.mark.integration


async def test_a_generated_password_is_printed_once_and_works(gateways, any_database, capsys):
    first = await gateways.start(any_database, superadmin_password="")
    assert len(first.printed) == 1
    password = re.search(r"Password, shown this once:\s+(\S+)", first.printed[0]).group(1)
    assert len(password) >= 16
    await first.sign_in(password=password)
    again = await gateways.start(any_database, superadmin_password="")
    assert again.printed == []
    await again.sign_in(password=password)
    assert password not in capsys.readouterr().out


async def test_a_configured_password_is_not_printed_and_does_not_change_an_existing_user(
    gateways, any_database
):
    first = await gateways.start(any_database)
    again = await gateways.start(any_database, superadmin_password="another one")
    assert first.printed == again.printed == []
    await again.sign_in()


async def test_replicas_that_start_together_create_one_superadmin(gateways, any_database):
    replicas = await asyncio.gather(*(gateways.start(any_database, superadmin_password="") for _ in range(4)))
    for replica in replicas:  # on SQLite some wait for the lock and complete their start later
        await eventually(replica.is_ready, 30)
    printed = [text for replica in replicas for text in replica.printed]
    assert len(printed) == 1
    password = re.search(r"once:\s+(\S+)", printed[0]).group(1)
    tokens = await replicas[0].sign_in(password=password)
    for replica in replicas:  # one superadmin, and one signing key
        answer = await replica.client.get(
            "/users", headers={"Authorization": f"Bearer {tokens['access_token']}"}
        )
        assert answer.json()["total"] == 1


async def test_keys_survive_a_restart_and_are_encrypted_at_rest(gateways, any_database):
    first = await gateways.start(any_database)
    headers = await first.headers()
    again = await gateways.start(any_database)
    assert (await again.client.get("/users", headers=headers)).status_code == 200
    async with first.service.resources[0].reading() as session:
        rows = (await session.execute(tables.signing_keys.select())).mappings().all()
    assert len(rows) == 1
    assert "PRIVATE KEY" not in rows[0]["private_key"]


async def test_a_wrong_secrets_key_stops_the_start(gateways, sqlite_url):
    await gateways.start(sqlite_url, secrets_key="one key that is long enough")
    with pytest.raises(Exception, match=r"(?i)seal|key"):
        await gateways.start(sqlite_url, secrets_key="quite another key, long enough")


def test_distributed_mode_needs_a_secrets_key():
    with pytest.raises(SettingsError, match=r"secrets_key|SECRETS_KEY"):
        read(GatewaySettings, environ={"DATABASE_URL": "postgresql://x@localhost/x"})


async def test_a_rotated_key_signs_and_the_old_one_stays_published_for_its_tokens(
    gateways, any_database, manual_clock
):
    gateway = await gateways.start(
        any_database,
        tokens={"key_reload_s": 0.000001, "verification_cache_s": 0.000001, "access_ttl_s": 3600},
    )
    db, signing_keys = gateway.service.resources[0], gateway.service.shared.jwks
    rotate = RotateKeys(
        db=db,
        secret_box=signing_keys.secret_box,
        signer=signing_keys.signer,
        clock=manual_clock,
        publish_ahead=timedelta(minutes=10),
        keep=signing_keys.keep,
    )

    async def published():
        return {key["kid"] for key in (await gateway.client.get("/.well-known/jwks.json")).json()["keys"]}

    async def signs_now():
        token = (await gateway.sign_in())["access_token"]
        return jwt.get_unverified_header(token)["kid"], {"Authorization": f"Bearer {token}"}

    old, old_token = await signs_now()
    new, signs_from = await rotate()
    assert signs_from == manual_clock.now() + timedelta(minutes=10)
    assert await published() == {old, new}  # services fetch the new key before it signs its first token
    assert (await signs_now())[0] == old
    manual_clock.advance(timedelta(minutes=10))
    kid, new_token = await signs_now()
    assert kid == new
    for headers in (old_token, new_token):
        assert (await gateway.client.get("/users", headers=headers)).status_code == 200
    manual_clock.advance(signing_keys.keep)
    assert await published() == {new}
    third, _ = await rotate()
    async with db.reading() as session:
        stored = {row["kid"] for row in (await session.execute(tables.signing_keys.select())).mappings()}
    assert stored == {new, third}


async def test_the_operator_can_sign_in_after_a_password_reset(gateways, any_database, manual_clock):
    gateway = await gateways.start(any_database, tokens={"verification_cache_s": 0.000001})
    headers = await gateway.headers()
    db = gateway.service.resources[0]
    reset = ResetPassword(
        db=db,
        passwords=hasher(),
        password_rules=PasswordRules(6, 256, 6.0, guesses_log10),
        clock=manual_clock,
    )
    await reset("SuperAdmin", "brand new")
    assert (await gateway.client.get("/users", headers=headers)).status_code == 401
    await gateway.sign_in(password="brand new")
    with pytest.raises(NotFound):
        await reset("nobody", "brand new")


def hasher():
    return Argon2PasswordHasher(memory_kib=8192, passes=1, lanes=1, max_concurrent=1)


async def test_expired_tokens_are_deleted(gateways, any_database, manual_clock):
    gateway = await gateways.start(any_database)
    db = gateway.service.resources[0]
    await gateway.sign_in()

    async def left():
        async with db.reading() as session:
            return [
                len((await session.execute(table.select())).all())
                for table in (tables.access_tokens, tables.refresh_tokens, tables.sessions)
            ]

    async def sweep():
        async with db.transaction() as session:
            await sessions.delete_expired(session, manual_clock.now())

    await sweep()
    assert await left() == [1, 1, 1]
    manual_clock.advance(timedelta(hours=25))
    await sweep()
    assert await left() == [0, 1, 1]
    manual_clock.advance(timedelta(days=30))
    await sweep()
    assert await left() == [0, 0, 0]


def test_a_route_table_with_faults_stops_the_build(tmp_path, sqlite_url):
    path = tmp_path / "routes.toml"
    path.write_text('[[routes]]\nprefix = "/x"\nservice = "elsewhere"\n')
    settings = GatewaySettings(
        mode="embedded", data_dir=tmp_path, database={"url": sqlite_url}, proxy={"routes_file": path}
    )
    with pytest.raises(RouteTableError, match="elsewhere"):
        build(settings)
