"""The Prometheus metrics of tickets."""

from datetime import timedelta

from kit.metrics import Metrics

# From milliseconds, for a picture that is read at once, to a day, for events that a camera could not send before.
_LAG_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86_400)


class TicketsMetrics:
    """The metrics of one service instance."""

    def __init__(self, metrics: Metrics) -> None:
        self.decisions = metrics.counter(
            "decisions_total", "Decisions about entries and exits", ("decision", "reason")
        )
        self.repeats = metrics.counter(
            "repeats_total", "Frames that were decided already, although the inbox did not know the message"
        )
        self.open_tickets = metrics.gauge("open_tickets", "Open tickets")
        self.pending_reviews = metrics.gauge("pending_reviews", "Reviews that no person has resolved yet")
        self.pending_exit_pictures = metrics.gauge(
            "pending_exit_pictures", "Exit pictures in which the spot is not outlined yet"
        )
        self.exit_pictures = metrics.counter(
            "exit_pictures_total",
            "Exit pictures by whether the spot could be outlined (MARKED) or not (PLAIN)",
            ("state",),
        )
        self._lag = metrics.histogram(
            "decision_lag_seconds",
            "Time from the capture or the receipt of an event to the decision",
            ("since",),
            buckets=_LAG_BUCKETS_S,
        )

    def observe_lag(self, since: str, lag: timedelta) -> None:
        """`since` is "captured" or "received"."""
        self._lag.labels(since).observe(max(lag.total_seconds(), 0.0))
