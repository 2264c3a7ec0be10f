"""Publications as pushes of the Centrifuge protocol, encoded once for all clients that subscribe alike.

Nearly all clients subscribe to exact channels, and there the channel of a push is the topic: one encoding per wire
serves them all, whatever their channels are. A subscription that is *special* (a wildcard, tags that are filtered,
delta compression) makes a publication look different to its client, so all subscriptions of such a client together are
the key of its encoding, and clients with the same ones share it.

*Envelopes*. A subscription whose request has ``"data": {"envelope": true}`` gets envelopes (`portcast.web.encodings`)
in place of payloads: what SDKs do not show (topic, position and time), and the payload as it was sent, which a client
that speaks JSON otherwise sees parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from pydantic_core import from_json

from portcast.centrifuge.format import Format
from portcast.centrifuge.fossil import smaller_delta
from portcast.centrifuge.messages import FilterNode, Publication
from portcast.centrifuge.pushes import (
    NOTHING,
    as_json,
    concrete,
    json_deltas,
    json_pushes,
    protobuf_deltas,
    protobuf_pushes,
)
from portcast.centrifuge.tag_filter import TagMatcher, compile_filter
from portcast.delivery import Batch, Encoding
from portcast.publication import Run
from portcast.topics import is_wildcard, matches
from portcast.web.sdk_wire import Wire

Common = Callable[[Run], Publication]
"""What the pushes of a run share: tags, time, who published."""

EnvelopesIn = Callable[[str, Run], Sequence[bytes]]
"""Makes the envelopes of a run, for a channel."""


def no_envelopes(channel: str, run: Run) -> Sequence[bytes]:
    """Return the payloads alone."""
    return run.payloads


@dataclass(frozen=True, slots=True)
class Subscription:
    """How one client sees one channel.

    Attributes:
        channel: a topic, or a topic filter.
        condition: on the tags, in the order-free text that `condition_key` makes; empty for none.
        is_delta: True if delta compression was agreed.
        base: the offset after which the client has nothing to apply a delta to; -1 if it always has.
        is_enveloped: True if it gets envelopes.
    """

    channel: str
    condition: str = ""
    is_delta: bool = False
    base: int = -1
    is_enveloped: bool = False

    @property
    def is_special(self) -> bool:
        """True if its pushes differ from those of a plain subscription."""
        return bool(self.condition) or self.is_delta or self.is_enveloped or is_wildcard(self.channel)


def wants_envelopes(data: bytes) -> bool:
    """Return True if the ``data`` of a subscribe request asks for envelopes; anything else there is the app's."""
    try:
        said = from_json(data) if data else None
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("envelope") is True


def condition_key(node: FilterNode | None) -> str:
    """Return a text that is the same for conditions that are."""
    return "" if node is None else repr(node)


class _Pushes:
    """What both encodings have in common."""

    def __init__(self, wire: Wire, common: Common) -> None:
        self._wire = wire
        self._common = common
        self._plain = json_pushes if wire.format is Format.JSON else protobuf_pushes

    def _pushes(self, run: Run, common: Publication) -> list[bytes]:
        raise NotImplementedError

    def encode(self, run: Run) -> Batch:
        """See `portcast.delivery.Encoding`."""
        return self._pack(self._pushes(run, self._common(run)), run)

    def conflated(self, run: Run, number: int) -> Batch:
        """See `portcast.runtime.conflation`: the number is in the tag ``conflated``; none where nothing gave way."""
        common = self._common(run)
        if number:
            common = replace(common, tags={**common.tags, "conflated": str(number)})
        return self._pack(self._pushes(run, common), run)

    def join(self, batches: Sequence[Batch]) -> Batch:
        """See `portcast.delivery.Encoding`."""
        return self._wire.join(batches)

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        """Return None: the client is unsubscribed, and recovers or learns of the gap."""
        return None

    def _pack(self, pushes: Sequence[bytes], run: Run) -> Batch:
        return self._wire.pack(pushes, len(run), sum(map(len, run.payloads)))


