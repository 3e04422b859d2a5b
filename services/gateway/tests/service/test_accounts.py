import asyncio

import pytest
from sqlalchemy import select, text

from gateway.store.tables import user_roles
from testkit import eventually

from .conftest import EXAMPLE_PASSWORD

pytestmark = pytest.mark.integration

ROOT_PASSWORD = "a good long password"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def gateway(gateways, any_database):
    return await gateways.start(any_database)


async def test_the_documented_example_works(gateway, root):
    role = await gateway.client.post(
        "/roles", headers=root, json={"name": "admin", "permission_ids": [1, 2, 3]}
    )
    assert role.status_code == 201
    assert [one["name"] for one in role.json()["permissions"]] == [
        "manage_users",
        "manage_roles",
        "manage_permissions",
    ]
    user = await gateway.client.post(
        "/users",
        headers=root,
        json={"username": "alice", "password": "five small boats", "role_ids": [role.json()["id"]]},
    )
    assert user.status_code == 201
    assert "password" not in user.text
    token = (await gateway.sign_in("alice", "five small boats"))["access_token"]
    caller = (await gateway.client.get("/api/v1/auth/me", headers=bearer(token))).json()
    assert caller["roles"] == ["admin"]
    assert caller["permissions"] == ["manage_permissions", "manage_roles", "manage_users"]


async def test_the_built_in_rows_exist_once(gateway, root, gateways):
    permissions = (await gateway.client.get("/api/v1/permissions", headers=root)).json()
    assert [one["id"] for one in permissions["items"]] == list(range(1, 11))
    assert permissions["total"] == 10
    assert all(one["is_built_in"] for one in permissions["items"])
    users = (await gateway.client.get("/users", headers=root)).json()
    assert [(one["id"], one["username"], one["roles"][0]["name"]) for one in users["items"]] == [
        (1, "superadmin", "superadmin")
    ]


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
async def test_a_user_is_created_changed_and_deleted(gateway, root, prefix):
    client = gateway.client
    made = (
        await client.post(
            f"{prefix}/users", headers=root, json={"username": "bob", "password": "five small boats"}
        )
    ).json()
    path = f"{prefix}/users/{made['id']}"
    assert (await client.get(path, headers=root)).json() == made
    changed = await client.patch(path, headers=root, json={"username": "robert"})
    assert (changed.json()["username"], changed.json()["is_active"]) == ("robert", True)
    replaced = await client.put(
        path, headers=root, json={"username": "rob", "role_ids": [1], "is_active": False}
    )
    assert (replaced.json()["username"], replaced.json()["is_active"]) == ("rob", False)
    assert [role["name"] for role in replaced.json()["roles"]] == ["superadmin"]
    older = (await client.put(path, headers=root, json={"username": "bobby"})).json()
    assert (older["username"], older["is_active"], len(older["roles"])) == ("bobby", False, 1)
    assert (await client.delete(path, headers=root)).status_code == 204
    assert (await client.get(path, headers=root)).status_code == 404
    assert (await client.delete(path, headers=root)).status_code == 404


async def test_a_role_is_created_changed_and_deleted(gateway, root):
    client = gateway.client
    made = (await client.post("/roles", headers=root, json={"name": "clerk", "permission_ids": [6]})).json()
    path = f"/roles/{made['id']}"
    changed = (await client.patch(path, headers=root, json={"permission_ids": [7]})).json()
    assert (changed["name"], [one["id"] for one in changed["permissions"]]) == ("clerk", [7])
    replaced = (await client.put(path, headers=root, json={"name": "guard"})).json()
    assert (replaced["name"], replaced["permissions"]) == ("guard", [])
    assert (await client.delete(path, headers=root)).status_code == 204
    assert (await client.get(path, headers=root)).status_code == 404


