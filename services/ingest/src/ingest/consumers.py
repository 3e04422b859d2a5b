"""Bus in: which events ingest listens to."""

from ingest.handlers.outcome_waiters import RecordOutcome
from kit.bus import Handler, Subscription

TRIGGER_DECIDED = Subscription("ingest", "trigger_decided", "parking.trigger_decided.v1.#", ordered=False)


def subscriptions(record_outcome: RecordOutcome) -> list[tuple[Subscription, Handler]]:
    """Each with its handler. One event a row, so the order between them does not matter."""
    return [(TRIGGER_DECIDED, record_outcome)]
