"""What was recorded as JSON, for the live topic and for the HTTP API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from portcast.recorder import Recorded

DEVICE = "devices/"
CONNECTION = "connections/"
"""What the subjects of a log begin with."""


def device_of(subject: str) -> str | None:
    """Return the id of the device that a subject is; None if it is a connection."""
    return subject.removeprefix(DEVICE) if subject.startswith(DEVICE) else None


def entry_body(entry: Recorded, unix_time: Callable[[float], float]) -> dict[str, Any]:
    """Return an entry; ``at`` is Unix seconds, ``text`` is UTF-8 with each other byte as a backslash, x and hex."""
    return {
        "number": entry.number,
        "at": round(unix_time(entry.at), 6),
        "kind": entry.kind,
        "device": device_of(entry.subject),
        "connection": entry.connection,
        "listener": entry.listener,
        "size": entry.size,
        "hex": entry.data.hex(),
        "text": entry.data.decode("utf-8", "backslashreplace"),
        "is_redacted": entry.is_redacted,
        "is_truncated": entry.is_truncated,
        "skipped": entry.skipped,
        "detail": entry.detail,
    }


def entry_json(entry: Recorded, unix_time: Callable[[float], float]) -> bytes:
    """Return `entry_body` as JSON."""
    return json.dumps(entry_body(entry, unix_time), ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "backslashreplace"
    )