class ExactPushes(_Pushes):
    """For clients whose channels are topics, and nothing else."""

    def _pushes(self, run: Run, common: Publication) -> list[bytes]:
        return self._plain(run.topic, run.payloads, run.first_offset, common)


class SpecialPushes(_Pushes):
    """For clients of which at least one subscription is special."""

    def __init__(
        self,
        wire: Wire,
        common: Common,
        subscriptions: Iterable[Subscription],
        conditions: Mapping[str, TagMatcher],
        envelopes: EnvelopesIn,
    ) -> None:
        super().__init__(wire, common)
        self._envelopes = envelopes
        self._exact = {one.channel: one for one in subscriptions if not is_wildcard(one.channel)}
        self._wild = tuple(one for one in subscriptions if is_wildcard(one.channel))
        self._conditions = conditions

    def _pushes(self, run: Run, common: Publication) -> list[bytes]:
        pushes: list[bytes] = []
        for one in self._of(run.topic):
            if one.condition and not self._conditions[one.condition](common.tags):
                continue
            payloads = self._envelopes(one.channel, run) if one.is_enveloped else run.payloads
            if is_wildcard(one.channel):
                pushes += self._plain(one.channel, payloads, 0, concrete(run.topic, common))
            elif one.is_delta:
                pushes += self._deltas(run, common, one.base)
            else:
                pushes += self._plain(run.topic, payloads, run.first_offset, common)
        return pushes

    def _of(self, topic: str) -> Iterator[Subscription]:
        if (exact := self._exact.get(topic)) is not None:
            yield exact
        for one in self._wild:
            if matches(one.channel, topic):
                yield one

    def _deltas(self, run: Run, common: Publication, base: int) -> list[bytes]:
        is_json = self._wire.format is Format.JSON
        # JSON clients have the text of a payload as their base, so that is what is compared.
        whole = [as_json(payload) for payload in run.payloads] if is_json else run.payloads
        before = run.previous
        if before is not None and is_json:
            before = as_json(before)
        changes: list[tuple[bytes, bool]] = []
        for offset, payload in enumerate(whole, run.first_offset):
            delta = None if before is None or offset == base + 1 else smaller_delta(before, payload)
            changes.append((payload, False) if delta is None else (delta, True))
            before = payload
        make = json_deltas if is_json else protobuf_deltas
        return make(run.topic, changes, run.first_offset, common)


class SdkEncodings:
    """Gives the shared encoding for what a client subscribes to."""

    def __init__(self, common: Common = lambda run: NOTHING, envelopes: EnvelopesIn = no_envelopes) -> None:
        self._common = common
        self._envelopes = envelopes
        self._exact: dict[Wire, ExactPushes] = {}
        self._special: WeakValueDictionary[tuple[Wire, frozenset[Subscription]], SpecialPushes] = WeakValueDictionary()

    def of(
        self, wire: Wire, subscriptions: Iterable[Subscription], conditions: Mapping[str, FilterNode] | None = None
    ) -> Encoding:
        """Return the encoding.

        Args:
            wire: the client's.
            subscriptions: all that the client has.
            conditions: what the keys in them stand for, each of them a valid condition.
        """
        if not any(one.is_special for one in subscriptions):
            exact = self._exact.get(wire)
            if exact is None:
                exact = self._exact[wire] = ExactPushes(wire, self._common)
            return exact
        key = (wire, frozenset(subscriptions))
        special = self._special.get(key)
        if special is None:
            compiled = {name: compile_filter(node) for name, node in (conditions or {}).items()}
            special = self._special[key] = SpecialPushes(wire, self._common, key[1], compiled, self._envelopes)
        return special


def settled(subscription: Subscription, offset: int) -> Subscription:
    """Return how the channel is seen once the client has what was published after its base.

    Args:
        subscription: how it is seen now.
        offset: the last one that the client was sent.
    """
    return replace(subscription, base=-1) if -1 < subscription.base < offset else subscription
