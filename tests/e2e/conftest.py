"""A real `portcast serve` and a real Chromium; every page is watched for errors and foreign requests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from e2e.serving import Serve, running
from e2e.watching import Watch

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
expect.set_options(timeout=10_000)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A running gateway with three line listeners and empty histories."""
    with running(Serve(tmp_path / "serve.log")) as serve:
        yield serve


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the run."""
    executable = os.environ.get("E2E_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if executable is None:
        pytest.fail("there is no Chromium on the PATH; `make e2e` installs one as root")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile that notes violations of the Content-Security-Policy."""
    made = browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 800}, locale="en")
    made.add_init_script(
        "window.violations = [];"
        "addEventListener('securitypolicyviolation', (e) => violations.push(`${e.violatedDirective} ${e.blockedURI}`));"
    )
    yield made
    made.close()


@pytest.fixture
def watch(serve: Serve) -> Watch:
    """The watch over `page`, for tests that expect something unusual."""
    return Watch(serve.url)


@pytest.fixture
def page(context: BrowserContext, serve: Serve, watch: Watch) -> Iterator[Page]:
    """The live page, connected. At the end: no error, no violation, no foreign request, or the test fails."""
    opened = context.new_page()
    watch.follow(opened)
    opened.goto(serve.url)
    expect(opened.locator("#status")).to_have_attribute("data-state", "live")
    yield opened
    assert opened.evaluate("window.violations") == []
    assert watch.problems == []
