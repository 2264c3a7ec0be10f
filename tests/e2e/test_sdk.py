"""The live page speaks the Centrifuge protocol: it survives restarts, and says in words what it is refused."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from e2e.serving import Guarded, running, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


def _serving(folder: Path, settings: str, *arguments: str) -> AbstractContextManager[Guarded]:
    return running(Guarded(folder / "serve.log", settings, *arguments))


def _publish(serve: Guarded, *lines: bytes) -> None:
    before = serve.listeners()[0]["frames"]
    serve.send(b"".join(line + b"\n" for line in lines))
    wait_until(lambda: serve.listeners()[0]["frames"] == before + len(lines), "the lines")


def _let_through(route: WebSocketRoute) -> None:
    route.connect_to_server()


def _state(page: Page, wanted: str) -> None:
    expect(page.locator("#status")).to_have_attribute("data-state", wanted)


TEXTS = [b"\xff\x00", b"<b>no</b>", b'{"a":  1.50}', b'"quoted"', b"12345678901234567890", b"plain"]
SHOWN = ["ff 00", "<b>no</b>", '{"a":  1.50}', '"quoted"', "12345678901234567890", "plain"]


@pytest.mark.parametrize("topic_filter", ["#", "exact"])
def test_a_restart_loses_nothing_that_was_kept(context: BrowserContext, tmp_path: Path, topic_filter: str) -> None:
    """What came while the page was cut off is on it afterwards, each once; the restarted server remembers the rest."""
    with _serving(tmp_path, "", "--state-dir", str(tmp_path / "state")) as serve:
        page = context.new_page()
        chosen = serve.topic() if topic_filter == "exact" else "%23"
        page.goto(f"{serve.url}?filter={chosen}")
        _state(page, "live")
        _publish(serve, *TEXTS)
        expect(page.locator("#rows .text")).to_have_text(SHOWN[::-1])
        serve.stop()
        _state(page, "waiting")
        # Until the page may come back, it is held off: the server has to have something that the page missed.
        page.route_web_socket(lambda url: True, lambda route: route.close(code=3000, reason="not yet"))
        serve.start()
        _publish(serve, b"missed 1", b"missed 2")
        page.unroute_all()
        page.route_web_socket(lambda url: True, _let_through)
        page.locator("#retry").evaluate("one => one.click()")  # it may be back already
        _state(page, "live")
        _publish(serve, b"after")
        expect(page.locator("#rows .text")).to_have_text(["after", "missed 2", "missed 1", *SHOWN[::-1]])
        expect(page.locator("#rows .note")).to_have_count(0)
        assert page.locator("#rows .offset").all_inner_texts() == [str(n) for n in range(9, 0, -1)]


def test_a_restart_without_memory_is_told(context: BrowserContext, tmp_path: Path) -> None:
    """One row says that something may be gone; what the new process has follows it."""
    with _serving(tmp_path, "") as serve:
        page = context.new_page()
        page.goto(serve.url)
        _state(page, "live")
        _publish(serve, b"before")
        expect(page.locator("#rows .text")).to_have_text(["before"])
        serve.stop()
        _state(page, "waiting")
        page.route_web_socket(lambda url: True, lambda route: route.close(code=3000, reason="not yet"))
        serve.start()
        _publish(serve, b"missed")
        page.unroute_all()
        page.route_web_socket(lambda url: True, _let_through)
        page.locator("#retry").evaluate("one => one.click()")  # it may be back already
        expect(page.locator("#rows .text")).to_have_text(["missed", "before"])
        expect(page.locator("#rows .note")).to_have_text(["the server was restarted: what came meanwhile is unknown"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('[permissions."#"]\nsubscribe = "nobody"\n', "does not let this page subscribe"),
        ('[centrifuge]\ntoken_hmac_secrets = ["' + "s" * 40 + '"]\n', "log in above"),
    ],
    ids=["103", "3500"],
)
def test_a_refusal_is_told_in_words(context: BrowserContext, tmp_path: Path, settings: str, said: str) -> None:
    """Nothing is tried again, and nothing is shown."""
    with _serving(tmp_path, settings) as serve:
        page = context.new_page()
        page.goto(serve.url)
        _state(page, "refused")
        expect(page.get_by_role("alert")).to_contain_text(said)
        expect(page.locator("#status-text")).to_have_text("stopped")
