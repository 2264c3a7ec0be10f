"""``/session``: how people show a key on the live page once, and are known by a cookie from then on.

Scripts cannot read the cookie (HttpOnly), and pages of other sites do not send it (SameSite=Strict); pages of other
ports of this host are kept out by their origin. Once set over HTTPS it is sent by no other way (Secure).
"""

from __future__ import annotations

import json

from fastapi import APIRouter, HTTPException, Request, Response

from portcast.web.body import read_body
from portcast.web.credentials import COOKIE, MAX_BYTES
from portcast.web.http_access import HttpAccess
from portcast.web.models import REFUSED, Problem, SessionBody

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["key"],
                    "properties": {"key": {"type": "string", "minLength": 1}},
                }
            }
        },
    }
}
_HEADERS = {"cache-control": "no-store"}


def add_login(router: APIRouter, access: HttpAccess) -> None:
    """Add the routes."""

    @router.get("/session", tags=["session"], responses={**REFUSED, 503: {"model": Problem}})
    async def who(request: Request, response: Response) -> SessionBody:
        """Tell who asks, and what its role gives it."""
        response.headers.update(_HEADERS)
        caller = await access.caller(request)
        rights = caller.rights
        return SessionBody(user=caller.user, role=rights.role, topics=list(rights.topics), expires_at=caller.expires_at)

    @router.post(
        "/session",
        tags=["session"],
        status_code=204,
        responses={400: {"model": Problem}, 413: {"model": Problem}, **REFUSED, 503: {"model": Problem}},
        openapi_extra=_BODY,
    )
    async def log_in(request: Request) -> Response:
        """Show an API key or a token; the answer sets a cookie by which the client is known for 12 hours at most."""
        access.check_origin(request)
        key = _key(await read_body(request, 2 * MAX_BYTES))
        identity = await access.log_in(request, key)
        value, seconds = access.rules().sessions.open(identity)
        response = Response(status_code=204, headers=_HEADERS)
        response.set_cookie(
            COOKIE,
            value,
            max_age=seconds,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    @router.delete("/session", tags=["session"], status_code=204, responses={**REFUSED, 503: {"model": Problem}})
    async def log_out(request: Request) -> Response:
        """End the session of the cookie; streams that it opened go on until they are closed."""
        access.check_origin(request)
        access.rules().sessions.close(request.cookies.get(COOKIE, ""))
        response = Response(status_code=204, headers=_HEADERS)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response


def _key(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    key = said.get("key") if isinstance(said, dict) else None
    if not isinstance(key, str) or not key:
        raise HTTPException(400, 'the body must be JSON: {"key": "…"}')
    return key[:MAX_BYTES]
