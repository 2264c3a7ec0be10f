"""The devices' view of the live page: presence, quarantine, commands with answers, and ten thousand rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from e2e.serving import Fleet, FleetDevice, Serve, running, wait_until
from e2e.watching import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)<script>"
MANY = 10_000


@pytest.fixture
def known(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    """The devices that are known from the start."""
    found: dict[str, dict[str, str]] = getattr(request, "param", {"boiler-1": {"site": "north"}, "pump-1": {}})
    return found


@pytest.fixture
def serve(tmp_path: Path, known: dict[str, dict[str, str]]) -> Iterator[Fleet]:
    """In place of the standalone gateway: an app with devices, under a prefix."""
    with running(Fleet(tmp_path / "uvicorn.log", known)) as serve:
        yield serve


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    """Closes what the test connected."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def devices(page: Page) -> Page:
    """The page, showing its devices."""
    page.get_by_role("link", name="Devices").click()
    expect(page.locator("#devices-view")).to_be_visible()
    return page


def row(page: Page, device_id: str) -> Locator:
    """A device in the list."""
    return page.locator("#device-list li").filter(
        has=page.locator("bdi", has_text=re.compile(f"^{re.escape(device_id)}$"))
    )


def select(page: Page, device_id: str) -> None:
    row(page, device_id).locator("a").click()
    expect(page.locator("#device-id")).to_have_text(device_id)


def command(page: Page, text: str) -> Locator:
    """Send one, and return where its outcome is shown."""
    page.get_by_label("Command", exact=True).fill(text)
    page.keyboard.press("Enter")
    return page.locator("#commands li").first


def fact(page: Page, name: str) -> Locator:
    return page.locator("#device-facts div").filter(has_text=name).locator("dd")


# --- presence ---------------------------------------------------------------------------------------------------------


def test_a_device_appears_and_goes_offline(devices: Page, serve: Fleet) -> None:
    """Its status changes while one looks, with address, counter, tags, and when it was seen."""
    boiler = row(devices, "boiler-1")
    expect(boiler.locator(".device-status")).to_have_text("offline")
    expect(boiler.locator(".device-seen")).to_have_text("never")
    expect(boiler.locator(".tag")).to_have_text(["site north"])
    with closing(serve.connect("boiler-1", celsius=21)):
        expect(boiler.locator(".device-status")).to_have_text("online")
        expect(boiler.locator(".device-frames")).to_have_text("1")
        expect(boiler.locator(".device-address")).to_have_text(re.compile(r"^127\.0\.0\.1:\d+$"))
        expect(boiler.locator(".device-seen")).to_have_text(re.compile("^(now|[0-9]+ s ago)$"))
        expect(devices.get_by_role("button", name="Online 1")).to_be_visible()
    expect(boiler.locator(".device-status")).to_have_text("offline")
    expect(devices.locator("#device-total")).to_have_text("2")


def test_a_new_device_takes_its_place_in_the_list(devices: Page, serve: Fleet, sockets: ExitStack) -> None:
    """In the order of ids, without a reload."""
    expect(devices.locator("#device-list li")).to_have_count(2)
    sockets.enter_context(closing(serve.connect("crane-1")))
    sockets.enter_context(closing(serve.connect("zebra")))
    expect(devices.locator("#device-list bdi")).to_have_text(["boiler-1", "crane-1", "pump-1", "zebra"])


