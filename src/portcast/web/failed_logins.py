"""How often each address has shown a key or token that is not valid, and what that means for its next one.

An address has ``max_failed_logins`` failures, which come back one by one within ``failed_login_window``; they are
buckets of `portcast.runtime.rates`. Once they are used up

* an API key and the cookie of a login are looked at as before, and let in: that costs a hash and says nothing to who
  guesses, for both are random and long. So nobody is locked out by a neighbour behind the same NAT;
* any other token is refused unseen: no signature is verified, no key set fetched and no function of the application
  asked for it.

Nobody can tell whose an address is that stands for many: loopback (a proxy on this machine), a proxy of
``forwarded_from`` that names no client, no address at all (a Unix socket). From there tokens are looked at all the
same, and only those that are not valid are answered otherwise.

An address is what `portcast.runtime.admission` counts as one. A success brings nothing back, and what has expired is
no failure: it was genuine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import HTTPConnection

from portcast.address import parse_networks, real_address
from portcast.centrifuge import codes
from portcast.centrifuge.codes import ReplyError
from portcast.config import HttpOptions
from portcast.runtime.admission import MOST_ADDRESSES, address_key
from portcast.runtime.rates import BucketTable
from portcast.web.sdk_answers import Refusal

UNKNOWN = "unknown"
"""Stands for all that have no address."""


class FailedLogins:
    """See the top of the module. Used on the loop only. At most `MOST_ADDRESSES` are remembered, about 3 MiB."""

    def __init__(self, options: HttpOptions, now: Callable[[], float] = time.monotonic) -> None:
        """Begin without failures.

        Args:
            options: ``max_failed_logins`` (0: nothing is ever refused) and its window, ``forwarded_from``.
            now: returns monotonic seconds.
        """
        most, window_s = options.max_failed_logins, options.failed_login_window_s
        self._failures = BucketTable(most / window_s, MOST_ADDRESSES, burst=most) if most else None
        self._proxies = parse_networks(options.forwarded_from, "forwarded_from")
        self._now = now

    def __len__(self) -> int:
        """Return how many addresses are remembered."""
        return 0 if self._failures is None else len(self._failures)

    def wait_s(self, http: HTTPConnection) -> float:
        """Return the seconds until one more failure of a client's address is forgotten; 0 if it may fail now."""
        return 0.0 if self._failures is None else self._failures.wait_s(self._key(http)[0], self._now())

    def refuses_unseen(self, http: HTTPConnection) -> bool:
        """Return True if a token that a client shows shall not be looked at."""
        if self._failures is None:
            return False
        key, stands_for_many = self._key(http)
        return not stands_for_many and self._failures.wait_s(key, self._now()) > 0

    def failed(self, http: HTTPConnection, refusal: Refusal, *, is_by_app: bool) -> Refusal:
        """Count a refusal if it means that a token is not valid; return what the client is told.

        Args:
            http: the request by which it came.
            refusal: why it was refused.
            is_by_app: the application alone judges tokens, so any no of its that is final is about the token. Behind a
                genuine one it is about the user.
        """
        is_final = refusal.code < 500 or refusal.code >= 600  # an app's HTTPException 503 is not about the token
        if isinstance(refusal, ReplyError):
            others = (codes.TOKEN_EXPIRED.code, codes.BAD_REQUEST.code)
            is_final = is_final and not refusal.temporary and refusal.code not in others
        if not (refusal == codes.INVALID_TOKEN or (is_by_app and is_final)) or self._failures is None:
            return refusal
        is_taken = self._failures.is_taken(self._key(http)[0], self._now())
        return refusal if is_taken else codes.TOO_MANY_REQUESTS

    def _key(self, http: HTTPConnection) -> tuple[str, bool]:
        """Return what counts as a client's address, and whether others may share it whom nobody can tell apart."""
        try:
            address = real_address(http.client.host if http.client is not None else "")
        except ValueError:
            return UNKNOWN, True
        return address_key(address), address.is_loopback or any(address in one for one in self._proxies)
