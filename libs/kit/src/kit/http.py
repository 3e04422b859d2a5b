"""The HTTP app of a service: tracing, access log, metrics, limits, errors, health and API page, alike in all."""

import hmac
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import orjson
from fastapi import Depends, FastAPI
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from kit.auth import TokenVerifier
from kit.clock import Clock
from kit.errors import FieldError, Invalid, Unauthenticated, UnsupportedMedia
from kit.health import Health
from kit.http_edge import Edge, HeadAsGet
from kit.logging import Logger
from kit.metrics import CONTENT_TYPE, Metrics
from kit.problems import install
from kit.query import any_query, refuse_unknown_query
from kit.settings.blocks import HttpSettings
from kit.settings.service import env_prefix
from kit.size_limits import BodyLimit
from kit.tracing import NO_TRACING, Tracing


def create_app(
    service: str,
    version: str,
    *,
    settings: HttpSettings,
    logger: Logger,
    metrics: Metrics,
    health: Health,
    verifier: TokenVerifier | None,
    clock: Clock,
    tracing: Tracing = NO_TRACING,
    title: str | None = None,
    description: str = "",
    body_limits: Mapping[str, BodyLimit] | None = None,
    secret_prefixes: Collection[str] = (),
    docs: bool = True,
    edge: bool = True,
) -> FastAPI:
    """An app with the health and metrics routes only; `app.state` holds what FastAPI dependencies need.

    `body_limits`: by path prefix, where a route takes more or less than `settings.max_body_bytes`.
    `secret_prefixes`: what follows them in a path is not logged.
    `docs=False` leaves `/docs` and `/openapi.json` to the caller. `edge=False` leaves out `Edge` and CORS, for an app
    that is the innermost part of a larger one with middlewares of its own.
    """
    app = FastAPI(
        title=title or f"Lookout {service}",
        version=version,
        description=description,
        docs_url="/docs" if docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
        generate_unique_id_function=_operation_id,
        dependencies=[Depends(refuse_unstorable), Depends(refuse_unknown_query)],
        # Any route may respond with a problem document, so the API page describes it.
        responses={
            "default": {"description": "A problem (RFC 9457)", "content": {_PROBLEM: _PROBLEM_REFERENCE}}
        },
    )
    app.state.service = service
    app.state.logger = logger
    app.state.metrics = metrics
    app.state.health = health
    app.state.verifier = verifier
    app.state.clock = clock
    app.state.declared_queries = {}
    app.state.page_size_default = settings.page_size_default
    app.state.page_size_max = settings.page_size_max
    change_document(app, lambda document: _complete(document, settings))
    install(app)
    app.add_middleware(HeadAsGet)
    if edge:
        _add_edge(app, service, settings, logger, metrics, health, tracing, body_limits, secret_prefixes)
    _add_operations_routes(app, metrics, health, settings)
    return app


def _add_edge(
    app: FastAPI,
    service: str,
    settings: HttpSettings,
    logger: Logger,
    metrics: Metrics,
    health: Health,
    tracing: Tracing,
    body_limits: Mapping[str, BodyLimit] | None,
    secret_prefixes: Collection[str],
) -> None:
    app.add_middleware(
        Edge,
        service=service,
        logger=logger,
        metrics=metrics,
        health=health,
        tracing=tracing,
        body_limit=BodyLimit(settings.max_body_bytes, f"{env_prefix(service)}HTTP__MAX_BODY_BYTES"),
        body_limits=body_limits,
        secret_prefixes=secret_prefixes,
    )
    if settings.cors_origins:
        app.add_middleware(  # outside the edge, so that browsers can read refusals too
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Trace-Id", "Retry-After", "Location"],
        )


def change_document(app: FastAPI, change: Callable[[dict[str, Any]], None]) -> None:
    """Have the app's OpenAPI document changed after it was generated, for limits that are settings."""
    generate = app.openapi
    changed: list[dict[str, Any]] = []

    def openapi() -> dict[str, Any]:
        if not changed:
            document = generate()
            change(document)
            changed.append(document)
        return changed[0]

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI documents it for such changes


def _complete(document: dict[str, Any], settings: HttpSettings) -> None:
    document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM_SCHEMA
    parameters = (
        parameter
        for item in document["paths"].values()
        for operation in item.values()
        for parameter in operation.get("parameters", ())
    )
    for parameter in parameters:
        if (parameter["in"], parameter["name"]) == ("query", "page_size"):
            schema = parameter["schema"]
            schema["maximum"] = settings.page_size_max
            schema["default"] = min(settings.page_size_default, settings.page_size_max)


def _operation_id(route: APIRoute) -> str:
    """The name of the route's function: generated clients name theirs by it."""
    return route.name


async def read_json(request: Request) -> Any:
    """The body as JSON, for routes that parse it themselves; NaN, surrogates and deep nesting are refused.

    Raises:
        Invalid: 400 where it is not JSON, 422 where a string contains a NUL character.
    """
    try:
        value = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise Invalid(f"The body is not valid JSON: {error.msg}.", code="invalid_json", status=400) from None
    _raise_unstorable(unstorable(value))
    return value


