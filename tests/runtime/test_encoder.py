from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manual_clock import ManualClock
from portcast.publication import Run
from portcast.runtime import Subscriber
from portcast.runtime.audience import Topic
from portcast.runtime.encoder import EncodedRun, Joined, grouped
from runtime_kit import LIMITS, FakeEncoding, FakeSink, make_hub

HUB = make_hub(ManualClock())


def subscriber() -> Subscriber:
    return Subscriber(HUB, ["#"], FakeEncoding(), FakeSink(), LIMITS, 0.0, transport="test", peer="")


def encoded(*payloads: bytes, audience: frozenset[Subscriber] = frozenset(), first: int = 1) -> EncodedRun:
    topic = Topic(audience, 0.5, "latest_per_key", "k")
    return EncodedRun(Run("t", "e", first, first, 0.0, list(payloads)), topic)


class TestRun:
    def test_is_encoded_once_for_each_encoding(self) -> None:
        """When it is first asked for; whoever asks gets the same batch."""
        run, one, other = encoded(b"1", b"2"), FakeEncoding(), FakeEncoding()
        assert (one.calls, other.calls) == (0, 0)
        assert run.batch(one) is run.batch(one)
        assert run.batch(other).items == [b"1", b"2"]
        assert (one.calls, other.calls) == (1, 1)

    def test_the_newest_of_each_key_is_encoded_once(self) -> None:
        """Each is a batch of its own, for all that conflate."""
        run, encoding = encoded(b'{"k":1}', b'{"k":2}', b'{"k":1,"n":3}'), FakeEncoding()
        newest = run.newest(encoding, is_per_key=True)
        assert run.newest(encoding, is_per_key=True) is newest
        assert [(key, list(batch.items)) for key, batch in newest.items()] == [
            ("2", [b'{"k":2}']),
            ("1", [b'{"k":1,"n":3}']),
        ]
        assert [(run.first_offset, len(run)) for run in encoding.encoded] == [(2, 1), (3, 1)]

    def test_the_newest_of_all_is_another_answer(self) -> None:
        """`latest` does not look at the topic's key; and each encoding has its own batches."""
        run, encoding = encoded(b'{"k":1}', b'{"k":2}'), FakeEncoding()
        assert len(run.newest(encoding, is_per_key=True)) == 2
        (batch,) = run.newest(encoding, is_per_key=False).values()
        assert batch.items == [b'{"k":2}']
        assert run.newest(FakeEncoding(), is_per_key=False)[""] is not batch


class TestJoined:
    def test_is_joined_once_for_each_encoding(self) -> None:
        """All that get the same runs get the same bytes."""
        joined, one, other = Joined([encoded(b"1"), encoded(b"2", first=2)]), FakeEncoding(), FakeEncoding()
        assert joined.batch(one) is joined.batch(one)
        assert joined.batch(other).items == [b"1", b"2"]
        assert (one.joins, one.calls, other.joins) == (1, 2, 1)

    def test_one_run_is_not_joined(self) -> None:
        """Its batch is the run's own."""
        run, encoding = encoded(b"1"), FakeEncoding()
        assert Joined([run]).batch(encoding) is run.batch(encoding)
        assert encoding.joins == 0

    def test_runs_shared_by_groups_are_encoded_once(self) -> None:
        """A run that goes to several groups is joined in each and encoded in none but the first."""
        runs, encoding = [encoded(b"1"), encoded(b"2", first=2), encoded(b"3", first=3)], FakeEncoding()
        assert Joined(runs).batch(encoding).items == [b"1", b"2", b"3"]
        assert Joined(runs[1:]).batch(encoding).items == [b"2", b"3"]
        assert (encoding.calls, encoding.joins) == (3, 2)


class TestGrouped:
    def test_one_audience_is_one_group(self) -> None:
        """The common case walks the audience as it is."""
        audience = frozenset({subscriber(), subscriber()})
        runs = [encoded(b"1", audience=audience), encoded(b"2", audience=audience)]
        ((joined, subscribers),) = grouped(runs)
        assert subscribers is audience
        assert joined.runs == runs

    @given(st.lists(st.sets(st.integers(0, 4)), min_size=1, max_size=8))
    def test_each_comes_once_and_gets_all_its_runs_in_order(self, audiences: list[set[int]]) -> None:
        """Whatever the audiences; who gets the same is in one group."""
        known = [subscriber() for _ in range(5)]
        runs = [encoded(b"%d" % n, audience=frozenset(known[i] for i in one)) for n, one in enumerate(audiences)]
        got = [(one, tuple(joined.runs)) for joined, subscribers in grouped(runs) for one in subscribers]
        assert len({one for one, _ in got}) == len(got)
        assert dict(got) == {
            one: tuple(run for run in runs if one in run.topic.audience)
            for one in known
            if any(one in run.topic.audience for run in runs)
        }
        assert len([1 for _, subscribers in grouped(runs) if subscribers]) == len({joined for _, joined in got})
