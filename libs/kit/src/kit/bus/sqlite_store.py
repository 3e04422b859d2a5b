"""Tables and statements of the embedded bus. Each function is a job for `SqliteFile`, so it is atomic."""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kit.bus.dispatch import Item
from kit.bus.event import Event, matches
from kit.bus.failure import HeldBack, Unroutable
from kit.bus.handling import DeadLetterCause
from kit.bus.interface import DeadLetter, QueueInfo, dead_letter_queue
from kit.bus.subscription import Subscription
from kit.errors import NotFound

_ENVELOPE = (
    "message_id, type, routing_key, partition_key, body, occurred_at, app_id, correlation_id, traceparent,"
    " must_route"
)
_MARKS = ", ".join("?" * 10)

# The dead letters are in the table `parked`, the name that files of earlier versions have.
SCHEMA = """
CREATE TABLE IF NOT EXISTS subscriptions (
    queue TEXT PRIMARY KEY, binding TEXT NOT NULL, is_ordered INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL,
    message_id TEXT NOT NULL, type TEXT NOT NULL, routing_key TEXT NOT NULL, partition_key TEXT NOT NULL,
    body BLOB NOT NULL, occurred_at TEXT NOT NULL, app_id TEXT NOT NULL, correlation_id TEXT NOT NULL,
    traceparent TEXT, must_route INTEGER NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
    first_failed_at REAL, not_before REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS messages_queue ON messages (queue, seq);
CREATE TABLE IF NOT EXISTS parked (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL,
    message_id TEXT NOT NULL, type TEXT NOT NULL, routing_key TEXT NOT NULL, partition_key TEXT NOT NULL,
    body BLOB NOT NULL, occurred_at TEXT NOT NULL, app_id TEXT NOT NULL, correlation_id TEXT NOT NULL,
    traceparent TEXT, must_route INTEGER NOT NULL,
    reason TEXT NOT NULL, traceback TEXT NOT NULL, attempts INTEGER NOT NULL, parked_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS parked_queue ON parked (queue, seq);
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a consumer takes: items to handle, and how many became dead letters instead.

    More may wait behind them, and the next that is not due yet falls due at `next_due_at`, in epoch seconds.
    `is_held_back`: the next one is a suspect, which is only taken alone.
    """

    items: list[Item]
    dead_letters: int
    has_more: bool
    is_held_back: bool
    next_due_at: float | None


def declare(subscription: Subscription) -> Callable[[sqlite3.Connection], None]:
    """Make it known; a changed binding holds from now on."""

    def job(db: sqlite3.Connection) -> None:
        db.execute(
            "INSERT INTO subscriptions (queue, binding, is_ordered) VALUES (?, ?, ?) ON CONFLICT (queue)"
            " DO UPDATE SET binding = excluded.binding, is_ordered = excluded.is_ordered"
            " WHERE (binding, is_ordered) IS NOT (excluded.binding, excluded.is_ordered)",
            (subscription.queue, subscription.binding, subscription.is_ordered),
        )

    return job


Published = tuple[list[Exception | None], set[str]]


def publish(events: Sequence[Event]) -> Callable[[sqlite3.Connection], Published]:
    """Insert a copy into every queue whose binding matches; returns what failed, and which queues to wake."""

    def job(db: sqlite3.Connection) -> Published:
        bindings = db.execute("SELECT queue, binding FROM subscriptions").fetchall()
        targets: dict[str, list[str]] = {}
        results: list[Exception | None] = []
        rows: list[tuple[object, ...]] = []
        queues_with_messages: set[str] = set()
        failed_keys: set[str] = set()
        for event in events:
            key = event.routing_key
            if event.partition_key in failed_keys:
                results.append(HeldBack("an earlier event of its partition key was not published"))
                continue
            if key not in targets:
                targets[key] = [row["queue"] for row in bindings if matches(row["binding"], key)]
            if not targets[key] and event.must_route:
                results.append(Unroutable(f"no queue is bound for {key}"))
                failed_keys.add(event.partition_key)
                continue
            results.append(None)
            envelope = _to_row(event)
            rows += [(queue, *envelope) for queue in targets[key]]
            queues_with_messages.update(targets[key])
        db.executemany(f"INSERT INTO messages (queue, {_ENVELOPE}) VALUES (?, {_MARKS})", rows)  # noqa: S608 - column names of this file
        return results, queues_with_messages

    return job


