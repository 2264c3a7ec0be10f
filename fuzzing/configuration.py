"""What users write, and what proxies write: a value, or the error that is documented, and nothing else."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from pathlib import Path

from portcast.errors import ConfigurationError, PortcastError
from portcast.listen_url import listener_from_url
from portcast.settings import load_settings

_FOLDER = tempfile.TemporaryDirectory(prefix="portcast-fuzz-")
_FILE = Path(_FOLDER.name) / "portcast.toml"
LONG = 20_000
"""Characters of an error's sentence: it may quote what is wrong, and must not grow beyond it."""

TOML_SEEDS = [
    b'listen = ["8001", "8002?framing=length_field&length_field_length=2"]\n[http]\naddress = "127.0.0.1:8000"\n',
    b'[[listener]]\nurl = "tcp://127.0.0.1:8003"\nframing = "delimiter"\ndelimiter = ["$", "\\\\n"]\ntopic = "a/b"\n',
    b'[topics."scale/#"]\nslow = "conflate"\npublications = 10\n[outbox]\nsoft_bytes = "64 KiB"\n',
    b'[keys.admin]\nsecret = "sha256:00"\nrole = "operator"\n[permissions."user:#"]\nsubscribe = "user"\n',
    b'[log]\nlevel = "debug"\n[centrifuge]\ntoken_hmac_secret = "x"\n[devices."d-1"]\ntoken = "sha256:00"\n',
    b"a = [[[[{b = 1979-05-27T07:32:00Z}]]]]\n",
    b"a = " + b"[" * 2000,
    b"a = " + b"9" * 4400,
    b"[gateway]\ndrain_timeout = " + b"9" * 400,
]
URL_SEEDS = [
    b"8001",
    b"tcp://127.0.0.1:8001?framing=lines&idle_timeout=1h&max_frame=1KiB",
    b"tcp://[::1]:0?framing=delimiter&delimiter=%24,\\x0d\\,&topic=a%2fb&name=n",
    b"unix:///tmp/a.sock?framing=slip&slow=conflate&patience=0",
    b"tcp://0.0.0.0:8001?insecure=true&framing=length_field&length_field_length=2&byte_order=little",
    b"tcp://127.0.0.1:1?framing=lines&checksum=nmea&checksum_skip=1&device_tokens=x",
]
PROXY_SEEDS = [
    b"\0PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nhello",
    b"\3PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n",
    b"\1PROXY UNKNOWN\r\n",
    b"\0\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\xdc\4\1\xbbhello",
    b"\5\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x18\xc0\0\2\7\xc6\x33\x64\1\xdc\4\1\xbb\1\0\2h2\x20\0\7\1\0\0\0\0\x21\0\0",
    b"\0\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
]
HAS_PROXY = importlib.util.find_spec("portcast.proxy") is not None
"""False before the version that reads PROXY headers."""


def run_toml(data: bytes) -> None:
    """Read settings from a file that holds ``data``."""
    _FILE.write_bytes(data)
    try:
        load_settings(_FILE)
    except ConfigurationError as error:
        _check(error, data)


def run_url(data: bytes) -> None:
    """Read a URL as the command line gives it: what is not UTF-8 becomes surrogates (PEP 383)."""
    try:
        listener = listener_from_url(data.decode("utf-8", "surrogateescape"))
    except ConfigurationError as error:
        _check(error, data)
    else:
        listener.framing.decoder()


def _check(error: ConfigurationError, data: bytes) -> None:
    assert len(str(error)) < LONG + 4 * len(data), f"{len(str(error))} characters for {len(data)} bytes"


def run_proxy(data: bytes) -> None:
    """Read a PROXY header in pieces of the size that the first byte says (0: whole), and in one."""
    if len(data) > 1:
        whole, cut = _header(data[1:], len(data)), _header(data[1:], data[0] or len(data))
        assert whole == cut, f"{whole} {cut}"


def _header(data: bytes, size: int) -> object:
    parser = importlib.import_module("portcast.proxy").ProxyParser()
    for at in range(0, len(data), size):
        try:
            header = parser.feed(data[at : at + size])
        except PortcastError as error:
            return type(error)
        if header is not None:
            return header, parser.rest + data[at + size :]
    return None
