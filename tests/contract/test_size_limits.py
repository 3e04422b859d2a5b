"""A picture of the largest size passes every way in; a larger one is refused with the limit and the setting."""

import base64
import json
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from gateway.settings import GatewaySettings
from gateway.wiring import load_table
from in_process import Platform, platform
from ingest.domain.snapshot import MAX_BYTES_SETTING as INGEST_SETTING
from ingest.settings import IngestSettings
from kit.settings import ServiceSettings, SettingsError, read
from kit.settings.service import leaves
from kit.size_limits import MAX_PICTURE_BYTES, base64_body_bytes, form_bytes, message_bytes
from plate_ocr.adapters.decoding import MAX_BYTES_SETTING as PLATE_OCR_SETTING
from plate_ocr.settings import PlateOcrSettings
from testkit.pictures import pad, parking_push, solid
from tickets.settings import TicketsSettings

SHARED = "LOOKOUT_MAX_PICTURE_BYTES"
GATEWAY_SETTING = "LOOKOUT_GATEWAY__PROXY__MAX_PICTURE_BYTES"
SMALL = 100_000
LIMITS = Path(__file__).parents[2] / "docs" / "limits.md"
CLASSES: tuple[type[ServiceSettings], ...] = (
    GatewaySettings,
    IngestSettings,
    PlateOcrSettings,
    TicketsSettings,
)


def embedded(cls: type[ServiceSettings], **environ: str) -> ServiceSettings:
    return read(cls, environ=environ, defaults={"mode": "embedded", "data_dir": "unused"})


@pytest.mark.parametrize("picture_bytes", [MAX_PICTURE_BYTES, SMALL, 20_000_000])
def test_the_limits_of_every_way_in_follow_from_that_of_a_picture(picture_bytes: int) -> None:
    environ = {} if picture_bytes == MAX_PICTURE_BYTES else {SHARED: str(picture_bytes)}
    gateway, ingest = embedded(GatewaySettings, **environ), embedded(IngestSettings, **environ)
    plate_ocr = embedded(PlateOcrSettings, **environ)
    assert isinstance(gateway, GatewaySettings)
    assert isinstance(ingest, IngestSettings)
    assert isinstance(plate_ocr, PlateOcrSettings)
    routes = load_table(gateway)[0].by_prefix
    limits = {
        "gateway, picture": (gateway.proxy.max_picture_bytes, picture_bytes),
        "ingest, picture": (ingest.push.max_picture_bytes, picture_bytes),
        "plate-ocr, picture": (plate_ocr.pictures.max_bytes, picture_bytes),
        "gateway, /ocr-image": (routes[(b"ocr-image",)].body_limit.max_bytes, form_bytes(picture_bytes)),
        "plate-ocr, /ocr-image": (plate_ocr.pictures.body_limit.max_bytes, form_bytes(picture_bytes)),
        "gateway, /post": (routes[(b"post",)].body_limit.max_bytes, base64_body_bytes(picture_bytes)),
        "ingest, /post": (ingest.push.body_limit.max_bytes, base64_body_bytes(picture_bytes)),
    }
    assert {name: found for name, (found, _) in limits.items()} == {
        name: expected for name, (_, expected) in limits.items()
    }
    assert plate_ocr.grpc.max_message_bytes >= form_bytes(picture_bytes)
    # Bodies in memory at the same time: a body that has no room even alone would wait for nothing.
    assert ingest.push.max_buffered_bytes >= ingest.push.body_limit.max_bytes
    assert plate_ocr.pictures.max_buffered_call_bytes >= plate_ocr.pictures.body_limit.max_bytes


def test_every_other_limit_is_the_same_at_the_gateway_and_behind_it() -> None:
    gateway = embedded(GatewaySettings)
    assert isinstance(gateway, GatewaySettings)
    all_settings = [embedded(cls) for cls in CLASSES]
    assert {settings.grpc.max_message_bytes for settings in all_settings} == {
        message_bytes(MAX_PICTURE_BYTES)
    }
    (body_bytes,) = {settings.http.max_body_bytes for settings in all_settings}
    document = tomllib.loads(files("gateway").joinpath("routes.toml").read_text())
    own = {route["prefix"] for route in document["routes"] if "max_body_bytes" in route}
    routes = load_table(gateway)[0].by_prefix
    for prefix, route in routes.items():
        if route.path not in own:
            assert route.body_limit.max_bytes == body_bytes, prefix


