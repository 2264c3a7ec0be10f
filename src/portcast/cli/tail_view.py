"""What ``portcast tail`` makes of the envelopes that it receives. Pure.

An envelope has ``topic``, ``epoch``, ``offset``, ``id``, ``time`` in Unix seconds, and ``data`` as text or ``base64``.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass

from portcast.observability import escape, escape_bytes


@dataclass(frozen=True, slots=True)
class Received:
    """One publication, as received.

    Attributes:
        topic: its topic.
        epoch: the numbering of ``offset``.
        offset: its place in the topic.
        resume_id: what to ask for after a reconnect, to get what follows.
        at: when it was published, Unix seconds.
        data: the payload.
    """

    topic: str
    epoch: str
    offset: int
    resume_id: str
    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Publications that are lost for good.

    Attributes:
        missed: how many.
        is_exact: False when there may be more.
    """

    missed: int
    is_exact: bool


def received(envelope: object) -> Received | None:
    """Return what an envelope says; None if it is something else, of a newer gateway perhaps."""
    if not isinstance(envelope, dict):
        return None
    try:
        if "data" in envelope:
            data = str(envelope["data"]).encode("utf-8", "surrogatepass")
        else:
            data = b64decode(envelope["base64"], validate=True)
        return Received(
            str(envelope["topic"]),
            str(envelope["epoch"]),
            int(envelope["offset"]),
            str(envelope["id"]),
            float(envelope["time"]),
            data,
        )
    except (ValueError, TypeError, KeyError, Base64Error):
        return None


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
        message["base64"] = b64encode(publication.data).decode("ascii")
    return json.dumps(message)


def gap_sentence(gap: Gap) -> str:
    """Return a gap in words."""
    if gap.missed == 1:
        # With a new process the numbers begin anew, and all that it can say is that there may have been something.
        return "1 publication is lost" if gap.is_exact else "the gateway was restarted: what came meanwhile is unknown"
    return f"{'' if gap.is_exact else 'at least '}{gap.missed} publications are lost"
