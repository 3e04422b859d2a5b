"""The metrics of ingest."""

from kit.metrics import Metrics


class IngestMetrics:
    """One set for each service instance."""

    def __init__(self, metrics: Metrics) -> None:
        self.pushes_accepted = metrics.counter(
            "parking_pushes_accepted_total", "parking pushes accepted", ("purpose",)
        )
        self.pushes_repeated = metrics.counter(
            "parking_pushes_repeated_total", "parking pushes of an event that was accepted before"
        )
        self.pushes_rejected = metrics.counter(
            "parking_pushes_rejected_total", "parking pushes answered with an error", ("code",)
        )
        self.pushes_refused = metrics.counter(
            "parking_pushes_refused_total", "parking pushes refused to their sender", ("reason",)
        )
        self.pending_events = metrics.gauge(
            "pending_events", "events that wait for a fresh picture, or behind one that does"
        )
        self.dispatched = metrics.counter(
            "pending_events_dispatched_total", "events dispatched after waiting", ("picture_source",)
        )
        self.dispatch_errors = metrics.counter(
            "pending_event_errors_total", "attempts to dispatch an event that failed with a bug"
        )
        self.camera_call_seconds = metrics.histogram(
            "camera_call_seconds", "duration of calls to cameras", ("operation",)
        )
        self.camera_call_failures = metrics.counter(
            "camera_call_failures_total", "calls to cameras that failed", ("operation", "code")
        )
        self.retention_deleted = metrics.counter(
            "retention_deleted_total", "things deleted at the end of their retention", ("kind",)
        )
        self.retention_clock_ahead = metrics.gauge(
            "retention_clock_ahead_seconds",
            "how far the clock is ahead of the time that retention trusts; above 0 deletion is held",
        )

    def observe_camera_call(self, operation: str, elapsed_s: float, error_code: str) -> None:
        """Record a call to a camera; `error_code` is empty if it succeeded."""
        self.camera_call_seconds.labels(operation).observe(elapsed_s)
        if error_code:
            self.camera_call_failures.labels(operation, error_code).inc()
