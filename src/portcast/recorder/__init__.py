"""The flight recorder: what is recorded, what is taken out, and what is kept of it. Pure."""

from portcast.recorder.log import ENTRY_BYTES, MAX_SUBJECTS, EntryKind, FlightLog, Recorded, SubjectInfo
from portcast.recorder.options import RecorderOptions
from portcast.recorder.redaction import ByteRange, FrameKind, RedactFunction, Redaction, parse_range
from portcast.recorder.rules import MAX_RULES, Rule, RuleKind, Rules, parse_rule

__all__ = [
    "ENTRY_BYTES",
    "MAX_RULES",
    "MAX_SUBJECTS",
    "ByteRange",
    "EntryKind",
    "FlightLog",
    "FrameKind",
    "Recorded",
    "RecorderOptions",
    "RedactFunction",
    "Redaction",
    "Rule",
    "RuleKind",
    "Rules",
    "SubjectInfo",
    "parse_range",
    "parse_rule",
]
