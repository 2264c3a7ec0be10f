"""Devices across their connections: who they are, where they are, and what is asked of them. Pure."""

from portcast.devices.identity import MAX_DEVICE_ID_BYTES, Takeover, UnknownDevice, validate_device_id
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
from portcast.devices.roster import Roster

__all__ = [
    "MAX_DEVICE_ID_BYTES",
    "Accepted",
    "Attachment",
    "CommandOptions",
    "DeviceInfo",
    "DeviceOptions",
    "DevicePage",
    "DeviceStatus",
    "Quarantined",
    "RedeliveryOptions",
    "RejectReason",
    "Rejected",
    "Roster",
    "RosterStatistics",
    "Takeover",
    "UnknownDevice",
    "validate_device_id",
]
