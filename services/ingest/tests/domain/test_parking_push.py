import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.domain.errors import ErrorKind, FieldProblem, InputError
from ingest.domain.geometry import Box, Size
from ingest.domain.parking_push import FIELDS, Purpose, fingerprint, parse_json, parse_push, raw_push
from testkit.pictures import parking_push

SHA = "0" * 64


def push_of(**overrides: Any) -> Any:
    return parse_push(parking_push(**overrides))[0]


def error_of(document: Any) -> Any:
    with pytest.raises(InputError) as raised:
        parse_push(document)
    return raised.value


def test_a_complete_push() -> None:
    push: Any
    push, snapshot = parse_push(parking_push())
    assert push.purpose is Purpose.ENTRY
    assert push.index_number == 1
    assert push.resolution == Size(1280, 720)
    assert (push.area.location_code, push.area.api_code) == ("NAD", "95")
    assert push.duration_s == 600
    assert push.corners == ((340, 140), (940, 140), (1010, 680), (270, 680))
    assert push.vehicle_box == Box(390, 170, 500, 470)
    assert (push.event, push.device, push.report_type) == ("parking", "NAD-P1-C95", "occupancy")
    assert base64.b64decode(snapshot).startswith(b"\xff\xd8")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("how", ["left out", "null"])
def test_a_missing_field_is_named(field: Any, how: Any) -> None:
    document = parking_push()
    if how == "null":
        document[field] = None
    else:
        del document[field]
    error = error_of(document)
    assert error.kind is ErrorKind.MALFORMED
    assert [problem.field for problem in error.fields] == [field]
    assert error.code == ("snapshot_missing" if field == "snapshot" else "missing_fields")


def test_every_missing_field_is_named_at_once() -> None:
    assert [problem.field for problem in error_of({}).fields] == list(FIELDS)
    assert [problem.field for problem in error_of({"index_number": "x"}).fields] == [
        field for field in FIELDS if field != "index_number"
    ]


def test_numbers_may_be_strings_and_mean_the_same() -> None:
    plain = parking_push()
    strings = {
        name: f" {value} " if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in plain.items()
    }
    assert strings != plain
    assert parse_push(strings) == parse_push(plain)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("index_number", "1e9"), ("index_number", 1e9), ("index_number", "NaN"), ("index_number", "1.5"),
        ("index_number", 0), ("index_number", -1), ("index_number", True), ("index_number", [1]),
        ("index_number", 10**30), ("index_number", "1" * 30), ("index_number", ""), ("index_number",
        {"a": 1}),
        ("occupancy", 2), ("occupancy", -1), ("occupancy", "yes"), ("occupancy", True), ("occupancy", "1.5"),
        ("resolution_w", 0), ("resolution_w", -1280), ("resolution_w", "wide"), ("resolution_y", 10**6),
        ("coordinate_x1", "1e999"), ("coordinate_x1", float("inf")), ("coordinate_x1", float("nan")),
        ("coordinate_x3", 1280 * 1.2), ("coordinate_y2", -200), ("coordinate_y4", 10**12),
        ("coordinate_x2", []),
        ("vehicle_frame_x1", 5000), ("vehicle_frame_y2", "tall"), ("vehicle_frame_x2", False),
        ("duration", -1), ("duration", "long"), ("duration", 10**12), ("duration", [5]),
        ("time", "yesterday"), ("time", ""), ("time", []), ("time", True),
        ("parking_area", "95NAD"), ("parking_area", ""), ("parking_area", 95), ("parking_area", "NAD"),
        ("device", ["a"]), ("device", "x" * 201), ("device", "a\x00b"), ("device", "\ud800"),
        ("device", True),
        ("event", {}), ("report_type", "a\nb"), ("snapshot", 5), ("snapshot", ["a"]), ("snapshot", {}),
    ],
)  # fmt: skip
def test_an_invalid_field_is_named(field: Any, value: Any) -> None:
    error = error_of(parking_push(**{field: value}))
    assert error.kind is ErrorKind.INVALID
    assert [problem.field for problem in error.fields] == [field]
    assert error.code == f"invalid_{field}"


def test_all_invalid_fields_are_named_in_one_error() -> None:
    error = error_of(parking_push(index_number="1e9", time="never", occupancy=7))
    assert {problem.field for problem in error.fields} == {"index_number", "time", "occupancy"}
    assert error.code == "invalid_fields"


@pytest.mark.parametrize(
    ("value", "purpose"), [(1, Purpose.ENTRY), ("1", Purpose.ENTRY), (0, Purpose.EXIT), ("0", Purpose.EXIT)]
)
def test_occupancy_says_whether_it_came_or_left(value: Any, purpose: Any) -> None:
    assert push_of(occupancy=value).purpose is purpose


@pytest.mark.parametrize(
    ("x1", "y1", "x2", "y2"),
    [(0, 0, 0, 0), ("0", "0", "0", "0"), (-1, -1, -1, -1), (5, 5, 5, 50), ("", "", " ", "")],
)
def test_an_empty_vehicle_box_is_absent(x1: Any, y1: Any, x2: Any, y2: Any) -> None:
    push = push_of(vehicle_frame_x1=x1, vehicle_frame_y1=y1, vehicle_frame_x2=x2, vehicle_frame_y2=y2)
    assert push.vehicle_box is None


def test_a_half_empty_vehicle_box_is_rejected() -> None:
    assert error_of(parking_push(vehicle_frame_x2="")).code == "invalid_vehicle_frame_x2"


def test_corners_may_lie_a_little_outside() -> None:
    assert push_of(coordinate_x1=-100, coordinate_y3=780).corners[0] == (-100, 140)


