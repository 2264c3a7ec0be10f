"""Events as log lines, through the standard library's logging.

Two halves. `LogEvents` is the receiver of events: it chooses the level, holds back repeated faults and hands a record
to the logger ``portcast``, whoever configured it; an embedded gateway logs through the application's own handlers.
`configure_logging` is for a process of our own: it writes those records, and uvicorn's, to standard error.

A record's message is complete by itself (``connection closed connection=… reason=…``) and safe to print; its fields
are also attached, as ``record.fields``, for `JsonFormatter`.

Faults are limited per kind (event, listener, reason): a scanner that opens a thousand connections a second must not
fill a disk. The first lines of a window are written, the rest is counted, and the count is written when the window
has passed, with the next event of any kind, or at the end of the drain.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TextIO

from portcast.config import LogOptions
from portcast.events import (
    AnswerStrayed,
    CertificatesRefused,
    CommandRefused,
    ConnectionClosed,
    ConnectionRefused,
    CredentialsRefused,
    DeviceRejected,
    DrainFinished,
    Event,
    FrameRejected,
    HandlerAbandoned,
    HandlerFailed,
    HistoryNotKept,
    ListenerPaused,
    ListenerResumed,
    ListenerStarted,
    LoopBlocked,
    MemoryRecovered,
    MemoryShort,
    RecordingCapped,
    RedactionFailed,
    SubscriberClosed,
    SubscriberDemoted,
    SubscriberRefused,
    SubscriberSlow,
)
from portcast.observability.counters import event_name
from portcast.observability.escape import escape
from portcast.observability.redact import redact_logs

WINDOW_S = 5.0
"""How long a kind of fault is held back: long enough for a person to read, as for EMFILE in the design."""

PAUSE_WINDOW_S = 10.0
"""The same for a listener that pauses: out of descriptors it does so ten times a second, for hours."""

LINES_PER_WINDOW = 5
"""Lines of one kind in a window before it is held back: enough to see several connections of one broken fleet."""

MAX_STACK_CHARS = 1024
"""Longest stack of a blocked loop in a line."""

MAX_FIELD_CHARS = 256
"""Longest value in a line; what comes from a peer is cut there."""

# Not faults of ours or of a protocol. Mobile devices vanish and come back all day, so a broken or silent connection is
# news and not a warning.
_ORDERLY = frozenset({"peer_closed", "closed", "drain", "reset", "idle_timeout"})
_WARNINGS = (
    CertificatesRefused,
    CommandRefused,
    CredentialsRefused,
    DeviceRejected,
    FrameRejected,
    HistoryNotKept,
    MemoryShort,
    RecordingCapped,
    RedactionFailed,
    SubscriberDemoted,
    SubscriberRefused,
)
_FLAPPING = (ListenerResumed, MemoryRecovered)
_ALIASES = {"connection_id": "connection", "subscriber_id": "subscriber"}
# What `FramingError` and `CodecError` say of the payload; see `_without_payload`.
_PAYLOAD = re.compile(r"( in a frame)? beginning b(['\"]).*\2$", re.DOTALL)


@dataclass(slots=True)
class _Kind:
    """One kind of fault in its current window."""

    until: float
    written: int
    suppressed: int


class LogEvents:
    """Writes events to a logger; an instance is an `Emit`."""

    def __init__(
        self,
        logger: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
        window_s: float = WINDOW_S,
    ) -> None:
        """Make the receiver.

        Args:
            logger: where to; the logger ``portcast`` if None.
            clock: returns seconds, monotonic.
            window_s: how long a repeated fault is held back; 0 writes each one.
        """
        self._logger = logger or logging.getLogger("portcast")
        self._clock = clock
        self._window_s = window_s
        # Bounded like counters: event classes x listeners x reasons, never connections.
        self._kinds: dict[tuple[str, str, str], _Kind] = {}
        self._next_sweep = 0.0

    def __call__(self, event: Event) -> None:
        """Write one event, or count it if its kind is held back."""
        level = _level(event)
        if isinstance(event, ListenerStarted) and not self._logger.hasHandlers():
            # Nobody has configured logging, as under `uvicorn app:app`. Faults are shown all the same (Python's last
            # resort); that and where devices may connect should be, beside uvicorn's own line for HTTP.
            uvicorn = logging.getLogger("uvicorn.error")
            if uvicorn.hasHandlers() and uvicorn.isEnabledFor(level):
                self._write(level, event, uvicorn)
        elif self._logger.isEnabledFor(level):
            now = self._clock()
            if now >= self._next_sweep:
                self._sweep(now)
            # Strangers may come in any number, and those that leave are no fault; a listener out of descriptors pauses
            # and resumes ten times a second.
            is_limited = level >= logging.WARNING or isinstance(event, (ConnectionRefused, *_FLAPPING))
            if not is_limited or self._is_due(event, now):
                self._write(level, event)
        if isinstance(event, DrainFinished):
            self._sweep(float("inf"))

    def _is_due(self, event: Event, now: float) -> bool:
        if not self._window_s:
            return True
        is_pause = isinstance(event, (ListenerPaused, ListenerResumed))
        window_s = PAUSE_WINDOW_S if is_pause else self._window_s
        kind = self._kinds.setdefault(_kind_key(event), _Kind(now + window_s, 0, 0))
        limit = 1 if is_pause else LINES_PER_WINDOW
        if kind.written < limit:
            kind.written += 1
            return True
        kind.suppressed += 1
        return False

    def _sweep(self, now: float) -> None:
        """Report what was held back in the windows that have passed, and forget those windows."""
        for key, kind in list(self._kinds.items()):
            if kind.until > now:
                continue
            del self._kinds[key]
            if kind.suppressed:
                event, listener, reason = key
                values = {"kind": event, "listener": listener, "reason": reason, "suppressed": kind.suppressed}
                shown = {name: value for name, value in values.items() if value != ""}
                self._log(logging.WARNING, "repeated", shown)
        self._next_sweep = min((kind.until for kind in self._kinds.values()), default=now + self._window_s)

    def _write(self, level: int, event: Event, logger: logging.Logger | None = None) -> None:
        values = dict(_fields(event, with_payload=self._logger.isEnabledFor(logging.DEBUG)))
        error = event.error if isinstance(event, HandlerFailed) else None
        self._log(level, event_name(event), values, error, logger)

    def _log(
        self,
        level: int,
        name: str,
        values: Mapping[str, object],
        error: BaseException | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        message = " ".join([name.replace("_", " "), *(f"{key}={_quoted(value)}" for key, value in values.items())])
        (logger or self._logger).log(
            level,
            "%s",
            message,
            exc_info=(type(error), error, error.__traceback__) if error is not None else None,
            extra={"event": name, "fields": values},
        )


def _level(event: Event) -> int:
    if isinstance(event, (HandlerFailed, HandlerAbandoned, LoopBlocked)):
        return logging.ERROR
    if isinstance(event, _WARNINGS):
        return logging.WARNING
    if isinstance(event, ConnectionRefused):
        return logging.INFO if event.reason == "gone" else logging.WARNING
    if isinstance(event, AnswerStrayed):
        # What is foreign may be news that a device also tells by itself, as often as it likes.
        return logging.DEBUG if event.reason == "foreign" else logging.WARNING
    if isinstance(event, ListenerPaused):
        return logging.INFO if event.reason == "suspended" else logging.WARNING
    if isinstance(event, SubscriberSlow):
        return logging.DEBUG  # patience at work; what follows from it is reported
    is_fault = (
        (
            isinstance(event, ConnectionClosed)
            and (event.reason not in _ORDERLY or event.undelivered + event.skipped_bytes > 0)
        )
        or (isinstance(event, SubscriberClosed) and event.dropped > 0)
        or (isinstance(event, DrainFinished) and not event.is_clean)
    )
    return logging.WARNING if is_fault else logging.INFO


def _has_loss(event: ConnectionClosed) -> bool:
    return event.undelivered > 0 or event.skipped_bytes > 0


def _kind_key(event: Event) -> tuple[str, str, str]:
    if isinstance(event, HandlerFailed):
        return event_name(event), event.listener, type(event.error).__name__
    reason = "" if isinstance(event, SubscriberClosed) else getattr(event, "reason", "")
    return event_name(event), getattr(event, "listener", ""), reason


def _fields(event: Event, *, with_payload: bool) -> Iterator[tuple[str, object]]:
    """Yield the event's fields that say something, under short names, safe to be logged."""
    for f in fields(event):
        value: object = getattr(event, f.name)
        if f.name == "error" and isinstance(event, HandlerFailed):
            value = type(event.error).__name__
        elif isinstance(value, float):
            value = round(value, 3)
        elif isinstance(value, tuple):
            value = ",".join(value)
        if isinstance(value, str):
            most = MAX_STACK_CHARS if isinstance(event, LoopBlocked) else MAX_FIELD_CHARS
            value = escape(value if with_payload else _without_payload(value), most)
        is_silent = (
            value == ""
            or (f.name in ("undelivered", "skipped_bytes", "code") and value == 0)
            or (isinstance(event, ListenerStarted) and f.name == "address" and event.address == event.listener)
        )
        if not is_silent:
            yield _ALIASES.get(f.name, f.name), value