def test_quarantine_and_approval(devices: Page, serve: Fleet, sockets: ExitStack) -> None:
    """Its messages go nowhere until somebody approves it, on the page."""
    stranger = sockets.enter_context(closing(serve.connect("stranger", celsius=1)))
    expect(row(devices, "stranger").locator(".device-status")).to_have_text("quarantined")
    devices.get_by_role("button", name="Quarantined 1").click()
    expect(devices.locator("#device-list bdi")).to_have_text(["stranger"])
    select(devices, "stranger")
    expect(devices.locator("#device-messages-hint")).to_have_text("What it sends goes nowhere until it is approved.")
    devices.get_by_role("button", name="Approve").click()
    expect(devices.locator("#device-status")).to_have_text("online")
    expect(devices.get_by_role("button", name="Approve")).to_be_hidden()
    expect(fact(devices, "Known")).to_have_text("yes")
    expect(devices.locator("#device-list bdi")).to_have_count(0)
    stranger.say(celsius=2)
    expect(devices.locator("#device-rows .text")).to_have_text(['{"id":"stranger","celsius":2}'])


def test_the_messages_of_one_device(devices: Page, serve: Fleet, sockets: ExitStack) -> None:
    """What was and is published on topics with its id, and nobody else's."""
    boiler = sockets.enter_context(closing(serve.connect("boiler-1", celsius=1)))
    sockets.enter_context(closing(serve.connect("pump-1", bar=2)))
    select(devices, "boiler-1")
    expect(devices.locator("#device-rows .topic")).to_have_text(["readings/boiler-1"])
    boiler.say(celsius=3)
    expect(devices.locator("#device-rows .text")).to_have_text(
        ['{"id":"boiler-1","celsius":3}', '{"id":"boiler-1","celsius":1}']
    )
    select(devices, "pump-1")
    expect(devices.locator("#device-rows .text")).to_have_text(['{"id":"pump-1","bar":2}'])
    devices.locator("#device-rows .topic").click()
    expect(devices.locator("#publications")).to_be_visible()
    expect(devices.get_by_label("Topics", exact=True)).to_have_value("readings/pump-1")


# --- commands ---------------------------------------------------------------------------------------------------------


def answer(device: FleetDevice, asked: object, **more: object) -> None:
    """Answer the next command, which must be this."""
    got = device.asked()
    assert got["ask"] == asked
    device.say(re=got["n"], **more)


def test_a_command_and_its_answer(devices: Page, serve: Fleet, sockets: ExitStack) -> None:
    """Sent, then the device's own answer, as text and as JSON."""
    device = sockets.enter_context(closing(serve.connect("boiler-1")))
    select(devices, "boiler-1")
    shown = command(devices, "reboot")
    expect(shown.locator(".command-state")).to_have_text("sent, no answer yet")
    answer(device, "reboot", uptime=0)
    expect(shown.locator(".command-state")).to_have_text("answered")
    expect(shown.locator(".command-answer")).to_have_text(re.compile(r'^{"id":"boiler-1","re":\d+,"uptime":0}$'))
    expect(devices.locator("#command-said")).to_contain_text("reboot: answered")
    devices.get_by_label("The command is").select_option("JSON")
    shown = command(devices, '{"set": 80}')
    answer(device, {"set": 80})
    expect(shown.locator(".command-state")).to_have_text("answered")
    devices.reload()
    expect(devices.locator("#commands .command-text")).to_have_text(['{"set":80}', "reboot"])
    expect(devices.locator("#commands .command-state")).to_have_text(["answered", "answered"])


def test_a_refused_command(devices: Page, serve: Fleet, sockets: ExitStack) -> None:
    """In words, with what the device said."""
    device = sockets.enter_context(closing(serve.connect("boiler-1")))
    select(devices, "boiler-1")
    shown = command(devices, "explode")
    answer(device, "explode", no=True, why="no")
    expect(shown.locator(".command-state")).to_have_text("refused by the device")
    expect(shown.locator(".command-answer")).to_contain_text('"why":"no"')


