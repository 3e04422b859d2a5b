"""The route table: which service serves a path, and with which limits."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gateway.domain.paths import CleanPath, UnsafePathError, clean_path
from gateway.domain.rate_limits import RateLimit, parse_rate

OWN_SERVICE = "gateway"


class RouteTableError(ValueError):
    """The table cannot be used; the text lists every fault, one on each line."""


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The largest body in bytes. `setting`: what sets it, for whoever gets the 413."""

    max_bytes: int
    setting: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests of a prefix are forwarded. `target` is the prefix in the service's own paths.

    `timeout_s` limits the silence of client and service each; `is_public`: no token is required; `has_secret_path`:
    what follows the prefix is a secret, which is not logged.
    """

    service: str
    target: tuple[bytes, ...]
    is_public: bool
    rate_limit: RateLimit
    timeout_s: float
    body_limit: BodyLimit
    has_secret_path: bool = False

    @property
    def path(self) -> str:
        """The target as text: the name of this route in metrics and pages."""
        return "/" + b"/".join(self.target).decode()


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the path to request from its service."""

    route: Route
    upstream_path: bytes


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Routes by prefix, in segments, so that `/tickets` is not a prefix of `/ticketsX`."""

    by_prefix: Mapping[tuple[bytes, ...], Route]
    aliases: Mapping[str, tuple[str, ...]]
    longest: int

    @property
    def secret_prefixes(self) -> tuple[str, ...]:
        """The prefixes after which a path has a secret."""
        return tuple(
            "/" + b"/".join(prefix).decode()
            for prefix, route in self.by_prefix.items()
            if route.has_secret_path
        )

    def match(self, path: CleanPath) -> Match | None:
        """The route with the longest prefix of the path, or None."""
        decoded = path.decoded
        for length in range(min(len(decoded), self.longest), 0, -1):
            route = self.by_prefix.get(decoded[:length])
            if route is not None:
                return Match(route, b"/" + b"/".join(route.target + path.raw[length:]))
        return None

    @property
    def services(self) -> tuple[str, ...]:
        """The services behind the gateway, without itself, in the order of the table."""
        named = dict.fromkeys(route.service for route in self.by_prefix.values())
        return tuple(service for service in named if service != OWN_SERVICE)


@dataclass(frozen=True, slots=True)
class _Defaults:
    rate_limit: object = None
    timeout_s: object = 30.0
    max_body_bytes: object = "default"


_ROUTE_KEYS = frozenset(
    {"prefix", "service", "aliases", "public", "rate_limit", "timeout_s", "max_body_bytes", "secret_path"}
)
_DEFAULT_KEYS = frozenset({"rate_limit", "timeout_s", "max_body_bytes"})


def parse_route_table(
    document: Mapping[str, object], services: Collection[str], body_limits: Mapping[str, BodyLimit]
) -> RouteTable:
    """The table written in `document` (parsed TOML); `services` are the known ones. `body_limits`: those that a table
    may name in `max_body_bytes`; `default` is that of a route for which the table has none.

    Raises:
        RouteTableError: with every fault, so that an operator can correct the file in one step.
    """
    faults: list[str] = [f"unknown table {key!r}" for key in document.keys() - _TOP_KEYS]
    limits = _parse_limits(document.get("rate_limits", {}), faults)
    defaults = _parse_defaults(document.get("defaults", {}), faults)
    by_prefix: dict[tuple[bytes, ...], Route] = {}
    aliases: dict[str, tuple[str, ...]] = {}
    entries = document.get("routes")
    if not isinstance(entries, list) or not entries:
        faults.append("routes: the list is missing or empty")
        entries = []
    for position, entry in enumerate(entries, start=1):
        if not isinstance(entry, Mapping):
            faults.append(f"routes[{position}]: not a table")
            continue
        where = f"routes[{position}] {entry.get('prefix', '?')}"
        parsed = _parse_route(entry, defaults, limits, body_limits, services, faults, where)
        if parsed is None:
            continue
        prefixes, route = parsed
        for prefix in prefixes:
            if prefix in by_prefix:
                faults.append(f"{where}: /{b'/'.join(prefix).decode()} is routed twice")
            by_prefix[prefix] = route
        aliases[route.path] = tuple("/" + b"/".join(prefix).decode() for prefix in prefixes[1:])
    if faults:
        raise RouteTableError("\n".join(faults))
    return RouteTable(by_prefix, aliases, max(map(len, by_prefix)))


_TOP_KEYS = frozenset({"services", "rate_limits", "defaults", "routes"})


def parse_service_urls(document: Mapping[str, object], overrides: Mapping[str, str]) -> dict[str, str]:
    """The base URL of each service, from the table `services` of the route table; `overrides` take precedence.

    Raises:
        RouteTableError: the table is malformed, or an override names a service that it does not contain.
    """
    section = document.get("services", {})
    if not isinstance(section, Mapping):
        raise RouteTableError("services: not a table")
    faults = [
        f"services.{name}: {url!r} is not http://host:port"
        for name, url in {**section, **overrides}.items()
        if not str(url).startswith(("http://", "https://"))
    ]
    faults += [
        f"services: no service {name!r} to set the URL of" for name in overrides if name not in section
    ]
    if faults:
        raise RouteTableError("\n".join(faults))
    return {str(name): str(url).rstrip("/") for name, url in {**section, **overrides}.items()}


def _parse_limits(section: object, faults: list[str]) -> dict[str, RateLimit]:
    limits: dict[str, RateLimit] = {}
    if not isinstance(section, Mapping):
        faults.append("rate_limits: not a table")
        return limits
    for name, text in section.items():
        try:
            limits[str(name)] = parse_rate(str(name), str(text))
        except ValueError as error:
            faults.append(f"rate_limits.{name}: {error}")
    return limits


def _parse_defaults(section: object, faults: list[str]) -> _Defaults:
    if not isinstance(section, Mapping):
        faults.append("defaults: not a table")
        return _Defaults()
    faults.extend(f"defaults: unknown key {key!r}" for key in section.keys() - _DEFAULT_KEYS)
    return _Defaults(**{key: value for key, value in section.items() if key in _DEFAULT_KEYS})


def _parse_route(
    entry: Mapping[str, object],
    defaults: _Defaults,
    limits: Mapping[str, RateLimit],
    body_limits: Mapping[str, BodyLimit],
    services: Collection[str],
    faults: list[str],
    where: str,
) -> tuple[list[tuple[bytes, ...]], Route] | None:
    before = len(faults)
    faults.extend(f"{where}: unknown key {key!r}" for key in entry.keys() - _ROUTE_KEYS)
    written = entry.get("aliases", [])
    if not isinstance(written, list):
        faults.append(f"{where}: aliases is not a list")
        written = []
    prefixes = [_parse_prefix(text, faults, where) for text in [entry.get("prefix"), *written]]
    service = entry.get("service")
    if not isinstance(service, str) or service not in services:
        faults.append(f"{where}: service {service!r} is not one of {', '.join(sorted(services))}")
    is_public = entry.get("public", False)
    if not isinstance(is_public, bool):
        faults.append(f"{where}: public is not true or false")
    limit = limits.get(str(entry.get("rate_limit", defaults.rate_limit)))
    if limit is None:
        faults.append(f"{where}: its rate_limit is not in rate_limits")
    timeout_s = _positive(entry.get("timeout_s", defaults.timeout_s), "timeout_s", faults, where)
    body_limit = _body_limit(entry.get("max_body_bytes", defaults.max_body_bytes), body_limits, faults, where)
    if len(faults) > before or limit is None:
        return None
    route = Route(
        service=str(service),
        target=prefixes[0],
        is_public=bool(is_public),
        rate_limit=limit,
        timeout_s=timeout_s,
        body_limit=body_limit,
        has_secret_path=entry.get("secret_path") is True,
    )
    return prefixes, route


def _parse_prefix(text: object, faults: list[str], where: str) -> tuple[bytes, ...]:
    if not isinstance(text, str) or text.endswith("/"):
        faults.append(f"{where}: {text!r} is not a path like /api/v1/post")
        return ()
    try:
        path = clean_path(text.encode())
    except UnsafePathError as error:
        faults.append(f"{where}: {text!r}: {error}")
        return ()
    if path.raw != path.decoded:
        faults.append(f"{where}: {text!r} is percent-encoded")
    return path.decoded


def _body_limit(value: object, named: Mapping[str, BodyLimit], faults: list[str], where: str) -> BodyLimit:
    if isinstance(value, str):
        limit = named.get(value)
        if limit is not None:
            return limit
        faults.append(f"{where}: max_body_bytes is neither a number nor one of {', '.join(sorted(named))}")
        return BodyLimit(1, "")
    max_bytes = int(_positive(value, "max_body_bytes", faults, where))
    return BodyLimit(max_bytes, "max_body_bytes in the gateway's route table")


def _positive(value: object, key: str, faults: list[str], where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        faults.append(f"{where}: {key} is not a positive number")
        return 1.0
    return float(value)
