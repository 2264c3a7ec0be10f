from __future__ import annotations

from portcast.recorder import Recorded
from portcast.runtime.recorder_json import entry_body
from portcast.types import ConnectionId, ListenerName
from portcast.web.recorder_models import FrameBody


def test_a_frame_over_http_is_what_it_is_on_its_topic() -> None:
    """The same fields and values, so that a client may take the old from one and the new from the other."""
    entry = Recorded(
        1, 2.5, "refused", "connections/c", ConnectionId("c"), ListenerName("l"), b"\xff", 1, False, False, 0, "why"
    )
    body = entry_body(entry, lambda at: at)
    assert FrameBody(**body).model_dump() == body
    assert set(body) == set(FrameBody.model_fields)
