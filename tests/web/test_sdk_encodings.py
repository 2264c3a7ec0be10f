from __future__ import annotations

import gc
import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centrifuge_messages import from_protobuf, replies_in
from portcast.brokers import MemoryBroker
from portcast.centrifuge import fossil
from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import FilterNode, Publication
from portcast.centrifuge.pushes import as_json
from portcast.delivery import Batch, Encoding
from portcast.publication import Meta, Run
from portcast.web.sdk_encodings import (
    ExactPushes,
    SdkEncodings,
    SpecialPushes,
    Subscription,
    condition_key,
    settled,
    wants_envelopes,
)
from portcast.web.sdk_node import common_of
from portcast.web.sdk_wire import wire

JSON, PROTOBUF = wire(Format.JSON, "messages"), wire(Format.PROTOBUF, "messages")
HOT = FilterNode(key="level", cmp="eq", val="hot")


def pubs(encoding: Encoding, *runs: Run) -> list[dict[str, Any]]:
    """Return what a client would read, each with its ``channel`` as ``to``."""
    found = []
    for item in encoding.join([encoding.encode(run) for run in runs]).items:
        message = cast("dict[str, Any]", item)
        if "text" in message:
            replies = [json.loads(line) for line in message["text"].split("\n")]
        else:
            replies = [from_protobuf(one) for one in replies_in(message["bytes"])]
        found += [{"to": one["push"]["channel"], **one["push"]["pub"]} for one in replies]
    return found


def run(topic: str, *payloads: bytes, first: int = 1, previous: bytes | None = None, **tags: str) -> Run:
    return Run(topic, "e", first, 1, 0.0, list(payloads), Meta(tags) if tags else None, previous)


class _Told:
    """An encoding that says of each run how many gave way."""

    def __init__(self, encoding: ExactPushes | SpecialPushes, number: int) -> None:
        self._encoding = encoding
        self._number = number
        self.join, self.gap = encoding.join, encoding.gap

    def encode(self, run: Run) -> Batch:
        return self._encoding.conflated(run, self._number)


class TestSharing:
    def test_clients_with_plain_channels_share_one_whatever_these_are(self) -> None:
        """One encoding per wire: a publication is encoded once for all of them."""
        encodings = SdkEncodings()
        first = encodings.of(JSON, [Subscription("a")])
        assert encodings.of(JSON, [Subscription("b"), Subscription("c")]) is first
        assert encodings.of(JSON, []) is first
        assert encodings.of(PROTOBUF, [Subscription("a")]) is not first

    @pytest.mark.parametrize(
        "special",
        [
            pytest.param(Subscription("a/+"), id="wildcard"),
            pytest.param(Subscription("a", is_delta=True), id="delta"),
            pytest.param(Subscription("a", is_enveloped=True), id="envelopes"),
            pytest.param(Subscription("a", condition_key(HOT)), id="condition"),
        ],
    )
    def test_clients_that_subscribe_alike_share_theirs(self, special: Subscription) -> None:
        """In whatever order they did; one more subscription makes another."""
        encodings = SdkEncodings()
        plain = Subscription("b")
        conditions = {condition_key(HOT): HOT}
        first = encodings.of(JSON, [special, plain], conditions)
        assert first is not encodings.of(JSON, [plain])
        assert encodings.of(JSON, [plain, special], conditions) is first
        assert encodings.of(JSON, [special], conditions) is not first
        assert encodings.of(PROTOBUF, [special, plain], conditions) is not first

    def test_what_nobody_uses_is_forgotten(self) -> None:
        """Clients come with subscriptions of their own for ever."""
        encodings = SdkEncodings()
        kept = encodings.of(JSON, [Subscription("kept/#")])
        for number in range(100):
            encodings.of(JSON, [Subscription(f"{number}/#")])
        gc.collect()
        assert list(encodings._special.values()) == [kept]

    def test_conditions_are_told_apart(self) -> None:
        """By what they say, not by which object says it."""
        assert condition_key(HOT) == condition_key(FilterNode(key="level", cmp="eq", val="hot"))
        assert condition_key(HOT) != condition_key(FilterNode(key="level", cmp="neq", val="hot"))
        assert condition_key(None) == ""


