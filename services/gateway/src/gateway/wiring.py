"""Builds the service: the only place that names what is behind each part."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from importlib.resources import files

from fastapi import FastAPI
from starlette.types import ASGIApp

from gateway.adapters.asgi_upstream import AsgiUpstream
from gateway.adapters.http_upstream import HttpUpstream, HttpUpstreamOptions
from gateway.adapters.passwords import Passwords
from gateway.api_page import ApiPage
from gateway.asking import readiness
from gateway.domain.circuit import CircuitPolicy
from gateway.domain.clients import TrustedProxies
from gateway.domain.cors import CorsPolicy
from gateway.domain.routes import OWN_SERVICE, RouteTable, parse_route_table
from gateway.domain.throttle import ThrottlePolicy
from gateway.door import Door, DoorOptions
from gateway.guesses import GuessCounter
from gateway.handlers.change_permission import ChangePermission
from gateway.handlers.change_role import ChangeRole
from gateway.handlers.change_user import ChangeUser
from gateway.handlers.create_permission import CreatePermission
from gateway.handlers.create_role import CreateRole
from gateway.handlers.create_user import CreateUser
from gateway.handlers.delete_permission import DeletePermission
from gateway.handlers.delete_role import DeleteRole
from gateway.handlers.delete_user import DeleteUser
from gateway.handlers.first_start import FirstStart
from gateway.handlers.issue_tokens import TokenIssuer
from gateway.handlers.refresh_session import RefreshSession
from gateway.handlers.reset_password import ResetPassword
from gateway.handlers.rotate_keys import RotateKeys
from gateway.handlers.sign_in import SignIn
from gateway.handlers.sign_out import SignOut
from gateway.handlers.sweep_tokens import SweepTokens
from gateway.http import account_routes, auth_routes, page_routes
from gateway.http.accounts import AccountHandlers
from gateway.http.auth import AuthHandlers
from gateway.keyring import KeyRing
from gateway.limiter import RateLimiter
from gateway.settings import GatewaySettings
from gateway.upstream import Upstream
from gateway.verifier import DoorVerifier
from kit import migrations
from kit.auth import JwksSource
from kit.clock import Clock, SystemClock
from kit.db import Database
from kit.health import Check, Health
from kit.http import create_app
from kit.http_edge import Edge, HeadAsGet
from kit.logging import Logger, make_logger
from kit.metrics import Metrics
from kit.secrets import SecretBox, key_in_file
from kit.service import Resource, Service

NAME = "gateway"


@dataclass(kw_only=True)
class GatewayService(Service):
    """The service, and the source of its own keys for services in the same process."""

    keys: JwksSource


def build(
    settings: GatewaySettings,
    *,
    clock: Clock | None = None,
    upstreams: Mapping[str, ASGIApp] | None = None,
    announce: Callable[[str], None] = partial(print, flush=True),  # noqa: B008 - bound once, on purpose
) -> GatewayService:
    """The service, not started.

    With `upstreams` the services are called in this process, by name; the mapping is read at each request, so
    it may be filled later. Without, they are called at the addresses in the settings. `announce` gets the
    password of a superadmin who was just made.
    """
    clock = clock or SystemClock()
    logger, metrics, health = make_logger(NAME, settings.log), Metrics(NAME), Health()
    table = load_table(settings)
    behind, connections = _upstreams(settings, table, upstreams, logger)
    db = Database(settings.database, NAME)
    keyring = _keyring(settings, db, clock)
    passwords = Passwords(settings.sign_in)
    verifier = DoorVerifier(settings.auth, keyring, db, clock=clock, cache_s=settings.tokens.check_cache_s)
    own = create_app(
        NAME,
        version("lookout-gateway"),
        settings=settings.http,
        logger=logger,
        metrics=metrics,
        health=health,
        verifier=verifier,
        clock=clock,
        description="Sign-in, users, roles and permissions.",
        docs=False,
    )
    # What the kit puts around a service's app stands around the whole door here.
    own.user_middleware.clear()
    own.add_middleware(HeadAsGet)
    _add_routes(own, settings, db, keyring, passwords, verifier, clock, logger)
    own.include_router(
        page_routes(_api_page(settings, table, behind, own), health, version("lookout-gateway"))
    )
    health.add("database", db.ping)
    for service in table.services:
        health.add(service, _readiness_of(behind[service], settings), required=False)
    door = _door(settings, table, behind, own, verifier, health, logger, metrics)
    first_start = FirstStart(
        db=db,
        passwords=passwords,
        secret_box=keyring.secret_box,
        clock=clock,
        given_password=settings.superadmin_password.get_secret_value(),
        announce=announce,
    )

    async def migrate() -> None:
        if settings.database.migrate_on_start:
            await migrations.upgrade(settings.database, NAME)
        await first_start()

    sweep = SweepTokens(
        db=db,
        clock=clock,
        interval_s=settings.tokens.sweep_interval_s,
        leeway=timedelta(seconds=settings.auth.leeway_s),
    )
    return GatewayService(
        name=NAME,
        version=version("lookout-gateway"),
        settings=settings,
        logger=logger,
        metrics=metrics,
        health=health,
        clock=clock,
        app=Edge(
            door,
            logger=logger,
            metrics=metrics,
            health=Health(),  # one that never holds: the door itself knows what can be served while starting
            # Each route has its own limit, which the door keeps.
            max_body_bytes=max(route.max_body_bytes for route in table.by_prefix.values()),
        ),
        resources=[db, *connections],
        migrate=migrate,
        background=[("sweep_tokens", sweep)],
        keys=keyring,
    )


def rotate_keys(settings: GatewaySettings) -> tuple[Database, RotateKeys]:
    """The command, with the database that it needs started."""
    db, clock = Database(settings.database, NAME), SystemClock()
    return db, RotateKeys(
        db=db,
        secret_box=_secret_box(settings),
        clock=clock,
        publish_ahead=timedelta(seconds=settings.tokens.key_publish_ahead_s),
        keep=_keep(settings),
    )


def reset_password(settings: GatewaySettings) -> tuple[Database, ResetPassword]:
    """The command, with the database that it needs started."""
    db = Database(settings.database, NAME)
    return db, ResetPassword(db=db, passwords=Passwords(settings.sign_in), clock=SystemClock())


def load_table(settings: GatewaySettings) -> RouteTable:
    """The route table that the settings name, or the packaged one.

    Raises:
        RouteTableError: it has faults.
        OSError, tomllib.TOMLDecodeError: it cannot be read.
    """
    path = settings.door.routes_file
    text = (path or files("gateway").joinpath("routes.toml")).read_text(encoding="utf-8")
    return parse_route_table(tomllib.loads(text), {OWN_SERVICE, *settings.upstreams.urls()})


def _upstreams(
    settings: GatewaySettings, table: RouteTable, given: Mapping[str, ASGIApp] | None, logger: Logger
) -> tuple[dict[str, Upstream], list[Resource]]:
    if given is not None:
        return {service: AsgiUpstream(service, given, logger) for service in table.services}, []
    calls = settings.upstreams
    options = HttpUpstreamOptions(
        connect_timeout_s=calls.connect_timeout_s,
        connect_attempts=calls.connect_attempts,
        connect_retry_s=calls.connect_retry_s,
        keep_alive_s=calls.keep_alive_s,
        max_connections=calls.max_connections,
        max_ws_message_bytes=calls.max_ws_message_bytes,
        retry_after_s=calls.retry_after_s,
        circuit=CircuitPolicy(calls.circuit_failures, calls.circuit_pause_s),
    )
    made = {service: HttpUpstream(service, calls.urls()[service], options) for service in table.services}
    return dict(made), list(made.values())


def _add_routes(
    own: FastAPI,
    settings: GatewaySettings,
    db: Database,
    keyring: KeyRing,
    passwords: Passwords,
    verifier: DoorVerifier,
    clock: Clock,
    logger: Logger,
) -> None:
    rules, forget = settings.sign_in, verifier.forget
    issuer = TokenIssuer(keyring, settings.auth, settings.tokens.access_ttl_s, settings.tokens.refresh_ttl_s)
    policy = ThrottlePolicy(
        rules.max_failures, timedelta(seconds=rules.failure_window_s), timedelta(seconds=rules.lockout_s)
    )
    sign_in = SignIn(
        db, passwords, GuessCounter(policy, clock), issuer, clock, logger, rules.max_password_chars
    )
    own.include_router(
        auth_routes(
            AuthHandlers(
                sign_in=sign_in,
                refresh=RefreshSession(db, issuer, clock, logger, forget),
                sign_out=SignOut(db, clock, forget),
                keyring=keyring,
                db=db,
            )
        )
    )
    own.include_router(
        account_routes(
            AccountHandlers(
                db=db,
                password_rules=rules,
                create_user=CreateUser(db, passwords, clock),
                change_user=ChangeUser(db, passwords, clock, forget),
                delete_user=DeleteUser(db, forget),
                create_role=CreateRole(db),
                change_role=ChangeRole(db, clock, forget),
                delete_role=DeleteRole(db, clock, forget),
                create_permission=CreatePermission(db),
                change_permission=ChangePermission(db, clock, forget),
                delete_permission=DeletePermission(db, clock, forget),
            )
        )
    )


def _api_page(
    settings: GatewaySettings, table: RouteTable, behind: Mapping[str, Upstream], own: FastAPI
) -> ApiPage:
    return ApiPage(
        table=table,
        upstreams=behind,
        own_document=own.openapi,
        version=version("lookout-gateway"),
        timeout_s=settings.upstreams.document_timeout_s,
        cache_s=settings.upstreams.document_cache_s,
    )


def _door(
    settings: GatewaySettings,
    table: RouteTable,
    behind: Mapping[str, Upstream],
    own: ASGIApp,
    verifier: DoorVerifier,
    health: Health,
    logger: Logger,
    metrics: Metrics,
) -> Door:
    return Door(
        table=table,
        upstreams=behind,
        own=own,
        verifier=verifier,
        limiter=RateLimiter(max_clients=settings.door.max_tracked_clients),
        cors=CorsPolicy.parse(settings.http.cors_origins),
        trusted=TrustedProxies(settings.door.trusted_proxies),
        options=DoorOptions(
            prefer_wait_margin_s=settings.door.prefer_wait_margin_s,
            max_prefer_wait_s=settings.door.max_prefer_wait_s,
            hsts_s=settings.door.hsts_s,
        ),
        health=health,
        logger=logger,
        metrics=metrics,
    )


def _readiness_of(upstream: Upstream, settings: GatewaySettings) -> Check:
    return lambda: readiness(upstream, settings.upstreams.readiness_timeout_s)


def _keyring(settings: GatewaySettings, db: Database, clock: Clock) -> KeyRing:
    return KeyRing(
        db=db,
        secret_box=_secret_box(settings),
        clock=clock,
        keep=_keep(settings),
        reload_s=settings.tokens.key_reload_s,
    )


def _keep(settings: GatewaySettings) -> timedelta:
    """How long a key is needed after the next one began to sign: the life of the last token it signed."""
    seconds = settings.tokens.access_ttl_s + settings.auth.leeway_s + settings.tokens.key_reload_s
    return timedelta(seconds=seconds)


def _secret_box(settings: GatewaySettings) -> SecretBox:
    """With the key that was set; in embedded mode with one of our own, kept beside the data."""
    key = settings.secrets_key.get_secret_value() or key_in_file(settings.data_dir / "gateway.key")
    return SecretBox(key, purpose=NAME)
