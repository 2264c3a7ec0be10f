"""Logs and counters made of events."""

from portcast.observability.counters import Count, Counters, CounterStatistics, event_name
from portcast.observability.escape import escape, escape_bytes
from portcast.observability.fan_out import fan_out
from portcast.observability.log import JsonFormatter, LogEvents, TextFormatter, configure_logging
from portcast.observability.redact import redact_logs

__all__ = [
    "Count",
    "CounterStatistics",
    "Counters",
    "JsonFormatter",
    "LogEvents",
    "TextFormatter",
    "configure_logging",
    "escape",
    "escape_bytes",
    "event_name",
    "fan_out",
    "redact_logs",
]
