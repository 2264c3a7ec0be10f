"""What ``portcast tail`` makes of the messages it receives. Pure.

A message is one JSON object per publication: ``topic``, ``epoch``, ``offset``, ``id``, ``time`` (Unix seconds) and
either ``data`` (text) or ``base64``.

After a reconnect the gateway is asked for history, and part of it has been seen before. `Progress` remembers the newest
position of each topic and tells what is new, what is old, and how much is missing in between.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass

from portcast.observability import escape, escape_bytes

MOST_TOPICS = 10_000
"""Topics remembered; beyond it the one that was quiet longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Received:
    """One publication, as received."""

    topic: str
    epoch: str
    offset: int
    at: float
    data: bytes


def parse_message(text: str | bytes) -> Received | None:
    """Return the publication in a message; None if the message is something else, of a newer gateway perhaps."""
    try:
        message = json.loads(text)
        if "data" in message:
            data = str(message["data"]).encode("utf-8", "surrogatepass")
        else:
            data = b64decode(message["base64"], validate=True)
        return Received(
            str(message["topic"]), str(message["epoch"]), int(message["offset"]), float(message["time"]), data
        )
    except (ValueError, TypeError, KeyError, Base64Error):
        return None


class Progress:
    """The newest position of each topic."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[str, int]] = {}
        self._time = 0.0

    @property
    def has_begun(self) -> bool:
        """True once something was received."""
        return self._time > 0

    def take(self, publication: Received) -> int | None:
        """Return how many publications of the topic are missing before this one; None if it was seen before.

        A topic not seen yet tells nothing of what is missing. What is older than everything received so far is
        history that was not asked for, and counts as seen.
        """
        newest = self._newest.pop(publication.topic, None)
        missing = 0
        if newest is not None and newest[0] == publication.epoch:
            if publication.offset <= newest[1]:
                self._newest[publication.topic] = newest
                return None
            missing = publication.offset - newest[1] - 1
        self._newest[publication.topic] = (publication.epoch, publication.offset)
        if len(self._newest) > MOST_TOPICS:
            del self._newest[next(iter(self._newest))]
        self._time = max(self._time, publication.at)
        return missing


def text_line(publication: Received) -> str:
    """Return a publication for a person: local time, topic, data; one line, nothing a terminal would obey."""
    clock = time.strftime("%H:%M:%S", time.localtime(publication.at))
    return (
        f"{clock}.{int(publication.at % 1 * 1000):03d}  {escape(publication.topic)}  {escape_bytes(publication.data)}"
    )


def json_line(publication: Received) -> str:
    """Return a publication for a program: one JSON object, ASCII only, with ``data`` or ``base64``."""
    message: dict[str, object] = {
        "topic": publication.topic,
        "epoch": publication.epoch,
        "offset": publication.offset,
        "time": publication.at,
    }
    try:
        message["data"] = publication.data.decode()
    except UnicodeDecodeError:
        import base64

        message["base64"] = base64.b64encode(publication.data).decode("ascii")
    return json.dumps(message)
