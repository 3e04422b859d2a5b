"""The settings of tickets: every limit, timeout and default."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field

from kit.settings import BlobSettings, Block, BusSettings, DatabaseSettings, ServiceSettings
from tickets.domain.triggers import Rules

Seconds = Annotated[float, Field(allow_inf_nan=False)]


class RuleSettings(Block):
    """The session rules."""

    min_read_confidence: float = Field(
        0.50,
        ge=0,
        le=1,
        description="confidence, 0 to 1, from which a read counts; a plate read with less is UNKNOWN",
    )
    reopen_window_s: Seconds = Field(
        900.0,
        ge=0,
        description="seconds after an exit within which an entry with the same plate reopens the ticket",
    )
    late_event_window_s: Seconds = Field(
        86_400.0,
        ge=0,
        description="seconds between an entry and an exit that are combined although one of them arrived late",
    )
    max_wait_s: Seconds = Field(
        691_200.0,
        ge=0,
        description="seconds after its own time for which an ignored entry or exit waits for one that arrives late",
    )
    history_limit: int = Field(
        200,
        gt=0,
        description="tickets and waiting triggers of a spot that are loaded for an event that arrives late",
    )

    def rules(self) -> Rules:
        """As the domain needs them."""
        return Rules(
            min_read_confidence=self.min_read_confidence,
            reopen_window=timedelta(seconds=self.reopen_window_s),
            late_event_window=timedelta(seconds=self.late_event_window_s),
        )


class ExitPictureSettings(Block):
    """How the spot is outlined in exit pictures."""

    batch_size: int = Field(32, gt=0, description="exit pictures loaded from the database at a time")
    poll_interval_s: Seconds = Field(
        5.0, gt=0, description="seconds between searches for exit pictures that another replica left undone"
    )
    max_picture_px: int = Field(
        40_000_000, gt=0, description="pictures with more pixels (width times height) get no outline"
    )


class HousekeepingSettings(Block):
    """Periodic work."""

    gauge_interval_s: Seconds = Field(15.0, gt=0, description="seconds between updates of the gauges")
    sweep_interval_s: Seconds = Field(
        600.0, gt=0, description="seconds between sweeps that end the waiting of old triggers"
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