async def test_a_permission_is_created_changed_and_deleted(gateway, root):
    client = gateway.client
    made = (
        await client.post(
            "/permissions", headers=root, json={"name": "gates:open", "description": "Open gates"}
        )
    ).json()
    path = f"/permissions/{made['id']}"
    changed = (await client.patch(path, headers=root, json={"name": "gates:operate"})).json()
    assert (changed["name"], changed["description"]) == ("gates:operate", "Open gates")
    assert (await client.put(path, headers=root, json={"name": "gates:x"})).json()["description"] == ""
    assert (await client.delete(path, headers=root)).status_code == 204
    assert (await client.get(path, headers=root)).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/users", {"username": "SUPERADMIN", "password": "five small boats"}, "name_taken"),
        ("/roles", {"name": "SuperAdmin"}, "name_taken"),
        ("/roles", {"name": "\uff53uperadmin"}, "name_taken"),
        ("/permissions", {"name": "tickets:read"}, "name_taken"),
    ],
)
async def test_a_name_is_unique_whatever_its_case_or_form(gateway, root, path, body, code):
    answer = await gateway.client.post(path, headers=root, json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, code)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/users", {"username": "", "password": "five small boats"}, "username"),
        ("/users", {"username": " a", "password": "five small boats"}, "username"),
        ("/users", {"username": "a\u200bb", "password": "five small boats"}, "username"),
        ("/users", {"username": "x" * 65, "password": "five small boats"}, "username"),
        ("/users", {"username": "a", "password": "short"}, "password"),
        ("/users", {"username": "a", "password": "x" * 257}, "password"),
        ("/users", {"username": "a"}, "password"),
        ("/users", {"username": "a", "password": "five small boats", "role_ids": [1, 99, 98]}, "role_ids.1"),
        ("/users", {"username": "a", "password": "five small boats", "role_ids": [2**70]}, "role_ids.0"),
        ("/users", {"username": "a", "password": "five small boats", "is_superadmin": True}, "is_superadmin"),
        ("/roles", {"name": "a", "permission_ids": [1, 99]}, "permission_ids.1"),
        ("/permissions", {"name": "With Space"}, "name"),
    ],
)
async def test_the_invalid_field_is_named(gateway, root, path, body, field):
    answer = await gateway.client.post(path, headers=root, json=body)
    assert answer.status_code == 422, answer.text
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_unknown_roles_are_named_by_id(gateway, root):
    answer = await gateway.client.post(
        "/users", headers=root, json={"username": "a", "password": "five small boats", "role_ids": [1, 99]}
    )
    assert answer.json()["errors"] == [{"field": "role_ids.1", "reason": "there is no role 99"}]


async def test_lists_are_paginated(gateway, root):
    for number in range(5):
        answer = await gateway.client.post("/roles", headers=root, json={"name": f"role {number}"})
        assert answer.status_code == 201
    first = (await gateway.client.get("/roles?page=1&page_size=4", headers=root)).json()
    second = (await gateway.client.get("/roles?page=2&page_size=4", headers=root)).json()
    assert (first["total"], len(first["items"]), len(second["items"])) == (6, 4, 2)
    by_cursor = await gateway.client.get(f"/roles?page_size=4&cursor={first['next_cursor']}", headers=root)
    assert by_cursor.json()["items"] == second["items"]
    assert second["next_cursor"] is None
    assert (await gateway.client.get("/roles?cursor=nonsense", headers=root)).status_code == 422


@pytest.mark.parametrize(
    ("path", "permission"),
    [("/users", "manage_users"), ("/roles", "manage_roles"), ("/permissions", "manage_permissions")],
)
async def test_each_resource_requires_its_permission(gateway, root, path, permission):
    assert (await gateway.client.get(path)).status_code == 401
    everything_else = {"manage_users", "manage_roles", "manage_permissions", "site:write"} - {permission}
    _, _, without = await gateway.user_with(root, "without", *everything_else)
    _, _, holder = await gateway.user_with(root, "holder", permission)
    for method, target in (("GET", path), ("GET", f"{path}/1"), ("DELETE", f"{path}/99")):
        refused = await gateway.client.request(method, target, headers=without)
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_missing")
        assert (await gateway.client.request(method, target, headers=holder)).status_code in {200, 404}
    for method, target in (("POST", path), ("PUT", f"{path}/1"), ("PATCH", f"{path}/1")):
        assert (await gateway.client.request(method, target, headers=without, json={})).status_code == 403


