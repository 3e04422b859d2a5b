"""What the use cases of users, roles and permissions have in common: who acts, and how rules refuse."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.domain.access import KeptError, NotAllowedError, Standing
from gateway.store import roles, users
from gateway.store.roles import Permission, Role
from kit.auth import Principal
from kit.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, Unauthenticated

# Two superadmins who remove each other at once would both find that one remains.
SUPERADMIN_LOCK = "gateway.superadmins"


async def standing_of(session: AsyncSession, caller: Principal) -> Standing:
    """What the caller may do at this moment: their token may be older than a change of their roles.

    Raises:
        Unauthenticated: they were deleted or disabled meanwhile.
    """
    standing = await users.standing_of(session, caller.user_id)
    if standing is None:
        raise Unauthenticated("This user has been disabled.", code="token_revoked")
    return standing


@contextmanager
def refusals(taken: str = "") -> Iterator[None]:
    """Turn a rule's refusal, and a name that is `taken`, into what callers are told.

    Raises:
        Forbidden: it is above the caller.
        Conflict: the site needs it as it is, or the name is taken.
    """
    try:
        yield
    except NotAllowedError as error:
        raise Forbidden(_sentence(error), code="above_your_own") from None
    except KeptError as error:
        raise Conflict(_sentence(error), code="kept") from None
    except IntegrityError:
        raise Conflict(taken or "This changed meanwhile.", code="name_taken" if taken else None) from None


async def load_roles(session: AsyncSession, role_ids: Collection[int]) -> list[Role]:
    """The roles with those ids.

    Raises:
        Invalid: naming each id that is no role's.
    """
    found = await roles.find_roles(session, role_ids)
    _refuse_unknown(role_ids, found, "role_ids", "role")
    return list(found.values())


async def load_permissions(session: AsyncSession, permission_ids: Collection[int]) -> list[Permission]:
    """The permissions with those ids.

    Raises:
        Invalid: naming each id that is no permission's.
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


async def load_user(session: AsyncSession, user_id: int, *, for_update: bool = False) -> users.User:
    """One user.

    Raises:
        NotFound: there is none with that id.
    """
    user = await users.find_user(session, user_id, for_update=for_update)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user


async def standing_of_user(session: AsyncSession, user: users.User) -> Standing:
    """What that user may do, were they active."""
    return Standing(user.user_id, await users.permissions_of(session, user), user.is_superadmin)


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
