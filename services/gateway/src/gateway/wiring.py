"""Builds the service: the only place that names concrete classes."""

import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from importlib.resources import files

from fastapi import FastAPI

from gateway.adapters.argon2 import Argon2PasswordHasher
from gateway.adapters.asgi_upstream import AsgiUpstream
from gateway.adapters.ed25519 import Ed25519TokenSigner
from gateway.adapters.http_upstream import HttpUpstream, HttpUpstreamOptions
from gateway.adapters.zxcvbn import guesses_log10
from gateway.domain.clients import TrustedProxies
from gateway.domain.cors import CorsPolicy
from gateway.domain.lockout import LockoutPolicy
from gateway.domain.passwords import PasswordRules
from gateway.domain.routes import OWN_SERVICE, BodyLimit, RouteTable, parse_route_table, parse_service_urls
from gateway.handlers.change_own_password import ChangeOwnPassword
from gateway.handlers.change_permission import ChangePermission
from gateway.handlers.change_role import ChangeRole
from gateway.handlers.change_user import ChangeUser
from gateway.handlers.check_sign_in import CheckSignIn
from gateway.handlers.create_initial_data import CreateInitialData
from gateway.handlers.create_permission import CreatePermission
from gateway.handlers.create_role import CreateRole
from gateway.handlers.create_user import CreateUser
from gateway.handlers.delete_expired_tokens import DeleteExpiredTokens
from gateway.handlers.delete_permission import DeletePermission
from gateway.handlers.delete_role import DeleteRole
from gateway.handlers.delete_user import DeleteUser
from gateway.handlers.failed_sign_ins import FailedSignInCounter
from gateway.handlers.issue_tokens import TokenIssuer
from gateway.handlers.merge_api_documents import MergedApiDocument
from gateway.handlers.read_accounts import ReadAccounts
from gateway.handlers.read_own_access import ReadOwnAccess
from gateway.handlers.refresh_session import RefreshSession
from gateway.handlers.reset_password import ResetPassword
from gateway.handlers.reset_user_password import ResetUserPassword
from gateway.handlers.rotate_keys import RotateKeys
from gateway.handlers.sign_in import SignIn
from gateway.handlers.sign_out import SignOut
from gateway.handlers.signing_keys import SigningKeys
from gateway.handlers.unstored_tokens import UnstoredTokens
from gateway.handlers.upstreams import Upstream, check_readiness
from gateway.handlers.verify_token import SessionTokenVerifier
from gateway.http import (
    AccountHandlers,
    AuthHandlers,
    account_routes,
    auth_routes,
    page_routes,
    publish_password_lengths,
)
from gateway.http.middleware import WaitOptions, build_chain
from gateway.http.rate_limiter import RateLimiter
from gateway.metrics import GatewayMetrics
from gateway.settings import GatewaySettings, SignInSettings
from gateway.store.tables import signing_keys
from kit.clock import Clock, SystemClock
from kit.db import Database
from kit.health import Health
from kit.http import change_document
from kit.http_edge import Edge
from kit.logging import Logger
from kit.service import Service, Shared, open_secret_box
from kit.size_limits import NO_BODY_LIMIT, base64_body_bytes, form_bytes

NAME = "gateway"
# What a secret box encrypted, for the command re-encrypt-secrets.
SECRET_COLUMNS = (signing_keys.c.private_key,)


