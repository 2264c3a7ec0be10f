from __future__ import annotations

from typing import get_args

from portcast import events, process_events
from portcast.events import Event


def test_each_is_an_event_like_any_other() -> None:
    """Loggers, counters and watchers see them in one union."""
    mine = [one for one in vars(process_events).values() if getattr(one, "__module__", "") == process_events.__name__]
    assert len(mine) > 5
    for one in mine:
        assert one in get_args(Event)
        assert getattr(events, one.__name__) is one
