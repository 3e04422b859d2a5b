import re
import tomllib
from importlib.resources import files

import pytest

from gateway.domain.paths import clean_path
from gateway.domain.routes import BodyLimit, RouteTableError, parse_route_table, parse_service_urls

SERVICES = {"gateway", "ingest", "plate-ocr", "tickets"}
LIMITS = {
    name: BodyLimit(max_bytes, name)
    for name, max_bytes in (("default", 7), ("picture", 70), ("picture_in_base64", 100))
}


def packaged():
    text = files("gateway").joinpath("routes.toml").read_text()
    return parse_route_table(tomllib.loads(text), SERVICES, LIMITS)


@pytest.mark.parametrize(
    ("path", "service", "upstream_path"),
    [
        (b"/post", "ingest", b"/api/v1/post"),
        (b"/api/v1/post", "ingest", b"/api/v1/post"),
        (b"/tickets", "tickets", b"/api/v1/tickets"),
        (b"/tickets/", "tickets", b"/api/v1/tickets"),
        (b"/tickets/123/exit-image", "tickets", b"/api/v1/tickets/123/exit-image"),
        (b"/%74ickets/a%20b", "tickets", b"/api/v1/tickets/a%20b"),
        (b"/camera-occupancy/NAD", "tickets", b"/api/v1/camera-occupancy/NAD"),
        (b"/manual-reviews/1/correct", "tickets", b"/api/v1/manual-reviews/1/correct"),
        (b"/ignored-triggers", "tickets", b"/api/v1/ignored-triggers"),
        (b"/location-stats", "tickets", b"/api/v1/location-stats"),
        (b"/locations/1", "ingest", b"/api/v1/locations/1"),
        (b"/zones", "ingest", b"/api/v1/zones"),
        (b"/poles", "ingest", b"/api/v1/poles"),
        (b"/cameras/1/frame", "ingest", b"/api/v1/cameras/1/frame"),
        (b"/spots", "ingest", b"/api/v1/spots"),
        (b"/crop-zones", "ingest", b"/api/v1/crop-zones"),
        (b"/camera-events", "ingest", b"/api/v1/camera-events"),
        (b"/ocr-image", "plate-ocr", b"/api/v1/ocr-image"),
        (b"/token", "gateway", b"/token"),
        (b"/api/auth/login", "gateway", b"/api/v1/auth/login"),
        (b"/users/1", "gateway", b"/api/v1/users/1"),
        (b"/.well-known/jwks.json", "gateway", b"/.well-known/jwks.json"),
    ],
)
def test_the_packaged_table_routes_to_the_service(path, service, upstream_path):
    match = packaged().match(clean_path(path))
    assert match is not None
    assert (match.route.service, match.upstream_path) == (service, upstream_path)


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/ticketsX",
        b"/ticket",
        b"/api/v1",
        b"/api/v1/ticketsX",
        b"/api/v2/tickets",
        b"/Tickets",
        b"/metrics",
        b"/health/ready",
        b"/xtickets",
    ],
)
def test_a_prefix_matches_whole_segments_only(path):
    assert packaged().match(clean_path(path)) is None


def test_the_public_routes_of_the_packaged_table():
    public = {route.path for route in packaged().by_prefix.values() if route.is_public}
    assert public == {"/token", "/api/v1/auth", "/.well-known/jwks.json", "/api/v1/post", "/api/v1/ocr-image"}


def document(*routes, **more):
    return {
        "rate_limits": {"few": "10/minute", "many": "10/second"},
        "defaults": {"rate_limit": "few"},
        "routes": list(routes),
        **more,
    }


def test_the_longest_prefix_wins_in_any_order():
    table = parse_route_table(
        document(
            {"prefix": "/a/b/c", "service": "tickets"},
            {"prefix": "/a", "service": "ingest"},
            {"prefix": "/a/b", "service": "plate-ocr", "aliases": ["/old"]},
        ),
        SERVICES,
        LIMITS,
    )
    found = [table.match(clean_path(path)) for path in (b"/a/x", b"/a/b", b"/a/b/x", b"/a/b/c/d", b"/old/c")]
    assert [match and match.route.service for match in found] == [
        "ingest",
        "plate-ocr",
        "plate-ocr",
        "tickets",
        "plate-ocr",
    ]
    assert found[4] is not None
    assert found[4].upstream_path == b"/a/b/c"
    assert table.services == ("tickets", "ingest", "plate-ocr")


