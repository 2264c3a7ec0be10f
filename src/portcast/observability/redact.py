"""Takes secrets out of log lines that we did not write: of uvicorn, asyncio, and whoever logs through them.

Our own lines hold none. uvicorn's access log has the whole path with its query, where an application or a mistaken
client may have put a token; libraries log headers at debug. What looks like a credential is replaced by ``[redacted]``:
values of the headers and query parameters named here, and JSON Web Tokens wherever they stand.

Access lines lose their control characters, too: uvicorn's formatter, which an application has, writes them as they are.

A filter on a logger sees only what is logged through that very logger; so `redact_logs` puts it on each that is known.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from portcast.observability.escape import escape

REDACTED = "[redacted]"

LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "websockets.server", "asyncio")
"""Whose lines may hold what clients sent."""

_NAMES = r"(?:access_|id_|refresh_|connection_)?(?:token|jwt|password|passwd|secret|api[_-]?key|key|session|signature)"
_PATTERNS = (
    # A query or a form: ?token=…, &api_key=…, and the connect command of SDK clients over server-sent events.
    (re.compile(rf"([?&;\s](?:{_NAMES}|cf_connect)=)[^&;\s\"'#]+", re.IGNORECASE), rf"\1{REDACTED}"),
    # Headers, as text or as bytes' repr: authorization: Bearer …, (b'cookie', b'…').
    (
        re.compile(
            r"((?:authorization|proxy-authorization|cookie|set-cookie|x-api-key|sec-websocket-protocol)"
            r"['\"]?\s*[:,=]\s*b?['\"]?)[^'\"\r\n]+",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"\b(bearer[ .])[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), REDACTED),
)


def redact(text: str) -> str:
    """Return a text without what looks like a credential."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def _access_line(text: str) -> str:
    return escape(redact(text))


class RedactFilter(logging.Filter):
    """Redacts the message and the arguments of each record; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, after the record has lost what looks like a credential."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a wrong format string is its logger's own fault, and shown by `handleError`
            return True
        clean = _access_line if record.name == "uvicorn.access" else redact
        redacted = clean(message)
        if redacted != message:
            if isinstance(record.args, tuple):
                # By argument where that is enough: uvicorn's own access formatter takes them apart.
                record.args = tuple(clean(one) if isinstance(one, str) else one for one in record.args)
                if clean(record.getMessage()) == record.getMessage():
                    return True
            record.msg, record.args = redacted, ()
        return True


def redact_logs(loggers: Iterable[str] = LOGGERS) -> None:
    """Put the filter on loggers; does nothing for one that has it."""
    for name in loggers:
        logger = logging.getLogger(name)
        if not any(isinstance(one, RedactFilter) for one in logger.filters):
            logger.addFilter(RedactFilter())
