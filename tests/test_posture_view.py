from __future__ import annotations

from pathlib import Path

import pytest

from portcast.address import parse_address
from portcast.api_keys import KeyTable
from portcast.config import HttpOptions
from portcast.permissions import PermissionTable
from portcast.posture_view import Finding, View, at_most, everybody_at, is_everybody, is_some, named_networks
from portcast.settings import load_settings
from portcast.web.sdk_basis import Basis
from portcast.web.sdk_rules import Rules

PUBLIC = 'http = "0.0.0.0:8000"\nlisten = []\n[permissions."a"]\nsubscribe = "anyone"\n'
OPEN = 'http = "0.0.0.0:8000"\nlisten = []\n[centrifuge]\ninsecure = true\n'


def view(text: str, folder: Path) -> View:
    file = folder / "gateway.toml"
    file.write_text(text, "utf-8")
    settings = load_settings(file, {})
    basis = Basis(settings.centrifuge, PermissionTable(settings.permissions), keys=KeyTable(settings.keys, {}))
    return View(settings, Rules(basis), 1000, 500)


@pytest.mark.parametrize(
    ("text", "is_public"), [("", False), (PUBLIC, True), ('[http]\nforwarded_from = ["127.0.0.1"]', True)]
)
def test_who_can_reach_it(text: str, is_public: bool, tmp_path: Path) -> None:
    """Loopback behind a proxy is as public as the proxy."""
    assert view(text, tmp_path).is_public is is_public


@pytest.mark.parametrize(
    ("text", "may_change"),
    [("", True), (PUBLIC, False), (OPEN, True)],
)
def test_the_stranger_is_who_the_rules_let_in(text: str, may_change: bool | None, tmp_path: Path) -> None:
    stranger = view(text, tmp_path).stranger
    assert (None if stranger is None else stranger.rights.may_change) == may_change


@pytest.mark.parametrize(
    ("networks", "some", "everybody"),
    [((), False, False), (("10.0.0.0/8",), True, False), (("10.0.0.0/8", "::/0"), False, True)],
)
def test_networks(networks: tuple[str, ...], some: bool, everybody: bool) -> None:
    """Naming everybody limits nobody."""
    assert (is_some(networks), is_everybody(networks)) == (some, everybody)


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("10.0.0.1:1", "everybody in the network of 10.0.0.1"),
        ("0.0.0.0:1", "everybody who can reach this machine"),
        ("gate.example:1", "everybody who can reach this machine"),
    ],
)
def test_who_can_reach_an_address(address: str, who: str) -> None:
    """A wildcard is no private network, although `ipaddress` says so."""
    assert everybody_at(parse_address(address)) == who


def test_limits_that_are_none_are_left_out() -> None:
    """0 means no limit everywhere."""
    assert at_most({"connections": 20, "connects per second": 0.0, "frames": 2.5}) == "20 connections, 2.5 frames"
    assert at_most({"connections": 0}) == ""


def test_networks_are_told_where_some_are_named() -> None:
    """In the words of the settings."""
    options = HttpOptions(allow=("10.0.0.0/8", "fd00::/8"))
    assert list(named_networks("http", options)) == [Finding("ok", "http", "allow: 10.0.0.0/8, fd00::/8")]
    assert list(named_networks("http", HttpOptions())) == []
