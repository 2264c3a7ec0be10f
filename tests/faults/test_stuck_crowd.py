"""Hundreds of clients that never read, while a device sends on and on: what it costs memory and everybody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from faults.test_memory import MIB, Server, server
from gateway_serving import wait_until
from raw_clients import WebSocket, connected

pytestmark = pytest.mark.timeout(120)

STUCK, READERS = 500, 3
RATE, SIZE = 500, 4000
"""Messages a second and their bytes: 2 MB/s for each client."""
CAP = 1 * MIB
"""What one subscriber may have waiting, by default."""
BEFORE_S, WITH_S = 4.0, 10.0


class Reader(threading.Thread):
    """A client that reads: what it missed, and how long each message took."""

    def __init__(self, client: WebSocket) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.took: list[tuple[float, float]] = []
        self.wrong = ""

    def run(self) -> None:
        while (message := self.client.read()) is not None:
            number, at = str(message).split(" ", 2)[:2]
            if int(number) != len(self.took):
                self.wrong = f"{number} after {len(self.took) - 1}"
                return
            self.took.append((float(at), time.monotonic() - float(at)))

    def p99(self, begin: float, end: float) -> float:
        """Seconds, of what was sent in between."""
        took = sorted(took for at, took in self.took if begin <= at < end)
        return took[int(len(took) * 0.99)]


@contextmanager
def firehose(port: int) -> Iterator[list[int]]:
    """A device that sends at a steady rate; yields how many it has sent."""
    sent, is_over = [0], threading.Event()

    def feed() -> None:
        with connected(port) as device:
            due = time.monotonic()
            while not is_over.wait(max(0.0, due - time.monotonic())):
                device.sendall(b"%d %.6f " % (sent[0], time.monotonic()) + b"x" * SIZE + b"\n")
                sent[0] += 1
                due += 1 / RATE

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield sent
    finally:
        is_over.set()
        thread.join()


def resident(it: Server) -> int:
    used: int = it.ask("/api/memory")[1]["used_bytes"]
    return used


@pytest.mark.row(1)
def test_a_stuck_crowd_costs_little(tmp_path: Path) -> None:
    """Memory stays within the crowd's caps; who reads loses nothing and waits no longer than before."""
    with server(0, "-", tmp_path / "log.txt") as it, ExitStack() as clients:
        readers = [Reader(clients.enter_context(WebSocket(it.http, "/ws/bulk"))) for _ in range(READERS)]
        for one in readers:
            one.start()
        with firehose(it.bulk) as sent:
            time.sleep(BEFORE_S)
            base, begun = resident(it), time.monotonic()
            for _ in range(STUCK):
                clients.enter_context(WebSocket(it.http, "/ws/bulk", receive_buffer=4096))
            joined, most = time.monotonic(), 0
            while time.monotonic() < joined + WITH_S:
                most = max(most, resident(it))
                time.sleep(0.25)
            ended = time.monotonic()
        wait_until(lambda: all(len(one.took) == sent[0] or one.wrong for one in readers), "everything to arrive")
        for one in readers:
            one.client.leave()
            one.join()
        before = [one.p99(begun - BEFORE_S + 0.5, begun) for one in readers]
        during = [one.p99(joined, ended) for one in readers]
        print(f"before {max(before) * 1e3:.1f} ms, with {max(during) * 1e3:.1f} ms, {base >> 20} to {most >> 20} MiB")
    assert [one.wrong for one in readers] == [""] * READERS
    assert most <= base + STUCK * CAP
    # The floor is what other work on the machine does to a thread that waits for its turn.
    assert max(during) <= max(1.5 * max(before), 0.1)
