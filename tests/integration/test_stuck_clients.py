"""Many clients that never read, among some that do, under our own runner in a process of its own."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway_serving import wait_until
from portcast.web.websocket_protocol import CLOSE_S
from raw_clients import WebSocket, connected
from runner_app import DEADLINE_S

pytestmark = pytest.mark.timeout(60)

TESTS = Path(__file__).parents[1]
SIZE = 2_000
RATE = 250
"""Messages a second: half a megabyte, so that the buffers of who does not read are full at once."""


SLACK_S = 0.25
"""What the loop of a busy server may add."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, ssl.SSLContext]:
    """A certificate, its key, and what a client trusts."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return str(folder / "cert.pem"), str(folder / "key.pem"), context


class Runner:
    """The server's process, its ports, and how its clients connect."""

    def __init__(self, http_port: int, device_port: int, context: ssl.SSLContext | None) -> None:
        self.http_port = http_port
        self.device_port = device_port
        self.context = context

    def client(self, receive_buffer: int = 0) -> WebSocket:
        """A WebSocket that reads when it is told to."""
        return WebSocket(self.http_port, receive_buffer=receive_buffer, context=self.context)

    def get(self, path: str) -> Any:
        """Ask the API."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port)
        connection.sock = connected(self.http_port, context=self.context)
        connection.request("GET", path)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def until_subscribed(self, number: int) -> None:
        """Wait for so many subscribers."""
        wait_until(lambda: self.get("/api/listeners")["subscribers"] == number, f"{number} subscribers")

    @contextmanager
    def feeding(self) -> Iterator[list[int]]:
        """Let a device send numbered messages at a steady rate; yields a list of one: how many it has sent."""
        sent = [0]
        is_over = threading.Event()

        def feed() -> None:
            with connected(self.device_port) as device:
                while not is_over.wait(1 / RATE):
                    device.sendall(b"%d " % sent[0] + b"x" * SIZE + b"\n")
                    sent[0] += 1

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            yield sent
        finally:
            is_over.set()
            thread.join()


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """Both loops."""
    name: str = request.param
    return name


@contextmanager
def runner(loop: str, certificates: tuple[str, str, ssl.SSLContext] | None) -> Iterator[Runner]:
    """Our runner with `runner_app`."""
    tls = certificates[:2] if certificates is not None else ()
    process = subprocess.Popen(
        [sys.executable, str(TESTS / "runner_app.py"), loop, *tls],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        http_port, device_port = map(int, process.stdout.readline().split())
        yield Runner(http_port, device_port, certificates[2] if certificates is not None else None)
    finally:
        process.kill()
        process.communicate()


class Reader(threading.Thread):
    """A healthy client, which checks that nothing is missing."""

    def __init__(self, client: WebSocket) -> None:
        super().__init__()
        self.client = client
        self.seen = 0
        self.wrong = ""

    def run(self) -> None:
        while (message := self.client.read()) is not None:
            number = int(str(message).partition(" ")[0])
            if number != self.seen:
                self.wrong = f"{number} after {self.seen - 1}"
                return
            self.seen += 1


@pytest.mark.row(1)
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("stuck", [1, 100])
def test_the_stuck_ones_are_gone_in_time(
    loop: str, is_tls: bool, stuck: int, certificates: tuple[str, str, ssl.SSLContext]
) -> None:
    """All of them, their sockets included, after the time for a goodbye; the others lose nothing."""
    healthy = 100 - stuck if stuck < 50 else 10
    with runner(loop, certificates if is_tls else None) as it, ExitStack() as clients:
        readers = [Reader(clients.enter_context(it.client())) for _ in range(healthy)]
        for _ in range(stuck):
            clients.enter_context(it.client(receive_buffer=4096))
        it.until_subscribed(healthy + stuck)
        for one in readers:
            one.start()
        with it.feeding() as sent:
            wait_until(
                lambda: sum("after_s" in one for one in it.get("/gone").values()) == stuck,
                "the stuck ones to go",
                limit_s=DEADLINE_S + 15,
            )
        gone = it.get("/gone").values()
        wait_until(lambda: all(one.seen == sent[0] or one.wrong for one in readers), "everything to arrive")
        answer = it.get("/api/slow-consumers")
        for one in readers:
            one.client.leave()
            one.join()
    assert [one.wrong for one in readers] == [""] * healthy
    assert {one["reason"] for one in gone} == {f"slow consumer: took nothing for {DEADLINE_S:.0f} s"}
    assert all(one["delivered"] + one["dropped"] == one["published"] for one in gone)
    assert max(one["after_s"] for one in gone) <= DEADLINE_S + CLOSE_S + SLACK_S
    assert answer["removed"] == stuck
    assert answer["delivered"] + answer["dropped"] == sum(one["published"] for one in gone) + healthy * sent[0]