def build(
    settings: GatewaySettings,
    shared: Shared | None = None,
    *,
    print_text: Callable[[str], None] = partial(print, flush=True),  # noqa: B008 - bound once, on purpose
) -> Service:
    """The service, not started; its signing keys become those of the process.

    With `shared.apps` the services are called in this process, by name; the mapping is read at each request.
    Without, they are called at the addresses in the settings. `print_text` gets the generated password of a new
    superadmin.
    """
    service = Service(settings, shared, description="Sign-in, users, roles and permissions.")
    clock, logger, health = service.clock, service.logger, service.health
    table, urls = load_table(settings)
    db = service.database(settings.database)
    upstream_of = _upstreams(settings, table, urls, service)
    signing_keys = _signing_keys(settings, db, clock)
    service.shared.jwks = signing_keys
    unstored = UnstoredTokens(clock)
    verifier = SessionTokenVerifier(
        settings.auth,
        signing_keys,
        db,
        clock=clock,
        cache_s=settings.tokens.verification_cache_s,
        unstored=unstored,
    )
    passwords = _password_hasher(settings.sign_in)
    own = service.http_app(verifier=verifier, docs=False, edge=False)  # the edge is around the whole chain
    clear_cache = verifier.clear_cache
    own.include_router(
        auth_routes(
            _auth_handlers(settings, db, signing_keys, passwords, clear_cache, unstored, clock, logger)
        )
    )
    own.include_router(account_routes(_account_handlers(settings.sign_in, db, passwords, clear_cache, clock)))
    change_document(
        own,
        partial(
            publish_password_lengths,
            min_chars=settings.sign_in.min_password_chars,
            max_chars=settings.sign_in.max_password_chars,
        ),
    )
    api_document = _api_document(settings, table, upstream_of, own)
    own.include_router(
        page_routes(
            api_document,
            health,
            service.version,
            _password_rules(settings.sign_in),
            is_state_public=settings.http.is_state_public,
        )
    )
    for name in table.services:
        timeout_s = settings.upstreams.readiness_timeout_s
        health.add(name, partial(check_readiness, upstream_of[name], timeout_s), required=False)
    service.proxy_networks = settings.proxy.trusted_proxies
    create_initial_data = CreateInitialData(
        db=db,
        passwords=passwords,
        secret_box=signing_keys.secret_box,
        signer=signing_keys.signer,
        clock=clock,
        superadmin_password=settings.superadmin_password.get_secret_value(),
        print_text=print_text,
    )
    service.startup_steps.append(("initial data", create_initial_data))
    delete_expired_tokens = DeleteExpiredTokens(
        db=db, clock=clock, leeway=timedelta(seconds=settings.auth.leeway_s)
    )
    service.every("delete_expired_tokens", settings.tokens.cleanup_interval_s, delete_expired_tokens)
    chain = build_chain(
        table=table,
        upstreams=upstream_of,
        own=own,
        verifier=verifier,
        limiter=RateLimiter(max_clients=settings.proxy.max_tracked_clients),
        cors=CorsPolicy.parse(settings.http.cors_origins),
        trusted_proxies=TrustedProxies(settings.proxy.trusted_proxies),
        hsts_s=settings.proxy.hsts_s,
        wait=WaitOptions(settings.proxy.prefer_wait_margin_s, settings.proxy.max_prefer_wait_s),
        health=health,
        logger=logger,
        metrics=GatewayMetrics(service.metrics),
    )
    service.app = Edge(
        chain,
        service=service.name,
        logger=logger,
        metrics=service.metrics,
        tracing=service.tracing,
        health=Health(),  # never refuses: the chain's Startup decides what is served while starting
        body_limit=NO_BODY_LIMIT,  # the chain's SizeLimit applies the limit of each route
        secret_prefixes=table.secret_prefixes,
    )
    return service


def rotate_keys(settings: GatewaySettings) -> tuple[Database, RotateKeys]:
    """The command, and the database that it needs started."""
    db = Database(settings.database, NAME)
    return db, RotateKeys(
        db=db,
        secret_box=open_secret_box(settings),
        signer=Ed25519TokenSigner(),
        clock=SystemClock(),
        publish_ahead=timedelta(seconds=settings.tokens.key_publish_ahead_s),
        keep=_key_lifetime(settings),
    )


def reset_password(settings: GatewaySettings) -> tuple[Database, ResetPassword]:
    """The command, and the database that it needs started."""
    db, sign_in = Database(settings.database, NAME), settings.sign_in
    return db, ResetPassword(
        db=db,
        passwords=_password_hasher(sign_in),
        password_rules=_password_rules(sign_in),
        clock=SystemClock(),
    )


def load_table(settings: GatewaySettings) -> tuple[RouteTable, dict[str, str]]:
    """The route table that the settings name, or the packaged one, and the base URL of each service.

    Raises:
        RouteTableError: it has faults.
        OSError, tomllib.TOMLDecodeError: it cannot be read.
    """
    path = settings.proxy.routes_file
    text = (path or files("gateway").joinpath("routes.toml")).read_text(encoding="utf-8")
    document = tomllib.loads(text)
    urls = parse_service_urls(document, settings.upstreams.urls)
    return parse_route_table(document, {OWN_SERVICE, *urls}, body_limits(settings)), urls


def body_limits(settings: GatewaySettings) -> dict[str, BodyLimit]:
    """The largest bodies by the names that a route table may use."""
    max_picture_bytes, prefix = settings.proxy.max_picture_bytes, settings.env_prefix()
    return {
        "default": BodyLimit(settings.http.max_body_bytes, f"{prefix}HTTP__MAX_BODY_BYTES"),
        "picture": BodyLimit(form_bytes(max_picture_bytes), f"{prefix}PROXY__MAX_PICTURE_BYTES"),
        "picture_in_base64": BodyLimit(
            base64_body_bytes(max_picture_bytes), f"{prefix}PROXY__MAX_PICTURE_BYTES"
        ),
    }


