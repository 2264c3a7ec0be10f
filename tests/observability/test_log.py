"""Tests of `portcast.observability.log`."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from portcast.config import LogOptions
from portcast.errors import CodecError, OversizeFrameError
from portcast.events import (
    AnswerStrayed,
    CertificatesRefused,
    CertificatesReloaded,
    CloseReason,
    CommandRefused,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionRefused,
    DeviceAttached,
    DeviceRejected,
    DrainFinished,
    DrainStarted,
    Event,
    FrameRejected,
    HandlerAbandoned,
    HandlerFailed,
    HistoryNotKept,
    HistoryRestored,
    HistorySaved,
    ListenerPaused,
    ListenerResumed,
    ListenerStarted,
    LoopBlocked,
    MemoryRecovered,
    MemoryShort,
    RecordingCapped,
    RecordingChanged,
    RedactionFailed,
    SubscriberClosed,
    SubscriberDemoted,
    SubscriberOpened,
    SubscriberSlow,
)
from portcast.observability.log import JsonFormatter, LogEvents, TextFormatter, configure_logging
from portcast.types import ConnectionId, DeviceId, ListenerName

A = ListenerName("tcp://127.0.0.1:8001")
ID = ConnectionId("0123456789ab")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Log:
    """A logger of its own, written to memory in the text format without its time."""

    def __init__(self, level: int = logging.INFO, formatter: logging.Formatter | None = None) -> None:
        self.clock = Clock()
        self.stream = io.StringIO()
        logger = logging.Logger("test", level)
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(formatter or TextFormatter())
        logger.addHandler(handler)
        self.emit = LogEvents(logger, self.clock)

    @property
    def lines(self) -> list[str]:
        return [line if line.startswith("  |") else line[25:] for line in self.stream.getvalue().splitlines()]


def closed(reason: CloseReason, detail: str = "", undelivered: int = 0) -> ConnectionClosed:
    return ConnectionClosed(ID, A, "127.0.0.1:5", reason, detail, 3, 100, 0, 1.23456, undelivered)


def failed(error: BaseException | None = None) -> HandlerFailed:
    try:
        raise error or ValueError("bad reading")
    except (ValueError, KeyError) as caught:
        return HandlerFailed(ID, A, "on_reading", caught)


def test_an_event_is_one_line_of_key_and_value() -> None:
    log = Log()
    log.emit(ConnectionOpened(ID, A, "127.0.0.1:5"))
    assert log.lines == [
        "info    connection opened connection=0123456789ab listener=tcp://127.0.0.1:8001 peer=127.0.0.1:5"
    ]


def test_what_says_nothing_is_left_out_and_numbers_are_short() -> None:
    log = Log()
    log.emit(closed("peer_closed"))
    assert "detail" not in log.lines[0]
    assert "undelivered" not in log.lines[0]
    assert "seconds=1.235" in log.lines[0]


def test_values_with_spaces_are_quoted() -> None:
    log = Log()
    log.emit(ListenerStarted(A, A, "lines", 'topic "a" b'))
    assert log.lines[0].endswith('framing=lines target="topic \\"a\\" b"')


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (ListenerStarted(A, A, "lines", "topic a"), "info"),
        (ListenerPaused(A, "descriptors", "EMFILE"), "warning"),
        (ListenerPaused(A, "suspended", ""), "info"),
        (closed("peer_closed"), "info"),
        (closed("reset"), "info"),
        (closed("oversize"), "warning"),
        (closed("peer_closed", undelivered=1), "warning"),
        (FrameRejected(ID, A, "x", 1), "warning"),
        (DeviceRejected(DeviceId("d"), ID, A, "unknown"), "warning"),
        (DeviceAttached(DeviceId("d"), ID, A, "online"), "info"),
        (replace(closed("peer_closed"), skipped_bytes=1), "warning"),
        (AnswerStrayed(DeviceId("d"), "late"), "warning"),
        (AnswerStrayed(DeviceId("d"), "doubled"), "warning"),
        (AnswerStrayed(DeviceId("d"), "foreign"), "debug"),
        (CommandRefused("d", "queue_full"), "warning"),
        (RecordingChanged("device:d", "on"), "info"),
        (RecordingCapped(ID, A, 200), "warning"),
        (MemoryShort(3, 2, 1), "warning"),
        (MemoryRecovered(1, 2, 1, 0.5), "info"),
        (RedactionFailed(ID, A, "KeyError"), "warning"),
        (failed(), "error"),
        (HandlerAbandoned(ID, A, "on_reading"), "error"),
        (SubscriberOpened("s1", "ws", ("a", "b"), "127.0.0.1:6"), "info"),
        (SubscriberSlow("s1", 1, 2), "debug"),
        (SubscriberDemoted("s1", 1, 2), "warning"),
        (SubscriberClosed("s1", "ws", "left", 1, 0, 1.0), "info"),
        (SubscriberClosed("s1", "ws", "slow", 1, 5, 1.0), "warning"),
        (DrainStarted(1, 2, 15.0), "info"),
        (DrainFinished(0.5, True, ""), "info"),
        (DrainFinished(15.0, False, "2 aborted"), "warning"),
        (HistoryRestored("/s/history.state", 1, 2), "info"),
        (HistorySaved("/s/history.state", 1, 2), "info"),
        (HistoryNotKept("/s/history.state", "not_saved", "it cannot be written"), "warning"),
        (ConnectionRefused(A, "192.0.2.7:5", "tls_failed", "http request"), "warning"),
        (ConnectionRefused(A, "192.0.2.7:5", "gone", "it left during the handshake"), "info"),
        (CertificatesRefused(A, "server.pem: cannot be read"), "warning"),
        (CertificatesReloaded(A), "info"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_level(event: Event, level: str) -> None:
    log = Log(logging.DEBUG)
    log.emit(event)
    assert log.lines[0].split()[0] == level


def test_the_close_code_is_there_if_there_was_one() -> None:
    """A client that left by itself was told nothing."""
    log = Log(logging.INFO)
    log.emit(SubscriberClosed("s1", "centrifuge", "bad request", 0, 0, 1.0, 3501))
    log.emit(SubscriberClosed("s2", "centrifuge", "client left", 0, 0, 1.0))
    assert [" code=3501" in line for line in log.lines] == [True, False]
    assert "code" not in log.lines[1]


def test_nothing_is_written_below_the_level() -> None:
    log = Log(logging.WARNING)
    log.emit(ConnectionOpened(ID, A, "127.0.0.1:5"))
    assert log.lines == []


def test_control_characters_of_a_peer_cannot_forge_a_line() -> None:
    """faults.md row 60: log injection by CR/LF, ANSI and bidi."""
    log = Log()
    log.emit(FrameRejected(ID, A, "x\r\n2026-01-01 error fake\x1b[2J\u202e", 1))
    assert len(log.lines) == 1
    assert 'detail="x\\\\r\\\\n2026' in log.lines[0]
    assert "\x1b" not in log.lines[0]


def test_long_values_are_cut() -> None:
    log = Log()
    log.emit(FrameRejected(ID, A, "x" * 1000, 1))
    assert "x…(+744)" in log.lines[0]


@pytest.mark.parametrize(
    "error", [CodecError("json", "no object", b"secret"), OversizeFrameError("a line", 9, b"secret")]
)
def test_payload_is_written_at_debug_only(error: Exception) -> None:
    """The sentence of an error holds the first bytes of the frame: perhaps a password."""
    quiet, loud = Log(), Log(logging.DEBUG)
    for log in (quiet, loud):
        log.emit(closed("oversize", str(error)))
    assert "detail=" in quiet.lines[0]
    assert "secret" not in quiet.lines[0]
    assert "secret" in loud.lines[0]


def test_a_failed_handler_is_written_with_its_traceback_and_connection() -> None:
    log = Log()
    log.emit(failed())
    assert "error=ValueError" in log.lines[0]
    assert f"connection={ID}" in log.lines[0]
    assert log.lines[1] == "  | Traceback (most recent call last):"
    assert log.lines[-1] == "  | ValueError: bad reading"


def test_a_line_break_in_an_exception_stays_behind_the_bar() -> None:
    log = Log()
    log.emit(failed(ValueError("a\n2026-01-01 error fake\x1b")))
    assert log.lines[-2:] == ["  | ValueError: a", "  | 2026-01-01 error fake\\x1b"]


def test_repeated_faults_are_held_back_and_counted() -> None:
    log = Log(logging.WARNING)
    for _ in range(105):
        log.emit(closed("oversize"))
    assert len(log.lines) == 5
    log.clock.now += 5
    log.emit(ConnectionOpened(ID, A, ""))  # below the level: it does not wake the log
    log.emit(closed("malformed"))
    assert log.lines[5] == (
        "warning repeated kind=connection_closed listener=tcp://127.0.0.1:8001 reason=oversize suppressed=100"
    )
    assert "reason=malformed" in log.lines[6]


def test_strangers_that_leave_are_held_back_too() -> None:
    """No fault, but anybody may do it as often as he likes: one line in five seconds says enough."""
    log = Log()
    for number in range(20):
        log.emit(ConnectionRefused(A, f"192.0.2.7:{number}", "gone", "it left during the handshake"))
    assert len(log.lines) == 5
    log.clock.now += 6
    log.emit(ConnectionOpened(ID, A, "p"))
    assert "suppressed=15" in log.lines[5]


def test_any_event_after_the_window_reports_what_was_held_back() -> None:
    log = Log()
    for _ in range(6):
        log.emit(closed("oversize"))
    log.clock.now += 5
    log.emit(ConnectionOpened(ID, A, ""))
    assert "suppressed=1" in log.lines[5]


def test_reasons_and_listeners_do_not_hold_each_other_back() -> None:
    log = Log()
    for _ in range(10):
        log.emit(closed("oversize"))
        log.emit(failed())
        log.emit(failed(KeyError("x")))
    headers = [line for line in log.lines if not line.startswith("  |")]
    assert len(headers) == 15


def test_a_pause_is_written_once_per_window() -> None:
    """Out of descriptors, a listener pauses ten times a second: one line per 10 s."""
    log = Log()
    for _ in range(80):
        log.emit(ListenerPaused(A, "descriptors", "EMFILE"))
        log.clock.now += 0.125
    assert len(log.lines) == 1
    log.emit(ListenerPaused(A, "descriptors", "EMFILE"))
    assert "suppressed=79" in log.lines[1]


def test_the_end_of_the_drain_reports_what_was_held_back() -> None:
    log = Log()
    for _ in range(7):
        log.emit(closed("oversize"))
    log.emit(DrainFinished(1.0, True, ""))
    assert "suppressed=2" in log.lines[-1]


def test_ordinary_events_are_never_held_back() -> None:
    log = Log()
    for _ in range(100):
        log.emit(ConnectionOpened(ID, A, ""))
    assert len(log.lines) == 100


def test_no_window_writes_everything() -> None:
    stream = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(logging.StreamHandler(stream))
    emit = LogEvents(logger, Clock(), window_s=0)
    for _ in range(20):
        emit(closed("oversize"))
    assert len(stream.getvalue().splitlines()) == 20


def test_json_lines_hold_the_fields_typed() -> None:
    log = Log(formatter=JsonFormatter())
    log.emit(closed("oversize", "too long\r\n\u202e"))
    log.emit(failed())
    first, second = (json.loads(line) for line in log.stream.getvalue().splitlines())
    assert first["event"] == "connection_closed"
    assert first["level"] == "warning"
    assert (first["connection"], first["frames"], first["seconds"]) == (ID, 3, 1.235)
    assert first["time"].endswith("Z")
    assert "ValueError: bad reading" in second["traceback"]
    assert log.stream.getvalue().isascii()


def test_json_of_a_record_that_is_no_event() -> None:
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "no %s", ("way\n",), None)
    line = json.loads(JsonFormatter().format(record))
    assert (line["logger"], line["message"], line["level"]) == ("uvicorn.error", "no way\n", "error")


@pytest.fixture
def loggers() -> Iterator[dict[str, logging.Logger]]:
    """The real loggers, put back afterwards."""
    names = ("portcast", "uvicorn", "uvicorn.access", "asyncio")
    found = {name: logging.getLogger(name) for name in names}
    before = {name: (found[name].handlers, found[name].propagate, found[name].level) for name in names}
    yield found
    for name, (handlers, propagate, level) in before.items():
        found[name].handlers, found[name].propagate = handlers, propagate
        found[name].setLevel(level)


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["portcast debug", "portcast info", "uvicorn info", "uvicorn error"]),
        ("info", ["portcast info", "uvicorn error"]),
        ("warning", ["uvicorn error"]),
        ("error", ["uvicorn error"]),
    ],
)
def test_one_stream_for_our_records_and_uvicorns(
    loggers: dict[str, logging.Logger], level: str, written: list[str]
) -> None:
    stream = io.StringIO()
    options = LogOptions(level=level)  # type: ignore[arg-type]  # a parametrized literal
    configure_logging(options, stream)
    configure_logging(options, stream)
    loggers["portcast"].debug("portcast debug")
    loggers["portcast"].info("portcast info")
    logging.getLogger("uvicorn.error").info("uvicorn info")
    logging.getLogger("uvicorn.error").error("uvicorn error")
    assert [line[33:] for line in stream.getvalue().splitlines()] == written


def test_the_json_format_is_chosen(loggers: dict[str, logging.Logger]) -> None:
    stream = io.StringIO()
    configure_logging(LogOptions(format="json"), stream)
    loggers["portcast"].info("hello")
    assert json.loads(stream.getvalue())["message"] == "hello"


def test_where_nobody_configured_logging_a_listener_is_shown_through_uvicorn(
    loggers: dict[str, logging.Logger],
) -> None:
    """One line for each at start, as uvicorn has one for HTTP; the rest of ordinary life stays unsaid."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    loggers["uvicorn"].handlers, loggers["uvicorn"].propagate = [handler], False
    loggers["uvicorn"].setLevel(logging.INFO)
    emit = LogEvents(logging.Logger("nobody"))
    emit(ListenerStarted(A, A, "lines", "topic a"))
    emit(closed("peer_closed"))
    assert stream.getvalue() == f'listener started listener={A} framing=lines target="topic a"\n'
    loggers["uvicorn"].handlers = []
    emit(ListenerStarted(A, A, "lines", "topic a"))
    assert stream.getvalue().count("\n") == 1


def test_a_blocked_loop_is_an_error_with_its_whole_stack() -> None:
    """The stack is what is looked for, so it may be longer than what comes from a peer."""
    log = Log()
    log.emit(LoopBlocked("on_reading", 0.6, "a (x/y.py:1) > " * 40))
    (line,) = log.lines
    assert line.startswith("error   loop blocked handler=on_reading seconds=0.6 stack=")
    assert len(line) > 600


def test_a_listener_that_flaps_fills_no_disk() -> None:
    """Out of descriptors it pauses for 100 ms, again and again: one line of each kind per window, the rest counted."""
    log = Log()
    for _ in range(40):
        log.emit(ListenerPaused(A, "descriptors", "Too many open files"))
        log.emit(ListenerResumed(A))
        log.clock.now += 0.1
    assert [line.split("listener=")[0].strip() for line in log.lines] == [
        "warning listener paused",
        "info    listener resumed",
    ]