def test_a_degenerate_spot_is_rejected() -> None:
    flat: dict[str, Any] = {f"coordinate_{axis}{n}": 5 for axis in "xy" for n in range(1, 5)}
    assert error_of(parking_push(**flat)).code == "invalid_coordinate_x1"


def test_unknown_fields_are_ignored() -> None:
    assert parse_push(parking_push(firmware={"v": [1, 2]})) == parse_push(parking_push())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"not json", "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": Infinity}', "invalid_json"),
        (b'{"a": 1}}', "invalid_json"),
        (b'{"a": "\x01"}', "invalid_json"),
        (b"\xff\xfe{}", "invalid_json"),
        (b'{"a": "\xff"}', "invalid_json"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "invalid_json"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "invalid_json"),
        (b"[]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"12", "not_an_object"),
        (b'{"a": 1, "a": 1}', "duplicate_field"),
        (b'{"occupancy": 1, "b": 2, "occupancy": 0}', "duplicate_field"),
        (b'{"b": {"a": 1, "a": 2}}', "duplicate_field"),
    ],
)
def test_what_is_not_one_json_object_is_rejected(body: Any, code: Any) -> None:
    with pytest.raises(InputError) as raised:
        parse_json(body, max_values=1000)
    assert raised.value.code == code
    assert raised.value.kind is ErrorKind.MALFORMED


def test_a_duplicate_field_is_named() -> None:
    with pytest.raises(InputError) as raised:
        parse_json(b'{"occupancy": 1, "b": 2, "occupancy": 0}', max_values=1000)
    assert [problem.field for problem in raised.value.fields] == ["occupancy"]


def test_a_byte_order_mark_is_no_fault() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}', max_values=1000) == {"a": 1}


def test_the_raw_push_is_kept_without_its_picture_and_in_ascii() -> None:
    document = parking_push(device="Zufahrt Süd", note="a\x00b\ud800")
    text = raw_push(document, max_chars=10_000)
    assert text.isascii()
    assert json.loads(text) == {name: value for name, value in document.items() if name != "snapshot"}


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0"])
def test_a_push_of_many_values_is_rejected_before_they_are_made(value: bytes) -> None:
    body = b'{"a": [' + value + (b"," + value) * 1000 + b"]} no JSON"
    with pytest.raises(InputError) as raised:
        parse_json(body, max_values=1000)
    assert (raised.value.code, raised.value.kind) == ("report_too_large", ErrorKind.TOO_LARGE)


def test_a_push_that_is_large_without_its_picture_is_rejected() -> None:
    with pytest.raises(InputError) as raised:
        raw_push(parking_push(more="x" * 5000), max_chars=5000)
    assert raised.value.code == "report_too_large"


def prints_of(**overrides: Any) -> Any:
    return fingerprint(push_of(**overrides), camera_id=7, snapshot_sha256=SHA)


def test_the_same_push_in_another_notation_has_the_same_fingerprint() -> None:
    same = {
        "index_number": " 1 ",
        "occupancy": "1",
        "duration": "600.0",
        "coordinate_x1": "340",
        "resolution_w": 1280.0,
        "time": "2026-03-14T12:30:00",
        "parking_area": "nad 95",
        "retries": 3,
    }
    assert prints_of(**same) == prints_of()


@pytest.mark.parametrize(
    "change",
    [
        {"index_number": 2}, {"occupancy": 0}, {"duration": 601}, {"coordinate_x1": 341},
        {"vehicle_frame_x1": 391}, {"resolution_w": 1281}, {"time": "2026-03-14 12:30:01"},
        {"device": "other"},
        {"event": "other"}, {"report_type": "other"},
    ],
)  # fmt: skip
def test_another_push_has_another_fingerprint(change: Any) -> None:
    assert prints_of(**change) != prints_of()


def test_another_camera_or_picture_is_another_event() -> None:
    push = push_of()
    one = fingerprint(push, camera_id=7, snapshot_sha256=SHA)
    assert fingerprint(push, camera_id=8, snapshot_sha256=SHA) != one
    assert fingerprint(push, camera_id=7, snapshot_sha256="1" * 64) != one


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
@settings(max_examples=300)
def test_any_fields_are_a_push_or_an_error(fields: Any) -> None:
    problems: tuple[FieldProblem, ...] = ()
    try:
        parse_push(parking_push() | fields)
    except InputError as error:
        problems = error.fields
    else:
        return
    assert {problem.field for problem in problems}
    assert {problem.field for problem in problems} <= set(FIELDS)


@given(st.binary() | st.text().map(str.encode) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_object_or_an_error(body: Any) -> None:
    try:
        document = parse_json(body, max_values=1000)
    except InputError:
        return
    assert isinstance(document, dict)


@given(
    index=st.integers(1, 9999),
    occupancy=st.integers(0, 1),
    duration=st.integers(0, 10**6),
    x=st.integers(0, 200),
    as_text=st.booleans(),
)
def test_normalising_is_idempotent(index: Any, occupancy: Any, duration: Any, x: Any, as_text: Any) -> None:
    """A push that is parsed, written as JSON and parsed again is the same push."""
    notation = (lambda value: f" {value} ") if as_text else (lambda value: value)
    push = push_of(
        index_number=notation(index),
        occupancy=notation(occupancy),
        duration=notation(duration),
        coordinate_x1=notation(x),
    )
    again = push_of(
        index_number=push.index_number,
        occupancy=1 if push.purpose is Purpose.ENTRY else 0,
        duration=push.duration_s,
        coordinate_x1=push.corners[0][0],
        time=push.time.key,
    )
    assert again == push
