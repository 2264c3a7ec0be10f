"""One request to the HTTP API of a running gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import click

from portcast.errors import ConfigurationError, PortcastError
from portcast.observability import escape
from portcast.settings import TOKEN_VARIABLE

ANSWER_S = 10.0
"""For a gateway to answer; one that is there does within milliseconds."""


token_option = click.option(
    "--token",
    default="",
    envvar=TOKEN_VARIABLE,
    show_envvar=True,
    metavar="TOKEN",
    help="An API key or a token, where the gateway wants one.",
)
_NO_HINTS: Mapping[int, str] = MappingProxyType({})


def call(
    url: str,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    token: str = "",
    patience_s: float = 0.0,
    hints: Mapping[int, str] = _NO_HINTS,
) -> Any:
    """Return the JSON that a gateway answers; None if it has nothing to say (204).

    Args:
        url: ``http://HOST:PORT``, with the prefix under which the gateway is embedded, if any; ``https`` and a bare
            ``HOST:PORT`` will do.
        method: of HTTP.
        path: under the prefix, percent-encoded, with its query.
        body: sent as JSON.
        token: an API key or a token; empty for none.
        patience_s: how much longer than `ANSWER_S` the answer may take.
        hints: what to do about a refusal with this status, said behind the gateway's own reason.

    Raises:
        ConfigurationError: ``url`` is not such a URL.
        PortcastError: there is no gateway, or it refuses; the message says why.
    """
    connection, prefix = _connection(url, ANSWER_S + patience_s)
    payload = None if body is None else json.dumps(body).encode("utf-8", "surrogatepass")
    headers = {"content-type": "application/json"} if body is not None else {}
    if token:
        headers["authorization"] = f"Bearer {token}"
    try:
        connection.request(method, prefix + path, payload, headers)
        response = connection.getresponse()
        text = response.read()
    except TimeoutError as error:
        waited = f"it has not answered within {ANSWER_S + patience_s:g} s"
        raise PortcastError(f"{url}: {waited}; is it a gateway, and does its log say more?") from error
    except ConnectionRefusedError as error:
        raise PortcastError(f"{url}: nothing listens there; is `portcast serve` running?") from error
    except HTTPException as error:
        raise PortcastError(f"{url}: it does not speak HTTP; is it a device port?") from error
    except OSError as error:
        reason = escape(error.strerror or str(error)).lower()
        raise PortcastError(f"{url}: {reason}; does --url say where the gateway is?") from error
    finally:
        connection.close()
    return _answer(url, response.status, text, hints, is_token_shown=bool(token))


def _connection(url: str, timeout_s: float) -> tuple[HTTPConnection, str]:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"--url {url}", f"is not a URL ({error})", "write http://HOST:PORT") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"--url {url}", "is not the URL of a gateway", "write http://HOST:PORT")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname, port, timeout=timeout_s), parts.path.rstrip("/")


def _answer(url: str, status: int, text: bytes, hints: Mapping[int, str], *, is_token_shown: bool) -> Any:
    if status == 204:
        return None
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if status < 300 and answer is not None:
        return answer
    reason = _reason(answer)
    if status == 401:
        problem = "it does not take the key or token that it was shown" if is_token_shown else "it asks who you are"
        hint = f"--token or {TOKEN_VARIABLE} tells it an API key or a token"
        raise PortcastError(f"{url}: {problem}; {hint}" + (f" ({escape(reason)})" if reason else ""))
    if reason:
        hint = hints.get(status, "")
        if status == 403 and is_token_shown:
            hint = f"--token or {TOKEN_VARIABLE} may show another key or token"
        raise PortcastError(f"{url}: {escape(reason)}" + (f"; {hint}" if hint else ""))
    raise PortcastError(
        f"{url}: answered {status}; is this a gateway's address, with the prefix that it is included with "
        "(--url http://HOST:PORT/PREFIX)?"
    )


def _reason(answer: Any) -> str:
    """Return the gateway's own words; "" if there are none."""
    detail = answer.get("detail") if isinstance(answer, dict) else None
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):  # a parameter, of FastAPI
        *_, name = detail[0].get("loc") or [""]
        return f"{name}: {detail[0].get('msg', '')}"
    # "Not Found" is what a framework says of a path that it does not have.
    return detail if isinstance(detail, str) and detail != "Not Found" else ""
