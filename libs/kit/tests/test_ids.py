from datetime import UTC, datetime, timedelta
from uuid import UUID

from kit.clock import SystemClock
from kit.ids import derived_id, uuid7


def test_ids_sort_by_the_time_they_were_made() -> None:
    made = [uuid7() for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000


def test_an_id_is_a_standard_version_7_uuid_of_now() -> None:
    made = uuid7()
    assert type(made) is UUID
    assert made.version == 7
    at = datetime.fromtimestamp((made.int >> 80) / 1000, UTC)
    assert abs(at - datetime.now(UTC)) < timedelta(seconds=60)


def test_the_same_cause_gives_the_same_id_and_other_causes_others() -> None:
    frame, other = uuid7(), uuid7()
    assert derived_id(frame, "plates_read") == derived_id(frame, "plates_read")
    assert derived_id(frame, "plates_read") != derived_id(frame, "plates_reads")
    assert derived_id(frame, "plates_read") != derived_id(other, "plates_read")


def test_the_system_clock_is_aware_and_in_utc() -> None:
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=60)