async def test_nobody_can_extend_their_own_permissions(gateway, root):
    """Every way in which a user with all three management permissions could try to get more permissions."""
    client = gateway.client
    clerk_id, clerk_role, clerk = await gateway.user_with(
        root, "clerk", "manage_users", "manage_roles", "manage_permissions"
    )
    (tickets_write,) = await gateway.permission_ids(root, "tickets:write")
    writer_id, writer_role, _ = await gateway.user_with(root, "writer", "tickets:write")
    tries = [
        ("POST", "/roles", {"name": "mine", "permission_ids": [tickets_write]}),
        ("PATCH", f"/roles/{clerk_role}", {"permission_ids": [1, 2, 3, tickets_write]}),
        ("PUT", f"/roles/{clerk_role}", {"name": "x", "permission_ids": [tickets_write]}),
        ("PATCH", f"/roles/{writer_role}", {"name": "not yours"}),
        ("DELETE", f"/roles/{writer_role}", None),
        ("POST", "/users", {"username": "puppet", "password": "five small boats", "role_ids": [1]}),
        ("POST", "/users", {"username": "puppet", "password": "five small boats", "role_ids": [writer_role]}),
        ("PATCH", f"/users/{clerk_id}", {"role_ids": [clerk_role, 1]}),
        ("PATCH", f"/users/{clerk_id}", {"role_ids": [clerk_role, writer_role]}),
        ("PATCH", "/users/1", {"password": "taken over"}),
        ("PATCH", "/users/1", {"username": "taken over"}),
        ("PATCH", "/users/1", {"is_active": False}),
        ("PUT", "/users/1", {"username": "superadmin", "role_ids": []}),
        ("DELETE", "/users/1", None),
        ("PATCH", f"/users/{writer_id}", {"password": "taken over"}),
        ("DELETE", f"/users/{writer_id}", None),
    ]
    for method, path, body in tries:
        answer = await client.request(method, path, headers=clerk, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "above_your_own"), (method, path, body)
    made = await client.post("/permissions", headers=clerk, json={"name": "future:power"})
    rename = await client.patch(
        f"/permissions/{made.json()['id']}", headers=clerk, json={"name": "alerts:write"}
    )
    assert rename.status_code == 403
    grant = await client.post(
        "/roles", headers=clerk, json={"name": "x", "permission_ids": [made.json()["id"]]}
    )
    assert grant.status_code == 403
    allowed = await client.post("/roles", headers=clerk, json={"name": "helper", "permission_ids": [1]})
    assert allowed.status_code == 201
    puppet = {
        "username": "helper",
        "password": "five small boats",
        "role_ids": [allowed.json()["id"], clerk_role],
    }
    assert (await client.post("/users", headers=clerk, json=puppet)).status_code == 201


async def test_a_role_that_a_user_already_has_does_not_block_other_changes(gateway, root):
    user_id, role_id, _ = await gateway.user_with(root, "alice", "tickets:read")
    _, _, clerk = await gateway.user_with(root, "clerk", "manage_users", "tickets:read")
    answer = await gateway.client.patch(f"/users/{user_id}", headers=clerk, json={"role_ids": [role_id]})
    assert answer.status_code == 200


async def test_protected_accounts_cannot_be_changed(gateway, root):
    tries = [
        ("DELETE", "/users/1", None),
        ("PATCH", "/users/1", {"is_active": False}),
        ("PATCH", "/users/1", {"role_ids": []}),
        ("DELETE", "/roles/1", None),
        ("PATCH", "/roles/1", {"name": "mere admin"}),
        ("PUT", "/roles/1", {"name": "superadmin", "permission_ids": []}),
        ("DELETE", "/permissions/1", None),
        ("PATCH", "/permissions/1", {"name": "manage_nothing"}),
    ]
    for method, path, body in tries:
        answer = await gateway.client.request(method, path, headers=root, json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "kept"), (method, path, body)


