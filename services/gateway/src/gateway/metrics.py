"""The gateway's own metrics; requests, durations and the process are counted by the kit."""

from kit.metrics import Metrics


class GatewayMetrics:
    """Counters of one gateway."""

    def __init__(self, metrics: Metrics) -> None:
        self.refused = metrics.counter(
            "http_requests_refused_total",
            "requests that the gateway refused, by the problem's code",
            ("code",),
        )
        self.broken_off = metrics.counter(
            "upstream_responses_broken_off_total",
            "responses that a service began and did not complete",
            ("upstream",),
        )
