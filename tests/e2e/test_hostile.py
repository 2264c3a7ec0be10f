"""What other pages and hostile devices can do in a user's browser: nothing.

The attacker's page is served from another port of this machine: that is another origin, and still the same *site*, so
that the browser sends it even cookies that are `SameSite=Strict`. It is the strongest page there is beside our own.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.serving import DIRECT, Guarded, Serve, running, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

KEY = "operator-key-0123456789"
SETTINGS = f'[keys.boss]\nsecret = "sha256:{sha256(KEY.encode()).hexdigest()}"\nrole = "operator"\n'

# Everything a page can try without being allowed to; each attempt ends in a word.
ATTACK = """
async (gateway) => {
  const seen = {};
  const socket = (path, protocols) => new Promise((resolve) => {
    const one = new WebSocket(gateway.replace("http", "ws") + path, protocols);
    one.onopen = () => { one.send('{"id":1,"connect":{}}'); };
    one.onmessage = (event) => resolve(`read ${event.data}`);
    one.onerror = () => resolve("refused");
    one.onclose = () => resolve("refused");
    setTimeout(() => resolve("silent"), 3000);
  });
  seen.ws = await socket("ws?history=10");
  seen.sdk = await socket("connection/websocket");
  const get = async (path, options) => {
    try {
      const answer = await fetch(gateway + path, options);
      return answer.type === "opaque" ? "opaque" : `read ${await answer.text()}`;
    } catch {
      return "refused";
    }
  };
  for (const credentials of ["omit", "include"]) {
    seen[`history ${credentials}`] = await get("api/history", { credentials });
    seen[`listeners ${credentials}`] = await get("api/listeners", { credentials });
  }
  seen.opaque = await get("api/history", { mode: "no-cors", credentials: "include" });
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
    seen[`post ${type}`] = await get("api/topics/stolen", {
      method: "POST", mode: "no-cors", credentials: "include", headers: { "content-type": type }, body: "evil",
    });
  }
  seen.json = await get("api/topics/stolen", {
    method: "POST", credentials: "include", headers: { "content-type": "application/json" }, body: '"evil"',
  });
  seen.beacon = String(navigator.sendBeacon(gateway + "api/topics/stolen", "evil"));
  seen.approve = await get("api/devices/x/approve", { method: "POST", mode: "no-cors", credentials: "include" });
  seen.command = await get("api/devices/x/commands", {
    method: "POST", mode: "no-cors", credentials: "include", body: '{"command":"reboot"}',
  });
  seen.login = await get("session", { method: "POST", mode: "no-cors", credentials: "include", body: '{"key":"x"}' });
  seen.logout = await get("session", { method: "DELETE", credentials: "include" });
  seen.events = await new Promise((resolve) => {
    const one = new EventSource(gateway + "events?history=10", { withCredentials: true });
    one.onmessage = (event) => resolve(`read ${event.data}`);
    one.onopen = () => resolve("open");
    one.onerror = () => { one.close(); resolve("refused"); };
  });
  seen.sse = await new Promise((resolve) => {
    const one = new EventSource(gateway + "connection/sse?cf_connect=" + encodeURIComponent('{"id":1,"connect":{}}'));
    one.onmessage = (event) => resolve(`read ${event.data}`);
    one.onerror = () => { one.close(); resolve("refused"); };
  });
  await new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.name = "target";
    document.body.append(frame);
    const form = document.createElement("form");
    Object.assign(form, {
      method: "post", action: gateway + "api/topics/stolen", target: "target", enctype: "text/plain",
    });
    const input = document.createElement("input"); input.name = "evil"; input.value = "evil";
    form.append(input); document.body.append(form);
    frame.onload = resolve; setTimeout(resolve, 3000);
    form.submit();
  });
  await new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.id = "framed"; frame.src = gateway;
    frame.onload = resolve; setTimeout(resolve, 3000);
    document.body.append(frame);
  });
  seen.frame = document.getElementById("framed").contentDocument === null ? "out of reach" : "readable";
  return seen;
}
"""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>attacker</title><body></body>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its base names it
        pass


@pytest.fixture
def attacker() -> Iterator[str]:
    """The address of a page of another origin on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join(5)


def _guarded(folder: Path) -> AbstractContextManager[Guarded]:
    return running(Guarded(folder / "serve.log", SETTINGS))


def _log_in(page: Page, serve: Serve) -> None:
    page.goto(serve.url)
    page.get_by_label("API key or token").fill(KEY)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#status")).to_have_attribute("data-state", "live")


def _assert_nothing_was_had(seen: dict[str, str]) -> None:
    read = {name: said for name, said in seen.items() if said.startswith("read") or said in ("open", "readable")}
    assert read == {}
    assert seen["ws"] == seen["sdk"] == seen["events"] == "refused", seen