def test_a_command_waits_for_its_device(devices: Page, serve: Fleet, sockets: ExitStack) -> None:
    """Until it is there, or until it is cancelled; the connection lost after sending is told apart."""
    with closing(serve.connect("boiler-1")):
        select(devices, "boiler-1")
        expect(devices.locator("#device-status")).to_have_text("online")
    expect(devices.locator("#command-waits")).to_have_text("It is away: a command waits until it is back.")
    command(devices, "first")
    expect(devices.locator("#commands .command-state")).to_have_text(["waiting for the device"])
    command(devices, "second")
    expect(devices.locator("#commands .command-text")).to_have_text(["second", "first"])
    devices.get_by_role("button", name="Cancel second").click()
    expect(devices.locator("#commands .command-state")).to_have_text(
        ["cancelled, never sent", "waiting for the device"]
    )
    with closing(serve.connect("boiler-1")) as device:
        assert device.asked()["ask"] == "first"
        expect(devices.locator("#commands .command-state").last).to_have_text("sent, no answer yet")
    lost = "connection lost after sending: perhaps it was done"
    expect(devices.locator("#commands .command-state").last).to_have_text(lost)


def test_what_cannot_be_sent_is_said(devices: Page, serve: Fleet, watch: Watch) -> None:
    """Bad JSON, nothing, a device of which nobody knows how it speaks, and no server."""
    select(devices, "boiler-1")
    complaint = devices.locator("#command-error")
    devices.get_by_role("button", name="Send").click()
    expect(complaint).to_have_text("Type what the device is to do.")
    devices.get_by_label("The command is").select_option("JSON")
    devices.get_by_label("Command", exact=True).fill("{")
    devices.get_by_role("button", name="Send").click()
    expect(complaint).to_have_text(re.compile("^This is not JSON: "))
    expect(devices.get_by_label("Command", exact=True)).to_have_attribute("aria-invalid", "true")
    devices.get_by_label("Command", exact=True).fill('{"n": 1}')
    expect(complaint).to_be_hidden()
    watch.is_offline_expected = True
    serve.stop()
    devices.get_by_role("button", name="Send").click()
    expect(complaint).to_have_text("Not sent: the server does not answer.")
    expect(devices.locator("#device-error")).to_contain_text("the server does not answer")
    serve.start()
    expect(devices.locator("#device-error")).to_be_hidden()
    devices.get_by_role("button", name="Send").click()
    expect(devices.locator("#commands .command-state")).to_have_text(["waiting for the device"])


def test_markup_from_devices_stays_text(devices: Page, serve: Fleet, sockets: ExitStack) -> None:
    """Ids, messages, commands and answers; the fixture checks that nothing was run, refused or fetched."""
    device = sockets.enter_context(closing(serve.connect(HOSTILE)))
    select(devices, HOSTILE)
    devices.get_by_role("button", name="Approve").click()
    expect(devices.locator("#device-status")).to_have_text("online")
    shown = command(devices, HOSTILE)
    answer(device, HOSTILE, said=HOSTILE)
    expect(shown.locator(".command-text")).to_have_text(HOSTILE)
    expect(shown.locator(".command-answer")).to_contain_text(HOSTILE)
    device.say(said=HOSTILE)
    expect(devices.locator("#device-rows .text")).to_contain_text([HOSTILE])
    assert devices.locator("#devices-view img, #devices-view script").count() == 0
    assert devices.evaluate("document.querySelectorAll('[style], style').length") == 0
    assert quote(HOSTILE, safe="!'()*") in devices.url


# --- many -------------------------------------------------------------------------------------------------------------

WATCH_PAUSES = """() => {
    window.longestPause = 0;
    let last = performance.now();
    setInterval(() => {
        const now = performance.now();
        window.longestPause = Math.max(window.longestPause, now - last);
        last = now;
    }, 10);
}"""


