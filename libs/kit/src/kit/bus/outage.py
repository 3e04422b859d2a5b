"""The messages of one ordered consumer that wait for a dependency that does not answer."""

import asyncio

from kit.bus.dispatch import Item


class OutageWaits:
    """Ends the waits as soon as the dependency answers, without a retry of every message each second until then.

    One of the waiting messages, the probe, is tried again at least every `probe_interval_s`. When it, or any other that
    had failed for an outage, is handled, all the others are tried again at once.
    """

    def __init__(self, probe_interval_s: float) -> None:
        self._probe_interval_s = probe_interval_s
        self._probe: Item | None = None
        self._is_over = asyncio.Event()

    def begin(self, item: Item, delay_s: float) -> tuple[float, asyncio.Event]:
        """How long `item`, which failed for an outage, waits; and what ends the wait before that."""
        item.outages += 1
        if self._probe is None:
            self._probe = item
        if self._probe is item:
            delay_s = min(delay_s, self._probe_interval_s)
        return delay_s, self._is_over

    def note_handled(self, item: Item) -> None:
        """It was handled: if an outage had prevented that, the outage is over."""
        if item.outages:
            self._is_over.set()
            self._is_over = asyncio.Event()

    def forget(self, item: Item) -> None:
        """It is not tried again here. The next one that fails is the probe."""
        if self._probe is item:
            self._probe = None
