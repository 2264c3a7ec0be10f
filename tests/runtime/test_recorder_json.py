from __future__ import annotations

import json

import pytest

from portcast.recorder import Recorded
from portcast.runtime.recorder_json import device_of, entry_body, entry_json
from portcast.types import ConnectionId, ListenerName


def entry(data: bytes, subject: str = "devices/a") -> Recorded:
    return Recorded(7, 1.5, "in", subject, ConnectionId("c"), ListenerName("l"), data, 9, True, False, 2, "why")


def test_an_entry_as_json() -> None:
    """All of it, with Unix seconds, in hex and as text."""
    body = entry_body(entry(b"a\xff\n"), lambda at: at + 1000)
    assert body == {
        "number": 7,
        "at": 1001.5,
        "kind": "in",
        "device": "a",
        "connection": "c",
        "listener": "l",
        "size": 9,
        "hex": "61ff0a",
        "text": "a\\xff\n",
        "is_redacted": True,
        "is_truncated": False,
        "skipped": 2,
        "detail": "why",
    }
    assert json.loads(entry_json(entry(b"a\xff\n"), lambda at: at + 1000)) == body


@pytest.mark.parametrize(
    "data", [b"", bytes(range(256)), "grüße 漢字".encode(), "\ud800".encode("utf-8", "surrogatepass")]
)
def test_any_bytes_are_json(data: bytes) -> None:
    """Hostile ones as well: valid UTF-8 whatever they are."""
    assert json.loads(entry_json(entry(data), lambda at: at).decode())["hex"] == data.hex()


def test_subjects_are_devices_or_connections() -> None:
    """A device may call itself what a connection is called."""
    assert (device_of("devices/connections"), device_of("connections/devices")) == ("connections", None)
