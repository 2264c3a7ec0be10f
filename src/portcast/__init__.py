"""Raw TCP in, live WebSockets out, inside a FastAPI app."""

from portcast.centrifuge_options import CentrifugeOptions
from portcast.config import GatewayOptions, HttpOptions, ListenerOptions, TopicOptions
from portcast.delivery import OutboxLimits
from portcast.errors import (
    BrokerUnavailable,
    CodecError,
    ConfigurationError,
    ConnectionClosedError,
    FramingError,
    ListenError,
    MissingDependencyError,
    PortcastError,
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
from portcast.runtime import Connection, Store
from portcast.version import VERSION as __version__

__all__ = [
    "AsciiLengthFraming",
    "BrokerUnavailable",
    "CentrifugeOptions",
    "ChannelPermissions",
    "ChecksumFraming",
    "CobsFraming",
    "CodecError",
    "ConfigurationError",
    "Connection",
    "ConnectionClosedError",
    "CustomFraming",
    "DelimiterFraming",
    "DeviceRouter",
    "FirstByteFraming",
    "FixedLengthFraming",
    "FramingError",
    "Gateway",
    "GatewayOptions",
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
    "RawFraming",
    "Store",
    "TagError",
    "TopicError",
    "TopicOptions",
    "VarintFraming",
    "__version__",
    "in_thread",
]
