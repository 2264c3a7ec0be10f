"""Raw TCP in, live WebSockets out, inside a FastAPI app."""

from portcast.centrifuge.messages import ConnectRequest, PublishRequest, RpcRequest, SendRequest, SubscribeRequest
from portcast.centrifuge_options import CentrifugeOptions
from portcast.config import GatewayOptions, HttpOptions, ListenerOptions, TopicOptions
from portcast.delivery import OutboxLimits
from portcast.devices import CommandOptions, DeviceOptions, RedeliveryOptions
from portcast.errors import (
    BrokerUnavailable,
    CodecError,
    ConfigurationError,
    ConnectionClosedError,
    DeviceIdError,
    DeviceUnknown,
    DisconnectClient,
    FramingError,
    ListenError,
    MissingDependencyError,
    PortcastError,
    Refuse,
    TagError,
    TopicError,
)
from portcast.framing import (
    AsciiLengthFraming,
    ChecksumFraming,
    CobsFraming,
    CustomFraming,
    DelimiterFraming,
    FirstByteFraming,
    FixedLengthFraming,
    JsonFraming,
    LengthFieldFraming,
    LineFraming,
    MarkedFraming,
    RawFraming,
    VarintFraming,
)
from portcast.gateway import Gateway
from portcast.handlers import DeviceRouter, PerConnection, in_thread
from portcast.history import HistoryLimits
from portcast.permissions import ChannelPermissions
from portcast.publication import Meta, Position, Publication
from portcast.runtime import Connection, Device, DeviceProtocol, DeviceSettings, Store, by_field, by_type, one_at_a_time
from portcast.version import VERSION as __version__
from portcast.web.sdk_access import Admission, Caller, Grant

__all__ = [
    "Admission",
    "AsciiLengthFraming",
    "BrokerUnavailable",
    "Caller",
    "CentrifugeOptions",
    "ChannelPermissions",
    "ChecksumFraming",
    "CobsFraming",
    "CodecError",
    "CommandOptions",
    "ConfigurationError",
    "ConnectRequest",
    "Connection",
    "ConnectionClosedError",
    "CustomFraming",
    "DelimiterFraming",
    "Device",
    "DeviceIdError",
    "DeviceOptions",
    "DeviceProtocol",
    "DeviceRouter",
    "DeviceSettings",
    "DeviceUnknown",
    "DisconnectClient",
    "FirstByteFraming",
    "FixedLengthFraming",
    "FramingError",
    "Gateway",
    "GatewayOptions",
    "Grant",
    "HistoryLimits",
    "HttpOptions",
    "JsonFraming",
    "LengthFieldFraming",
    "LineFraming",
    "ListenError",
    "ListenerOptions",
    "MarkedFraming",
    "Meta",
    "MissingDependencyError",
    "OutboxLimits",
    "PerConnection",
    "PortcastError",
    "Position",
    "Publication",
    "PublishRequest",
    "RawFraming",
    "RedeliveryOptions",
    "Refuse",
    "RpcRequest",
    "SendRequest",
    "Store",
    "SubscribeRequest",
    "TagError",
    "TopicError",
    "TopicOptions",
    "VarintFraming",
    "__version__",
    "by_field",
    "by_type",
    "in_thread",
    "one_at_a_time",
]
