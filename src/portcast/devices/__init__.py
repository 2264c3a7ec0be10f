"""Devices across their connections: who they are, where they are, and what is asked of them. Pure."""

from portcast.devices.acknowledgement import (
    Acknowledgement,
    AcknowledgementWindow,
    OnFailure,
    Progress,
    Ticket,
)
from portcast.devices.command_states import (
    ENDS,
    TRANSITIONS,
    Change,
    Command,
    CommandState,
    CommandStatistics,
    Step,
    Stray,
    Write,
)
from portcast.devices.commands import Commands
from portcast.devices.deadlines import Deadlines
from portcast.devices.identity import (
    MAX_DEVICE_ID_BYTES,
    Takeover,
    UnknownDevice,
    validate_device_id,
    validate_device_pattern,
)
from portcast.devices.options import CommandOptions, DeviceOptions, RedeliveryOptions
from portcast.devices.presence import (
    Accepted,
    Attachment,
    DeviceInfo,
    DevicePage,
    DeviceStatus,
    Quarantined,
    Rejected,
    RejectReason,
    RosterStatistics,
)
from portcast.devices.redelivery import Delivery, RedeliveryWindow
from portcast.devices.roster import Roster, checked_tags

__all__ = [
    "ENDS",
    "MAX_DEVICE_ID_BYTES",
    "TRANSITIONS",
    "Accepted",
    "Acknowledgement",
    "AcknowledgementWindow",
    "Attachment",
    "Change",
    "Command",
    "CommandOptions",
    "CommandState",
    "CommandStatistics",
    "Commands",
    "Deadlines",
    "Delivery",
    "DeviceInfo",
    "DeviceOptions",
    "DevicePage",
    "DeviceStatus",
    "OnFailure",
    "Progress",
    "Quarantined",
    "RedeliveryOptions",
    "RedeliveryWindow",
    "RejectReason",
    "Rejected",
    "Roster",
    "RosterStatistics",
    "Step",
    "Stray",
    "Takeover",
    "Ticket",
    "UnknownDevice",
    "Write",
    "checked_tags",
    "validate_device_id",
    "validate_device_pattern",
]