@pytest.mark.row(54, 58)
def test_a_page_of_another_origin_has_nothing_on_loopback(context: BrowserContext, serve: Serve, attacker: str) -> None:
    """As installed, where nobody is asked for a key: the browser is all that stands between."""
    serve.send(b"precious\n")
    wait_until(lambda: serve.listeners()[0]["frames"] == 1, "the line")
    page = context.new_page()
    page.goto(attacker)
    _assert_nothing_was_had(page.evaluate(ATTACK, serve.url))
    with DIRECT.open(f"{serve.url}api/topics", timeout=5) as answer:
        assert b"stolen" not in answer.read()


@pytest.mark.row(54, 58)
def test_a_page_of_another_origin_has_nothing_of_a_login(
    context: BrowserContext, tmp_path: Path, attacker: str
) -> None:
    """The user has logged in, and the browser sends the cookie to every port of the host."""
    with _guarded(tmp_path) as serve:
        _log_in(context.new_page(), serve)
        serve.send(b"precious\n")
        page = context.new_page()
        page.goto(attacker)
        _assert_nothing_was_had(page.evaluate(ATTACK, serve.url))
        cookies = context.cookies(serve.url)
        assert [(one["name"], one["httpOnly"], one["sameSite"]) for one in cookies] == [
            ("portcast_session", True, "Strict")
        ]
        own = context.new_page()
        own.goto(serve.url)
        expect(own.locator("#status")).to_have_attribute("data-state", "live")
        topics = own.evaluate("fetch('api/topics').then((answer) => answer.text())")
        assert "stolen" not in topics
        assert serve.topic() in topics


def test_logging_in_and_out(context: BrowserContext, tmp_path: Path) -> None:
    with _guarded(tmp_path) as serve:
        page = context.new_page()
        page.goto(serve.url)
        expect(page.locator("#status")).to_have_attribute("data-state", "refused")
        page.get_by_label("API key or token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#login-error")).to_have_text("This key is not valid.")
        page.get_by_label("API key or token").fill(KEY)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#status")).to_have_attribute("data-state", "live")
        expect(page.locator("#login")).to_be_hidden()
        expect(page.locator("#listeners .card")).to_have_count(3)
        assert KEY not in page.content()
        assert page.evaluate("document.cookie") == "", "no script can read it"
        assert page.evaluate("window.violations") == []
        page.reload()
        expect(page.locator("#status")).to_have_attribute("data-state", "live")
        page.get_by_role("button", name="Log out").click()
        expect(page.locator("#status")).to_have_attribute("data-state", "refused")
        expect(page.get_by_label("API key or token")).to_be_visible()


def test_too_many_wrong_keys_are_told_of_and_the_right_one_counts(context: BrowserContext, tmp_path: Path) -> None:
    """Whoever is behind one address with somebody who guesses can still log in."""
    guess = "fetch('session', { method: 'POST', body: JSON.stringify({ key: 'wrong' }) })"
    with _guarded(tmp_path) as serve:
        page = context.new_page()
        page.goto(serve.url)
        page.evaluate(f"Promise.all(Array.from({{ length: 60 }}, () => {guess}))")
        page.get_by_label("API key or token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#login-error")).to_contain_text("Too many keys that are not valid")
        page.get_by_label("API key or token").fill(KEY)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#status")).to_have_attribute("data-state", "live")


HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "<svg onload=\"document.title='owned'\"></svg>",
    '"><iframe srcdoc="<script>parent.document.title=\'owned\'</script>"></iframe>',
    "javascript:document.title='owned'",
    "{{constructor.constructor('document.title=1')()}}",
    "</td></tr></table><style>body{display:none}</style>",
)


@pytest.mark.row(59)
def test_what_devices_send_and_are_called_stays_text(page: Page, serve: Serve) -> None:
    """In payloads and in names of topics, which an application may make of ids that devices choose.

    That no policy was violated and nothing was fetched elsewhere is checked by the fixture.
    """
    title = page.title()
    for text in HOSTILE:
        serve.send(text.encode() + b"\n")
        topic = page.evaluate("(text) => encodeURIComponent(text.replaceAll('/', '|'))", text)
        status = page.evaluate(
            "([topic, body]) => fetch(`api/topics/ids/${topic}`, {method: 'POST', body}).then((a) => a.status)",
            [topic, text],
        )
        assert status == 200, text
    for text in HOSTILE:
        expect(page.locator("#rows .text").filter(has_text=text).first).to_be_visible()
    names = page.locator("#rows .topic").all_inner_texts()
    assert sum(name.startswith("ids/") for name in names) == len(HOSTILE)
    page.locator("#rows .topic").filter(has_text="ids/<img").first.click()
    expect(page.locator("#status")).to_have_attribute("data-state", "live")
    assert page.title() == title
    assert page.locator("#rows script, #rows img, #rows iframe, #rows svg, #rows style").count() == 0
    assert page.evaluate("document.querySelectorAll('main [onload], main [onerror]').length") == 0
    expect(page.locator("main")).to_be_visible()