def require_media_type(request: Request, *accepted: str) -> None:
    """Refuse a body with another media type.

    Raises:
        UnsupportedMedia: its `Content-Type` is none of those.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in accepted:
        raise UnsupportedMedia(f"The body must be {' or '.join(accepted)}.")


async def refuse_unstorable(request: Request) -> None:
    """Refuse what no database column accepts: NUL and lone surrogates in strings, NaN and infinite numbers.

    It checks only what FastAPI has parsed already, so that a route can still stream its body.
    """
    for name, given in (("path", request.path_params), ("query", dict(request.query_params))):
        _raise_unstorable(unstorable(given), name)
    route = request.scope.get("route")
    body = route.body_field if isinstance(route, APIRoute) else None
    if body is None:  # the route has no body, or reads it itself
        return
    # FastAPI has parsed the body by now, and the request keeps the result.
    if isinstance(body.field_info, Form):
        fields = (await request.form()).multi_items()
        _raise_unstorable(unstorable({key: value for key, value in fields if isinstance(value, str)}))
    elif _is_json(request) and await request.body():
        _raise_unstorable(unstorable(await request.json()))


def _is_json(request: Request) -> bool:
    """As FastAPI decides whether it parses a body as JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    main, _, subtype = kind.partition("/")
    return main == "application" and (subtype == "json" or subtype.endswith("+json"))


def unstorable(value: Any, limit: int = 20) -> list[FieldError]:
    """The values in parsed JSON that no database column accepts; at most `limit` of them."""
    found: list[FieldError] = []
    for error in _walk(value):
        found.append(error)
        if len(found) >= limit:
            break
    return found


# The place of a value: its key and the place of the object that has the key. Formatted only for errors.
_Place = tuple[Any, "_Place | None"]


def _walk(root: Any) -> Iterator[FieldError]:
    # No recursion: the caller chooses how deep the nesting is.
    stack: list[tuple[_Place | None, Any]] = [(None, root)]
    while stack:
        place, value = stack.pop()
        if isinstance(value, str):
            reason = _text_fault(value)
            if reason:
                yield FieldError(_path(place), reason)
        elif isinstance(value, float):
            if not math.isfinite(value):
                yield FieldError(_path(place), "must be a finite number")
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(key, str) and _text_fault(key):
                    yield FieldError(_path(place), "has a field name that cannot be stored")
                stack.append(((key, place), item))
        elif isinstance(value, list):
            stack.extend(((index, place), item) for index, item in enumerate(value))


def _path(place: _Place | None) -> str:
    keys: list[str] = []
    while place is not None:
        key, place = place
        keys.append(str(key))
    return ".".join(reversed(keys))


def _text_fault(text: str) -> str | None:
    if "\x00" in text:
        return "must not contain a NUL character"
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "must be valid Unicode"
    return None


def _raise_unstorable(errors: list[FieldError], where: str = "") -> None:
    if errors:
        what = f" in the {where}" if where else ""
        raise Invalid(f"A value{what} cannot be stored.", code="invalid_text", errors=errors)


def _add_operations_routes(app: FastAPI, metrics: Metrics, health: Health, settings: HttpSettings) -> None:
    metrics_token = settings.metrics_token.get_secret_value()
    # Probes and scrapers add parameters of their own, against caches or to choose series.
    ignored: list[Any] = [Depends(any_query)]

    @app.get("/health/live", tags=["operations"], summary="Is the process running", dependencies=ignored)
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get(
        "/health/ready",
        tags=["operations"],
        summary="Can the service do its work, and if not, why",
        dependencies=ignored,
        responses={200: {"model": dict[str, Any]}, 503: {"model": dict[str, Any]}},
        response_class=Response,
    )
    async def ready() -> Response:
        readiness = await health.ready()
        status = 200 if readiness.ok else 503
        document = readiness.document()
        if not settings.is_state_public:
            document.pop("checks", None)
        return Response(orjson.dumps(document), status, media_type="application/json")

    @app.get(
        "/metrics",
        tags=["operations"],
        summary="Prometheus metrics",
        dependencies=ignored,
        responses={200: {"content": {CONTENT_TYPE.partition(";")[0]: {"schema": {"type": "string"}}}}},
        response_class=Response,
    )
    async def scrape(request: Request) -> Response:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if metrics_token and not (
            scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), metrics_token.encode())
        ):
            raise Unauthenticated("The metrics need their own token.", code="metrics_token_wrong")
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    del live, ready, scrape


_PROBLEM = "application/problem+json"
_PROBLEM_REFERENCE: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}}
_PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "Why a request was refused or failed (RFC 9457). `code` is for programs.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "trace_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "items": {
                "title": "ProblemField",
                "type": "object",
                "required": ["field", "reason"],
                "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
    },
}