def fetch(
    queue: str,
    *,
    unacknowledged: Collection[int],
    blocked: Iterable[str],
    limit: int,
    delivery_limit: int,
    is_alone: bool,
    not_counted: Mapping[int, int],
    now: datetime,
) -> Callable[[sqlite3.Connection], Batch]:
    """Take up to `limit` messages that are due and whose key is not blocked, counting the delivery.

    A message that was unacknowledged when its process crashed may be the cause, so it is a suspect: it is taken with
    `is_alone` only, and no other with it, so that a crash counts for no other. At the delivery limit it becomes a dead
    letter. `not_counted`: how many of a message's deliveries did not end with a crash, by `seq`.
    """
    now_s = now.timestamp()
    # Copied now: the job runs later in another thread, when messages that are unacknowledged now may have been
    # settled by another job.
    unacknowledged, blocked, not_counted = tuple(unacknowledged), tuple(blocked), dict(not_counted)

    def crashes(row: sqlite3.Row) -> int:
        deliveries: int = row["deliveries"]
        return max(0, deliveries - not_counted.get(row["seq"], 0))

    def job(db: sqlite3.Connection) -> Batch:
        rows = _due(db, queue, unacknowledged, blocked, limit, now_s)
        has_more, is_held_back = len(rows) == limit, False
        exhausted = [row for row in rows if crashes(row) >= delivery_limit]
        for row in exhausted:
            cause = DeadLetterCause(
                f"delivery limit: taken {row['deliveries']} times and never acknowledged; it may end its process",
                "",
                row["deliveries"],
            )
            _dead_letter(db, row["seq"], cause, now)
        rows = [row for row in rows if crashes(row) < delivery_limit]
        first_suspect = next((index for index, row in enumerate(rows) if crashes(row)), None)
        if first_suspect == 0:
            has_more, is_held_back = is_alone, not is_alone
            rows = rows[:1] if is_alone else []
        elif first_suspect is not None:
            has_more = True
            rows = rows[:first_suspect]
        db.executemany(
            "UPDATE messages SET deliveries = deliveries + 1 WHERE seq = ?", [(row["seq"],) for row in rows]
        )
        items = [
            Item(
                _to_event(row),
                row["seq"],
                row["deliveries"],
                row["failures"],
                row["first_failed_at"],
                crashes=crashes(row),
                is_suspect=crashes(row) > 0,
            )
            for row in rows
        ]
        return Batch(items, len(exhausted), has_more, is_held_back, _next_due_at(db, queue, now_s))

    return job


def _due(
    db: sqlite3.Connection,
    queue: str,
    unacknowledged: Collection[int],
    blocked: Iterable[str],
    limit: int,
    now_s: float,
) -> list[sqlite3.Row]:
    return db.execute(
        f"SELECT seq, deliveries, failures, first_failed_at, {_ENVELOPE} FROM messages"  # noqa: S608 - as above
        " WHERE queue = ? AND not_before <= ? AND seq NOT IN (SELECT value FROM json_each(?))"
        " AND partition_key NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?",
        (queue, now_s, json.dumps(unacknowledged), json.dumps(blocked), limit),
    ).fetchall()


def _next_due_at(db: sqlite3.Connection, queue: str, now_s: float) -> float | None:
    statement = "SELECT min(not_before) FROM messages WHERE queue = ? AND not_before > ?"
    due_at: float | None = db.execute(statement, (queue, now_s)).fetchone()[0]
    return due_at


def settle(*seqs: int) -> Callable[[sqlite3.Connection], None]:
    """Delete messages that were handled."""

    def job(db: sqlite3.Connection) -> None:
        db.executemany("DELETE FROM messages WHERE seq = ?", [(seq,) for seq in seqs])

    return job


def return_to_queue(seqs: Collection[int]) -> Callable[[sqlite3.Connection], None]:
    """Undo the delivery of messages that are not being handled any more."""

    def job(db: sqlite3.Connection) -> None:
        db.executemany(
            "UPDATE messages SET deliveries = max(deliveries - 1, 0) WHERE seq = ?", [(seq,) for seq in seqs]
        )

    return job


def set_deliveries(seq: int, deliveries: int) -> Callable[[sqlite3.Connection], None]:
    """Set how many deliveries of a message are counted: none while it waits for a retry: there was no crash."""

    def job(db: sqlite3.Connection) -> None:
        db.execute("UPDATE messages SET deliveries = ? WHERE seq = ?", (deliveries, seq))

    return job


def postpone(
    seq: int, *, deliveries: int, failures: int, first_failed_at: float, not_before: float
) -> Callable[[sqlite3.Connection], None]:
    """Retry at `not_before` (seconds since the epoch), with so many deliveries counted."""

    def job(db: sqlite3.Connection) -> None:
        db.execute(
            "UPDATE messages SET deliveries = ?, failures = ?, first_failed_at = ?, not_before = ? WHERE seq = ?",
            (deliveries, failures, first_failed_at, not_before, seq),
        )

    return job


def dead_letter(seq: int, cause: DeadLetterCause, now: datetime) -> Callable[[sqlite3.Connection], None]:
    """Move a message to the dead letters."""
    return lambda db: _dead_letter(db, seq, cause, now)


