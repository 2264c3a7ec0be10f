"""The live page does in a real Chromium what it promises."""

from __future__ import annotations

import re
import threading
import time

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from e2e.serving import Serve, wait_until
from e2e.watching import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


def rows(page: Page) -> Locator:
    """The rows of the table that are shown."""
    return page.locator("#rows tr:not(.note):visible")


def row(page: Page, text: str) -> Locator:
    """The rows that contain a text."""
    return page.locator("#rows tr").filter(has_text=text)


def state(page: Page, wanted: str) -> None:
    expect(page.locator("#status")).to_have_attribute("data-state", wanted)


def use_filter(page: Page, text: str) -> None:
    page.get_by_label("Topics", exact=True).fill(text)
    page.keyboard.press("Enter")


# --- publications -----------------------------------------------------------------------------------------------------


def test_a_line_appears_with_its_topic(page: Page, serve: Serve) -> None:
    """What a device sends is on the page at once, with topic, offset and time."""
    serve.send(b"hello\n")
    expect(row(page, "hello")).to_have_count(1)
    expect(row(page, "hello").locator(".topic")).to_have_text(serve.topic())
    expect(row(page, "hello").locator(".offset")).to_have_text("1")
    expect(row(page, "hello").locator(".time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$"))
    expect(page.locator("#count")).to_have_text("Showing 1 of 1")


def test_what_was_sent_before_the_page_was_opened_is_there(page: Page, serve: Serve, context: BrowserContext) -> None:
    """A page that is opened late starts with the history, oldest at the bottom."""
    serve.send(b"one\ntwo\nthree\n")
    expect(row(page, "three")).to_have_count(1)
    late = context.new_page()
    late.goto(serve.url)
    expect(late.locator("#rows .text")).to_have_text(["three", "two", "one"])


def test_characters_split_over_packets_stay_whole(page: Page, serve: Serve) -> None:
    """A multi-byte character is never cut."""
    serve.send([b"gr\xc3", b"\xbc\xc3", b"\x9fe \xe4\xbd\xa0\xe5", b"\xa5\xbd \xf0\x9f\x91", b"\x8b\n"])
    expect(page.locator("#rows .text")).to_have_text(["grüße 你好 👋"])


def test_ports_keep_their_topics_apart(page: Page, serve: Serve) -> None:
    """Three listeners, three topics, three colours."""
    for listener in range(3):
        serve.send(b"from %d\n" % listener, listener)
        expect(row(page, f"from {listener}").locator(".topic")).to_have_text(serve.topic(listener))
    colours = page.locator("#rows .topic").evaluate_all("all => all.map((one) => getComputedStyle(one).color)")
    assert len(set(colours)) == 3


def test_bytes_that_are_no_text_are_shown_as_hexadecimal(page: Page, serve: Serve) -> None:
    """Not UTF-8 is not guessed at; opened, it is a dump."""
    serve.send(b"\xff\xfe\x00A\n")
    expect(page.locator("#rows .text")).to_have_text("ff fe 00 41")
    page.locator("#rows .text").click()
    expect(page.locator("#rows .text")).to_have_text("0000  ff fe 00 41              ···A")


def test_long_data_is_cut_until_opened(page: Page, serve: Serve) -> None:
    """A long line does not fill the page; the keyboard opens it whole."""
    long = "start " + "x" * 5000 + " end"
    serve.send(long.encode() + b"\n")
    text = page.locator("#rows .text")
    expect(text).to_have_text(re.compile(r"^start x+ …$"))
    button = page.get_by_role("button", name="Show all")
    button.focus()
    page.keyboard.press("Enter")
    expect(text).to_have_text(long)
    expect(button).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "false")


def test_control_characters_can_be_seen(page: Page, serve: Serve) -> None:
    """A stray escape shows up by its number and not as nothing."""
    serve.send(b"a\x1bb\x00c\n")
    expect(page.locator("#rows .text")).to_have_text("a\\x1bb\\x00c")


def test_markup_from_a_device_stays_text(page: Page, serve: Serve) -> None:
    """Data is never markup; the fixture checks that nothing was run, refused or fetched."""
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    serve.send(hostile.encode() + b"\n")
    expect(page.locator("#rows .text")).to_have_text(hostile)
    assert page.locator("#rows img, #rows script").count() == 0
    assert page.evaluate("document.querySelectorAll('[style], style').length") == 0


# --- tools ------------------------------------------------------------------------------------------------------------


def test_the_topic_filter_is_applied_and_survives_a_reload(page: Page, serve: Serve) -> None:
    """Only matching topics are shown, and the address keeps the filter."""
    use_filter(page, serve.topic(1))
    state(page, "live")
    expect(page).to_have_url(re.compile(r"\?filter=tcp"))
    serve.send(b"other\n", 0)
    serve.send(b"wanted\n", 1)
    expect(page.locator("#rows .text")).to_have_text(["wanted"])
    page.reload()
    expect(page.get_by_label("Topics", exact=True)).to_have_value(serve.topic(1))
    expect(page.locator("#rows .text")).to_have_text(["wanted"])
    page.get_by_role("button", name="All topics").click()
    expect(page.locator("#rows .text")).to_have_text(["wanted", "other"])
    expect(page).to_have_url(serve.url)


