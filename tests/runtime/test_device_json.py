from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from portcast.devices import Change, Command, CommandState, DeviceInfo, DeviceStatus
from portcast.runtime.device_json import change_json, presentable, status_json
from portcast.types import CommandId, ConnectionId, DeviceId


class Model(BaseModel):
    volts: float


@dataclass
class Value:
    data: bytes


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"ok", "ok"),
        (bytearray(b"\xff"), {"base64": "/w=="}),
        ("ü", "ü"),
        (Model(volts=1.5), {"volts": 1.5}),
        (Value(b"\xff"), {"data": "_w=="}),
        ([1, None, {"a": b"x"}], [1, None, {"a": "eA=="}]),
        (object(), "<object>"),
        (None, None),
    ],
    ids=["bytes", "binary", "text", "model", "dataclass", "list", "other", "none"],
)
def test_presentable(value: object, shown: object) -> None:
    """Whatever a command or an answer is, JSON shows it."""
    assert presentable(value) == shown


def test_status() -> None:
    """The newest connection is named; without one there is none."""
    info = DeviceInfo(
        DeviceId("a"), DeviceStatus.ONLINE, False, 1.0, 2.0, "1.2.3.4:5",
        (ConnectionId("c1"), ConnectionId("c2")), 1, 1, 1, {},
    )  # fmt: skip
    body = {"status": "online", "since": 12.345, "address": "1.2.3.4:5", "connection": "c2"}
    assert json.loads(status_json(info, 12.3451)) == body


def test_change() -> None:
    """Times are Unix seconds; a lone surrogate, which UTF-8 has not, does no harm."""
    change = Change(Command(CommandId("k"), DeviceId("a"), "\ud800"), CommandState.ANSWERED, 5.0, b"yes")
    assert json.loads(change_json(change, lambda at: at + 1000)) == {
        "id": "k",
        "device": "a",
        "state": "answered",
        "at": 1005.0,
        "is_end": True,
        "command": "?",
        "answer": "yes",
    }
