"""Who may come in to HTTP, before uvicorn's protocol: limits by address and in all, then TLS where it is spoken.

A browser keeps a connection, and each one costs a descriptor of the process. Without a limit of its own HTTP could
take those that devices need, so it has what devices can never use (`portcast.runtime.limits.http_connections`). Whoever
comes above that takes the place of one that has no request under way; if there is none, the newest is reset, and who is
there already, stays. Upgrades count: a WebSocket is the connection by which its request came.

All of it is judged by the address of the socket. A proxy in ``forwarded_from`` speaks for others: of it only the count
in all is taken, and those for whom it speaks are judged by request (`portcast.web.networks`,
`portcast.runtime.Hub.admission`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from portcast.config import HttpOptions
from portcast.events import ConnectionRefused, Emit
from portcast.http_tls import OWNER, HttpTls
from portcast.runtime.admission import Admission, Networks
from portcast.runtime.entrance import Arrival, Entrance
from portcast.runtime.limits import http_connections, most_pending, raise_descriptor_limit
from portcast.runtime.peers import host_of
from portcast.web.http_deadlines import HttpDeadlines


class Counted(Protocol):
    """The part of `portcast.web.http_deadlines`' protocol that is used here."""

    on_lost: Callable[[], object] | None
    on_malformed: Callable[[], object] | None
    on_shed: Callable[[str], object] | None


class HttpEntrance:
    """See the theory on top of the module."""

    def __init__(self, options: HttpOptions, tls: HttpTls | None, emit: Emit) -> None:
        """Let nobody in yet.

        Args:
            options: the limits.
            tls: what is shown to clients; they speak plainly if None.
            emit: takes what happens.
        """
        self.tls = tls
        self._emit = emit
        self._descriptors = raise_descriptor_limit()
        self.admission = Admission(
            Networks(options.allow, options.deny),
            max_connections=http_connections(self._descriptors, options.max_connections),
            max_per_address=options.max_per_address,
            connect_rate=options.connect_rate,
            proxies=options.forwarded_from,
            make_room=self._make_room,
        )
        self._entrance: Entrance | None = None
        self._deadlines: HttpDeadlines | None = None

    def around(
        self, protocol: Callable[..., asyncio.Protocol], deadlines: HttpDeadlines
    ) -> Callable[..., asyncio.Protocol]:
        """Return a factory like ``protocol`` with all this before it, for ``uvicorn.Config(http=…)``.

        Args:
            protocol: as `portcast.web.http_deadlines.http_protocol` makes it.
            deadlines: those of ``protocol``, which know who waits.
        """
        self._deadlines = deadlines

        def make(**arguments: Any) -> asyncio.Protocol:
            if self._entrance is None:
                # uvicorn gives every connection the same arguments, and the first only while the loop runs.
                self._entrance = self._open(partial(protocol, **arguments))
            return self._entrance.arrive()

        return make

    def _open(self, protocol: Callable[[], asyncio.Protocol]) -> Entrance:
        def enter(arrival: Arrival) -> asyncio.Protocol:
            entered = protocol()
            counted = cast("Counted", entered)
            counted.on_lost = partial(self.admission.left, host_of(arrival.peer))
            # Without a word of h11's about it, which holds what the peer sent: a header, maybe with a key.
            counted.on_malformed = partial(self._emit, ConnectionRefused(OWNER, arrival.peer, "http_malformed", ""))
            counted.on_shed = partial(self._tell_crowded, arrival.peer)
            return entered

        return Entrance(
            owner=OWNER,
            certificates=self.tls.certificates if self.tls is not None else None,
            most=most_pending(self._descriptors),
            clock=asyncio.get_running_loop(),
            emit=self._emit,
            enter=enter,
            left=lambda _: None,
            admission=self.admission,
        )

    def _tell_crowded(self, peer: str, detail: str) -> None:
        self._emit(ConnectionRefused(OWNER, peer, "crowded", detail))

    def _make_room(self) -> bool:
        entrance, deadlines = self._entrance, self._deadlines
        assert entrance is not None
        assert deadlines is not None
        # Those that shake hands wait, too. A crowd is the larger of the two; the newcomer is a stranger itself.
        if len(entrance) - 1 > len(deadlines.pending):
            return entrance.make_room()
        return deadlines.make_room() or entrance.make_room()

    def watch(self) -> None:
        """Read renewed certificates from now on, on the running loop."""
        if self.tls is not None:
            self.tls.watch()

    def close(self) -> None:
        """Send away whoever has not come in, and look at files no more."""
        if self.tls is not None:
            self.tls.close()
        if self._entrance is not None:
            self._entrance.close()