def test_the_documented_limits_are_those_of_the_code() -> None:
    gateway, ingest = embedded(GatewaySettings), embedded(IngestSettings)
    assert isinstance(gateway, GatewaySettings)
    assert isinstance(ingest, IngestSettings)
    rows = [line.split("|") for line in LIMITS.read_text().splitlines() if line.startswith("| ")]
    documented = [int(row[3]) for row in rows if row[3].strip().isdigit()]
    assert documented == [
        MAX_PICTURE_BYTES,
        form_bytes(MAX_PICTURE_BYTES),
        base64_body_bytes(MAX_PICTURE_BYTES),
        ingest.push.max_raw_push_chars,
        gateway.http.max_body_bytes,
        load_table(gateway)[0].by_prefix[(b"token",)].body_limit.max_bytes,
        gateway.grpc.max_message_bytes,
        gateway.upstreams.max_ws_message_bytes,
        ingest.devices.max_clip_bytes,
    ]


def test_every_setting_that_a_refusal_names_exists() -> None:
    named = {GATEWAY_SETTING, INGEST_SETTING, PLATE_OCR_SETTING}
    gateway, ingest = (
        embedded(GatewaySettings),
        embedded(IngestSettings, LOOKOUT_INGEST__PUSH__MAX_BODY_BYTES="9"),
    )
    plate_ocr = embedded(PlateOcrSettings)
    assert isinstance(gateway, GatewaySettings)
    assert isinstance(ingest, IngestSettings)
    assert isinstance(plate_ocr, PlateOcrSettings)
    named |= {ingest.push.body_limit.setting, plate_ocr.pictures.body_limit.setting}
    named |= {route.body_limit.setting for route in load_table(gateway)[0].by_prefix.values()}
    named.remove("max_body_bytes in the gateway's route table")
    assert named <= {leaf.env for cls in CLASSES for leaf in leaves(cls)}
    assert {
        SHARED in leaf.aliases
        for cls in CLASSES
        for leaf in leaves(cls)
        if leaf.env
        in named - {"LOOKOUT_GATEWAY__HTTP__MAX_BODY_BYTES", "LOOKOUT_INGEST__PUSH__MAX_BODY_BYTES"}
    } == {True}


def test_a_message_that_cannot_carry_a_picture_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match=r"GRPC__MAX_MESSAGE_BYTES.*40065536 or more"):
        embedded(PlateOcrSettings, **{SHARED: "40000000"})


@pytest.fixture(scope="module", params=[MAX_PICTURE_BYTES, SMALL])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, int]]:
    changed = {} if request.param == MAX_PICTURE_BYTES else {SHARED: str(request.param)}
    with platform(tmp_path_factory.mktemp("limits"), changed) as started:
        yield started, request.param


def push(picture: bytes, line_end: str = "") -> bytes:
    """A push whose base64 has a line end behind every 76 characters, as some cameras write it."""
    coded = base64.b64encode(picture).decode()
    lines = [coded[at : at + 76] for at in range(0, len(coded), 76)] if line_end else [coded]
    return json.dumps({**parking_push(picture=solid()), "snapshot": line_end.join(lines)}).encode()


async def post(client: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await client.post("/post", content=body, headers={"Content-Type": "application/json"})


async def read_plates(client: httpx.AsyncClient, picture: bytes) -> httpx.Response:
    return await client.post("/ocr-image", files={"image": ("car.jpg", picture, "image/jpeg")})


@pytest.mark.integration
async def test_a_picture_of_the_largest_size_passes_every_part(running: tuple[Platform, int]) -> None:
    started, picture_bytes = running
    picture = pad(solid(), picture_bytes)
    async with started.client() as client:
        for line_end in ("", "\n", "\r\n"):
            answer = await post(client, push(picture, line_end))
            # Nobody has registered a camera: the push was read, with its picture.
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_location")
        answer = await read_plates(client, picture)
        assert answer.status_code == 200, answer.text


@pytest.mark.integration
async def test_a_larger_picture_is_refused_with_the_limit_and_its_setting(
    running: tuple[Platform, int],
) -> None:
    started, picture_bytes = running
    # The next size that a service refuses, and the next that the gateway refuses.
    slightly, far = pad(solid(), picture_bytes + 4), pad(solid(), picture_bytes * 2 + 200_000)
    async with started.client() as client:
        for answer, limit_bytes, setting in (
            (await post(client, push(slightly)), picture_bytes, INGEST_SETTING),
            (await post(client, push(far)), base64_body_bytes(picture_bytes), GATEWAY_SETTING),
            (await read_plates(client, slightly), picture_bytes, PLATE_OCR_SETTING),
            (await read_plates(client, far), form_bytes(picture_bytes), GATEWAY_SETTING),
        ):
            assert answer.status_code == 413, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert str(limit_bytes) in answer.json()["detail"]
            assert setting in answer.json()["detail"]
