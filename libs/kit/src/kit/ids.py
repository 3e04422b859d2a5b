"""Identifiers that programs generate.

UUIDv7 (RFC 9562) sorts by time, so that inserts go to few index pages instead of random ones.
"""

from uuid import UUID, uuid5

import uuid_utils.compat


def uuid7() -> UUID:
    """A new id that sorts after those made in earlier milliseconds."""
    return uuid_utils.compat.uuid7()


def derived_id(parent: UUID, name: str) -> UUID:
    """An id computed from `parent` and `name` (UUIDv5): processing the same event twice gives the same id."""
    return uuid5(parent, name)
