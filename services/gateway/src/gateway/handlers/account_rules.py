"""Shared by the use cases of users, roles and permissions: loading what a request names, and mapping rule errors."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.access import NotAllowedError, ProtectedError, UserAccess
from gateway.domain.accounts import Permission, Role, User
from gateway.domain.names import name_key, name_skeleton
from gateway.domain.passwords import PasswordRules
from gateway.store import roles, users
from kit.auth import Principal
from kit.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, Unauthenticated

# Without it two superadmins who delete each other at the same time would both find one other superadmin.
SUPERADMIN_LOCK = "gateway.superadmins"


@contextmanager
def map_rule_errors(name_taken: str = "") -> Iterator[None]:
    """Turn the errors of the domain's rules, and of a unique name, into errors with an HTTP status.

    `name_taken` is the detail for a name that another row has.

    Raises:
        Forbidden: the caller has too few permissions.
        Conflict: the account must stay as it is, or the name is taken.
    """
    try:
        yield
    except NotAllowedError as error:
        raise Forbidden(_sentence(error), code="above_your_own") from None
    except ProtectedError as error:
        raise Conflict(_sentence(error), code="kept") from None
    except IntegrityError:
        raise Conflict(
            name_taken or "Another request changed this at the same time: read it again and repeat.",
            code="name_taken" if name_taken else None,
        ) from None


def check_password(password: str, username: str, rules: PasswordRules, *, field: str = "password") -> None:
    """Check a password that is to be set for that user.

    Raises:
        Invalid: it is too short, too long or too easy to guess.
    """
    try:
        rules.check(password, username)
    except ValueError as error:
        raise Invalid(f"A password {error}.", errors=(FieldError(field, str(error)),)) from None


async def refuse_lookalike(
    session: AsyncSession, username: str, *, except_user_id: int | None = None
) -> None:
    """Check the name of a user that is created or renamed.

    Raises:
        Conflict: letters of another script make it look like the name of another user.
    """
    skeleton = name_skeleton(username)
    if skeleton == name_key(username):
        return
    found = await users.find_credentials(session, skeleton)
    if found is not None and found[0].user_id != except_user_id:
        raise Conflict(
            f"The name looks like {found[0].username} and has letters of another script.",
            code="name_taken",
            errors=(FieldError("username", "looks like the name of another user"),),
        )


async def current_access(session: AsyncSession, caller: Principal) -> UserAccess:
    """What the caller may do at this moment: their roles may have changed since their token was issued.

    Raises:
        Unauthenticated: the caller was deleted or disabled since then.
    """
    user = await users.find_user(session, caller.user_id)
    if user is None or not user.is_active:
        raise Unauthenticated("This user has been disabled.", code="token_revoked")
    return await access_of_user(session, user)


async def access_of_user(session: AsyncSession, user: User) -> UserAccess:
    """What that user may do while active."""
    return UserAccess(user.user_id, await users.permissions_of(session, user), user.is_superadmin)


async def load_roles(session: AsyncSession, role_ids: Collection[int]) -> list[Role]:
    """The roles with those ids.

    Raises:
        Invalid: naming each id that no role has.
    """
    found = await roles.find_roles(session, role_ids)
    _refuse_unknown(role_ids, found, "role_ids", "role")
    return list(found.values())


async def load_permissions(session: AsyncSession, permission_ids: Collection[int]) -> list[Permission]:
    """The permissions with those ids.

    Raises:
        Invalid: naming each id that no permission has.
    """
    found = await roles.find_permissions(session, permission_ids)
    _refuse_unknown(permission_ids, found, "permission_ids", "permission")
    return list(found.values())


async def load_role(session: AsyncSession, role_id: int) -> Role:
    """One role.

    Raises:
        NotFound: there is none with that id.
    """
    found = await roles.find_roles(session, [role_id])
    if role_id not in found:
        raise NotFound(f"There is no role {role_id}.")
    return found[role_id]


async def load_permission(session: AsyncSession, permission_id: int) -> Permission:
    """One permission.

    Raises:
        NotFound: there is none with that id.
    """
    found = await roles.find_permissions(session, [permission_id])
    if permission_id not in found:
        raise NotFound(f"There is no permission {permission_id}.")
    return found[permission_id]


async def load_user(session: AsyncSession, user_id: int, *, for_update: bool = False) -> User:
    """One user.

    Raises:
        NotFound: there is none with that id.
    """
    user = await users.find_user(session, user_id, for_update=for_update)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user


def _refuse_unknown(asked: Collection[int], found: Collection[int], field: str, kind: str) -> None:
    errors = [
        FieldError(f"{field}.{position}", f"there is no {kind} {one}")
        for position, one in enumerate(asked)
        if one not in found
    ]
    if errors:
        unknown = ", ".join(sorted({str(one) for one in asked if one not in found}))
        raise Invalid(f"There is no {kind} {unknown}.", code=f"unknown_{kind}", errors=errors)


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