def test_a_route_takes_the_defaults():
    table = parse_route_table(
        document(
            {"prefix": "/a", "service": "ingest"},
            {
                "prefix": "/b",
                "service": "ingest",
                "rate_limit": "many",
                "timeout_s": 1.5,
                "max_body_bytes": 9,
                "public": True,
            },
            defaults={"rate_limit": "few", "timeout_s": 7, "max_body_bytes": 100},
        ),
        SERVICES,
        LIMITS,
    )
    a, b = table.by_prefix[(b"a",)], table.by_prefix[(b"b",)]
    assert (a.rate_limit.name, a.rate_limit.amount, a.timeout_s, a.body_limit.max_bytes, a.is_public) == (
        "few",
        10,
        7.0,
        100,
        False,
    )
    assert (b.rate_limit.window_s, b.timeout_s, b.body_limit.max_bytes, b.is_public) == (1.0, 1.5, 9, True)


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        ({"prefix": "/a", "service": "elsewhere"}, "not one of"),
        ({"prefix": "/a", "service": "ingest", "pulbic": True}, "unknown key 'pulbic'"),
        ({"prefix": "/a", "service": "ingest", "public": "yes"}, "public is not"),
        ({"prefix": "a", "service": "ingest"}, "does not begin with a slash"),
        ({"prefix": "/a/", "service": "ingest"}, "is not a path"),
        ({"prefix": "/a/../b", "service": "ingest"}, "dot segment"),
        ({"prefix": "/%61", "service": "ingest"}, "percent-encoded"),
        ({"service": "ingest"}, "is not a path"),
        ({"prefix": "/a", "service": "ingest", "aliases": "/b"}, "aliases is not a list"),
        ({"prefix": "/a", "service": "ingest", "rate_limit": "none"}, "not in rate_limits"),
        ({"prefix": "/a", "service": "ingest", "timeout_s": 0}, "timeout_s"),
        ({"prefix": "/a", "service": "ingest", "timeout_s": True}, "timeout_s"),
        (
            {"prefix": "/a", "service": "ingest", "max_body_bytes": "1MB"},
            "max_body_bytes is neither a number nor one of default, picture, picture_in_base64",
        ),
        ({"prefix": "/a", "service": "ingest", "max_body_bytes": 0}, "max_body_bytes"),
        ({"prefix": "/ok", "service": "ingest"}, "routed twice"),
        ("not a table", "not a table"),
    ],
)
def test_a_fault_in_the_table_is_named(broken, fault):
    with pytest.raises(RouteTableError) as raised:
        parse_route_table(document({"prefix": "/ok", "service": "ingest"}, broken), SERVICES, LIMITS)
    assert fault in str(raised.value)
    assert "routes[2]" in str(raised.value)


def test_all_faults_are_listed_together():
    with pytest.raises(RouteTableError) as raised:
        parse_route_table(
            {"rate_limits": {"x": "10 per minute"}, "routes": [{"prefix": "a"}], "route": []},
            SERVICES,
            LIMITS,
        )
    assert len(str(raised.value).splitlines()) >= 4


def test_base_urls_come_from_the_table_and_settings_override_them():
    document = {"services": {"ingest": "http://ingest:8101/", "tickets": "http://tickets:8103"}}
    assert parse_service_urls(document, {"tickets": "https://elsewhere:1"}) == {
        "ingest": "http://ingest:8101",
        "tickets": "https://elsewhere:1",
    }


@pytest.mark.parametrize(
    ("section", "overrides", "fault"),
    [
        ("ingest", {}, "services: not a table"),
        ({"ingest": "ingest:8101"}, {}, "services.ingest: 'ingest:8101' is not http://host:port"),
        ({"ingest": "http://ingest"}, {"ingset": "http://x"}, "no service 'ingset'"),
    ],
)
def test_faults_in_base_urls_are_reported(section, overrides, fault):
    with pytest.raises(RouteTableError, match=re.escape(fault)):
        parse_service_urls({"services": section}, overrides)