def test_wildcards_and_a_click_on_a_topic(page: Page, serve: Serve) -> None:
    """`tcp/+` matches all listeners; a click on a row's topic shows that one alone."""
    use_filter(page, "tcp/+")
    serve.send(b"zero\n", 0)
    serve.send(b"two\n", 2)
    expect(rows(page)).to_have_count(2)
    row(page, "zero").locator(".topic").click()
    expect(page.locator("#rows .text")).to_have_text(["zero"])
    expect(page.get_by_label("Topics", exact=True)).to_have_value(serve.topic())


def test_a_bad_filter_says_why(page: Page, serve: Serve) -> None:
    """The server's reason is shown, nothing reconnects, and a good filter goes on."""
    use_filter(page, "a/#/b")
    state(page, "refused")
    expect(page.get_by_role("alert")).to_contain_text("#")
    expect(page.get_by_label("Topics", exact=True)).to_have_attribute("aria-invalid", "true")
    use_filter(page, "#")
    state(page, "live")
    expect(page.get_by_role("alert")).to_be_hidden()
    serve.send(b"fine again\n")
    expect(row(page, "fine again")).to_have_count(1)


def test_pause_counts_and_resume_shows(page: Page, serve: Serve) -> None:
    """Nothing moves while paused, what passes is counted, and nothing is lost."""
    serve.send(b"before\n")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    serve.send(b"one\ntwo\n")
    expect(page.get_by_role("button", name="Resume (2)")).to_be_visible()
    expect(page.locator("#rows .text")).to_have_text(["before"])
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#rows .text")).to_have_text(["two", "one", "before"])


def test_search_hides_what_does_not_match(page: Page, serve: Serve) -> None:
    """Any case, in what is there and in what comes later."""
    serve.send(b"Alpha\nbeta\n")
    expect(rows(page)).to_have_count(2)
    page.get_by_label("Search the rows").fill("ALPHA")
    expect(rows(page)).to_have_count(1)
    serve.send(b"more alpha\nmore beta\n")
    expect(page.locator("#count")).to_have_text("2 of 4 rows match · 4 received")
    page.get_by_label("Search the rows").fill("")
    expect(rows(page)).to_have_count(4)


def test_clear_empties_the_table_and_the_counts(page: Page, serve: Serve) -> None:
    """After a clear only the new is shown."""
    serve.send(b"old\n")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    expect(rows(page)).to_have_count(0)
    serve.send(b"new\n")
    expect(page.locator("#rows .text")).to_have_text(["new"])
    expect(page.locator("#count")).to_have_text("Showing 1 of 1")


# --- listeners --------------------------------------------------------------------------------------------------------


def test_the_empty_page_tells_what_to_type(page: Page, serve: Serve) -> None:
    """A newcomer sees the exact command, and it goes away with the first line."""
    commands = [
        f"printf 'hello\\n' | nc -q1 127.0.0.1 {serve.ports[0]}",
        f"portcast simulate 127.0.0.1:{serve.ports[0]}",
    ]
    expect(page.locator("#empty code")).to_have_text(commands)
    serve.send(b"hello\n")
    expect(page.locator("#empty")).to_be_hidden()


def test_listeners_show_their_counters(page: Page, serve: Serve) -> None:
    """Each listener with its address, target, state and numbers, kept current."""
    cards = page.locator("#listeners .card")
    expect(cards).to_have_count(3)
    serve.send(b"one\ntwo\n", 1)
    card = cards.filter(has_text=str(serve.ports[1]))
    expect(card.locator(".target")).to_have_text(f"→ {serve.topic(1)}")
    expect(card.locator(".state")).to_have_text("accepting")
    expect(card.locator(".counters div").filter(has_text="frames").locator("dd")).to_have_text("2")
    expect(card.locator(".counters div").filter(has_text="received").locator("dd")).to_have_text("8 B")


def test_errors_are_shown_by_reason(page: Page, serve: Serve) -> None:
    """An oversize line is counted on its listener's card."""
    serve.send(b"x" * 70_000 + b"\n")
    expect(page.locator("#listeners .errors li").first).to_contain_text("oversize")
    assert any(listener["errors"] for listener in serve.listeners())


# --- connection -------------------------------------------------------------------------------------------------------


