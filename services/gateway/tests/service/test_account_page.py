"""The page /account in a browser, used with the keyboard alone."""

import contextlib
from dataclasses import dataclass

import httpx
import pytest
from playwright.async_api import Page, async_playwright, expect

from testkit.browser import ARGUMENTS, chromium_path

from .conftest import EXAMPLE_PASSWORD, Running

pytestmark = pytest.mark.integration

NEW_PASSWORD = "seven green boats"


@dataclass
class Account:
    """The page, opened. The user alice is signed in elsewhere with `elsewhere`."""

    page: Page
    gateway: Running
    elsewhere: dict[str, str]
    faults: list[str]

    async def tab_to(self, label):
        """Press Tab until the control of that label or name has the focus."""
        control = self.page.get_by_label(label, exact=True).or_(
            self.page.get_by_role("button", name=label, exact=True)
        )
        for _ in range(20):
            if await control.evaluate("element => element === document.activeElement"):
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"the Tab key does not lead to {label}")

    async def type(self, **texts):
        for label, text in texts.items():
            await self.tab_to(LABELS[label])
            await self.page.keyboard.press("Control+A")
            await self.page.keyboard.insert_text(text)

    async def sign_in(self, password=EXAMPLE_PASSWORD):
        await self.type(user="alice", password=password)
        await self.page.keyboard.press("Enter")

    async def change(self, current, new, repeated=None):
        await self.type(current=current, new=new, repeated=new if repeated is None else repeated)
        await self.page.keyboard.press("Enter")

    def control(self, label):
        return self.page.get_by_label(LABELS[label], exact=True)

    async def works_with(self, headers):
        return (await self.gateway.client.get("/api/v1/auth/me", headers=headers)).status_code == 200


LABELS = {
    "user": "User name",
    "password": "Password",
    "current": "Present password",
    "new": "New password",
    "repeated": "New password, once more",
}


@pytest.fixture
async def account(gateway, root, serve):
    _, _, elsewhere = await gateway.user_with(root, "alice", "tickets:read")
    served, faults = await serve(gateway.service.app), []
    async with contextlib.AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=list(ARGUMENTS))
        stack.push_async_callback(browser.close)
        page = await browser.new_page(locale="en-GB", timezone_id="UTC")
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(request.url))
        # Chromium itself logs each refused request; what the page's policy blocks is logged as well.
        page.on(
            "console",
            lambda message: faults.append(message.text) if "Content Security" in message.text else None,
        )
        await page.goto(f"{served.url}/account")
        yield Account(page, gateway, elsewhere, faults)
        assert not faults


async def test_a_user_changes_their_password_with_the_keyboard(account):
    page = account.page
    await expect(account.control("user")).to_be_focused()
    await account.sign_in()
    await expect(page.get_by_text("Signed in as alice")).to_be_visible()
    await expect(account.control("current")).to_be_focused()
    await expect(page.get_by_text("This one, and 1 other session of yours")).to_be_visible()
    sessions = page.get_by_role("list", name="Sessions that end then").get_by_role("listitem")
    assert sorted(await sessions.all_inner_texts()) == [
        "Signed in on 14 Mar 2026, 08:30",
        "Signed in on 14 Mar 2026, 08:30 (this session)",
    ]
    allowed = page.get_by_role("list", name="What you may do").get_by_role("listitem")
    assert await allowed.all_inner_texts() == ["See tickets, occupancy and manual reviews (tickets:read)"]
    await account.change(EXAMPLE_PASSWORD, NEW_PASSWORD)
    status = page.get_by_role("status")
    await expect(status).to_have_text(
        "Your password is changed, and all your sessions have ended. Sign in with the new password."
    )
    await expect(status).to_be_focused()
    await expect(account.control("user")).to_have_value("alice")
    assert not await account.works_with(account.elsewhere)
    assert await account.works_with(await account.gateway.headers("alice", NEW_PASSWORD))
    await account.sign_in(NEW_PASSWORD)
    await expect(page.get_by_text("Signed in as alice")).to_be_visible()