async def test_one_of_two_superadmins_can_be_removed(gateway, root):
    second = {"username": "second", "password": "five small boats", "role_ids": [1]}
    assert (await gateway.client.post("/users", headers=root, json=second)).status_code == 201
    headers = await gateway.headers("second", "five small boats")
    assert (await gateway.client.delete("/users/1", headers=headers)).status_code == 204
    assert (await gateway.client.delete("/users/2", headers=headers)).status_code == 409
    assert (await gateway.client.get("/users", headers=root)).status_code == 401


async def test_two_superadmins_who_delete_each_other_leave_one(gateways, postgres_url):
    """A lock holds both deletions after they counted the superadmins: one of them must count again."""
    gateway = await gateways.start(postgres_url)
    root = await gateway.headers()
    second = {"username": "second", "password": "five small boats", "role_ids": [1]}
    await gateway.client.post("/users", headers=root, json=second)
    headers = await gateway.headers("second", "five small boats")
    db = gateway.service.resources[0]

    async def are_both_waiting():
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        async with db.reading() as session:
            return await session.scalar(waiting) == 2

    async with db.transaction() as session:
        await session.execute(select(user_roles).with_for_update())
        removals = [
            asyncio.create_task(gateway.client.delete("/users/1", headers=headers)),
            asyncio.create_task(gateway.client.delete("/users/2", headers=root)),
        ]
        await eventually(are_both_waiting)
    answers = await asyncio.gather(*removals)
    assert sorted(answer.status_code for answer in answers) in ([204, 401], [204, 409])


async def test_two_concurrent_users_of_one_name_leave_one(gateway, root):
    body = {"username": "twin", "password": "five small boats"}
    answers = await asyncio.gather(
        *(gateway.client.post("/users", headers=root, json=body) for _ in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def signed_in(gateway, tokens):
    me = await gateway.client.get("/api/v1/auth/me", headers=bearer(tokens["access_token"]))
    refreshed = await gateway.client.post(
        "/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]}
    )
    return me.status_code, refreshed.status_code


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"password": "another secret"}, (401, 401)),
        ({"is_active": False}, (401, 401)),
        ({"role_ids": []}, (401, 200)),
        ({"username": "alicia"}, (200, 200)),
    ],
)
async def test_which_tokens_a_change_of_the_user_revokes(gateway, root, change, left):
    user_id, _, _ = await gateway.user_with(root, "alice", "tickets:read")
    tokens = await gateway.sign_in("alice", "five small boats")
    answer = await gateway.client.patch(f"/users/{user_id}", headers=root, json=change)
    assert answer.status_code == 200
    assert await signed_in(gateway, tokens) == left


async def test_deleting_a_user_revokes_their_tokens(gateway, root):
    user_id, _, _ = await gateway.user_with(root, "alice")
    tokens = await gateway.sign_in("alice", "five small boats")
    await gateway.client.delete(f"/users/{user_id}", headers=root)
    assert await signed_in(gateway, tokens) == (401, 401)


async def test_removing_a_permission_from_a_role_revokes_access_tokens(gateway, root):
    _, role_id, headers = await gateway.user_with(root, "alice", "manage_users")
    tokens = await gateway.sign_in("alice", "five small boats")
    assert (await gateway.client.get("/users", headers=headers)).status_code == 200
    await gateway.client.patch(f"/roles/{role_id}", headers=root, json={"permission_ids": []})
    assert (await gateway.client.get("/users", headers=headers)).status_code == 401
    fresh = await gateway.client.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    with_less = bearer(fresh.json()["access_token"])
    assert (await gateway.client.get("/users", headers=with_less)).status_code == 403


@pytest.mark.parametrize("path", ["/users/0", "/users/-1", "/users/x", f"/users/{2**63}"])
async def test_impossible_ids_are_refused(gateway, root, path):
    assert (await gateway.client.get(path, headers=root)).status_code == 422


