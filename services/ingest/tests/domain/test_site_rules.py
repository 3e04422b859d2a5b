from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.addresses import Address, parse_address, rejection_reason
from ingest.domain.clips import clip_window
from ingest.domain.errors import InputError
from ingest.domain.geometry import Size
from ingest.domain.parking_push import parse_push
from ingest.domain.preferences import Preferences, parse_prefer
from ingest.domain.site import (
    CameraSite,
    RegisteredSpot,
    SpotOrigin,
    check_api_code,
    check_code,
    check_corners,
    check_crop_zone,
    check_location_code,
    check_regions,
    check_text,
    check_time_zone,
)
from ingest.domain.spots import choose_spot
from testkit.pictures import parking_push

NOW = datetime(2026, 3, 14, 8, 30, tzinfo=UTC)
DRAWN = ((10.0, 10.0), (50.0, 10.0), (50.0, 40.0), (10.0, 40.0))


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("10.1.2.3", Address("10.1.2.3", 80)),
        ("10.1.2.3:8080", Address("10.1.2.3", 8080)),
        ("cam-1.site.local", Address("cam-1.site.local", 80)),
        ("cam_1:81", Address("cam_1", 81)),
        ("fd00::1", Address("fd00::1", 80)),
        ("[fd00::1]", Address("fd00::1", 80)),
        ("[fd00:0::1]:8080", Address("fd00::1", 8080)),
    ],
)
def test_addresses_of_cameras(written: Any, address: Any) -> None:
    assert parse_address(written) == address
    assert parse_address(address.written) == address


@pytest.mark.parametrize(
    "written",
    [
        "", "10.1.2", "10.1.2.3.4", "10.1.2.300", "2130706433", "10.1.2.3:", "10.1.2.3:0", "10.1.2.3:70000",
        "10.1.2.3:x", "http://10.1.2.3", "10.1.2.3/admin", "user@10.1.2.3", "a b", "-a", "a..b", "[fd00::1",
        "[10.1.2.3", "[zz]:80", "10.1.2.3:80:80", "a#b", "a?b", "cam\n", "ä.de", "x" * 64, "a\\b",
    ],
)  # fmt: skip
def test_what_is_no_address(written: Any) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_address(written)


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "192.168.1.64", "172.16.0.9", "8.8.8.8", "fd12::1", "2a00:1450::1"]
)
def test_private_addresses_may_be_called(address: Any) -> None:
    assert rejection_reason(ip_address(address), is_loopback_allowed=False) is None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "169.254.169.254", "169.254.1.1", "fe80::1",  # noqa: S104 - rejected
        "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "100.100.100.200", "fd00:ec2::254",
    ],
)  # fmt: skip
def test_our_own_machine_and_the_clouds_may_not(address: Any) -> None:
    assert rejection_reason(ip_address(address), is_loopback_allowed=False)


def test_this_machine_may_where_the_operator_says_so() -> None:
    assert rejection_reason(ip_address("127.0.0.1"), is_loopback_allowed=True) is None
    assert rejection_reason(ip_address("169.254.169.254"), is_loopback_allowed=True)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text: Any) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert 1 <= address.port <= 65_535
    assert address.host.isascii()


