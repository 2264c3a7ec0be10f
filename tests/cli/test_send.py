"""Tests of `portcast.cli.send`."""

from __future__ import annotations

import errno
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from portcast.cli import send as module
from portcast.cli.send import connect_problem, send
from portcast.errors import PortcastError


class Listener:
    """Accepts one connection, reads all of it and answers."""

    def __init__(self, server: socket.socket, answer: bytes = b"", read_bytes: int = -1) -> None:
        self.received = b""
        self._server = server
        self._answer = answer
        self._read_bytes = read_bytes
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            connection.sendall(self._answer)
            while self._read_bytes < 0 or len(self.received) < self._read_bytes:
                data = connection.recv(65_536)
                if not data:
                    break
                self.received += data

    def end(self) -> None:
        self._thread.join(5)


@contextmanager
def listening(answer: bytes = b"", read_bytes: int = -1) -> Iterator[tuple[Listener, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server, answer, read_bytes)
        try:
            yield listener, f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            listener.end()


def test_every_byte_arrives_and_answers_are_printed() -> None:
    data = bytes(range(256)) * 2000
    with listening(b"welcome\n") as (listener, address):
        result = CliRunner().invoke(send, [address], input=data)
    assert result.exit_code == 0
    assert listener.received == data
    assert result.stdout_bytes == b"welcome\n"
    assert f"{len(data)} bytes" in result.stderr


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        listener = Listener(server)
        assert CliRunner().invoke(send, [f"unix://{path}"], input=b"x\n").exit_code == 0
        listener.end()
    assert listener.received == b"x\n"


def test_lines_are_sent_at_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(round(seconds, 6))

    slept: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "sleep", sleep)
    assert list(module._paced(io.BytesIO(b"a\nb\nc"), 4.0)) == [b"a\n", b"b\n", b"c"]
    assert slept == [0.25, 0.25]


def test_a_rate_on_the_command_line() -> None:
    with listening() as (listener, address):
        assert CliRunner().invoke(send, [address, "--rate", "1000"], input=b"a\nb\n").exit_code == 0
    assert listener.received == b"a\nb\n"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "unix:///nowhere/portcast.sock"])
def test_nobody_there(address: str) -> None:
    result = CliRunner().invoke(send, [address], input=b"x")
    assert isinstance(result.exception, PortcastError)
    assert "nothing listens there; is `portcast serve` running?" in str(result.exception)


def test_a_gateway_that_hangs_up() -> None:
    with listening(read_bytes=1) as (_, address):
        result = CliRunner().invoke(send, [address], input=b"x" * 50_000_000)
    assert isinstance(result.exception, PortcastError)
    assert "the gateway closed the connection after about" in str(result.exception)


def test_a_gateway_that_does_not_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GOODBYE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = CliRunner().invoke(send, [f"127.0.0.1:{server.getsockname()[1]}"], input=b"x")
    assert result.exit_code == 0
    assert "has not closed its side" in result.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError("x"), "it does not answer"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route to host"),
    ],
)
def test_problems_in_words(error: OSError, words: str) -> None:
    assert connect_problem(error) == words


def test_a_token_goes_first() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server)
        done = CliRunner().invoke(
            send, [str(server.getsockname()[1])], input=b"a\n", env={"PORTCAST_DEVICE_TOKEN": "the-token"}
        )
        listener.end()
    assert done.exit_code == 0
    assert listener.received == b"the-token\na\n"
