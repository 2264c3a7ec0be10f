"""The query of a URL, as it was written, and its mistyped names.

Two things differ from what a web framework makes of a query. A ``+`` is a ``+`` (RFC 3986 §3.4 gives it no other
meaning; the space is HTML's), because it is a wildcard in a topic filter: ``?filter=sensors/+`` must mean what it says,
and a space is ``%20``. And a name that is nearly one of ours is refused: ``?fliter=a`` would otherwise give all topics.

Other names that are not ours pass. An application that includes the gateway may have a token in the query, which one of
its dependencies or its middleware reads, and proxies add names of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import unquote

from fastapi import HTTPException, Request
from starlette.datastructures import QueryParams

STREAM_NAMES = ("filter", "format", "since", "history")
"""What ``/ws`` and ``/events`` take."""

SYNONYMS = {"topic": "filter", "topics": "filter", "channel": "filter", "channels": "filter", "last-event-id": "since"}
"""Not near in letters, but nobody who writes them to a stream means anything else."""

NEARNESS = 0.75
"""How alike two names are, from 0 to 1. Two letters swapped, one missing, one too many or a wrong case are above; a
name of an application's own (``file``, ``platform``, ``token``) is below."""


def query_of(scope: Mapping[str, Any]) -> QueryParams:
    """Return the query of a request or WebSocket, percent-decoded, each ``+`` as it is.

    Args:
        scope: of ASGI. Bytes that are not UTF-8 become U+FFFD.
    """
    text = bytes(scope["query_string"]).decode("utf-8", "replace")
    pairs = (pair.partition("=") for pair in text.split("&") if pair)
    return QueryParams([(unquote(name), unquote(value)) for name, _, value in pairs])


def check_names(names: Iterable[str], known: Sequence[str], synonyms: Mapping[str, str] | None = None) -> None:
    """Refuse a name that is a mistyped one of ours; names that are unlike all of ours pass.

    Args:
        names: as the client wrote them.
        known: what there is.
        synonyms: further wrong names, with the right one.

    Raises:
        ValueError: one is nearly a known one; the message is for the client.
    """
    for name in names:
        if name in known:
            continue
        lower = name.lower()
        near = (synonyms or {}).get(lower) or next(iter(get_close_matches(lower, known, n=1, cutoff=NEARNESS)), None)
        if near is not None:
            raise ValueError(f"unknown parameter {name[:40]!r}: did you mean {near!r}?")


def only_known(*known: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that answers 400 to a mistyped name of the parameters ``known``."""

    async def check(request: Request) -> None:
        try:
            check_names(request.query_params, known)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error

    return check
