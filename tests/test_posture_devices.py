"""What `portcast check` says of the limits of device ports; who may come in is in ``test_posture.py``."""

from __future__ import annotations

from pathlib import Path

from posture_kit import TOKEN, said


def test_limits_of_addresses_and_connections(tmp_path: Path) -> None:
    """All that are set, in one sentence; that one address may take everything is noted where others can connect."""
    tokens = f"device_tokens={TOKEN}"
    url = f"tcp://0.0.0.0:8001?max_per_address=20&connect_rate=5&message_rate=50&deny=10.0.0.0/8&{tokens}"
    text = f'listen = ["{url}", "tcp://0.0.0.0:8002?{tokens}", "8003", "8004?proxy=127.0.0.1&{tokens}"]'
    seen = said(text, tmp_path, "ok")
    assert (
        "listener tcp://0.0.0.0:8001: at most 20 connections of one address, 5 connects per second of one address, "
        "50 frames per second of one connection" in seen
    )
    assert "listener tcp://0.0.0.0:8001: deny: 10.0.0.0/8" in seen
    alone = "one address may hold all of its connections: max_per_address is not set"
    assert [one for one in said(text, tmp_path, "note") if "max_per_address" in one] == [
        f"listener tcp://0.0.0.0:8002: {alone}",
        f"listener tcp://127.0.0.1:8004: {alone}",
    ]
    assert "listener tcp://127.0.0.1:8003: only this machine may publish on tcp/8003" in seen


def test_networks_that_are_everybody_limit_nobody(tmp_path: Path) -> None:
    text = 'listen = ["tcp://0.0.0.0:8001?allow=0.0.0.0/0&insecure=true"]'
    assert any("everybody who can reach this machine may publish" in one for one in said(text, tmp_path, "danger"))


def test_tokens_that_can_be_tried_are_noted(tmp_path: Path) -> None:
    """Each connection is one attempt, so that the rate of connects is the limit."""
    tokens = f"device_tokens={TOKEN}"
    text = f'listen = ["tcp://0.0.0.0:8001?{tokens}", "tcp://0.0.0.0:8002?connect_rate=1&{tokens}", "8003?{tokens}"]'
    assert [one for one in said(text, tmp_path, "note") if "tried" in one] == [
        "listener tcp://0.0.0.0:8001: tokens can be tried as often as one connects: connect_rate is not set"
    ]
