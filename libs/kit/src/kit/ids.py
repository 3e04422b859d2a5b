"""Identifiers that machines make.

UUIDv7 (RFC 9562) sorts by time, which keeps index pages warm where random ids would scatter the writes.
"""

from uuid import UUID, uuid5

import uuid_utils.compat


def uuid7() -> UUID:
    """A new id that sorts after those made in earlier milliseconds."""
    return uuid_utils.compat.uuid7()


def derived_id(parent: UUID, name: str) -> UUID:
    """The id of an effect, computed from its cause (UUIDv5): a repeated cause gives the same id again."""
    return uuid5(parent, name)
