"""The PROXY protocol: what a proxy in front of a listener says of the connection that it passes on."""

from portcast.proxy.header import ProxyHeader, ProxyTls
from portcast.proxy.parser import MOST_TLV_BYTES, ProxyParser

__all__ = ["MOST_TLV_BYTES", "ProxyHeader", "ProxyParser", "ProxyTls"]
