"""One device on the live page: closing its connections, its raw frames, and what each role is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.serving import Fleet, FleetDevice, running
from e2e.watching import Watch
from portcast import ApiKey

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)<script>"
KNOWN: dict[str, dict[str, str]] = {"boiler-1": {}}
MOST = 200
"""Frames that the page shows."""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Fleet]:
    """An app with devices, under a prefix."""
    with running(Fleet(tmp_path / "uvicorn.log", KNOWN)) as serve:
        yield serve


@pytest.fixture
def boiler(serve: Fleet) -> Iterator[FleetDevice]:
    """The device, connected."""
    with closing(serve.connect("boiler-1")) as device:
        yield device


@pytest.fixture
def device_page(page: Page, serve: Fleet) -> Page:
    """The page, showing the device."""
    page.goto(f"{serve.url}#devices/boiler-1")
    expect(page.locator("#device-id")).to_have_text("boiler-1")
    return page


def _record(page: Page) -> None:
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.locator("#record-state")).to_have_text(re.compile(r"^It is recorded until \d\d:\d\d:\d\d\.$"))


def test_a_connection_is_closed_after_a_question(device_page: Page, boiler: FleetDevice) -> None:
    """By keyboard alone; Escape keeps it, and leads nowhere else."""
    close = device_page.get_by_role("button", name="Close the connection from")
    close.focus()
    device_page.keyboard.press("Enter")
    question = device_page.get_by_role("alertdialog", name="Close the connection from")
    expect(question.get_by_role("button", name="Keep it")).to_be_focused()
    device_page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(close).to_be_focused()
    expect(device_page.locator("#device")).to_be_visible()
    boiler.say(still="here")
    expect(device_page.locator("#connections .hint")).to_contain_text("2 frames")
    device_page.keyboard.press("Enter")
    device_page.keyboard.press("Tab")
    device_page.keyboard.press("Enter")
    assert boiler.is_closed()
    expect(device_page.locator("#connections-hint")).to_have_text("It has none now.")
    expect(device_page.locator("#connections-title")).to_be_focused()
    expect(device_page.locator("#device-status")).to_have_text("offline")


def test_frames_are_shown_as_they_come_and_saved(device_page: Page, boiler: FleetDevice) -> None:
    """In both directions, as bytes and as text; what is hidden is said to be; a reload shows what is kept."""
    _record(device_page)
    expect(device_page.get_by_role("button", name="End recording")).to_be_focused()
    boiler.say(said=HOSTILE)
    boiler.say(patient="Smith")
    rows = device_page.locator("#frames tr")
    shown = device_page.locator("#frames .text")
    expect(shown.nth(1)).to_contain_text("7b 22 69 64 22 3a 20 22 62 6f 69 6c")
    expect(shown.nth(1)).to_contain_text(HOSTILE)
    expect(shown.nth(0)).to_have_text("Redaction hides it: only its size is kept.")
    expect(rows.nth(0).locator(".offset")).to_have_text(re.compile(r"^\d+ B$"))
    device_page.get_by_label("Command", exact=True).fill("reboot")
    device_page.keyboard.press("Enter")
    number = boiler.asked()["n"]
    expect(rows.nth(0).locator(".frame-kind")).to_contain_text("out")
    device_page.set_viewport_size({"width": 360, "height": 740})
    shown.nth(0).click()
    assert device_page.locator("#device").evaluate("one => one.scrollWidth <= one.clientWidth")
    expect(shown.nth(0)).to_contain_text('0000  7b 22 61 73 6b 22 3a 20  {"ask":')
    device_page.get_by_role("button", name="End recording").click()
    expect(device_page.get_by_role("button", name="Record", exact=True)).to_be_focused()
    boiler.say(re=number)
    expect(device_page.locator("#commands .command-state")).to_have_text("answered")
    device_page.reload()
    expect(rows).to_have_count(3)
    with device_page.expect_download() as download:
        device_page.get_by_role("button", name="Save as a file").click()
    assert download.value.suggested_filename == "frames-boiler-1.jsonl"
    frames = [json.loads(line) for line in download.value.path().read_text("utf-8").splitlines()]
    assert [(one["kind"], one["is_redacted"]) for one in frames] == [("in", False), ("in", True), ("out", False)]
    assert device_page.locator("#device img, #device script").count() == 0


def test_a_reconnection_is_seen_with_its_login(device_page: Page, serve: Fleet) -> None:
    """Recording may begin while the device is away."""
    device_page.get_by_role("button", name="Record", exact=True).click()
    expect(device_page.locator("#record-state")).to_contain_text("It is away: its frames come when it is back")
    with closing(serve.connect("boiler-1", hello=1)):
        expect(device_page.locator("#frames .text")).to_contain_text(['"hello": 1', "127.0.0.1:"])
    expect(device_page.locator("#frames .frame-kind")).to_contain_text(["closed", "in", "opened"])


def test_the_page_keeps_the_newest_frames_only(device_page: Page, boiler: FleetDevice) -> None:
    """However many come."""
    _record(device_page)
    for turn in range(MOST + 15):
        boiler.say(turn=f"number {turn}")
    expect(device_page.locator("#frames .text").first).to_contain_text(f"number {MOST + 14}")
    expect(device_page.locator("#frames tr")).to_have_count(MOST)
    expect(device_page.locator("#frames-count")).to_have_text(re.compile(f"^The newest {MOST} of {MOST + 15} "))


def _key(role: str) -> ApiKey:
    return ApiKey(f"sha256:{sha256(role.encode()).hexdigest()}", role=role)  # type: ignore[arg-type] # a role's name


def test_a_reader_sees_nothing_to_press(context: BrowserContext, tmp_path: Path) -> None:
    """And why; an operator who logs in afterwards does."""
    serve = Fleet(tmp_path / "uvicorn.log", KNOWN, {role: _key(role) for role in ("reader", "operator")})
    serve.start()
    with ExitStack() as stack:
        stack.callback(serve.stop)
        stack.enter_context(closing(serve.connect("boiler-1")))
        page = context.new_page()
        watch = Watch(serve.url)
        page.goto(f"{serve.url}#devices/boiler-1")
        page.get_by_label("API key or token").fill("reader")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#device-status")).to_have_text("online")
        watch.follow(page)
        expect(page.locator("#device-role")).to_contain_text("Your role, reader, may look.")
        expect(page.locator("#connections li")).to_have_count(1)
        assert page.locator("#device .needs-operator:visible").count() == 0
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("API key or token").fill("operator")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("button", name="Close the connection from")).to_be_visible()
        _record(page)
        expect(page.locator("#device-role")).to_be_hidden()
        assert page.evaluate("window.violations") == []
