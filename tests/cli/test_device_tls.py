"""Tests of `portcast.cli.device_tls`: `portcast send` and `portcast simulate` as devices that speak TLS."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from access_kit import digest
from cli.processes import Running, run, running
from portcast.cli import send as send_module
from portcast.cli.device_tls import device_target
from portcast.cli.send import send
from portcast.errors import ConfigurationError, PortcastError
from tls_kit import Authority

TOKEN = "t" * 40
NONE: dict[str, Any] = {"ca": None, "cert": None, "key": None, "is_tls": False}


class World:
    def __init__(self, folder: Path, command: Running, authority: Authority) -> None:
        self.command = command
        self.authority = authority
        self.certificate = authority.issue("device", "device.example")
        self.ports = [int(command.out.wait(r"tls://127\.0\.0\.1:(\d+)")[1]) for _ in range(2)]
        command.out.wait("Press Ctrl-C")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A listener that wants certificates, and one that wants tokens."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("server", "localhost")
    tls = f"cert={cert}&cert_key={key}&topic=t"
    listen = [
        f"tls://127.0.0.1:0?{tls}&client_ca={authority.file}",
        f"tls://127.0.0.1:0?{tls}&device_tokens={digest(TOKEN)}",
    ]
    with running("serve", "--http", "127.0.0.1:0", *(f"--listen={one}" for one in listen)) as command:
        yield World(tmp_path, command, authority)


def test_send_shows_a_certificate(world: World) -> None:
    """All of a large input arrives, and its end is said."""
    cert, key = world.certificate
    data = b"x" * 9999 + b"\n"
    where = f"tls://localhost:{world.ports[0]}"
    done = run("send", where, "--ca", world.authority.file, "--cert", cert, "--key", key, given=data * 200)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert re.fullmatch(r"portcast send: 2000000 bytes in [\d.]+ s\n", done.stderr)
    world.command.err.wait("connection closed .*reason=peer_closed frames=200 bytes_received=2000000")


def test_send_shows_none(world: World) -> None:
    done = run("send", f"tls://localhost:{world.ports[0]}", "--ca", world.authority.file, given=b"a\n" * 100_000)
    world.command.err.wait("connection refused .*reason=client_certificate")
    assert "Traceback" not in done.stderr


def test_simulate_with_a_token(world: World) -> None:
    where = ["simulate", f"localhost:{world.ports[1]}", "--tls", "--ca", world.authority.file, "--token", TOKEN]
    done = run(*where, "--devices", "2", "--rate", "20", "--duration", "0.5")
    assert done.returncode == 0, done.stderr
    frames = world.command.err.wait(r"connection closed .*reason=peer_closed frames=(\d+)")[1]
    assert int(frames) > 2


def test_a_certificate_that_nobody_trusts(world: World) -> None:
    for command in ("send", "simulate"):
        more = ["--duration", "0.5"] if command == "simulate" else []
        done = run(command, f"tls://localhost:{world.ports[1]}", *more)
        assert done.returncode == 1
        assert "its certificate is not trusted: " in done.stderr
        assert "--ca FILE names whom to trust" in done.stderr


def test_a_listener_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the end of a line, which never comes."""
    monkeypatch.setattr(send_module, "CONNECT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = CliRunner().invoke(send, [f"127.0.0.1:{server.getsockname()[1]}", "--tls"], input=b"a\n")
    assert isinstance(result.exception, PortcastError)
    assert "it does not answer to TLS; is the listener one with a certificate?" in str(result.exception)


def test_nobody_there() -> None:
    result = CliRunner().invoke(send, ["tls://127.0.0.1:1"], input=b"x")
    assert isinstance(result.exception, PortcastError)
    assert "tls://127.0.0.1:1: nothing listens there" in str(result.exception)


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        ("8001", {"ca": "ca.pem"}, "--ca: is for TLS"),
        ("tls://localhost:1", {"key": "a.key"}, "--key: is the key of a certificate"),
        ("tls://localhost:1", {"ca": "/none.pem"}, "--ca /none.pem: cannot be read"),
        ("tls://localhost:1", {"cert": __file__}, "cannot be used"),
        ("tls://localhost:1", {"ca": __file__}, "cannot be used"),
        ("tls://localhost:1?cert=a", {}, "options are not allowed here"),
        ("unix:///a", {"is_tls": True}, "a Unix socket does not speak TLS"),
    ],
)
def test_what_is_refused(text: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        device_target(text, **(NONE | changes))


def test_without_tls_nothing_changes() -> None:
    address, tls = device_target("8001", **NONE)
    assert (str(address), tls) == ("tcp://127.0.0.1:8001", None)
