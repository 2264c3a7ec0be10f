"""A process that may have few descriptors, and more devices than that."""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from faults.test_memory import server
from gateway_serving import wait_until
from portcast.runtime.limits import connection_budget, http_connections, subscriber_budget
from raw_clients import WebSocket, connected

FEW, CROWD, SILENT = 128, 60, 500


@pytest.mark.row(30)
@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_serves_within_its_budget(tmp_path: Path) -> None:
    """With 128 descriptors: those that fit are served, the rest waits, one line says so, and it recovers."""
    budget = connection_budget(FEW)
    assert 16 <= budget < CROWD
    with server(0, "-", tmp_path / "log.txt", descriptors=FEW) as it, ExitStack() as devices:

        def seen() -> tuple[int, int]:
            one = it.ask("/api/listeners")[1]["listeners"][1]
            return one["connections"], one["frames"]

        assert it.ask("/free", "POST")[0] == 200
        crowd = [devices.enter_context(connected(it.handler)) for _ in range(CROWD)]
        for one in crowd:
            one.sendall(b"hello\n")
        wait_until(lambda: seen() == (budget, budget), "those that fit to be served")
        assert it.ask("/handled")[1] == budget
        assert it.ask("/health/ready")[0] == 200
        with WebSocket(it.http) as browser, connected(it.handler):
            browser.say("x")
            assert len(os.listdir(f"/proc/{it.process.pid}/fd")) <= FEW - 32
        for one in crowd[:5]:
            one.close()
        wait_until(lambda: it.ask("/handled")[1] == budget + 5, "the next to be served")
        for one in crowd[5:budget]:
            one.close()
        wait_until(lambda: it.ask("/handled")[1] == CROWD, "all to be served")
        wait_until(lambda: seen()[0] == CROWD - budget, "the others to be gone")
        with connected(it.handler) as newcomer:
            newcomer.sendall(b"hello\n")
            wait_until(lambda: it.ask("/handled")[1] == CROWD + 1, "a newcomer to be served")
    written = it.log.read_text()
    assert "Traceback" not in written
    assert written.count(" listener paused ") == written.count(" listener resumed ") == 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > FEW, "of that process only"


@pytest.mark.row(30)
def test_silent_ones_do_not_keep_others_out_of_http(tmp_path: Path) -> None:
    """With 57 subscribers of 64 places and 500 that are silent or send half a head, each newcomer is served at once."""
    most = subscriber_budget(http_connections(FEW))
    with server(0, "-", tmp_path / "log.txt", descriptors=FEW) as it, ExitStack() as crowd:
        subscribers = [crowd.enter_context(WebSocket(it.http, "/ws/bulk")) for _ in range(most)]
        took = []
        for number in range(SILENT):
            silent = crowd.enter_context(socket.create_connection(("127.0.0.1", it.http), timeout=10))
            with suppress(ConnectionError):
                silent.sendall(b"GET / HTTP/1.1\r\n" if number % 2 else b"")
            if number % 50 == 49:
                begun = time.monotonic()
                assert it.ask("/health/ready")[0] == 200
                took.append(time.monotonic() - begun)
        assert min(took) < 0.1, took
        assert max(took) < 1, took
        with connected(it.bulk) as device:
            device.sendall(b"still here\n")
            assert {one.read() for one in subscribers} == {"still here"}
    written = it.log.read_text()
    assert "Traceback" not in written
    assert "Too many open files" not in written
    assert " reason=crowded " in written


@pytest.mark.row(30)
@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_a_flood_on_both_sides_leaves_a_reserve(tmp_path: Path) -> None:
    """Newcomers are shed, who was there first is served on, health checks are answered, and nothing runs out."""
    most = subscriber_budget(http_connections(FEW))
    with server(0, "-", tmp_path / "log.txt", descriptors=FEW) as it, ExitStack() as flood:
        assert it.ask("/free", "POST")[0] == 200
        with WebSocket(it.http, "/ws/bulk") as first, connected(it.bulk) as device:
            for _ in range(CROWD):
                flood.enter_context(connected(it.handler)).sendall(b"hello\n")
            for _ in range(most - 1):
                flood.enter_context(WebSocket(it.http, "/ws/bulk"))
            for _ in range(10):
                with WebSocket(it.http, "/ws/bulk") as late:
                    assert (late.read(), late.code) == (None, 1013)
            assert it.ask("/health/ready")[0] == 200
            assert len(os.listdir(f"/proc/{it.process.pid}/fd")) <= FEW - 16, "its own 16 are open"
            device.sendall(b"still here\n")
            assert first.read() == "still here"
            flood.close()
            wait_until(lambda: it.ask("/handled")[1] >= connection_budget(FEW), "those that waited to be served")
            with WebSocket(it.http, "/ws/bulk") as again:
                device.sendall(b"and again\n")
                assert (first.read(), again.read()) == ("and again", "and again")
    written = it.log.read_text()
    assert "Traceback" not in written
    assert "Too many open files" not in written
    assert written.count(" listener paused ") <= 2, "one line in ten seconds"
