"""Keys of a JSON Web Key Set, from a URL or a file, kept fresh.

What happens to the source:

==============================================  =====================================================================
when                                            then
==============================================  =====================================================================
nothing is there yet                            who asks waits
a token names a key that is not there           who asks waits; not within `MIN_INTERVAL_S` of the last attempt,
                                                because anybody can invent names of keys
the keys are older than `MAX_AGE_S`             it is read beside, and the old keys count until then
a read fails                                    the old keys stay: who is connected must not depend on the issuer
==============================================  =====================================================================

There is at most one read at a time; all who wait share it, and none of them can cancel it for the others. It runs in a
thread, with `urllib`: no HTTP client is a runtime dependency. PyJWT's own ``PyJWKClient`` is not used, because it reads
again for every unknown name of a key, blocks its caller, and reads without limit.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool

from portcast.address import Address
from portcast.centrifuge.token_keys import KeySet
from portcast.errors import ConfigurationError

MAX_AGE_S = 300.0
"""How old keys become before they are read again, as in `PyJWKClient`: so late is the removal of a key noticed."""

MIN_INTERVAL_S = 10.0
"""From one attempt to the next: so late is a new key noticed, at worst."""

TIMEOUT_S = 5.0
"""For each step of a read, and for the whole body."""

MAX_BYTES = 1_048_576
"""Largest document."""

_SOURCE_ERRORS = (OSError, HTTPException, ValueError, RecursionError, ConfigurationError)
"""What a source can do wrong: not be there, not speak HTTP, not be JSON, not be a key set."""

_logger = logging.getLogger("portcast")


class JwksKeys:
    """The keys of one source. Used on one loop."""

    def __init__(self, source: str, *, insecure: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare to read; nothing is read yet.

        Args:
            source: an ``https://`` URL, ``http://`` on this machine, or the path of a file.
            insecure: allow ``http://`` to other machines, where whoever is in between can exchange the keys.
            clock: returns monotonic seconds.

        Raises:
            ConfigurationError: the URL is of another kind.
        """
        self._source = source
        self._is_url = "://" in source
        if self._is_url:
            _check_url(source, insecure)
        self._clock = clock
        self._keys: KeySet | None = None
        self._read_at = self._tried_at = -float("inf")
        self._task: asyncio.Task[bool] | None = None

    def keys_nowait(self) -> KeySet | None:
        """Return the keys, None if none were read yet; begin to read them again beside if they are old."""
        if self._keys is not None and self._clock() - self._read_at > MAX_AGE_S and self._may_try():
            self._begin()
        return self._keys

    async def wait_read(self, old: KeySet | None) -> KeySet | None:
        """Return the keys as they are after a read, because ``old`` ones did not do; None if it failed or is too early.

        Cancelling leaves the read to the others who wait for it.
        """
        if self._keys is not old:
            return self._keys
        if self._task is None and self._may_try():
            self._begin()
        task = self._task
        if task is None:
            return None
        await asyncio.wait([task])
        return self._keys if task.result() else None

    async def close(self) -> None:
        """Wait until no read runs; a thread cannot be interrupted, but each of its steps has a deadline."""
        while self._task is not None:
            await asyncio.wait([self._task])

    def _may_try(self) -> bool:
        return self._task is None and self._clock() - self._tried_at >= MIN_INTERVAL_S

    def _begin(self) -> None:
        self._tried_at = self._clock()
        self._task = asyncio.ensure_future(self._read())

    async def _read(self) -> bool:
        try:
            keys = await run_in_threadpool(self._load)
        except _SOURCE_ERRORS as error:
            # The source's name is the operator's own; what it answered is not shown.
            _logger.warning("token keys not read source=%s error=%s", _shown(self._source), type(error).__name__)
            return False
        finally:
            self._task = None
        # The old object stays if nothing changed: others tell by identity that there is something new.
        if keys != self._keys:
            self._keys = keys
        self._read_at = self._clock()
        return True

    def _load(self) -> KeySet:
        data = _fetch(self._source) if self._is_url else _read_file(Path(self._source))
        return KeySet.from_jwks(json.loads(data))

    def load_file(self) -> None:
        """Read the source now if it is a file, so that a mistake is found at start.

        Raises:
            ConfigurationError: it cannot be read, or is not a JSON Web Key Set.
        """
        if self._is_url:
            return
        try:
            self._keys = self._load()
        except _SOURCE_ERRORS as error:
            problem = error.strerror if isinstance(error, OSError) else "it is not a JSON Web Key Set"
            raise ConfigurationError(f"centrifuge.token_jwks: {self._source}", f"{problem}") from error
        self._read_at = self._tried_at = self._clock()


def _check_url(url: str, insecure: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigurationError("centrifuge.token_jwks", "it is not a URL", "write https://HOST/PATH") from None
    is_local = host == "localhost" or Address("tcp", host, 80).is_loopback
    if not host or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not (is_local or insecure)):
        raise ConfigurationError(
            f"centrifuge.token_jwks: {_shown(url)}",
            "keys are fetched with https, from this machine also with http",
            "write https://HOST/PATH, or the path of a file",
        )


def _shown(source: str) -> str:
    """Return a source for logs and errors: without user, password and query, which may be secret."""
    if "://" not in source:
        return source
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a redirect could lead from https to http, or into this machine's network."""

    def redirect_request(self, *_: Any) -> None:
        """Make the redirect an error."""
        return


def _fetch(url: str) -> bytes:
    opener = urllib.request.build_opener(_NoRedirect)
    until = time.monotonic() + TIMEOUT_S
    parts: list[bytes] = []
    size = 0
    request = urllib.request.Request(url, headers={"accept": "application/json"})  # noqa: S310 - checked: http or https
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            while part := response.read1(65_536):
                parts.append(part)
                size += len(part)
                # The timeout is of each step, and a byte every few seconds would pass it for ever.
                if size > MAX_BYTES or time.monotonic() > until:
                    raise ValueError("too large, or too slow")
    except HTTPError as error:
        error.close()  # it holds the connection
        raise
    return b"".join(parts)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError("too large")
    return data