@pytest.mark.parametrize(
    ("current", "new", "repeated", "field", "reason"),
    [
        ("wrong wrong", NEW_PASSWORD, None, "current", "Present password: is wrong."),
        (EXAMPLE_PASSWORD, "abc", None, "new", "New password: must have 6 to 256 characters."),
        (EXAMPLE_PASSWORD, "password", None, "new", "New password: is too easy to guess"),
        (EXAMPLE_PASSWORD, NEW_PASSWORD, "other", "repeated", "is not the same as the new password."),
        (EXAMPLE_PASSWORD, "", None, "new", "New password: is required."),
    ],
)
async def test_a_refusal_is_shown_beside_its_field(account, current, new, repeated, field, reason):
    await account.sign_in()
    await account.change(current, new, repeated)
    control = account.control(field)
    await expect(control).to_be_focused()
    await expect(control).to_have_attribute("aria-invalid", "true")
    described = (await control.get_attribute("aria-describedby")).split()
    error = account.page.locator(f"#{described[-1]}")
    await expect(error).to_be_visible()
    await expect(error).to_contain_text(reason)
    assert await account.works_with(account.elsewhere), "nothing was changed"
    for label in {"current", "new", "repeated"} - {field}:
        if label != "repeated" or new:
            await expect(account.control(label)).not_to_have_attribute("aria-invalid", "true")


async def test_a_wrong_sign_in_and_a_session_that_has_ended_are_explained(account):
    page = account.page
    await account.sign_in("wrong wrong")
    alert = page.locator("#sign-in-error")
    await expect(alert).to_have_text("The user name or the password is wrong.")
    assert await alert.get_attribute("role") == "alert"
    await account.sign_in()
    await expect(page.get_by_text("Signed in as alice")).to_be_visible()
    headers = await account.gateway.headers("alice", EXAMPLE_PASSWORD)
    change = {"current_password": EXAMPLE_PASSWORD, "new_password": NEW_PASSWORD}
    changed = await account.gateway.client.post("/api/v1/auth/password", headers=headers, json=change)
    assert changed.status_code == 204
    await account.change(EXAMPLE_PASSWORD, "nine yellow boats")
    await expect(page.get_by_role("status")).to_contain_text(
        "Your session has ended: The token was signed out."
    )
    await expect(account.control("user")).to_be_visible()


async def test_signing_out_ends_the_session(account):
    seen = []
    account.page.on("request", lambda request: seen.append(request.headers.get("authorization")))
    await account.sign_in()
    await expect(account.page.get_by_text("Signed in as alice")).to_be_visible()
    await account.page.keyboard.press("Shift+Tab")
    await expect(account.page.get_by_role("button", name="Sign out")).to_be_focused()
    await account.page.keyboard.press("Enter")
    await expect(account.page.get_by_role("status")).to_have_text("You are signed out.")
    tokens = {token for token in seen if token}
    assert len(tokens) == 1
    assert not await account.works_with({"Authorization": tokens.pop()})
    assert await account.works_with(account.elsewhere)


async def test_a_gateway_that_is_gone_is_explained(account):
    await account.page.context.set_offline(True)
    await account.sign_in()
    await expect(account.page.locator("#sign-in-error")).to_contain_text("Lookout cannot be reached.")
    account.faults.clear()  # the request that failed


async def test_every_control_has_a_label_and_the_page_loads_from_this_host_alone(account):
    hosts: set[str] = set()
    account.page.on("request", lambda request: hosts.add(httpx.URL(request.url).host))
    await account.page.reload()
    await account.sign_in()
    await expect(account.page.get_by_text("Signed in as alice")).to_be_visible()
    unlabelled = await account.page.evaluate(
        "[...document.querySelectorAll('input:not([hidden])')].filter(one => !one.labels.length).length"
    )
    assert unlabelled == 0
    assert hosts == {"127.0.0.1"}
