"""What a gateway still has: one page of ``GET /api/history``, asked for in a thread."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from portcast.cli.tail_view import Gap, Received, received

MOST = 300
"""Publications of a page at most."""

ANSWER_S = 5.0
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class NoHistory:
    """The gateway answers, but not with history; ``reason`` says how."""

    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """Publications, oldest first.

    Attributes:
        publications: after the position that was asked from, or the newest.
        gap: what is gone before them; None if nothing is.
        more: how many follow that are not in the page.
    """

    publications: list[Received]
    gap: Gap | None
    more: int


class History:
    """Asks one gateway for one filter."""

    def __init__(self, url: str, topic_filter: str, *, is_loopback: bool, token: str = "") -> None:
        """Prepare.

        Args:
            url: of the gateway, ``http`` or ``https``, without a slash at its end.
            topic_filter: a valid one.
            is_loopback: then a proxy of the environment is passed over.
            token: an API key or a token; empty for none.
        """
        self._token = token
        self._address = f"{url}/api/history?filter={quote(topic_filter, safe='/')}"
        self._opener = build_opener(*([ProxyHandler({})] if is_loopback else []))

    async def ask(self, since: str, limit: int = MOST) -> Page | NoHistory:
        """Return what follows an id, or the newest publications if it is empty.

        Cancellation leaves the thread behind, for `ANSWER_S` at most.

        Raises:
            OSError: it does not answer, or is not ready to.
        """
        past = f"&since={quote(since)}" if since else ""
        return await asyncio.to_thread(self._ask, f"{self._address}&limit={limit}{past}")

    def _ask(self, address: str) -> Page | NoHistory:
        request = Request(address, headers={"user-agent": "portcast tail"})  # noqa: S310 - http or https, checked before
        if self._token:
            # Unredirected: whoever it may lead to is not to have it.
            request.add_unredirected_header("authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=ANSWER_S) as answer:
                said = json.loads(answer.read(MAX_BYTES))
            known = [received(one) for one in said["publications"]]
            missed = int(said["missed"])
            return Page(
                [one for one in known if one is not None],
                Gap(missed, bool(said["exact"])) if missed else None,
                int(said["more"]),
            )
        except HTTPError as error:
            error.close()
            if error.code >= 500:
                raise ConnectionError(f"it answered {error.code}") from error
            return NoHistory(f"it answered {error.code}")
        except (ValueError, KeyError, TypeError):
            return NoHistory("its answer is not that of a gateway")
