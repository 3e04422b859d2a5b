"""Real servers, fakes, clocks and builders for tests; autoloaded as the pytest plugin `testkit.plugin`."""

from testkit.clock import ManualClock
from testkit.waiting import eventually

__all__ = ["ManualClock", "eventually"]
