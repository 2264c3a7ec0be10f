"""Tests of `portcast.cli.devices`: what is asked of the API, and what is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from portcast.cli import devices as module
from portcast.cli.devices import command, devices

Calls = list[tuple[str, str, Any]]


def device(device_id: str, address: str = "192.0.2.7:1") -> dict[str, Any]:
    return {"id": device_id, "status": "online", "address": address, "frames": 3}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> tuple[Calls, list[Any]]:
    """What was asked, and the answers that are left to give."""
    asked: Calls = []
    answers: list[Any] = []

    def fake(
        url: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str = "",
        patience_s: float = 0,
        hints: Mapping[int, str] | None = None,
    ) -> Any:
        asked.append((method, path, body))
        return answers.pop(0)

    monkeypatch.setattr(module, "call", fake)
    return asked, answers


def test_devices_are_listed_page_by_page(calls: tuple[Calls, list[Any]]) -> None:
    """Control characters of a tag or address do nothing to the terminal."""
    asked, answers = calls
    answers += [{"devices": [device("a\x9b")], "next": "a b"}, {"devices": [device("c", "")], "next": None}]
    done = CliRunner().invoke(devices, ["--status", "online"])
    assert done.exit_code == 0
    one, two = done.output.splitlines()
    assert one.split()[1:] == ["online", "192.0.2.7:1", "3", "messages"]
    assert "\x9b" not in one
    assert two.split() == ["c", "online", "-", "3", "messages"]
    assert [path for _, path, _ in asked] == [
        "/api/devices?limit=1000&after=&status=online",
        "/api/devices?limit=1000&after=a%20b&status=online",
    ]


def test_devices_are_searched(calls: tuple[Calls, list[Any]]) -> None:
    """The server searches; what is looked for may be anything."""
    asked, answers = calls
    answers.append({"devices": [], "next": None})
    assert CliRunner().invoke(devices, ["--search", "site=a&b"]).exit_code == 0
    assert [path for _, path, _ in asked] == ["/api/devices?limit=1000&after=&search=site%3Da%26b"]


def test_devices_as_json(calls: tuple[Calls, list[Any]]) -> None:
    """One object per line."""
    calls[1].append({"devices": [device("a"), device("b")], "next": None})
    done = CliRunner().invoke(devices, ["--json"])
    assert [json.loads(line)["id"] for line in done.output.splitlines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("state", "answer", "shown", "status", "meaning"),
    [
        ("answered", "OK", "answered: OK", 0, ""),
        ("answered", {"v": 1}, 'answered: {"v": 1}', 0, ""),
        ("refused", "NO", "refused: NO", 1, ""),
        ("timed_out", None, "timed out", 1, "perhaps it did it all the same"),
        ("unknown", None, "unknown", 1, "the connection was lost"),
        ("expired", None, "expired", 1, "send it again"),
        ("displaced", None, "displaced", 1, "a newer command took its place"),
        ("cancelled", None, "cancelled", 1, "somebody cancelled it"),
        ("queued", None, "queued", 0, ""),
    ],
)
def test_command(
    calls: tuple[Calls, list[Any]], state: str, answer: Any, shown: str, status: int, meaning: str
) -> None:
    """The device's own answer, and a status that scripts can use; what other ends mean is said beside it."""
    asked, answers = calls
    answers.append({"state": state, "answer": answer})
    done = CliRunner().invoke(command, ["a b", "SET 80", "--wait", "0.5"], standalone_mode=False)
    assert (done.stdout.rstrip(), done.return_value) == (shown, status)
    assert meaning in done.stderr
    assert bool(meaning) == bool(done.stderr)
    assert asked == [("POST", "/api/devices/a%20b/commands?wait=0.5", {"command": "SET 80"})]


def test_command_as_json(calls: tuple[Calls, list[Any]]) -> None:
    """As the API gives it."""
    calls[1].append({"state": "delivered", "answer": None})
    done = CliRunner().invoke(command, ["a", "x", "--json"], standalone_mode=False)
    assert json.loads(done.output) == {"state": "delivered", "answer": None}
    assert done.return_value == 0


@pytest.mark.parametrize("device_id", ["a/b", "", "..", "a+", "x" * 129], ids=repr)
def test_a_command_to_what_cannot_be_a_device(calls: tuple[Calls, list[Any]], device_id: str) -> None:
    """The rule for ids, before anything is asked: a gateway's framework says only that it has no such path."""
    done = CliRunner().invoke(command, [device_id, "x"])
    assert done.exit_code == 2
    assert "Invalid value for ID: it " in done.stderr
    assert "; " in done.stderr
    assert calls[0] == []


def test_a_command_to_a_device_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the gateway says, and where to look."""
    answer = b'{"detail": "no device \'a\' is known"}'
    monkeypatch.setattr(HTTPConnection, "request", lambda *_: None)
    monkeypatch.setattr(HTTPConnection, "getresponse", lambda _: SimpleNamespace(status=404, read=lambda: answer))
    done = CliRunner().invoke(command, ["a", "x"])
    assert str(done.exception).endswith("no device 'a' is known; `portcast devices` lists those that are")
