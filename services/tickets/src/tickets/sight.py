"""What the service shows of itself to Prometheus."""

from datetime import timedelta

from kit.metrics import Metrics

# Milliseconds for a picture that is read at once, a day for one that a camera held back.
_LAG_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86_400)


class Sight:
    """The metrics of one instance."""

    def __init__(self, metrics: Metrics) -> None:
        self.decisions = metrics.counter(
            "decisions_total", "Entries and exits by what they came to", ("decision", "reason")
        )
        self.repeats = metrics.counter(
            "repeats_total", "Frames that came again after their inbox row was deleted"
        )
        self.open_tickets = metrics.gauge("open_tickets", "Tickets that are open")
        self.pending_reviews = metrics.gauge("pending_reviews", "Reviews that wait for a person")
        self.pending_marks = metrics.gauge("pending_exit_pictures", "Exit pictures not outlined yet")
        self.marks = metrics.counter(
            "exit_pictures_total", "Exit pictures by whether the spot could be outlined", ("outcome",)
        )
        self._lag = metrics.histogram(
            "decision_lag_seconds",
            "From the capture (by the camera's clock) or the receipt of an event to its decision",
            ("since",),
            buckets=_LAG_BUCKETS_S,
        )

    def lag(self, since: str, lag: timedelta) -> None:
        """`since` is captured or received."""
        self._lag.labels(since).observe(max(lag.total_seconds(), 0.0))
