"""Tests of `portcast.cli.summary`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from portcast.cli.summary import Limits, connectable, limits_text, page_url, program, settings_report, start_block
from portcast.config import Address, parse_address
from portcast.framing import Framing, LineFraming
from portcast.permissions import ChannelPermissions
from portcast.settings import load_settings

LINES = LineFraming()
LIMITS = Limits(20_000, 10_000, 15.0)


@dataclass(frozen=True)
class Shown:
    address: Address
    framing: Framing = LINES
    target: str = "topic a"


def test_the_block_says_where_and_how_much() -> None:
    block = start_block(parse_address("127.0.0.1:8000"), [Shown(parse_address("8001"))], LIMITS)
    assert "http://127.0.0.1:8000/" in block
    assert "tcp://127.0.0.1:8001  lines, lf, max 64 KiB → topic a" in block
    assert "10000 device connections, 20000 file descriptors, drain within 15s" in block
    assert f"echo hello | {program()} send 8001" in block
    assert len(block.splitlines()) < 12
    assert "caution" not in block


def test_the_commands_in_the_block_work_as_they_stand() -> None:
    standard = start_block(parse_address("8000"), [Shown(parse_address("8001"))], LIMITS)
    assert "portcast simulate\n" in standard
    assert "portcast tail\n" in standard
    other = start_block(parse_address("9000"), [Shown(parse_address("0.0.0.0:9001"))], LIMITS)
    assert "portcast simulate 127.0.0.1:9001\n" in other
    assert "portcast tail --url http://127.0.0.1:9000\n" in other


@pytest.mark.parametrize(
    ("called", "shown"),
    [
        ("/usr/bin/portcast", "portcast"),
        (".venv/bin/portcast", ".venv/bin/portcast"),
        ("/src/portcast/__main__.py", "python -m portcast"),
        ("/usr/bin/pytest", "portcast"),
    ],
)
def test_commands_are_shown_as_they_can_be_typed(called: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make run` there is no ``portcast`` on the PATH, and a suggestion that fails is worse than none."""
    monkeypatch.setattr("sys.argv", [called])
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/portcast")
    assert program() == shown


def test_an_open_address_is_pointed_out() -> None:
    block = start_block(parse_address("0.0.0.0:8000"), [], LIMITS)
    assert "http://127.0.0.1:8000/" in block
    assert "caution    http://0.0.0.0:8000 is open to the network" in block
    assert "caution" not in start_block(parse_address("0.0.0.0:8000"), [], LIMITS, asks_nobody=False)


def test_a_gateway_without_tcp_listeners() -> None:
    block = start_block(parse_address("8000"), [Shown(parse_address("unix:///run/x.sock"))], LIMITS)
    assert "unix:///run/x.sock" in block
    assert "send" not in block
    assert "no listener: no device can connect" in start_block(parse_address("8000"), [], LIMITS)


def test_a_report_without_listeners_says_so(tmp_path: Path) -> None:
    """``listen = []`` may be meant, for an HTTP-only gateway, but is not passed over."""
    file = tmp_path / "gateway.toml"
    file.write_text("listen = []")
    assert "listener   none: no device can connect" in settings_report(load_settings(file), LIMITS)


@pytest.mark.parametrize(
    ("bound", "usable"),
    [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.1:1", "192.0.2.1:1"), ("unix:///x", "unix:///x")],
)
def test_a_wildcard_is_no_place_to_connect_to(bound: str, usable: str) -> None:
    assert connectable(parse_address(bound)) == parse_address(usable)


def test_the_page_of_an_ipv6_address() -> None:
    assert page_url(parse_address("[::]:80")) == "http://[::1]:80/"


def test_limits_in_one_line() -> None:
    assert limits_text(LIMITS) == "10000 device connections, 20000 file descriptors, drain within 15s"


def test_the_report_marks_what_is_not_the_default() -> None:
    settings = load_settings(
        listen=["8001?idle_timeout=5&patience=9&name=x"], arguments={"drain_timeout": "3", "http_allowed_origins": ""}
    )
    lines = settings_report(settings, LIMITS).splitlines()
    assert "  * idle_timeout         5s" in lines
    assert "  * patience             9s" in lines
    assert "  * name                 x" in lines
    assert "  * drain_timeout        3s" in lines
    assert "    backlog              1024" in lines
    assert "    publications         100" in lines
    assert sum(line.startswith("  *") for line in lines) == 4


def test_the_report_shows_permissions_and_keeps_secrets() -> None:
    """What is printed ends in tickets and chats."""
    permissions = {"news:": ChannelPermissions(subscribe="anyone")}
    settings = replace(load_settings(arguments={"token_hmac_secrets": "hunter2,x"}), permissions=permissions)
    report = settings_report(settings, LIMITS)
    assert "  * token_hmac_secrets   2 set" in report.splitlines()
    assert "hunter2" not in report
    assert "permissions news:\n  * subscribe            anyone\n    publish              nobody" in report
