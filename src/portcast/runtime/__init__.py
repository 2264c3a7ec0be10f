"""Listeners, connections, the hub and the orderly stop. Knows neither a concrete broker nor a user's handler."""

from portcast.runtime.admission import subscriber_admission
from portcast.runtime.authentication import Authenticate, check_of
from portcast.runtime.catch_up import within_bytes
from portcast.runtime.connection import Connection
from portcast.runtime.consumer import Consumer
from portcast.runtime.device import Device
from portcast.runtime.device_directory import DeviceDirectory
from portcast.runtime.device_protocol import DeviceProtocol, DeviceSettings, Identity, Lookup
from portcast.runtime.device_replies import Replies, Reply, by_field, by_type, one_at_a_time
from portcast.runtime.drain import abort_all, drain
from portcast.runtime.flight_recorder import FlightRecorder, RecorderSettings
from portcast.runtime.hub import Hub
from portcast.runtime.inbox import InboxConsumer
from portcast.runtime.limits import connection_budget, raise_descriptor_limit
from portcast.runtime.listener import Listener
from portcast.runtime.memory import BufferedBytes, MemoryStatistics
from portcast.runtime.node import ListenerPlan, Node, fitting_history
from portcast.runtime.own_topics import OWN_TOPICS
from portcast.runtime.registry import Registry
from portcast.runtime.relay import RelayConsumer
from portcast.runtime.session import Handler, Session
from portcast.runtime.statistics import HubStatistics, ListenerStatistics
from portcast.runtime.store import STORE_TOPICS, Key, Store
from portcast.runtime.subscriber import CLOSE_RESTART, CLOSE_SHUTDOWN, CLOSE_SLOW, CLOSE_TRY_AGAIN, Follower, Subscriber
from portcast.runtime.surroundings import Placement, Surroundings, surroundings
from portcast.runtime.tls_peer import PeerCertificate, TlsInfo

__all__ = [
    "CLOSE_RESTART",
    "CLOSE_SHUTDOWN",
    "CLOSE_SLOW",
    "CLOSE_TRY_AGAIN",
    "OWN_TOPICS",
    "STORE_TOPICS",
    "Authenticate",
    "BufferedBytes",
    "Connection",
    "Consumer",
    "Device",
    "DeviceDirectory",
    "DeviceProtocol",
    "DeviceSettings",
    "FlightRecorder",
    "Follower",
    "Handler",
    "Hub",
    "HubStatistics",
    "Identity",
    "InboxConsumer",
    "Key",
    "Listener",
    "ListenerPlan",
    "ListenerStatistics",
    "Lookup",
    "MemoryStatistics",
    "Node",
    "PeerCertificate",
    "Placement",
    "RecorderSettings",
    "Registry",
    "RelayConsumer",
    "Replies",
    "Reply",
    "Session",
    "Store",
    "Subscriber",
    "Surroundings",
    "TlsInfo",
    "abort_all",
    "by_field",
    "by_type",
    "check_of",
    "connection_budget",
    "drain",
    "fitting_history",
    "one_at_a_time",
    "raise_descriptor_limit",
    "subscriber_admission",
    "surroundings",
    "within_bytes",
]
