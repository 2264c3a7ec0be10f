"""Reads a request's body within a limit."""

from __future__ import annotations

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, refusing it as soon as it passes the limit.

    Raises:
        HTTPException: 413 for more than ``limit`` bytes, 400 if the client left before the end.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise HTTPException(413, f"a message has at most {limit} bytes")
    except ClientDisconnect as error:
        # The client's doing, and nobody reads the answer; as an error of the application it would be logged as one.
        raise HTTPException(400, "the body is not complete") from error
    return bytes(body)