def _dead_letter(db: sqlite3.Connection, seq: int, cause: DeadLetterCause, now: datetime) -> None:
    db.execute(
        f"INSERT INTO parked (queue, {_ENVELOPE}, reason, traceback, attempts, parked_at)"  # noqa: S608 - as above
        f" SELECT queue, {_ENVELOPE}, ?, ?, ?, ? FROM messages WHERE seq = ?",
        (cause.reason, cause.traceback, cause.attempts, now.isoformat(), seq),
    )
    db.execute("DELETE FROM messages WHERE seq = ?", (seq,))


def dead_letters(queue: str, limit: int | None) -> Callable[[sqlite3.Connection], list[DeadLetter]]:
    """The dead letters of a queue, oldest first."""

    def job(db: sqlite3.Connection) -> list[DeadLetter]:
        _require(db, queue)
        rows = db.execute(
            "SELECT * FROM parked WHERE queue = ? ORDER BY seq LIMIT ?",
            (queue, -1 if limit is None else limit),
        )
        return [
            DeadLetter(
                dead_letter_id=row["message_id"],
                queue=queue,
                event=_to_event(row),
                reason=row["reason"],
                traceback=row["traceback"],
                attempts=row["attempts"],
                dead_lettered_at=datetime.fromisoformat(row["parked_at"]),
            )
            for row in rows
        ]

    return job


def replay(queue: str, ids: Sequence[str] | None) -> Callable[[sqlite3.Connection], int]:
    """Back to the end of their queue, oldest first."""

    def job(db: sqlite3.Connection) -> int:
        _require(db, queue)
        condition, values = _chosen(queue, ids)
        db.execute(
            f"INSERT INTO messages (queue, {_ENVELOPE})"  # noqa: S608 - as above
            f" SELECT queue, {_ENVELOPE} FROM parked WHERE {condition} ORDER BY seq",
            values,
        )
        return db.execute(f"DELETE FROM parked WHERE {condition}", values).rowcount  # noqa: S608 - as above

    return job


def discard(queue: str, ids: Sequence[str] | None) -> Callable[[sqlite3.Connection], int]:
    """Delete dead letters."""

    def job(db: sqlite3.Connection) -> int:
        _require(db, queue)
        condition, values = _chosen(queue, ids)
        return db.execute(f"DELETE FROM parked WHERE {condition}", values).rowcount  # noqa: S608 - as above

    return job


def depth(queue: str, unacknowledged: Collection[int]) -> Callable[[sqlite3.Connection], int]:
    """Messages waiting in a subscription's queue, or dead letters when the name is that of a dead-letter queue."""

    def job(db: sqlite3.Connection) -> int:
        subscribed = queue.removesuffix(dead_letter_queue(""))
        if subscribed != queue:
            _require(db, subscribed)
            found = db.execute("SELECT count(*) FROM parked WHERE queue = ?", (subscribed,))
        else:
            _require(db, queue)
            found = db.execute(
                "SELECT count(*) FROM messages WHERE queue = ?"
                " AND seq NOT IN (SELECT value FROM json_each(?))",
                (queue, json.dumps(list(unacknowledged))),
            )
        count: int = found.fetchone()[0]
        return count

    return job


def queues(db: sqlite3.Connection) -> list[QueueInfo]:
    """Every subscription, by name."""
    rows = db.execute(
        "SELECT queue, binding, is_ordered,"
        " (SELECT count(*) FROM messages WHERE messages.queue = subscriptions.queue) AS depth,"
        " (SELECT count(*) FROM parked WHERE parked.queue = subscriptions.queue) AS dead_letters"
        " FROM subscriptions ORDER BY queue"
    )
    return [
        QueueInfo(row["queue"], row["binding"], bool(row["is_ordered"]), row["depth"], row["dead_letters"])
        for row in rows
    ]


def data_version(db: sqlite3.Connection) -> int:
    """Changes when another connection has committed."""
    version: int = db.execute("PRAGMA data_version").fetchone()[0]
    return version


def _chosen(queue: str, ids: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    if ids is None:
        return "queue = ?", (queue,)
    return "queue = ? AND message_id IN (SELECT value FROM json_each(?))", (queue, json.dumps(ids))


def _require(db: sqlite3.Connection, queue: str) -> None:
    if db.execute("SELECT 1 FROM subscriptions WHERE queue = ?", (queue,)).fetchone() is None:
        raise NotFound(f"there is no queue {queue} on the bus", code="queue_unknown")


def _to_row(event: Event) -> tuple[object, ...]:
    return (
        str(event.message_id),
        event.type,
        event.routing_key,
        event.partition_key,
        event.body,
        event.occurred_at.isoformat(),
        event.app_id,
        event.correlation_id,
        event.traceparent,
        event.must_route,
    )


def _to_event(row: sqlite3.Row) -> Event:
    return Event(
        message_id=UUID(row["message_id"]),
        type=row["type"],
        routing_key=row["routing_key"],
        partition_key=row["partition_key"],
        body=row["body"],
        occurred_at=datetime.fromisoformat(row["occurred_at"]),
        app_id=row["app_id"],
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
        must_route=bool(row["must_route"]),
    )
