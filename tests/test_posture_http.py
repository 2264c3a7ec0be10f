"""What `portcast check` says of the limits of HTTP; who may come in is in ``test_posture.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from posture_kit import KEYS, NO_DEVICES, findings, said

ANYONE = '[permissions."news"]\nsubscribe = "anyone"\n'
PUBLIC = '[http]\naddress = "0.0.0.0:8000"\n'


def of_http(text: str, folder: Path, level: str) -> list[str]:
    return [one.sentence for one in findings(text, folder) if (one.subject, one.level) == ("http", level)]


def test_the_limits_that_hold_without_an_option(tmp_path: Path) -> None:
    """All of them, whoever may connect; 450 is nine tenths of 500."""
    seen = of_http(NO_DEVICES + KEYS, tmp_path, "ok")
    assert (
        seen[-7:]
        == [
            "a client has 10 s for a whole request, 30 s to take the response",
            "the head of a request has at most 65536 bytes",
            "bodies and messages have at most 65536 bytes",
            "at most 500 connections, 450 of them follow topics; further ones are refused",
            "one client may send 1000 messages and 1048576 bytes per second",
            "one address may show 60 keys and tokens that are not valid in 60 s, then it gets 429",
        ][-7:]
        or seen
    )


def test_the_limits_of_one_address(tmp_path: Path) -> None:
    options = "max_per_address = 20\nconnect_rate = 2.5\nmax_subscribers_per_address = 5\nmax_subscribers = 7\n"
    networks = 'allow = ["0.0.0.0/0"]\ndeny = ["192.0.2.0/24"]\n'
    text = NO_DEVICES + KEYS + PUBLIC + options + networks
    seen = of_http(text, tmp_path, "ok")
    assert "of one address at most 20 connections, 2.5 connects per second, 5 clients that follow topics" in seen
    assert "at most 500 connections, 7 of them follow topics; further ones are refused" in seen
    assert {"allow: 0.0.0.0/0", "deny: 192.0.2.0/24"} <= set(seen)
    assert not any("one address" in one for one in of_http(text, tmp_path, "note"))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        pytest.param("", "max_per_address", id="public"),
        pytest.param('forwarded_from = ["10.0.0.1"]\n', "max_subscribers_per_address", id="behind a proxy"),
        pytest.param('forwarded_from = ["10.0.0.1"]\nmax_subscribers_per_address = 1\n', "", id="behind one, limited"),
        pytest.param("max_per_address = 1\n", "", id="limited"),
        pytest.param('allow = ["10.0.0.0/8"]\n', "", id="some networks"),
        pytest.param('allow = ["0.0.0.0/0"]\n', "max_per_address", id="networks that are everybody"),
    ],
)
def test_one_address_may_hold_everything(options: str, name: str, tmp_path: Path) -> None:
    expected = [f"one address may hold all of its connections: {name} is not set"] if name else []
    found = of_http(NO_DEVICES + KEYS + PUBLIC + options, tmp_path, "note")
    assert [one for one in found if "one address" in one] == expected


WITHOUT_END = "request_timeout is 0: half a request is held for ever"
UNREAD = "write_timeout is 0: a response that its client does not read is held for ever"
FLOOD = "message_rate is 0: one client may send messages as fast as it can"
BULK = "rate_bytes is 0: one client may send bytes as fast as it can"
GUESSES = "max_failed_logins is 0: keys and tokens are tried as fast as they come"


@pytest.mark.parametrize(
    ("option", "sentence", "local", "with_keys", "with_strangers"),
    [
        ("request_timeout", WITHOUT_END, "warning", "danger", "danger"),
        ("write_timeout", UNREAD, "warning", "danger", "danger"),
        ("message_rate", FLOOD, "note", "warning", "danger"),
        ("rate_bytes", BULK, "note", "warning", "danger"),
        ("max_failed_logins", GUESSES, "note", "warning", ""),
    ],
)
def test_what_is_without_limit(
    option: str, sentence: str, local: str, with_keys: str, with_strangers: str, tmp_path: Path
) -> None:
    """The worse the more may come: this machine, clients with keys, anybody. Nobody guesses where nothing is asked."""
    for text, level in (
        (KEYS + "[http]\n", local),
        (KEYS + PUBLIC, with_keys),
        (ANYONE + PUBLIC, with_strangers),
    ):
        found = findings(f"{NO_DEVICES}{text}{option} = 0\n", tmp_path)
        assert [one.level for one in found if one.sentence == sentence] == ([level] if level else []), text


def test_a_limit_that_limits_nobody(tmp_path: Path) -> None:
    text = NO_DEVICES + KEYS + PUBLIC + "max_failed_logins = 6000\n"
    assert "http: that is more than 10 a second: hardly a limit" in said(text, tmp_path, "warning")