def _upstreams(
    settings: GatewaySettings, table: RouteTable, urls: Mapping[str, str], service: Service
) -> dict[str, Upstream]:
    apps = service.shared.apps
    if apps is not None:
        return {name: AsgiUpstream(name, apps, service.logger) for name in table.services}
    upstreams = settings.upstreams
    options = HttpUpstreamOptions(
        connect_timeout_s=upstreams.connect_timeout_s,
        connect_attempts=upstreams.connect_attempts,
        connect_retry_s=upstreams.connect_retry_s,
        keep_alive_s=upstreams.keep_alive_s,
        max_connections=upstreams.max_connections,
        max_ws_message_bytes=upstreams.max_ws_message_bytes,
        retry_after_s=upstreams.retry_after_s,
        circuit_max_failures=upstreams.circuit_max_failures,
        circuit_open_s=upstreams.circuit_open_s,
    )
    return {name: service.add_resource(HttpUpstream(name, urls[name], options)) for name in table.services}


def _auth_handlers(
    settings: GatewaySettings,
    db: Database,
    signing_keys: SigningKeys,
    passwords: Argon2PasswordHasher,
    clear_token_cache: Callable[[], None],
    unstored: UnstoredTokens,
    clock: Clock,
    logger: Logger,
) -> AuthHandlers:
    sign_in, tokens = settings.sign_in, settings.tokens
    issuer = TokenIssuer(
        signing_keys,
        signing_keys.signer,
        settings.auth,
        tokens.access_ttl_s,
        tokens.refresh_ttl_s,
        tokens.unstored_ttl_s,
    )
    policy = LockoutPolicy(
        sign_in.max_failures,
        timedelta(seconds=sign_in.failure_window_s),
        timedelta(seconds=sign_in.lockout_s),
    )
    failed = FailedSignInCounter(policy, clock)
    return AuthHandlers(
        sign_in=SignIn(db, passwords, failed, issuer, clock, logger, _password_rules(sign_in), unstored),
        refresh=RefreshSession(db, issuer, clock, logger, clear_token_cache),
        sign_out=SignOut(db, clock, clear_token_cache, unstored),
        change_own_password=ChangeOwnPassword(
            db, passwords, _password_rules(sign_in), failed, clock, clear_token_cache
        ),
        own_access=ReadOwnAccess(db, clock),
        check_sign_in=CheckSignIn(db, signing_keys),
        signing_keys=signing_keys,
    )


def _account_handlers(
    sign_in: SignInSettings,
    db: Database,
    passwords: Argon2PasswordHasher,
    clear_token_cache: Callable[[], None],
    clock: Clock,
) -> AccountHandlers:
    rules = _password_rules(sign_in)
    return AccountHandlers(
        read=ReadAccounts(db),
        create_user=CreateUser(db, passwords, rules, clock),
        change_user=ChangeUser(db, passwords, rules, clock, clear_token_cache),
        reset_user_password=ResetUserPassword(db, passwords, rules, clock, clear_token_cache),
        delete_user=DeleteUser(db, clear_token_cache),
        create_role=CreateRole(db),
        change_role=ChangeRole(db, clock, clear_token_cache),
        delete_role=DeleteRole(db, clock, clear_token_cache),
        create_permission=CreatePermission(db),
        change_permission=ChangePermission(db, clock, clear_token_cache),
        delete_permission=DeletePermission(db, clock, clear_token_cache),
    )


def _api_document(
    settings: GatewaySettings, table: RouteTable, upstreams: Mapping[str, Upstream], own: FastAPI
) -> MergedApiDocument:
    return MergedApiDocument(
        table=table,
        upstreams=upstreams,
        own_document=own.openapi,
        version=own.version,
        timeout_s=settings.upstreams.document_timeout_s,
        cache_s=settings.upstreams.document_cache_s,
    )


def _signing_keys(settings: GatewaySettings, db: Database, clock: Clock) -> SigningKeys:
    return SigningKeys(
        db=db,
        secret_box=open_secret_box(settings),
        signer=Ed25519TokenSigner(),
        clock=clock,
        keep=_key_lifetime(settings),
        reload_s=settings.tokens.key_reload_s,
    )


def _key_lifetime(settings: GatewaySettings) -> timedelta:
    """How long a key is needed after the next one began to sign: until the last token it signed has expired."""
    seconds = settings.tokens.access_ttl_s + settings.auth.leeway_s + settings.tokens.key_reload_s
    return timedelta(seconds=seconds)


def _password_hasher(sign_in: SignInSettings) -> Argon2PasswordHasher:
    return Argon2PasswordHasher(
        memory_kib=sign_in.hash_memory_kib,
        passes=sign_in.hash_passes,
        lanes=sign_in.hash_lanes,
        max_concurrent=sign_in.max_concurrent_hashes,
    )


def _password_rules(sign_in: SignInSettings) -> PasswordRules:
    return PasswordRules(
        sign_in.min_password_chars, sign_in.max_password_chars, sign_in.min_guesses_log10, guesses_log10
    )
