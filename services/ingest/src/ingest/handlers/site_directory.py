"""Which camera a report comes from, without asking the database for each."""

from collections import OrderedDict
from datetime import datetime, timedelta

from ingest.domain.parking_area import ParkingArea
from ingest.domain.site import CameraSite
from ingest.store import sites
from kit.clock import Clock
from kit.db import Database
from kit.errors import FieldError, NotFound


class SiteDirectory:
    """Cameras by parking area, remembered for `ttl_s` seconds.

    A change in this process is seen at once (`forget`), one in another replica after that time. What is not
    registered is not remembered: a camera must work as soon as it is, and unknown names are without number.
    """

    def __init__(self, db: Database, clock: Clock, *, ttl_s: float, max_cameras: int) -> None:
        self._db = db
        self._clock = clock
        self._ttl = timedelta(seconds=ttl_s)
        self._max_cameras = max_cameras
        self._known: OrderedDict[ParkingArea, tuple[datetime, CameraSite]] = OrderedDict()
        self._generation = 0

    async def by_area(self, area: ParkingArea) -> CameraSite:
        """The camera of a report.

        Raises:
            NotFound: with the code `unknown_location` or `unknown_camera`.
            Unavailable: the database is away.
        """
        now = self._clock.now()
        known = self._known.get(area)
        if known is not None and known[0] > now:
            return known[1]
        generation = self._generation
        async with self._db.reading() as session:
            site = await sites.find_by_area(session, area)
            if site is None:
                raise _unknown(area, has_location=await sites.has_location(session, area.location_code))
        # What was read before a change must not be remembered after it.
        if generation == self._generation:
            self._known[area] = (now + self._ttl, site)
            self._known.move_to_end(area)
            if len(self._known) > self._max_cameras:
                self._known.popitem(last=False)
        return site

    async def by_id(self, camera_id: int) -> CameraSite:
        """The camera of that id, always fresh.

        Raises:
            NotFound: there is none.
            Unavailable: the database is away.
        """
        async with self._db.reading() as session:
            site = await sites.find_by_id(session, camera_id)
        if site is None:
            raise NotFound(f"there is no camera {camera_id}", code="camera_not_found")
        return site

    def forget(self) -> None:
        """The registry has changed."""
        self._generation += 1
        self._known.clear()


def _unknown(area: ParkingArea, *, has_location: bool) -> NotFound:
    if has_location:
        code, detail = "unknown_camera", f"location {area.location_code} has no camera {area.api_code}"
    else:
        code, detail = "unknown_location", f"there is no location {area.location_code}"
    return NotFound(detail, code=code, errors=(FieldError("parking_area", detail),))
