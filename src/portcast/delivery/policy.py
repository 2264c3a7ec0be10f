"""What happens to a demoted subscriber (design: slow consumers). Each policy is named by its effect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, NamedTuple

SlowConsumer = Literal["auto", "catch_up", "latest", "latest_per_key", "drop_oldest", "drop_newest", "disconnect"]
"""``auto`` stands for ``catch_up`` where there is history, and for ``disconnect`` elsewhere."""

Policy = Literal["catch_up", "latest", "latest_per_key", "drop_oldest", "drop_newest", "disconnect"]
"""A `SlowConsumer` with ``auto`` decided."""

Loss = Literal["conflated", "oldest", "newest", "overtaken", "removed", "left"]
"""Why publications were declared dropped for a subscriber:

* ``conflated``: a newer one took their place (``latest``, ``latest_per_key``).
* ``oldest``, ``newest``: the queue was full (``drop_oldest``, ``drop_newest``).
* ``overtaken``: history moved on before the subscriber caught up (``catch_up``); it was told of the gap.
* ``removed``: they waited for a slow subscriber when it was removed.
* ``left``: they waited for a subscriber that left or was closed for another reason.
"""


def decided(choice: SlowConsumer, *, has_history: bool) -> Policy:
    """Return the policy that a choice stands for."""
    if choice != "auto":
        return choice
    return "catch_up" if has_history else "disconnect"


class Newest(NamedTuple):
    """The newest payload of a key.

    Attributes:
        at: its index.
        gave_way: how many of the same key are before it.
    """

    at: int
    gave_way: int


def newest_per_key(payloads: Sequence[bytes], field: str) -> dict[str, Newest]:
    """Return the newest payload of each key, oldest key first by its index.

    Args:
        payloads: messages of one topic, oldest first.
        field: the top-level JSON field whose value is the key; the empty string makes all payloads one key. A payload
            that is no JSON object, or lacks the field, has the key of its own kind ``""``.
    """
    newest: dict[str, Newest] = {}
    if not field:
        return {"": Newest(len(payloads) - 1, len(payloads) - 1)}
    for index, payload in enumerate(payloads):
        key = _key(payload, field)
        # Out and in again: the order is that of the newest publications.
        before = newest.pop(key, None)
        newest[key] = Newest(index, 0 if before is None else before.gave_way + 1)
    return newest


def _key(payload: bytes, field: str) -> str:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(value, dict) or field not in value:
        return ""
    return json.dumps(value[field], sort_keys=True)
