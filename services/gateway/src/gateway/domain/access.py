"""Who may change whom: the rules that keep a user from giving away, or taking, what is above them."""

from collections.abc import Collection
from dataclasses import dataclass

SUPERADMIN = "superadmin"

# In this order on a fresh database: the documented examples call the first three 1, 2 and 3.
BUILT_IN_PERMISSIONS: tuple[tuple[str, str], ...] = (
    ("manage_users", "Create, change and delete users"),
    ("manage_roles", "Create, change and delete roles"),
    ("manage_permissions", "Create, change and delete permissions"),
    ("site:read", "See locations, zones, poles, cameras and spots"),
    ("site:write", "Change locations, zones, poles, cameras and spots"),
    ("tickets:read", "See tickets, occupancy and manual reviews"),
    ("tickets:write", "Resolve manual reviews and change tickets"),
    ("cameras:read", "Fetch frames and clips from cameras"),
    ("plates:read", "Read plates from pictures"),
)


class NotAllowedError(Exception):
    """The rule that forbids it, as a sentence for the caller."""


class KeptError(Exception):
    """The change would leave the site without something that it needs; a sentence for the caller."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a user may do at this moment, read from the store and not from a token."""

    user_id: int
    permissions: frozenset[str]
    is_superadmin: bool

    def covers(self, permissions: Collection[str], *, is_superadmin: bool = False) -> bool:
        """Whether this user stands at least as high."""
        return self.is_superadmin or (not is_superadmin and self.permissions.issuperset(permissions))


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A role as the rules see it."""

    role_id: int
    name: str
    permissions: frozenset[str]

    @property
    def is_superadmin(self) -> bool:
        """Whether it is the built-in role that is allowed everything."""
        return self.name == SUPERADMIN


def check_grants_roles(actor: Standing, roles: Collection[RoleGrant]) -> None:
    """Whether `actor` may give those roles to somebody.

    Raises:
        NotAllowedError: a role carries what the actor does not have.
    """
    for role in roles:
        if not actor.covers(role.permissions, is_superadmin=role.is_superadmin):
            missing = ", ".join(sorted(role.permissions - actor.permissions)) or "everything"
            raise NotAllowedError(f"the role {role.name} allows what you may not do yourself: {missing}")


def check_changes_user(actor: Standing, target: Standing) -> None:
    """Whether `actor` may change or delete that user: else a new password would be a way to become them.

    Raises:
        NotAllowedError: the user stands higher.
    """
    if not actor.covers(target.permissions, is_superadmin=target.is_superadmin):
        raise NotAllowedError("this user is allowed more than you are")


def check_grants_permissions(actor: Standing, permissions: Collection[str]) -> None:
    """Whether `actor` may put those permissions into a role.

    Raises:
        NotAllowedError: the actor does not have one of them.
    """
    missing = sorted(set(permissions) - actor.permissions)
    if missing and not actor.is_superadmin:
        raise NotAllowedError(f"you cannot grant what you may not do yourself: {', '.join(missing)}")


def check_changes_role(actor: Standing, role: RoleGrant) -> None:
    """Whether `actor` may change or delete that role.

    Raises:
        NotAllowedError: the role allows more than the actor may.
        KeptError: it is the built-in superadmin role.
    """
    if role.is_superadmin:
        raise KeptError("the superadmin role is built in: it cannot be changed or deleted")
    if not actor.covers(role.permissions):
        raise NotAllowedError(f"the role {role.name} allows more than you may")


def check_changes_permission(actor: Standing, name: str, *, is_built_in: bool, is_renamed: bool) -> None:
    """Whether `actor` may change or delete a permission.

    Raises:
        NotAllowedError: only a superadmin renames, for a new name gives every holder something new.
        KeptError: the services ask for built-in permissions by name.
    """
    if is_built_in:
        raise KeptError(
            f"the permission {name} is built in: its name cannot be changed and it cannot be deleted"
        )
    if is_renamed and not actor.is_superadmin:
        raise NotAllowedError("only a superadmin may rename a permission")


def check_superadmin_remains(*, is_superadmin_before: bool, is_superadmin_after: bool, others: int) -> None:
    """Whether somebody can still administer the site; `others` counts the other active superadmins.

    Raises:
        KeptError: nobody could.
    """
    if is_superadmin_before and not is_superadmin_after and others == 0:
        raise KeptError("this is the last active superadmin")
