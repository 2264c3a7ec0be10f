"""Who may connect: networks, connections in all and per address, connects per second of an address.

Asked once per connection with the peer's real address, and told when the connection is gone. An address is one IPv4
address or one IPv6 network of 64 bits: that is the smallest part of IPv6 that one customer gets (RFC 6177 §2), who can
take a new address in it for each connection.

`admission_of` returns None where nothing is limited, so that such a listener pays nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address

from portcast.address import Ip, parse_networks, real_address
from portcast.config import HttpOptions, ListenerOptions
from portcast.events import RefusalReason, SubscriberReason
from portcast.runtime.limits import http_connections, subscriber_budget
from portcast.runtime.rates import BucketTable

MOST_ADDRESSES = 16_384
"""Addresses whose connect rate is remembered by a listener: about 3 MiB."""


def address_key(address: Ip) -> str:
    """Return what counts as one address: see the top of the module."""
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64)) + "/64"
    return str(address)


class Networks:
    """Allowed and denied networks: denied wins; if any is allowed, all others are denied."""

    __slots__ = ("_allow", "_deny")

    def __init__(self, allow: Sequence[str], deny: Sequence[str]) -> None:
        self._allow = parse_networks(allow, "allow")
        self._deny = parse_networks(deny, "deny")

    def __bool__(self) -> bool:
        return bool(self._allow or self._deny)

    def allows(self, address: Ip) -> bool:
        """Return True if this address may connect."""
        if any(address in one for one in self._deny):
            return False
        return not self._allow or any(address in one for one in self._allow)


class Admission:
    """See the top of the module. Used on the loop only."""

    def __init__(
        self,
        networks: Networks,
        *,
        max_per_address: int,
        connect_rate: float = 0.0,
        max_connections: int = 0,
        proxies: Sequence[str] = (),
        make_room: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begin with nobody connected.

        Args:
            networks: who may connect at all.
            max_connections: connections at a time; 0 for no limit. One more is refused unless there is room for it.
            max_per_address: connections of one address at a time; 0 for no limit.
            connect_rate: connections per second of one address; as many, but at least one, may come at once; 0 for no
                limit.
            proxies: networks whose addresses speak for others: they count in all only.
            make_room: asked for room for one that would be refused only because there are too many in all; it tells
                `left` of another before it returns True. By default nobody goes.
        """
        self._networks = networks
        self._proxies = parse_networks(proxies, "proxies")
        self._most_in_all = max_connections
        self._most = max_per_address
        self._rate = BucketTable(connect_rate, MOST_ADDRESSES) if connect_rate else None
        self._make_room = make_room
        self._connected: Counter[str] = Counter()
        self.connections = 0
        """Those that count now."""

    def __len__(self) -> int:
        """Return how many addresses are connected; none is remembered after its last connection."""
        return len(self._connected)

    def refusal(self, host: str, now: float) -> RefusalReason | None:
        """Return why a peer may not connect, or None: then it counts until `left`.

        Args:
            host: its real address; ``unix`` and whatever else is no IP address is never refused.
            now: monotonic seconds.
        """
        reason = self._refusal(host, now)
        if reason is not None:
            return reason
        self.connections += 1
        if 0 < self._most_in_all < self.connections and not self._make_room():
            self.left(host)
            return "max_connections"
        return None

    def would_refuse(self, host: str) -> RefusalReason | None:
        """Return why a peer could not connect now, as far as it is a matter of how many there are; take no place."""
        if 0 < self._most_in_all <= self.connections:
            return "max_connections"
        address = self._address(host) if self._most else None
        is_full = address is not None and self._connected[address_key(address)] >= self._most
        return "max_per_address" if is_full else None

    def _refusal(self, host: str, now: float) -> RefusalReason | None:
        address = self._address(host)
        if address is None:
            return None
        if not self._networks.allows(address):
            return "denied"
        key = address_key(address)
        if self._rate is not None and not self._rate.is_taken(key, now):
            return "connect_rate"
        if self._most:
            if self._connected[key] >= self._most:
                return "max_per_address"
            self._connected[key] += 1
        return None

    def left(self, host: str) -> None:
        """Take note that a peer's connection is gone, which was not refused."""
        self.connections -= 1
        address = self._address(host) if self._most else None
        if address is not None:
            key = address_key(address)
            self._connected[key] -= 1
            if self._connected[key] <= 0:
                del self._connected[key]

    def _address(self, host: str) -> Ip | None:
        """Return the address that counts; None if there is none, or it is a proxy's."""
        try:
            address = real_address(host)
        except ValueError:
            return None
        return None if any(address in one for one in self._proxies) else address


def admission_of(options: ListenerOptions) -> Admission | None:
    """Return what the options of a listener ask for; None if they limit nothing."""
    networks = Networks(options.allow, options.deny)
    if not (networks or options.max_per_address or options.connect_rate):
        return None
    return Admission(networks, max_per_address=options.max_per_address, connect_rate=options.connect_rate)


def subscriber_admission(options: HttpOptions, descriptors: int) -> Admission:
    """Return what the options of HTTP say of subscribers, where there may be so many open files."""
    most = subscriber_budget(http_connections(descriptors, options.max_connections), options.max_subscribers)
    return Admission(Networks((), ()), max_connections=most, max_per_address=options.max_subscribers_per_address)


def too_many(reason: RefusalReason) -> SubscriberReason:
    """Return what a refusal by `subscriber_admission` is called."""
    return "max_subscribers" if reason == "max_connections" else "max_subscribers_per_address"
