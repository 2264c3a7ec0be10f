"""Devices and commands as JSON, for topics and for the HTTP API."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from portcast.devices import Change, DeviceInfo
from portcast.runtime.device_protocol import Outgoing


def presentable(value: object) -> Any:
    """Return a command or an answer as JSON can hold it.

    Bytes are text if they are UTF-8, else ``{"base64": …}``; a model is its own JSON; what JSON cannot hold is the
    name of its type in angle brackets.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return {"base64": b64encode(data).decode("ascii")}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return to_jsonable_python(value, bytes_mode="base64", fallback=lambda one: f"<{type(one).__name__}>")


def status_json(info: DeviceInfo, since: float) -> bytes:
    """Return a device's presence: ``status``, ``since`` (Unix seconds), ``address``, ``connection``.

    Args:
        info: the device.
        since: when it got this status or this connection, Unix seconds.
    """
    body = {
        "status": info.status.value,
        "since": round(since, 3),
        "address": info.address,
        "connection": info.connections[-1] if info.connections else None,
    }
    return _dumped(body)


def change_body(change: Change, unix_time: Callable[[float], float]) -> dict[str, Any]:
    """Return a command in one of its states; times are Unix seconds."""
    command, payload = change.command, change.command.payload
    return {
        "id": command.command_id,
        "device": command.device_id,
        "state": change.state.value,
        "at": round(unix_time(change.at), 3),
        "is_end": change.is_end,
        "command": presentable(payload.value if isinstance(payload, Outgoing) else payload),
        "answer": presentable(change.answer),
    }


def change_json(change: Change, unix_time: Callable[[float], float]) -> bytes:
    """Return `change_body` as JSON."""
    return _dumped(change_body(change, unix_time))


def _dumped(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
