"""From messages to triggers: values that a message of another sender or release may have."""

from datetime import timedelta

import pytest

from lookout.camera.v1 import camera_pb2 as camera
from tickets.mapping import received_trigger_from

from .conftest import Frames


@pytest.mark.parametrize("seconds", [10**14, -(10**14), 10**18])
def test_a_clock_skew_outside_the_range_of_a_timedelta_is_noted(frames: Frames, seconds: int) -> None:
    entry = frames.entry(0, clock_skew=timedelta(days=400 if seconds > 0 else -400))
    entry.frame.clock_skew.seconds = seconds
    received = received_trigger_from(entry)
    assert received.captured_at is None
    assert received.trigger.at == received.received_at
    (note,) = received.trigger.notes
    assert "ahead" in note if seconds > 0 else "behind" in note


def test_a_clock_state_of_a_later_release_is_no_finding(frames: Frames) -> None:
    entry = frames.entry(0)
    entry.frame.clock_state = 99  # type: ignore[assignment]  # an open enum
    assert entry.frame.clock_state != camera.CLOCK_STATE_UNSPECIFIED
    assert received_trigger_from(entry).trigger.notes == ()
