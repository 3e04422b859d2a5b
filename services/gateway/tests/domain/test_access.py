import pytest

from gateway.domain import access
from gateway.domain.access import NotAllowedError, ProtectedError, UserAccess
from gateway.domain.accounts import Role


def role(role_id, name, *permissions):
    return Role(role_id, name, is_built_in=False, permissions=tuple(enumerate(sorted(permissions), start=1)))


ROOT = UserAccess(1, frozenset(), is_superadmin=True)
CLERK = UserAccess(2, frozenset({"manage_users", "manage_roles", "tickets:read"}), is_superadmin=False)
READER = UserAccess(3, frozenset({"tickets:read"}), is_superadmin=False)
WRITER = UserAccess(4, frozenset({"tickets:read", "tickets:write"}), is_superadmin=False)

SUPERADMIN = role(1, "superadmin")
READING = role(2, "reading", "tickets:read")
WRITING = role(3, "writing", "tickets:read", "tickets:write")
EMPTY = role(4, "empty")


@pytest.mark.parametrize(
    ("actor", "roles", "is_allowed"),
    [
        (ROOT, [SUPERADMIN, WRITING], True),
        (CLERK, [READING, EMPTY], True),
        (CLERK, [], True),
        (CLERK, [WRITING], False),
        (CLERK, [READING, WRITING], False),
        (CLERK, [SUPERADMIN], False),
    ],
)
def test_nobody_grants_a_role_with_permissions_they_do_not_have(actor, roles, is_allowed):
    assert passes(access.check_grants_roles, actor, roles) is is_allowed


@pytest.mark.parametrize(
    ("actor", "target", "is_allowed"),
    [
        (ROOT, ROOT, True),
        (ROOT, WRITER, True),
        (CLERK, READER, True),
        (CLERK, CLERK, True),
        (CLERK, WRITER, False),
        (CLERK, ROOT, False),
    ],
)
def test_nobody_changes_a_user_with_permissions_they_do_not_have(actor, target, is_allowed):
    assert passes(access.check_changes_user, actor, target) is is_allowed


@pytest.mark.parametrize(
    ("actor", "permissions", "is_allowed"),
    [
        (ROOT, {"anything", "manage_users"}, True),
        (CLERK, {"tickets:read"}, True),
        (CLERK, set(), True),
        (CLERK, {"tickets:read", "tickets:write"}, False),
        (READER, {"manage_roles"}, False),
    ],
)
def test_nobody_grants_permissions_they_do_not_have(actor, permissions, is_allowed):
    assert passes(access.check_grants_permissions, actor, permissions) is is_allowed


@pytest.mark.parametrize(
    ("actor", "role", "is_allowed"),
    [(ROOT, WRITING, True), (CLERK, READING, True), (CLERK, WRITING, False)],
)
def test_nobody_changes_a_role_with_permissions_they_do_not_have(actor, role, is_allowed):
    assert passes(access.check_changes_role, actor, role) is is_allowed


@pytest.mark.parametrize("actor", [ROOT, CLERK])
def test_a_superadmin_cannot_change_the_superadmin_role(actor):
    with pytest.raises(ProtectedError):
        access.check_changes_role(actor, SUPERADMIN)


def test_built_in_permissions_cannot_be_changed():
    with pytest.raises(ProtectedError):
        access.check_changes_permission(ROOT, "tickets:read", is_built_in=True, is_renamed=True)
    access.check_changes_permission(CLERK, "own", is_built_in=False, is_renamed=False)
    access.check_changes_permission(ROOT, "own", is_built_in=False, is_renamed=True)
    with pytest.raises(NotAllowedError):
        access.check_changes_permission(CLERK, "own", is_built_in=False, is_renamed=True)


@pytest.mark.parametrize(
    ("before", "after", "others", "is_allowed"),
    [
        (True, False, 0, False),
        (True, False, 1, True),
        (True, True, 0, True),
        (False, False, 0, True),
        (False, True, 0, True),
    ],
)
def test_the_last_superadmin_remains(before, after, others, is_allowed):
    try:
        access.check_superadmin_remains(is_superadmin_before=before, is_superadmin_after=after, others=others)
    except ProtectedError:
        assert not is_allowed
    else:
        assert is_allowed


def test_the_management_permissions_have_the_ids_of_the_documented_examples():
    names = [name for name, _ in access.BUILT_IN_PERMISSIONS]
    assert names[:3] == ["manage_users", "manage_roles", "manage_permissions"]
    assert len(set(names)) == len(names)


def passes(check, actor, subject):
    try:
        check(actor, subject)
    except NotAllowedError:
        return False
    return True
