"""Who may change which account: nobody can grant or revoke permissions that they do not have themselves."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.domain.accounts import Role

# Their order decides their ids in a new database: the documented examples call the first three 1, 2 and 3.
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
    ("reset_passwords", "Set the passwords of users who are allowed less (help desk)"),
)


class NotAllowedError(Exception):
    """The actor has too few permissions for the change; the text is a sentence for the caller."""


class ProtectedError(Exception):
    """Nobody may make this change, since the site could not be administered after it; a sentence for the caller."""


@dataclass(frozen=True, slots=True)
class UserAccess:
    """What a user may do at this moment, read from the store and not from a token."""

    user_id: int
    permissions: frozenset[str]
    is_superadmin: bool

    def covers(self, permissions: Collection[str], *, is_superadmin: bool = False) -> bool:
        """Whether this user may do all of that (`is_superadmin`: everything)."""
        return self.is_superadmin or (not is_superadmin and self.permissions.issuperset(permissions))


def check_grants_roles(actor: UserAccess, roles: Collection[Role]) -> None:
    """Check that `actor` may give those roles to a user.

    Raises:
        NotAllowedError: a role has a permission that the actor does not have.
    """
    for role in roles:
        if not actor.covers(role.permission_names, is_superadmin=role.is_superadmin):
            missing = ", ".join(sorted(role.permission_names - actor.permissions)) or "everything"
            raise NotAllowedError(f"the role {role.name} allows what you may not do yourself: {missing}")


def check_changes_user(actor: UserAccess, target: UserAccess) -> None:
    """Check that `actor` may change or delete that user: setting a new password is a way to act as that user.

    Raises:
        NotAllowedError: the user has a permission that the actor does not have.
    """
    if not actor.covers(target.permissions, is_superadmin=target.is_superadmin):
        raise NotAllowedError("this user is allowed more than you are")


def check_resets_password(actor: UserAccess, target: UserAccess) -> None:
    """Check that `actor`, at a help desk, may set that user's password, which is a way to act as that user.

    Raises:
        NotAllowedError: the user is allowed as much as the actor or more, or is the actor.
    """
    is_below = actor.covers(target.permissions, is_superadmin=target.is_superadmin) and not target.covers(
        actor.permissions, is_superadmin=actor.is_superadmin
    )
    if not is_below:
        raise NotAllowedError("you may set the passwords of users who are allowed less than you only")


def check_grants_permissions(actor: UserAccess, permissions: Collection[str]) -> None:
    """Check that `actor` may put those permissions into a role.

    Raises:
        NotAllowedError: the actor does not have one of them.
    """
    missing = sorted(set(permissions) - actor.permissions)
    if missing and not actor.is_superadmin:
        raise NotAllowedError(f"you cannot grant what you may not do yourself: {', '.join(missing)}")


def check_changes_role(actor: UserAccess, role: Role) -> None:
    """Check that `actor` may change or delete that role.

    Raises:
        NotAllowedError: the role has a permission that the actor does not have.
        ProtectedError: it is the built-in superadmin role.
    """
    if role.is_superadmin:
        raise ProtectedError("the superadmin role is built in: it cannot be changed or deleted")
    if not actor.covers(role.permission_names):
        raise NotAllowedError(f"the role {role.name} allows more than you may do")


def check_changes_permission(actor: UserAccess, name: str, *, is_built_in: bool, is_renamed: bool) -> None:
    """Check that `actor` may change or delete a permission.

    Raises:
        NotAllowedError: only a superadmin renames, since a new name gives every holder another permission.
        ProtectedError: it is built in, and the services check it by this name.
    """
    if is_built_in:
        raise ProtectedError(
            f"the permission {name} is built in: its name cannot be changed and it cannot be deleted"
        )
    if is_renamed and not actor.is_superadmin:
        raise NotAllowedError("only a superadmin may rename a permission")


def check_superadmin_remains(*, is_superadmin_before: bool, is_superadmin_after: bool, others: int) -> None:
    """Check that somebody can still administer the site; `others` counts the other active superadmins.

    Raises:
        ProtectedError: the user is the last active superadmin.
    """
    if is_superadmin_before and not is_superadmin_after and others == 0:
        raise ProtectedError("this is the last active superadmin")
