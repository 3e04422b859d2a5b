from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from ingest import mapping
from ingest.domain.camera_time import ClockCheck, ClockState
from ingest.domain.errors import InvalidValue
from ingest.domain.frame import CapturedFrame, FrameSpot, PictureSource, StoredPicture
from ingest.domain.geometry import Box
from ingest.domain.outcomes import Outcome
from ingest.domain.parking_push import Purpose
from ingest.domain.site import CameraRef
from lookout.camera.v1 import camera_pb2
from lookout.parking.v1 import parking_pb2

AT = datetime(2026, 3, 14, 8, 30, tzinfo=UTC)
FRAME = CapturedFrame(
    frame_id=uuid4(),
    purpose=Purpose.EXIT,
    camera=CameraRef(7, "Cam", "95", 3, "P1", 2, "Z1", 1, "NAD", ZoneInfo("Asia/Dubai"), 8),
    regions=("ae", "om"),
    spot=FrameSpot(4, 12, ((10.0, 5.0), (50.0, 5.0), (50.0, 40.0), (10.0, 40.0))),
    vehicle_box=Box(1.0, 2.0, 3.0, 4.0),
    clock=ClockCheck(AT, -700_000.5, ClockState.BEHIND),
    received_at=AT,
    previous_state_duration_s=600.25,
    picture=StoredPicture("snapshots/x.jpg", "image/jpeg", 1000, "ab" * 32, 64, 48),
)


def test_a_frame_is_the_same_after_the_way_through_its_message() -> None:
    assert mapping.decode_frame(mapping.frame_event(FRAME).body) == FRAME


def test_a_pending_frame_of_the_release_before_this_one_is_read() -> None:
    message = mapping.frame_captured(FRAME)
    for name in ("camera", "spot_ref", "clock_state", "clock_skew"):
        message.ClearField(name)
    frame = mapping.decode_frame(message.SerializeToString())
    assert (frame.camera, frame.spot) == (replace(FRAME.camera, number_of_parking=0), FRAME.spot)
    assert frame.clock == ClockCheck(AT, 0.0, ClockState.OK)


def test_a_pending_frame_without_the_older_fields_is_read() -> None:
    message = mapping.frame_captured(FRAME)
    for name in ("camera_id", "camera_name", "camera_api_code", "pole_id", "pole_code"):
        message.ClearField(name)
    for place in ("zone_id", "zone_code", "location_id", "location_code", "time_zone"):
        message.ClearField(place)
    message.spot.ClearField("spot_id")
    message.spot.ClearField("spot_number")
    assert mapping.decode_frame(message.SerializeToString()) == FRAME


def test_a_fetched_picture_moves_the_corners_and_drops_the_vehicle_box() -> None:
    fetched = FRAME.with_fetched_picture(StoredPicture("exits/x.jpg", "image/jpeg", 2000, "cd" * 32, 128, 96))
    assert fetched.spot.corners == ((20.0, 10.0), (100.0, 10.0), (100.0, 80.0), (20.0, 80.0))
    message = mapping.frame_captured(fetched)
    assert message.picture_source == camera_pb2.PICTURE_SOURCE_FETCHED
    assert not message.HasField("vehicle_box")


def test_a_fallback_keeps_the_pushed_picture_and_says_why() -> None:
    fallback = FRAME.with_pushed_fallback("the camera has no address")
    assert fallback.picture == FRAME.picture
    assert fallback.picture_source is PictureSource.PUSHED_FALLBACK
    assert mapping.frame_captured(fallback).picture_note == "the camera has no address"


def decided(**fields: Any) -> parking_pb2.TriggerDecided:
    return parking_pb2.TriggerDecided(frame_id=str(uuid4()), **fields)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"decision": parking_pb2.DECISION_OPENED}, Outcome.OPENED),
        ({"decision": parking_pb2.DECISION_REOPENED}, Outcome.REOPENED),
        ({"decision": parking_pb2.DECISION_CLOSED}, Outcome.CLOSED),
        (
            {"decision": parking_pb2.DECISION_IGNORED, "reason": "Older than the latest ticket"},
            Outcome.IGNORED,
        ),
        (
            {"decision": parking_pb2.DECISION_IGNORED, "reason": "Spot still occupied"},
            Outcome.STILL_OCCUPIED,
        ),
    ],
)
def test_decisions_of_a_tickets_release_without_outcomes_are_read(fields: Any, outcome: Outcome) -> None:
    decision = mapping.decision(decided(**fields))
    assert decision.outcome is outcome
    assert decision.reason == fields.get("reason")


def test_every_outcome_and_reason_of_the_contract_has_its_words() -> None:
    for outcome in parking_pb2.TriggerOutcome.values():
        if outcome != parking_pb2.TRIGGER_OUTCOME_UNSPECIFIED:
            assert mapping.decision(decided(outcome=outcome)).outcome is not Outcome.ACCEPTED
    for reason in parking_pb2.IgnoredReason.values():
        message = decided(outcome=parking_pb2.TRIGGER_OUTCOME_IGNORED, ignored_reason=reason)
        has_words = mapping.decision(message).reason is not None
        assert has_words == (reason != parking_pb2.IGNORED_REASON_UNSPECIFIED)


def test_an_outcome_of_a_later_release_is_taken_from_the_decision() -> None:
    decision = mapping.decision(decided(outcome=99, decision=parking_pb2.DECISION_CLOSED))
    assert decision.outcome is Outcome.CLOSED


def test_a_decision_time_outside_the_calendar_is_invalid() -> None:
    message = decided(decision=parking_pb2.DECISION_OPENED)
    message.decided_at.seconds = 10**15
    with pytest.raises(InvalidValue, match="decided_at"):
        mapping.decision(message)


def test_a_decision_without_meaning_is_invalid() -> None:
    with pytest.raises(InvalidValue, match="not a UUID"):
        mapping.decision(parking_pb2.TriggerDecided(frame_id="no id"))
    with pytest.raises(InvalidValue, match="unknown outcome"):
        mapping.decision(decided())
    with pytest.raises(InvalidValue, match="unknown outcome"):
        mapping.decision(decided(outcome=99))  # of a later release