def _without_payload(detail: str) -> str:
    """Return an error's sentence without the first bytes of the frame: payloads are logged at debug only."""
    return _PAYLOAD.sub("", detail)


def _quoted(value: object) -> str:
    text = str(value)
    if text and not re.search(r'[\s"=]', text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class TextFormatter(logging.Formatter):
    """One line per record: UTC time, level, message; a traceback follows, each of its lines behind a bar.

    The bar keeps a line break in an exception's text from looking like a record of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text, safe to print."""
        line = f"{_timestamp(record)} {record.levelname.lower():7} {escape(record.getMessage())}"
        return line + "".join(f"\n  | {escape(part)}" for part in _traceback(record).splitlines())


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``time``, ``level``, ``event`` or ``message``, the fields, ``traceback``.

    Everything that is not ASCII is escaped, so no control character and no line break leaves it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, object] = {"time": _timestamp(record), "level": record.levelname.lower()}
        event = getattr(record, "event", None)
        if event is None:
            line |= {"logger": record.name, "message": record.getMessage()}
        else:
            line |= {"event": event, **getattr(record, "fields", {})}
        if text := _traceback(record):
            line["traceback"] = text
        return json.dumps(line, default=str)


def _timestamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _traceback(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return "".join(traceback.format_exception(record.exc_info[1])).rstrip()


def configure_logging(options: LogOptions, stream: TextIO | None = None) -> None:
    """Write the records of ``portcast`` and uvicorn to a stream, in our format. Call it once, at start.

    uvicorn's own records begin at warning, since our events tell the same story; at level ``debug`` all are written.

    Args:
        options: level and format.
        stream: standard error if None.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if options.format == "json" else TextFormatter())
    level = logging.getLevelNamesMapping()[options.level.upper()]
    levels = {
        "portcast": level,
        "uvicorn": logging.INFO if level == logging.DEBUG else max(level, logging.WARNING),
        "uvicorn.access": logging.INFO,
        "asyncio": max(level, logging.WARNING),
    }
    redact_logs()
    for name, its_level in levels.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "uvicorn.access" else []
        logger.propagate = name == "uvicorn.access"
        logger.setLevel(its_level)
