"""History: what is kept of each topic, and how to resume from a position."""

from portcast.history.limits import HistoryLimits
from portcast.history.ring import Ring
from portcast.history.store import HistoryStore

__all__ = ["HistoryLimits", "HistoryStore", "Ring"]