def test_the_page_reconnects_after_a_restart(page: Page, serve: Serve, watch: Watch) -> None:
    """The state is shown while the server is away, and the page is live again by itself."""
    watch.is_offline_expected = True
    serve.send(b"before\n")
    expect(row(page, "before")).to_have_count(1)
    serve.stop()
    state(page, "waiting")
    expect(page.locator("#status-text")).to_have_text("reconnecting")
    expect(page.locator("#status-reason")).to_have_text("(the server is restarting)")
    expect(page.locator("#listeners-notice")).to_contain_text("not current")
    serve.start()
    page.locator("#retry").evaluate("one => one.click()")  # it may be back already
    state(page, "live")
    serve.send(b"after\n")
    expect(row(page, "after")).to_have_count(1)
    expect(row(page, "before")).to_have_count(1)
    expect(page.locator("#listeners-notice")).to_be_hidden()


def test_the_page_comes_back_without_help(page: Page, serve: Serve, watch: Watch) -> None:
    """No click is needed: the backoff alone finds the server again."""
    watch.is_offline_expected = True
    expect(page.locator(".card .state").first).to_have_text("accepting")
    serve.stop()
    state(page, "waiting")
    expect(page.locator(".card .state").first).to_have_text("unknown")
    serve.start()
    state(page, "live")
    expect(page.locator(".card .state").first).to_have_text("accepting")


def test_a_flood_leaves_the_page_responsive(page: Page, serve: Serve) -> None:
    """2000 lines/s for 2 s: the table stays short, all is counted, and the page answers."""
    page.evaluate(
        """() => {
            window.longestPause = 0;
            let last = performance.now();
            setInterval(() => {
                const now = performance.now();
                window.longestPause = Math.max(window.longestPause, now - last);
                last = now;
            }, 20);
        }"""
    )
    sender = threading.Thread(target=_flood, args=(serve, 2000, 2.0))
    sender.start()
    page.get_by_label("Search the rows").fill("line")
    page.get_by_label("Search the rows").fill("")
    sender.join()
    expect(page.locator("#count")).to_have_text("Showing 500 of 4,000")
    expect(rows(page).first.locator(".text")).to_have_text("line 3999")
    assert page.locator("#rows tr").count() == 500
    assert page.evaluate("window.longestPause") < 1000


def _flood(serve: Serve, per_second: int, seconds: float) -> None:
    """Send numbered lines at a steady rate over one connection."""
    pieces = 40
    lines = int(per_second * seconds)
    parts = [range(lines * i // pieces, lines * (i + 1) // pieces) for i in range(pieces)]
    started = time.monotonic()

    def paced(index: int) -> bytes:
        wait_until(lambda: time.monotonic() >= started + index * seconds / pieces, "the next piece")
        return b"".join(b"line %d\n" % number for number in parts[index])

    serve.send(map(paced, range(pieces)))


# --- looks ------------------------------------------------------------------------------------------------------------


def test_data_is_shown_character_by_character(page: Page, serve: Serve) -> None:
    """A ligature would make one sign of the two that the device sent."""
    serve.send(b"-> !=\n")
    expect(rows(page).first.locator(".text")).to_have_text("-> !=")
    for place in ("#rows .text", "#filter", ".card h3"):
        style = page.locator(place).first.evaluate("one => getComputedStyle(one).fontVariantLigatures")
        assert style == "none", place


def _background(page: Page) -> str:
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def test_light_and_dark_follow_the_system_and_the_switch(page: Page) -> None:
    """The system decides until the switch is used; the choice is remembered."""
    light = _background(page)
    page.emulate_media(color_scheme="dark")
    dark = _background(page)
    assert light != dark
    page.get_by_role("button", name="Use the light theme").click()
    assert _background(page) == light
    page.reload()
    assert _background(page) == light
    page.get_by_role("button", name="Use the dark theme").click()
    page.emulate_media(color_scheme="light")
    assert _background(page) == light, "back with the system"


def test_a_phone_needs_no_sideways_scrolling(page: Page, serve: Serve) -> None:
    """At 360 pixels everything fits the width and the rows are readable."""
    page.set_viewport_size({"width": 360, "height": 740})
    serve.send(b"a line that is longer than a phone is wide, by far, and with no end in sight\n")
    expect(rows(page)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    box = rows(page).first.bounding_box()
    assert box is not None
    assert box["width"] <= 360
    assert page.locator("#scroll").evaluate("e => e.scrollWidth <= e.clientWidth")


def test_everything_that_can_be_used_has_a_name(page: Page, serve: Serve) -> None:
    """Buttons and inputs are named for assistive technology, and the table is a table."""
    serve.send(b"hello " + b"x" * 200 + b"\n")
    expect(page.get_by_role("table")).to_have_count(1)
    expect(page.get_by_role("cell", name="hello")).to_have_count(1)
    expect(page.get_by_role("columnheader")).to_have_text(["Time", "Topic", "Offset", "Data"])
    nameless = page.locator("button, input").evaluate_all(
        "all => all.filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert nameless == []


def test_the_policy_is_strict(page: Page, serve: Serve) -> None:
    """The page is served with a policy that allows nothing but the server's own files."""
    response = page.request.get(serve.url)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
