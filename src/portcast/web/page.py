"""The live page: a fixed table of files inside the package, under a strict content security policy."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePosixPath

from fastapi import APIRouter, HTTPException, Response

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}
"""What is served, by ending; anything else in the folder is not."""

VENDOR = "vendor"
"""The folder of what others wrote; its files are served under its name."""

HEADERS = {
    # Nothing inline and nothing from elsewhere: whatever a device sends, it cannot become code.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # The page belongs to the server's version; after an upgrade the browser must not mix old and new files.
    "cache-control": "no-cache",
}


def load() -> dict[str, tuple[bytes, str]]:
    """Return the page's files as name to (content, media type)."""
    table = {}
    folder = files("portcast").joinpath("dashboard")
    for prefix, place in (("", folder), (f"{VENDOR}/", folder.joinpath(VENDOR))):
        for entry in place.iterdir() if place.is_dir() else ():
            media_type = TYPES.get(PurePosixPath(entry.name).suffix)
            if media_type is not None:
                table[prefix + entry.name] = (entry.read_bytes(), media_type)
    return table


def add_page(router: APIRouter) -> None:
    """Add the page at ``/`` and its files at ``/static/{file}``."""
    table = load()

    def respond(name: str) -> Response:
        if name not in table:
            raise HTTPException(404, "no such file")
        content, media_type = table[name]
        return Response(content, media_type=media_type, headers=HEADERS)

    @router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> Response:
        return respond("index.html")

    @router.api_route("/static/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def static(name: str) -> Response:
        return respond(name)
