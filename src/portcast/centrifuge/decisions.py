"""What a session tells the shell to do. It decides; the shell reads, writes, calls the app and keeps the hub.

========================  ==============================================================================
decision                  what the shell does
========================  ==============================================================================
`Reply`                   writes it
`Ask`                     carries the command out, then calls the completion that belongs to it, once
`Detach`                  takes the client out of the channel: hub, presence, leave
`Disconnect`              writes what is queued and closes; nothing follows
========================  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from portcast.centrifuge.codes import Disconnect, Unsubscribe
from portcast.centrifuge.messages import Command, Reply


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """A command that is allowed as far as the session can tell, to be carried out.

    It is its own handle: two commands with the same id are two asks, and each is completed once.
    """

    command: Command


class Detach(NamedTuple):
    """A subscription is over that the client did not end itself.

    Attributes:
        channel: the subscription's channel.
        unsubscribe: why; the push that says so to the client follows as a decision of its own.
    """

    channel: str
    unsubscribe: Unsubscribe


Decision = Reply | Detach | Disconnect
"""One step of what follows from a completion, a server event or the time; steps are taken in order."""
