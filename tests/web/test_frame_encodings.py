from __future__ import annotations

import json

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from portcast.delivery import Batch
from portcast.publication import Publication, Run
from portcast.web.encodings import Envelopes, WebSocketJson
from portcast.web.frame_encodings import Framer, JsonFrames, PlainFrames, framer
from portcast.web.websocket_frames import WINDOW_BITS, deflated_frames, frames

BAD = b"\xff\x00"
RUN = Run("sensors/boiler", "e1", 7, 70, 5.0, [b"21.5" * 30, "Grüße".encode(), BAD])

every_framer = pytest.mark.parametrize("make", [frames, deflated_frames])


def _id(one: Publication) -> str:
    return f"{one.epoch}:{one.offset}"


def _unix(at: float) -> float:
    return 1000 + at


def read(batch: Batch) -> list[tuple[Opcode, bytes]]:
    """What a client with permessage-deflate makes of a batch; it takes plain frames too."""
    client = Protocol(Side.CLIENT)
    client.extensions = [PerMessageDeflate(True, True, WINDOW_BITS, WINDOW_BITS)]
    (data,) = batch.items
    assert isinstance(data, bytes)
    client.receive_data(data)
    return [(one.opcode, bytes(one.data)) for one in client.events_received() if isinstance(one, Frame)]


def test_who_negotiated_deflate_gets_compressed_frames() -> None:
    """All others must not: they would not understand RSV1."""
    assert framer(True) is deflated_frames
    assert framer(False) is frames


@every_framer
def test_plain_frames_are_the_payloads(make: Framer) -> None:
    """A whole run is one item: one write per client."""
    batch = PlainFrames(make).encode(RUN)
    assert read(batch) == [(Opcode.TEXT, RUN.payloads[0]), (Opcode.TEXT, RUN.payloads[1]), (Opcode.BINARY, BAD)]
    assert (len(batch.items), batch.messages, batch.size) == (1, 3, sum(map(len, RUN.payloads)))


@every_framer
def test_json_frames_say_what_json_messages_say(make: Framer) -> None:
    """A client cannot tell which tier of sinks serves it."""
    batch = JsonFrames(make, Envelopes(_id, _unix)).encode(RUN)
    expected = WebSocketJson(_id, _unix).encode(RUN)
    texts = [item["text"].encode() for item in expected.items if isinstance(item, dict)]
    assert read(batch) == [(Opcode.TEXT, text) for text in texts]
    assert (len(batch.items), batch.messages, batch.size) == (1, expected.messages, expected.size)


def test_plain_frames_cannot_tell_of_a_gap() -> None:
    """Nothing in-band would be told apart from a payload."""
    assert PlainFrames(frames).gap(3, True) is None


@every_framer
@pytest.mark.parametrize(("missed", "is_exact"), [(3, True), (1, False)])
def test_json_frames_tell_of_a_gap(make: Framer, missed: int, is_exact: bool) -> None:
    """The notice is no publication: it counts neither as a message nor as payload."""
    batch = JsonFrames(make, Envelopes(_id, _unix)).gap(missed, is_exact)
    assert batch is not None
    ((opcode, text),) = read(batch)
    assert (opcode, json.loads(text)) == (Opcode.TEXT, {"gap": {"missed": missed, "exact": is_exact}})
    assert (batch.messages, batch.size) == (0, 0)


@pytest.mark.parametrize("encoding", [PlainFrames(frames), JsonFrames(frames, Envelopes(_id, _unix))])
def test_batches_are_joined_to_one_write(encoding: PlainFrames | JsonFrames) -> None:
    """Nothing is encoded again, and nothing of the account is lost."""
    one, other = encoding.encode(RUN), encoding.encode(Run("logs", "e2", 1, 90, 6.0, [b"x"]))
    joined = encoding.join([one, other])
    assert read(joined) == read(one) + read(other)
    assert (len(joined.items), joined.messages, joined.size) == (1, 4, one.size + 1)
