from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from uvicorn.logging import AccessFormatter

from portcast.observability.redact import REDACTED, RedactFilter, redact, redact_logs

SECRET = "s3cr3t-value_0123456789"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text",
    [
        f"GET /ws?token={SECRET} HTTP/1.1",
        f"GET /ws?filter=a&access_token={SECRET}&b=1 HTTP/1.1",
        f"GET /x?API_KEY={SECRET}",
        f"GET /connection/sse?cf_connect={SECRET}",
        f"authorization: Bearer {SECRET}",
        f"Authorization: Basic {SECRET}",
        f"[(b'authorization', b'Bearer {SECRET}'), (b'host', b'x')]",
        f"cookie: portcast_session={SECRET}; a={SECRET}",
        f"x-api-key={SECRET}",
        f"sec-websocket-protocol: portcast, portcast.bearer.{SECRET}",
        f"offered portcast.bearer.{SECRET}",
        f"it said {JWT} and left",
    ],
)
@pytest.mark.row(56)
def test_credentials_do_not_stay(text: str) -> None:
    shown = redact(text)
    assert SECRET not in shown
    assert JWT not in shown
    assert REDACTED in shown
    assert redact(shown) == shown or SECRET not in redact(shown)


@pytest.mark.parametrize(
    "text",
    [
        '127.0.0.1:5 - "GET /api/history?filter=sensors/+&limit=3 HTTP/1.1" 200',
        "monkey=1 and a keyboard=2",
        "listener tcp://0.0.0.0:8001 accepts",
        "portcast.bearer.x",
    ],
)
def test_other_lines_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    one = logging.getLogger("test.redact")
    yield one
    one.filters.clear()


def test_an_access_line_can_still_be_formatted(logger: logging.Logger) -> None:
    """uvicorn's formatter takes the arguments apart; they must stay five."""
    redact_logs(["test.redact"])
    redact_logs(["test.redact"])
    assert len(logger.filters) == 1
    path = f"/ws?token={SECRET}&x=1"
    arguments = ("127.0.0.1:5", "GET", path, "1.1", 200)
    record = logger.makeRecord(logger.name, 20, "f", 1, '%s - "%s %s HTTP/%s" %d', arguments, None)
    assert logger.filter(record)
    line = AccessFormatter('%(client_addr)s "%(request_line)s" %(status_code)s', use_colors=False).format(record)
    assert SECRET not in line
    assert "GET /ws?token=[redacted]&x=1" in line


def test_an_access_line_is_one_line() -> None:
    """A path may hold what a terminal or a reader of the log acts on."""
    record = logging.getLogger("uvicorn.access").makeRecord(
        "uvicorn.access", 20, "f", 1, "%s %s", ("GET", "/a\n\x1b[2J"), None
    )
    RedactFilter().filter(record)
    assert record.getMessage() == r"GET /a\n\x1b[2J"


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        (f"authorization: Bearer {SECRET}", ()),
        ("authorization: %s", (SECRET,)),
        ("%(name)s", ({"name": f"?token={SECRET}"},)),
        ("%s", (ValueError(f"?token={SECRET}"),)),
        ("%r", ([("cookie", SECRET)],)),
    ],
)
def test_whatever_a_secret_is_part_of(logger: logging.Logger, message: str, arguments: tuple[object, ...]) -> None:
    record = logger.makeRecord(logger.name, 20, "f", 1, message, arguments, None)
    assert RedactFilter().filter(record)
    assert SECRET not in record.getMessage()


def test_a_wrong_format_is_left_to_logging(logger: logging.Logger) -> None:
    record = logger.makeRecord(logger.name, 20, "f", 1, "%d", ("x",), None)
    assert RedactFilter().filter(record)