@pytest.mark.parametrize(
    ("check", "value", "kept"),
    [
        (check_location_code, " nad ", "NAD"),
        (check_api_code, " 095 ", "095"),
        (check_code, " Z-1.a_2 ", "Z-1.a_2"),
        (check_text, "  Naïf Road ", "Naïf Road"),
        (check_time_zone, " Asia/Dubai ", "Asia/Dubai"),
        (check_regions, [" AE-DU ", "ae", "ae-du"], ("ae-du", "ae")),
    ],
)
def test_what_may_be_registered(check: Any, value: Any, kept: Any) -> None:
    assert check(value) == kept


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (check_location_code, "NAD1"), (check_location_code, ""), (check_location_code, "A" * 17),
        (check_location_code, "Ä"),
        (check_api_code, "A1"), (check_api_code, ""), (check_api_code, "1" * 10), (check_api_code, "²"),
        (check_code, ""), (check_code, "a b"), (check_code, "-a"), (check_code, "x" * 33),
        (check_text, "a\nb"), (check_text, "a\x00b"),
        (check_time_zone, "Mars/Olympus"), (check_time_zone, ""), (check_time_zone, "../etc/passwd"),
        (check_time_zone, "Asia"),
        (check_regions, ["uae"]), (check_regions, [""]), (check_regions, ["ae_du"]),
        (check_corners, ((0, 0), (0, 0), (0, 0), (0, 0))), (check_corners, ((0, 0), (1e9, 0), (1e9, 9),
        (0, 9))),
        (check_corners, ((0, 0), (float("nan"), 0), (5, 9), (0, 9))),
        (check_crop_zone, [(0, 0), (5, 5)]), (check_crop_zone, [(0, 0), (5, 5), (10, 10)]),
        (check_crop_zone, [(0, 0)] * 65),
    ],
)  # fmt: skip
def test_what_may_not(check: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check(value)


def site(spots: Any = (), number_of_parking: Any = 0) -> Any:
    return CameraSite(
        camera_id=1,
        camera_name="c",
        api_code="95",
        is_enabled=True,
        p_ip="",
        vpn_ip="",
        number_of_parking=number_of_parking,
        portal_id="",
        pole_id=1,
        pole_code="P",
        zone_id=1,
        zone_code="Z",
        location_id=1,
        location_code="NAD",
        time_zone=ZoneInfo("UTC"),
        regions=(),
        camera_user="",
        sealed_camera_pass="",
        push_networks=(),
        push_user="",
        sealed_push_password="",
        sealed_push_path_secret="",
        sealed_push_hmac_key="",
        spots={spot.spot_number: spot for spot in spots},
    )


def choose(site: Any, *, may_learn: Any = True, max_spots: Any = 4, **report: Any) -> Any:
    parsed, _ = parse_push(parking_push(**report))
    return choose_spot(site, parsed, Size(640, 360), may_learn=may_learn, max_spots=max_spots)


def spot(number: Any = 1, origin: Any = SpotOrigin.OPERATOR, corners: Any = DRAWN) -> Any:
    return RegisteredSpot(100 + number, number, corners, origin)


REPORTED = ((170, 70), (470, 70), (505, 340), (135, 340))  # the report's corners, halved to 640 x 360


def test_the_operators_drawing_counts() -> None:
    choice = choose(site([spot()]))
    assert (choice.corners, choice.known, choice.is_to_learn) == (DRAWN, spot(), False)


def test_an_operators_corners_are_put_in_order() -> None:
    row_by_row = (DRAWN[0], DRAWN[1], DRAWN[3], DRAWN[2])
    assert choose(site([spot(corners=row_by_row)])).corners == DRAWN


def test_learned_spots_are_scaled_to_the_snapshot() -> None:
    choice = choose(site())
    assert choice.corners == REPORTED
    assert choice.known is None
    assert choice.is_to_learn


def test_a_learned_spot_follows_the_camera() -> None:
    learned = spot(origin=SpotOrigin.CAMERA)
    choice = choose(site([learned]))
    assert (choice.corners, choice.known, choice.is_to_learn) == (REPORTED, learned, True)
    settled = spot(origin=SpotOrigin.CAMERA, corners=tuple((x + 1.5, y - 1.5) for x, y in REPORTED))
    assert not choose(site([settled])).is_to_learn


def test_a_further_spot_is_learned_beside_learned_ones() -> None:
    assert choose(site([spot(origin=SpotOrigin.CAMERA)]), index_number=2).is_to_learn


@pytest.mark.parametrize(
    ("spots", "number_of_parking", "index_number", "may_learn"),
    [
        ([spot()], 0, 2, True),  # the operator has drawn this camera's spots
        ([spot(), spot(3, SpotOrigin.CAMERA)], 0, 2, True),
        ([], 3, 4, True),  # more than the camera watches
        ([], 0, 5, True),  # more than are learned from any camera
        ([], 0, 1, False),  # learning is disabled
    ],
)
def test_an_unknown_spot_is_rejected(
    spots: Any, number_of_parking: Any, index_number: Any, may_learn: Any
) -> None:
    with pytest.raises(InputError) as raised:
        choose(site(spots, number_of_parking), may_learn=may_learn, index_number=index_number)
    assert raised.value.code == "unknown_spot"
    assert [problem.field for problem in raised.value.fields] == ["index_number"]


def test_as_many_spots_are_learned_as_the_camera_has() -> None:
    assert choose(site(number_of_parking=40), index_number=40).is_to_learn


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], Preferences()),
        ([""], Preferences()),
        (["wait=10"], Preferences(10)),
        (["Wait = 10"], Preferences(10)),
        (['wait="10"'], Preferences(10)),
        (["respond-async, wait=5"], Preferences(5, respond_async=True)),
        (["respond-async", "wait=5"], Preferences(5, respond_async=True)),
        (["wait=5, wait=9"], Preferences(5)),
        (['return=minimal; foo="a,b", wait=7'], Preferences(7)),
        (["wait"], Preferences()),
        (["wait=-1"], Preferences()),
        (["wait=soon, respond-async"], Preferences(respond_async=True)),
        (["wait=99999999999"], Preferences()),
        (["wait=0"], Preferences(0)),
        ([",,, wait=3"], Preferences(3)),
        (['broken="x, wait=3'], Preferences(3)),
        (["handling=lenient;a=b;c, respond-async=1"], Preferences(respond_async=True)),
    ],
)
def test_preferences(headers: Any, expected: Any) -> None:
    assert parse_prefer(headers) == expected


@given(st.lists(st.text(max_size=200), max_size=5))
def test_any_header_is_read(headers: Any) -> None:
    assert isinstance(parse_prefer(headers), Preferences)


def at(seconds: Any) -> Any:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (-20, 0)),
        (at(-100), None, (-100, -80)),
        (None, at(-50), (-70, -50)),
        (at(-100), at(-70), (-100, -70)),
    ],
)
def test_windows_of_clips(start: Any, end: Any, expected: Any) -> None:
    window = clip_window(start, end, NOW, max_length_s=60)
    assert (window.start, window.end) == (at(expected[0]), at(expected[1]))


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (at(-10), at(-10), "end"),
        (at(-10), at(-20), "end"),
        (at(-100), at(-10), "end"),
        (at(10), at(20), "start"),
        (NOW.replace(tzinfo=None), NOW, "start"),
    ],
)
def test_invalid_windows_are_rejected(start: Any, end: Any, field: Any) -> None:
    with pytest.raises(InputError) as raised:
        clip_window(start, end, NOW, max_length_s=60)
    assert [problem.field for problem in raised.value.fields] == [field]
