"""What an operator may set. Every limit, timeout and default of tickets stands here."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field

from kit.settings import BlobSettings, Block, BusSettings, DatabaseSettings, ServiceSettings
from tickets.domain.triggers import Rules

Seconds = Annotated[float, Field(allow_inf_nan=False)]


class RuleSettings(Block):
    """What entries and exits are judged by."""

    min_read_confidence: float = Field(
        0.50,
        ge=0,
        le=1,
        description="confidence, 0 to 1, from which a read counts; below it is UNKNOWN",
    )
    reopen_window_s: Seconds = Field(
        900.0, ge=0, description="seconds after an exit in which the same plate goes on with its ticket"
    )
    late_event_window_s: Seconds = Field(
        86_400.0, ge=0, description="seconds an entry and an exit may lie apart when one of them came late"
    )
    clock_ahead_limit_s: Seconds = Field(
        600.0,
        ge=0,
        description="seconds a camera's clock may be ahead; beyond that the receive time counts",
    )
    clock_behind_limit_s: Seconds = Field(
        604_800.0, ge=0, description="seconds an event may be late; beyond that the receive time counts"
    )
    history_limit: int = Field(
        200, gt=0, description="tickets and waiting triggers of a spot looked at when an event comes late"
    )

    def rules(self) -> Rules:
        """As the state machine takes them."""
        return Rules(
            min_read_confidence=self.min_read_confidence,
            reopen_window=timedelta(seconds=self.reopen_window_s),
            late_event_window=timedelta(seconds=self.late_event_window_s),
            clock_ahead_limit=timedelta(seconds=self.clock_ahead_limit_s),
            clock_behind_limit=timedelta(seconds=self.clock_behind_limit_s),
        )


class ExitPictureSettings(Block):
    """How spots are outlined in exit pictures."""

    batch: int = Field(32, gt=0, description="pictures looked up at a time")
    poll_s: Seconds = Field(5.0, gt=0, description="seconds between looks for what another replica left")
    max_picture_pixels: int = Field(
        40_000_000, gt=0, description="pictures that say they are larger, width times height, stay plain"
    )


class HousekeepingSettings(Block):
    """What is done now and then."""

    gauge_interval_s: Seconds = Field(15.0, gt=0, description="seconds between counts for the gauges")
    sweep_interval_s: Seconds = Field(
        600.0, gt=0, description="seconds between sweeps of triggers that need wait no longer"
    )


class TicketsSettings(ServiceSettings):
    """The settings of tickets."""

    service_name: ClassVar[str] = "tickets"
    defaults: ClassVar[Mapping[str, Any]] = {"http.port": 8103, "grpc.port": 9103}

    database: DatabaseSettings = Field(description="tickets, reviews and triggers")
    bus: BusSettings = Field(description="event bus")
    blobs: BlobSettings = Field(description="pictures")
    rules: RuleSettings = Field(default_factory=RuleSettings, description="the session rules")
    exit_pictures: ExitPictureSettings = Field(
        default_factory=ExitPictureSettings, description="outlining of exit pictures"
    )
    housekeeping: HousekeepingSettings = Field(
        default_factory=HousekeepingSettings, description="gauges and sweeps"
    )
