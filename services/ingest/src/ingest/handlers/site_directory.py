"""Cache of the cameras that push, so that a push needs no query."""

from collections import OrderedDict
from datetime import datetime, timedelta

from ingest.domain.parking_area import ParkingArea
from ingest.domain.site import CameraSite
from ingest.store import sites
from kit.clock import Clock
from kit.db import Database
from kit.errors import FieldError, NotFound


class SiteDirectory:
    """Cameras by parking area, cached for `ttl_s` seconds.

    A change in this process is seen at once (`clear`), one in another replica after that time. Unknown cameras are
    not cached: a camera must work as soon as it is registered, and the number of unknown names has no limit.
    """

    def __init__(self, db: Database, clock: Clock, *, ttl_s: float, max_cameras: int) -> None:
        self._db = db
        self._clock = clock
        self._ttl = timedelta(seconds=ttl_s)
        self._max_cameras = max_cameras
        self._cached: OrderedDict[ParkingArea, tuple[datetime, CameraSite]] = OrderedDict()
        self._generation = 0

    async def by_area(self, area: ParkingArea) -> CameraSite:
        """The camera that a push names.

        Raises:
            NotFound: with the code `unknown_location` or `unknown_camera`.
            Unavailable: the database cannot be reached.
        """
        now = self._clock.now()
        cached = self._cached.get(area)
        if cached is not None and cached[0] > now:
            return cached[1]
        generation = self._generation
        async with self._db.reading() as session:
            site = await sites.find_by_area(session, area)
            if site is None:
                raise _unknown(area, has_location=await sites.has_location(session, area.location_code))
        # What was read before a change must not be cached after it.
        if generation == self._generation:
            self._cached[area] = (now + self._ttl, site)
            self._cached.move_to_end(area)
            if len(self._cached) > self._max_cameras:
                self._cached.popitem(last=False)
        return site

    async def by_id(self, camera_id: int) -> CameraSite:
        """The camera of that id, always read from the database.

        Raises:
            NotFound: there is none.
            Unavailable: the database cannot be reached.
        """
        async with self._db.reading() as session:
            site = await sites.find_by_id(session, camera_id)
        if site is None:
            raise NotFound(f"there is no camera {camera_id}", code="camera_not_found")
        return site

    def clear(self) -> None:
        """Call it after a change in the registry."""
        self._generation += 1
        self._cached.clear()


def _unknown(area: ParkingArea, *, has_location: bool) -> NotFound:
    if has_location:
        code, detail = "unknown_camera", f"location {area.location_code} has no camera {area.api_code}"
    else:
        code, detail = "unknown_location", f"there is no location {area.location_code}"
    return NotFound(detail, code=code, errors=(FieldError("parking_area", detail),))
