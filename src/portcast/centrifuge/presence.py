"""Who is in which channel, on this node.

For each channel that somebody is in there is one `_Room`; a channel that the last one left has nothing. A client is in
a channel once, however often it joins. Rooms count their users as they come and go, so that ``presence_stats``, which
any subscriber may ask for again and again, costs the same for ten clients and for ten thousand. Users without a name
are one user, whose name is empty.
"""

from __future__ import annotations

from portcast.centrifuge.messages import ClientInfo, PresenceResult, PresenceStatsResult

MAX_CLIENTS = 1000
"""Most clients in one result. Centrifugo has no limit and warns of large channels; `Presence.stats` has the truth."""

MAX_BYTES = 256 * 1024
"""Most bytes of ids and infos in one result: what fills the soft limit of an outbox."""

ENTRY_BYTES = 64
"""What an entry counts for beside its ids and infos: the names of its fields in JSON."""


class _Room:
    """The clients of one channel. Invariant: ``users`` counts the clients of each user in ``clients``."""

    __slots__ = ("clients", "users")

    def __init__(self) -> None:
        self.clients: dict[str, ClientInfo] = {}
        self.users: dict[str, int] = {}

    def put(self, info: ClientInfo) -> bool:
        """Add a client, or renew what is known of it in its old place; return True if it is new."""
        old = self.clients.get(info.client)
        self.clients[info.client] = info
        self.users[info.user] = self.users.get(info.user, 0) + 1
        if old is not None:
            self._uncount(old.user)
        return old is None

    def take(self, client: str) -> ClientInfo | None:
        """Remove a client."""
        info = self.clients.pop(client, None)
        if info is not None:
            self._uncount(info.user)
        return info

    def _uncount(self, user: str) -> None:
        self.users[user] -= 1
        if not self.users[user]:
            del self.users[user]


class Presence:
    """Who is in which channel.

    Args:
        max_clients: most clients in one result.
        max_bytes: most bytes of ids and infos in one result.
    """

    def __init__(self, *, max_clients: int = MAX_CLIENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_clients = max_clients
        self._max_bytes = max_bytes
        self._rooms: dict[str, _Room] = {}

    def __len__(self) -> int:
        """Return the number of channels that somebody is in."""
        return len(self._rooms)

    def join(self, channel: str, info: ClientInfo) -> bool:
        """Note that a client is in a channel; return True if it was not before, so that others must be told."""
        room = self._rooms.get(channel)
        if room is None:
            room = self._rooms[channel] = _Room()
        return room.put(info)

    def leave(self, channel: str, client: str) -> ClientInfo | None:
        """Note that a client left a channel; return what others must be told, None if it was not there."""
        room = self._rooms.get(channel)
        if room is None:
            return None
        info = room.take(client)
        if not room.clients:
            del self._rooms[channel]
        return info

    def presence(self, channel: str) -> PresenceResult:
        """Return who is in a channel, those first who have been there longest; the others if there is room.

        The result is cut where it would pass a limit of this object, but holds one at least if somebody is there.
        """
        found: dict[str, ClientInfo] = {}
        room = self._rooms.get(channel)
        size = 0
        for client, info in room.clients.items() if room else ():
            size += ENTRY_BYTES + 2 * len(client) + len(info.user) + len(info.conn_info) + len(info.chan_info)
            if found and (len(found) >= self._max_clients or size > self._max_bytes):
                break
            found[client] = info
        return PresenceResult(found)

    def stats(self, channel: str) -> PresenceStatsResult:
        """Return how many clients and users are in a channel."""
        room = self._rooms.get(channel)
        return PresenceStatsResult(len(room.clients), len(room.users)) if room else PresenceStatsResult()