@pytest.mark.parametrize("one", [JSON, PROTOBUF], ids=["json", "protobuf"])
class TestPushes:
    def test_exact_channels_get_offsets(self, one: Any) -> None:
        """And what is known of the publications beside their payloads."""
        encoding = SdkEncodings(common_of).of(one, [Subscription("t")])
        data: list[Any] = [1, 2] if one is JSON else [b"1", b"2"]
        expected = [{"to": "t", "data": data[i], "offset": 7 + i, "tags": {"k": "v"}} for i in (0, 1)]
        assert pubs(encoding, run("t", b"1", b"2", first=7, k="v")) == expected

    def test_wildcards_get_the_topic_and_no_offset(self, one: Any) -> None:
        """In the field that the protocol has for it, and in the tags, where SDKs show it."""
        encoding = SdkEncodings(common_of).of(one, [Subscription("a/+")])
        (pub,) = pubs(encoding, run("a/b", b"1", first=7, k="v"))
        assert (pub["to"], pub["channel"], pub["tags"]) == ("a/+", "a/b", {"k": "v", "topic": "a/b"})
        assert "offset" not in pub

    def test_each_subscription_that_matches_gets_its_own(self, one: Any) -> None:
        """The client tells them apart by the channel; what it does not have is not pushed."""
        some = [Subscription("a/b"), Subscription("a/+"), Subscription("#"), Subscription("other")]
        encoding = SdkEncodings().of(one, some)
        assert sorted(pub["to"] for pub in pubs(encoding, run("a/b", b"1"))) == ["#", "a/+", "a/b"]
        assert sorted(pub["to"] for pub in pubs(encoding, run("a/c", b"1"))) == ["#", "a/+"]

    def test_conditions_hide_whole_runs(self, one: Any) -> None:
        """They count all the same; a client with another subscription to the topic gets it there."""
        conditions = {condition_key(HOT): HOT}
        encoding = SdkEncodings(common_of).of(one, [Subscription("t", condition_key(HOT))], conditions)
        assert [pub["offset"] for pub in pubs(encoding, run("t", b"1", first=3, level="hot"))] == [3]
        for hidden in (run("t", b"22", level="cold"), run("t", b"22")):
            assert encoding.encode(hidden) == ([], 1, 2)
        assert pubs(encoding, run("t", b"1"), run("t", b"2")) == []
        both = SdkEncodings().of(one, [Subscription("t", condition_key(HOT)), Subscription("#")], conditions)
        assert [pub["to"] for pub in pubs(both, run("t", b"1"))] == ["#"]

    @pytest.mark.parametrize("channel", ["t", "+"])
    def test_what_gave_way_is_a_tag(self, one: Any, channel: str) -> None:
        """Beside the publication's own; none where nothing gave way."""
        encoding = SdkEncodings(common_of).of(one, [Subscription(channel)])
        assert isinstance(encoding, ExactPushes | SpecialPushes)
        seen = []
        for number in (3, 0):
            (pub,) = pubs(_Told(encoding, number), run("t", b"1", level="hot"))
            seen.append({key: value for key, value in pub["tags"].items() if key != "topic"})
        assert seen == [{"level": "hot", "conflated": "3"}, {"level": "hot"}]

    def test_envelopes_take_the_place_of_payloads(self, one: Any) -> None:
        """For the subscriptions that asked; offsets and tags are as ever."""
        some = [Subscription("t", is_enveloped=True), Subscription("#", is_enveloped=True), Subscription("+")]

        def envelopes(channel: str, run: Run) -> list[bytes]:
            return [f'{{"for":"{channel}"}}'.encode() for _ in run.payloads]

        encoding = SdkEncodings(common_of, envelopes).of(one, some)
        seen = {pub["to"]: pub for pub in pubs(encoding, run("t", b"1", first=7))}
        said = {to: json.loads(pub["data"]) if one is PROTOBUF else pub["data"] for to, pub in seen.items()}
        assert said == {"t": {"for": "t"}, "#": {"for": "#"}, "+": 1}
        assert (seen["t"]["offset"], seen["#"]["tags"]) == (7, {"topic": "t"})

    def test_a_gap_is_not_said_in_band(self, one: Any) -> None:
        """The client is unsubscribed, and recovers."""
        assert SdkEncodings().of(one, []).gap(3, True) is None