@pytest.mark.parametrize(
    "password", ["123456", "password1", "qwertyuiop", "secret", "attacker", "Attacker1", "attacker2026"]
)
async def test_a_password_that_is_easy_to_guess_is_refused(gateway, root, password):
    body = {"username": "attacker", "password": password}
    answer = await gateway.client.post("/users", headers=root, json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "password"
    assert "too easy to guess" in answer.json()["errors"][0]["reason"]
    assert password not in answer.text


async def test_a_new_name_counts_when_a_password_is_changed_with_it(gateway, root):
    user_id, _, _ = await gateway.user_with(root, "alice")
    change = {"username": "harbourmaster", "password": "harbourmaster"}
    assert (await gateway.client.patch(f"/users/{user_id}", headers=root, json=change)).status_code == 422


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("super\u0430dmin", 422),  # a Cyrillic letter in a Latin word
        ("\u0440\u0430\u0443\u0440\u0430l", 422),
        ("\u0440\u0435\u0442\u0435\u0440", 201),  # wholly Cyrillic, and looks like no user: pemep
        ("\u0440\u0435\u0441\u0435\u0440", 409),  # looks like pecep
        ("\u0438\u0432\u0430\u043d", 201),  # Ivan, in Cyrillic
        ("\u0645\u062d\u0645\u062f", 201),
        ("\u5f20 Wei", 201),
    ],
)
async def test_a_name_that_looks_like_another_is_refused(gateway, root, name, status):
    existing = {"username": "pecep", "password": "five small boats"}
    assert (await gateway.client.post("/users", headers=root, json=existing)).status_code == 201
    body = {"username": name, "password": "five small boats"}
    answer = await gateway.client.post("/users", headers=root, json=body)
    assert answer.status_code == status, answer.text


async def test_a_user_changes_their_own_password(gateway, root):
    _, _, headers = await gateway.user_with(root, "alice")
    other_session = await gateway.headers("alice", EXAMPLE_PASSWORD)
    path = "/api/v1/auth/password"

    async def change(current, new, with_headers=headers):
        body = {"current_password": current, "new_password": new}
        return await gateway.client.post(path, headers=with_headers, json=body)

    assert (await change(EXAMPLE_PASSWORD, "six large boats", {})).status_code == 401
    wrong = await change("wrong", "six large boats")
    assert (wrong.status_code, wrong.json()["code"]) == (403, "password_wrong")
    easy = await change(EXAMPLE_PASSWORD, "alice1")
    assert (easy.status_code, easy.json()["errors"][0]["field"]) == (422, "new_password")
    assert (await change(EXAMPLE_PASSWORD, "six large boats")).status_code == 204
    for ended in (headers, other_session):
        assert (await gateway.client.get("/api/v1/auth/me", headers=ended)).status_code == 401
    await gateway.sign_in("alice", "six large boats")


async def test_guessing_the_own_password_is_limited(gateway, root):
    _, _, headers = await gateway.user_with(root, "alice")
    body = {"current_password": "wrong", "new_password": "six large boats"}
    codes = [
        (await gateway.client.post("/api/v1/auth/password", headers=headers, json=body)).status_code
        for _ in range(11)
    ]
    assert codes == [403] * 10 + [429]


async def test_a_help_desk_resets_the_passwords_of_those_below(gateway, root):
    client, new = gateway.client, {"password": "six large boats"}
    clerk_id, _, clerk = await gateway.user_with(root, "clerk", "tickets:read")
    admin_id, _, _ = await gateway.user_with(root, "admin", "tickets:read", "manage_users")
    desk_id, _, desk = await gateway.user_with(root, "desk", "tickets:read", "reset_passwords")
    colleague_id, _, _ = await gateway.user_with(root, "colleague", "tickets:read", "reset_passwords")
    assert (await client.post(f"/users/{clerk_id}/password", headers=clerk, json=new)).status_code == 403
    for above in (admin_id, colleague_id, desk_id, 1):
        answer = await client.post(f"/users/{above}/password", headers=desk, json=new)
        assert (answer.status_code, answer.json()["code"]) == (403, "above_your_own"), above
    weak = await client.post(f"/users/{clerk_id}/password", headers=desk, json={"password": "clerk1"})
    assert weak.status_code == 422
    assert (await client.post(f"/users/{clerk_id}/password", headers=desk, json=new)).status_code == 204
    assert (await client.get("/api/v1/auth/me", headers=clerk)).status_code == 401
    await gateway.sign_in("clerk", "six large boats")
    assert (await client.get("/users", headers=desk)).status_code == 403  # nothing else of users


