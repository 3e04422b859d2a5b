"""Real servers, fakes, clocks and builders for tests; autoloaded as the pytest plugin `testkit.plugin`."""

from testkit.camera import CameraMode, HttpCamera
from testkit.clock import ManualClock
from testkit.waiting import eventually

__all__ = ["CameraMode", "HttpCamera", "ManualClock", "eventually"]
