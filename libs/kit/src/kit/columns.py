"""Column types that mean the same on PostgreSQL and SQLite, and the names that migrations rely on.

Separate from `kit.db`, so that a schema can be imported without an engine; `kit.db` exports all of it too.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, MetaData, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint gets the same name on both databases: a migration cannot drop one without a name."""


def new_metadata() -> MetaData:
    """An empty schema whose constraints get names by `NAMING`."""
    return MetaData(naming_convention=NAMING)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime. TIMESTAMPTZ on PostgreSQL; on SQLite text of fixed width in UTC, so that it sorts.

    Raises:
        ValueError: when a naive datetime is bound. (SQLAlchemy wraps it in `StatementError`.)
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """TIMESTAMPTZ on PostgreSQL."""
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Python to column."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a datetime needs a time zone: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Column to Python: always aware, always `datetime.UTC`."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class JsonDocument(TypeDecorator[Any]):
    """A JSON value: JSONB on PostgreSQL, text on SQLite. Python's None is SQL's NULL.

    JSONB refuses the character U+0000 in strings (`DataError`): input has to be cleaned before it is stored.
    """

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """JSONB on PostgreSQL."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Indexing (`column["key"]`) uses the type of the operand, as plain JSON columns do."""
        return self.impl_instance.coerce_compared_value(op, value)


class BigIntId(TypeDecorator[int]):
    """An integer id: BIGINT on PostgreSQL; INTEGER on SQLite, where only that type is the row id.

    Use it as `Column("order_id", BigIntId, Identity(), primary_key=True)`, and give the table
    `sqlite_autoincrement=True` when the id of a deleted row must never be reused.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """INTEGER on SQLite."""
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())
