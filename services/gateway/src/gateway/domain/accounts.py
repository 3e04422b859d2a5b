"""Users, roles and permissions as the store returns them."""

from dataclasses import dataclass
from datetime import datetime

SUPERADMIN = "superadmin"


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that a user may be allowed to do; services check the built-in ones by name."""

    permission_id: int
    name: str
    description: str
    is_built_in: bool


@dataclass(frozen=True, slots=True)
class Role:
    """A role with its permissions, as `(permission_id, name)`. `allowed`: what it allows, every permission for the
    superadmin role, which has none of its own.
    """

    role_id: int
    name: str
    is_built_in: bool
    permissions: tuple[tuple[int, str], ...] = ()
    allowed: tuple[tuple[int, str], ...] = ()

    @property
    def permission_names(self) -> frozenset[str]:
        """The names of its permissions."""
        return frozenset(name for _, name in self.permissions)

    @property
    def is_superadmin(self) -> bool:
        """Whether it is the built-in role that is allowed everything."""
        return self.name == SUPERADMIN


@dataclass(frozen=True, slots=True)
class User:
    """A user with their roles, as `(role_id, name)`."""

    user_id: int
    username: str
    is_active: bool
    created_at: datetime
    updated_at: datetime
    roles: tuple[tuple[int, str], ...] = ()

    @property
    def is_superadmin(self) -> bool:
        """Whether one of the roles is the built-in superadmin role."""
        return any(name == SUPERADMIN for _, name in self.roles)