@pytest.mark.parametrize("path", ["users", "roles", "permissions"])
async def test_what_was_read_can_be_changed_and_put_back(gateway, root, path):
    user_id, role_id, _ = await gateway.user_with(root, "alice", "tickets:read")
    made = {"name": "gates:open", "description": "Open gates"}
    permission = (await gateway.client.post("/permissions", headers=root, json=made)).json()
    one = f"/{path}/{ {'users': user_id, 'roles': role_id, 'permissions': permission['id']}[path] }"
    read = (await gateway.client.get(one, headers=root)).json()
    name = "username" if path == "users" else "name"
    put = await gateway.client.put(one, headers=root, json={**read, name: "changed"})
    assert put.status_code == 200, put.text
    changed = {key: value for key, value in put.json().items() if key not in {name, "updated_at"}}
    assert changed == {key: value for key, value in read.items() if key not in {name, "updated_at"}}
    assert put.json()[name] == "changed"


async def test_what_a_superadmin_may_is_shown(gateway, root):
    me = (await gateway.client.get("/api/v1/auth/me", headers=root)).json()
    assert me["is_superadmin"] is True
    roles = (await gateway.client.get("/roles", headers=root)).json()["items"]
    assert [role["is_superadmin"] for role in roles] == [True]
    assert roles[0]["permissions"] == []
    every = [one["name"] for one in (await gateway.client.get("/permissions", headers=root)).json()["items"]]
    assert [one["name"] for one in roles[0]["allowed_permissions"]] == every
    assert len(every) == 10


async def test_what_a_role_allows_is_shown(gateway, root):
    _, role_id, alice = await gateway.user_with(root, "alice", "tickets:read", "site:read")
    role = (await gateway.client.get(f"/roles/{role_id}", headers=root)).json()
    assert [one["name"] for one in role["allowed_permissions"]] == ["site:read", "tickets:read"]
    own = (await gateway.client.get("/api/v1/auth/permissions", headers=alice)).json()
    assert own == [
        {"name": "site:read", "description": "See locations, zones, poles, cameras and spots"},
        {"name": "tickets:read", "description": "See tickets, occupancy and manual reviews"},
    ]
    everything = (await gateway.client.get("/api/v1/auth/permissions", headers=root)).json()
    assert len(everything) == 10


async def test_a_user_sees_the_sessions_that_a_new_password_ends(gateway, root, manual_clock):
    async def sessions(headers):
        return (await gateway.client.get("/api/v1/auth/sessions", headers=headers)).json()

    _, _, first = await gateway.user_with(root, "alice", "tickets:read")
    manual_clock.advance(60)
    second = await gateway.headers("alice", EXAMPLE_PASSWORD)
    manual_clock.advance(60)
    third = await gateway.headers("alice", EXAMPLE_PASSWORD)
    assert [one["is_current"] for one in (await sessions(first))["items"]] == [False, False, True]
    assert [one["is_current"] for one in (await sessions(third))["items"]] == [True, False, False]
    times = [one["started_at"] for one in (await sessions(third))["items"]]
    assert times == sorted(times, reverse=True)
    await gateway.client.post("/api/v1/auth/logout", headers=second)
    assert (await sessions(third))["total"] == 2
    new = "seven green boats"
    change = {"current_password": EXAMPLE_PASSWORD, "new_password": new}
    assert (await gateway.client.post("/api/v1/auth/password", headers=third, json=change)).status_code == 204
    assert (await sessions(await gateway.headers("alice", new)))["total"] == 1
    assert (await sessions(root))["total"] == 1
    assert (await gateway.client.get("/api/v1/auth/sessions")).status_code == 401