@pytest.mark.parametrize(
    ("data", "wants"),
    [
        (b'{"envelope": true, "more": 1}', True),
        (b'{"envelope": 1}', False),
        (b'{"app": "own"}', False),
        (b"[]", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_who_wants_envelopes(data: bytes, wants: bool) -> None:
    """The data of a request is the app's otherwise, and may be anything."""
    assert wants_envelopes(data) is wants
    assert list(SdkEncodings()._envelopes("t", run("t", b"1"))) == [b"1"]


TEXTS = st.binary(max_size=60) | st.text(max_size=60).map(str.encode)
READINGS = st.builds(
    lambda number, name, note: json.dumps(
        {"sensor": name, "unit": "°C", "note": "the same in each of them " * 3, "celsius": number, "more": note},
        ensure_ascii=False,
    ).encode(),
    st.integers(),
    st.sampled_from(["boiler", "kessel ü"]),
    st.text(max_size=5),
)


@pytest.mark.parametrize("one", [JSON, PROTOBUF], ids=["json", "protobuf"])
class TestDelta:
    @given(payloads=st.lists(READINGS | TEXTS, min_size=1, max_size=30), cuts=st.sets(st.integers(0, 29)))
    def test_what_a_client_makes_of_it_is_what_was_published(
        self, one: Any, payloads: list[bytes], cuts: set[int]
    ) -> None:
        """Whatever the payloads, and however they are cut into runs."""
        runs: list[Run] = []
        broker = MemoryBroker()
        broker.bind(runs.append)
        encoding = SdkEncodings().of(one, [Subscription("t", is_delta=True, base=0)])
        for index, payload in enumerate(payloads):
            broker.publish_nowait("t", [payload], 0.0)
            if index not in cuts and len(runs) > 1:
                runs[-2].payloads += runs.pop().payloads
        seen: list[bytes] = []
        base = b""
        for offset, pub in enumerate(pubs(encoding, *runs), 1):
            assert pub["offset"] == offset
            data = pub.get("data", b"")
            base = data.encode() if one is JSON else data
            if pub.get("delta"):
                base = fossil.apply(seen[-1], base, max_bytes=1 << 20)
            seen.append(base)
        assert seen == [as_json(payload) if one is JSON else payload for payload in payloads]

    def test_the_first_after_the_base_is_whole(self, one: Any) -> None:
        """Whoever came at offset 4 has nothing to apply the delta of the fifth to; those that were there have."""
        old, new = b"x" * 100 + b"1", b"x" * 100 + b"2"
        the = run("t", new, old, first=5, previous=old)
        came = SdkEncodings().of(one, [Subscription("t", is_delta=True, base=4)])
        was_there = SdkEncodings().of(one, [Subscription("t", is_delta=True)])
        assert [pub.get("delta", False) for pub in pubs(came, the)] == [False, True]
        assert [pub.get("delta", False) for pub in pubs(was_there, the)] == [True, True]

    def test_without_a_known_predecessor_it_is_whole(self, one: Any) -> None:
        """After catching up from history, and where history has nothing left."""
        encoding = SdkEncodings().of(one, [Subscription("t", is_delta=True)])
        (pub,) = pubs(encoding, run("t", b"x" * 100, first=5))
        assert "delta" not in pub

    def test_other_channels_of_the_client_are_as_ever(self, one: Any) -> None:
        """JSON data is embedded there, and never a delta."""
        encoding = SdkEncodings().of(one, [Subscription("t", is_delta=True), Subscription("u")])
        (pub,) = pubs(encoding, run("u", b'{"a":1}', previous=b'{"a":0}'))
        assert pub["data"] == ({"a": 1} if one is JSON else b'{"a":1}')


def test_settled_once_something_came_after_the_base() -> None:
    """Then it is seen as by everybody else."""
    fresh = Subscription("t", is_delta=True, base=4)
    assert settled(fresh, 4) is fresh
    assert settled(fresh, 5) == Subscription("t", is_delta=True)
    assert settled(Subscription("t"), 5) == Subscription("t")
    assert settled(Subscription("t", is_delta=True, base=0), 1).base == -1


def test_nothing_is_shared_without_being_told() -> None:
    """The default is a publication without tags."""
    assert SdkEncodings()._common(run("t")) == Publication()
