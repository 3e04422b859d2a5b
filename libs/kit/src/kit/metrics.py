"""Prometheus metrics of one service instance, each named `lookout_<service>_<name>`."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

T = TypeVar("T")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# From a cache hit to a request that waits for a slow device; the client library's defaults end at 10 s.
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The registry of one service. Asking twice for a name gives the same object."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self._prefix = f"lookout_{service.replace('-', '_')}_"
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        self._process = ProcessCollector(registry=self.registry)
        self._included: tuple[Metrics, ...] = ()

    def counter(self, name: str, doc: str, labels: Iterable[str] = ()) -> Counter:
        """A value that only increases; `name` ends in `_total`."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Counter(self._prefix + name, doc, tuple(labels), registry=self.registry)
        return self._as(made, Counter, name)

    def gauge(self, name: str, doc: str, labels: Iterable[str] = ()) -> Gauge:
        """A value that rises and falls."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Gauge(self._prefix + name, doc, tuple(labels), registry=self.registry)
        return self._as(made, Gauge, name)

    def histogram(
        self, name: str, doc: str, labels: Iterable[str] = (), *, buckets: Sequence[float] = SECONDS_BUCKETS
    ) -> Histogram:
        """A distribution; `name` carries the unit and `buckets` are upper bounds in it."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Histogram(
                self._prefix + name, doc, tuple(labels), registry=self.registry, buckets=buckets
            )
        return self._as(made, Histogram, name)

    def render(self) -> bytes:
        """The text exposition that Prometheus scrapes (`CONTENT_TYPE`)."""
        return b"".join(generate_latest(metrics.registry) for metrics in (self, *self._included))

    def include(self, *others: "Metrics") -> None:
        """Render those of other services in the same process too; their names carry the service."""
        for other in others:
            other.registry.unregister(
                other._process
            )  # the process is the same, so its metrics are rendered once
        self._included += others

    @staticmethod
    def _as(made: object, kind: type[T], name: str) -> T:
        if not isinstance(made, kind):
            raise TypeError(f"metric {name} is a {type(made).__name__}, asked for as {kind.__name__}")
        return made