@pytest.mark.parametrize("known", [{f"tracker-{number:05}": {} for number in range(MANY)}], indirect=True, ids=["10k"])
def test_ten_thousand_devices_leave_the_page_quick(page: Page, serve: Fleet, sockets: ExitStack) -> None:
    """A hundred rows at first, the rest as one scrolls; a search finds any; presence changes stay live."""
    page.evaluate(WATCH_PAUSES)
    page.locator(".views a").last.click()
    expect(page.locator("#device-count")).to_have_text("The first 100 of 10,000")
    scroll = page.locator("#device-scroll")
    for _ in range(8):
        before = page.locator("#device-list li").count()
        scroll.evaluate("one => one.scrollTo(0, one.scrollHeight)")
        wait_until(lambda before=before: page.locator("#device-list li").count() > before, "more rows")  # type: ignore[misc]
    for number in range(9_000, 9_200):
        sockets.enter_context(closing(serve.connect(f"tracker-{number:05}")))
    # Not by role: Playwright would compute a name and a style for each of the rows, inside the page.
    expect(page.locator("#device-statuses [data-status=online] span")).to_have_text("200")
    page.locator("#device-search").fill("TRACKER-0915")
    expect(page.locator("#device-list li")).to_have_count(10)
    expect(page.locator("#device-list .device-status")).to_have_text(["online"] * 10)
    expect(page.locator("#device-count")).to_have_text("10 of 10,000 match")
    page.locator("#device-search").press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#device-id")).to_have_text("tracker-09151")
    longest = page.evaluate("window.longestPause")
    print(f"longest pause of the page: {longest:.0f} ms")
    assert longest < 500


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [{}], indirect=True, ids=["none"])
def test_without_devices_the_view_says_how_to_get_one(devices: Page, serve: Fleet) -> None:
    """One sentence and the line to type; it goes with the first device."""
    expect(devices.locator("#device-empty code")).to_contain_text(["identify=", "@gateway.listen("])
    with closing(serve.connect("first")):
        expect(devices.locator("#device-list bdi")).to_have_text(["first"])
        expect(devices.locator("#device-empty")).to_be_hidden()


def test_the_address_keeps_what_is_shown(devices: Page, serve: Fleet) -> None:
    """A reload shows the same device, back the list, and one that is gone is said to be."""
    select(devices, "pump-1")
    expect(devices).to_have_url(re.compile(r"#devices/pump-1$"))
    devices.reload()
    expect(devices.locator("#device-id")).to_have_text("pump-1")
    devices.go_back()
    expect(devices.locator("#device")).to_be_hidden()
    select(devices, "boiler-1")
    expect(devices.locator("#device-id")).to_be_focused()
    devices.keyboard.press("Escape")
    expect(devices.locator("#device")).to_be_hidden()
    expect(row(devices, "boiler-1").locator("a")).to_be_focused()
    devices.get_by_role("link", name="Publications", exact=True).click()
    expect(devices.locator("#publications")).to_be_visible()
    expect(devices.locator("#devices-view")).to_be_hidden()


def test_a_phone_shows_one_thing_at_a_time(devices: Page, serve: Serve) -> None:
    """At 360 pixels nothing scrolls sideways; the device takes the list's place, and back."""
    devices.set_viewport_size({"width": 360, "height": 740})
    assert devices.evaluate("document.documentElement.scrollWidth") == 360
    select(devices, "boiler-1")
    expect(devices.locator("#device-list")).to_be_hidden()
    assert devices.evaluate("document.documentElement.scrollWidth") == 360
    assert devices.locator("#device").evaluate("one => one.scrollWidth <= one.clientWidth")
    devices.get_by_role("link", name="All devices").click()
    expect(devices.locator("#device-list")).to_be_visible()


def test_everything_that_can_be_used_has_a_name(devices: Page) -> None:
    """Links, buttons and fields are named for assistive technology; rows say their status."""
    select(devices, "boiler-1")
    nameless = devices.locator("a, button, input, textarea, select").evaluate_all(
        "all => all.filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert nameless == []
    expect(devices.get_by_role("link", name="boiler-1").first).to_have_attribute("aria-current", "true")
    expect(row(devices, "pump-1").get_by_role("link")).to_have_text(re.compile("pump-1.*offline"))
