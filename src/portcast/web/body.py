"""Reads a request's body within a limit."""

from __future__ import annotations

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, refusing it as soon as it announces more than the limit, or passes it.

    Whoever asks first (``Expect: 100-continue``, RFC 9110 §10.1.1) is told to go on by the first read only; refused,
    its connection ends. Whoever does not ask is sending already, and would lose the answer with a connection that ends
    while bytes are unread (RFC 9112 §9.6): the server throws the rest away until the request's deadline.

    Raises:
        HTTPException: 413 for more than ``limit`` bytes, 400 if the client left before the end.
    """
    if _announced(request) > limit:
        raise _too_large(request, limit)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise _too_large(request, limit)
    except ClientDisconnect as error:
        # The client's doing, and nobody reads the answer; as an error of the application it would be logged as one.
        raise HTTPException(400, "the body is not complete") from error
    return bytes(body)


def _announced(request: Request) -> int:
    try:
        return int(request.headers.get("content-length", "0"))
    except ValueError:
        # Servers refuse it (RFC 9112 §6.3); if one does not, what comes is counted.
        return 0


def _too_large(request: Request, limit: int) -> HTTPException:
    # HTTP/2 has streams in the place of connections, and no such header (RFC 9113 §8.2.2).
    ends = "expect" in request.headers and request.scope["http_version"].startswith("1")
    return HTTPException(413, f"a message has at most {limit} bytes", headers={"connection": "close"} if ends else None)
