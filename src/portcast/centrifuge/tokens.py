"""Connection and subscription tokens: JSON Web Tokens that say who a client is and what it may subscribe to.

Compact JWS (RFC 7515 §3.1, RFC 7519) with Centrifugo's claims. A token is three parts of base64url, joined by dots::

    {"alg":"HS256"}  .  {"sub":"42","exp":1732435200}  .  signature of the two, with the dot

The order of the checks is fixed: size, form, key, signature, and only then what the claims say. So nobody without a
key learns from the answer what a claim should have been.
The format is read here and not by PyJWT (which checks the signature, see `portcast.centrifuge.token_keys`), because
PyJWT takes the time from the clock, warns about secrets that Centrifugo accepts, and knows extensions that we do not.
Time is Unix time in seconds (``unix_now``), unlike elsewhere in the pure packages. Neither tokens, nor claims, nor keys
appear in error messages.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import NoReturn

from portcast.centrifuge.token_keys import KeySet, hmac_key, pem_key
from portcast.errors import ConfigurationError, TokenExpired, TokenInvalid

MAX_NESTED = 200  # lists and objects in one part: how deep the decoder can go is another matter on every CPython
MAX_TOKEN_BYTES = 8192
"""Longest token that is looked at. It is also what web servers accept as one header, where tokens travel too."""

MAX_SECONDS = 2**53
"""Largest absolute value of a time, the last that JavaScript counts exactly: the year 285 million."""

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


@dataclass(frozen=True, slots=True)
class TokenOptions:
    """Whose tokens are accepted.

    Several secrets are for changing them: add the new one, and remove the old when its last token has expired.

    Raises:
        ConfigurationError: ``leeway_s`` is negative or not finite.
    """

    hmac_secrets: tuple[str, ...] = field(
        default=(),
        repr=False,
        metadata={"help": "Secrets shared with those who make tokens (HS256, HS384, HS512); 32 bytes or more."},
    )
    public_keys: tuple[str, ...] = field(
        default=(), metadata={"help": "Public keys in PEM of those who make tokens: RSA, EC or Ed25519."}
    )
    audience: str = field(
        default="", metadata={"help": "What 'aud' must be or contain; empty: not checked, as in Centrifugo."}
    )
    issuer: str = field(default="", metadata={"help": "What 'iss' must be; empty: not checked."})
    # 0 as in Centrifugo: a client whose token is refused as expired gets a new one at once.
    leeway_s: float = field(
        default=0.0,
        metadata={"help": "Seconds by which clocks differ: 'exp' is prolonged, 'nbf' advanced.", "minimum": 0},
    )

    def __post_init__(self) -> None:
        if not math.isfinite(self.leeway_s) or self.leeway_s < 0:
            raise ConfigurationError("tokens.leeway_s", f"{self.leeway_s} cannot work", "use a number of at least 0")


@dataclass(frozen=True, slots=True)
class SubscriptionOverride:
    """Options of the channel that a token sets for its client; None leaves what the channel says."""

    presence: bool | None = None
    join_leave: bool | None = None
    force_push_join_leave: bool | None = None
    force_positioning: bool | None = None
    force_recovery: bool | None = None


_OVERRIDES = tuple(option.name for option in fields(SubscriptionOverride))


@dataclass(frozen=True, slots=True)
class SubscriptionOptions:
    """What a token says about one subscription.

    Attributes:
        info: ``chan_info`` for presence, join and leave; see `ConnectionClaims`.
        data: data for the client in the subscribe result or push.
        override: options of the channel that differ for this client.
    """

    info: bytes = b""
    data: bytes = b""
    override: SubscriptionOverride = SubscriptionOverride()


@dataclass(frozen=True, slots=True)
class ConnectionClaims:
    """What a connection token says.

    Attributes:
        user: ``sub``; "" is the anonymous user.
        expire_at: when the connection ends unless it is refreshed, in Unix seconds, rounded up; 0 is never.
            ``expire_at`` if the token has it (0 or less: never), else ``exp`` with the leeway; without both never.
            May be past: the token is valid, but the connection has expired (error 110).
        info: ``conn_info`` for presence, join and leave: ``b64info`` decoded, or ``info`` as JSON in UTF-8; empty if
            absent. ``b64info`` may be anything, and only a JSON value suits a client that speaks JSON.
        channels: channels that the server subscribes the client to.
        subs: the same with options. Centrifugo ignores ``channels`` if this is not empty.
        meta: for the application; never sent to the client.
        portcast: ``role`` and ``topics`` (`portcast.api_keys`); Centrifugo knows no such claim.
    """

    user: str
    expire_at: int = 0
    info: bytes = b""
    channels: tuple[str, ...] = ()
    subs: Mapping[str, SubscriptionOptions] = field(default_factory=dict)
    meta: Mapping[str, object] = field(default_factory=dict)
    portcast: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubscriptionClaims:
    """What a subscription token says. The caller compares ``user``, ``channel`` and ``client`` with what it knows.

    Attributes:
        user: ``sub``; "" is the anonymous user.
        channel: the channel that it is for; not empty.
        client: the only client that may use it; "" if any of the user's may.
        expire_at: when the subscription ends unless it is refreshed; as in `ConnectionClaims`.
        info: ``chan_info``; see `SubscriptionOptions`.
        data: see `SubscriptionOptions`.
        override: see `SubscriptionOptions`.
    """

    user: str
    channel: str
    client: str = ""
    expire_at: int = 0
    info: bytes = b""
    data: bytes = b""
    override: SubscriptionOverride = SubscriptionOverride()


class TokenVerifier:
    """Reads tokens that one of its keys has signed; without state beside keys and options.

    A token takes 33 µs with HS256, 47 µs with RS256, 170 µs with ES256 and 200 µs with EdDSA (CPython 3.11.7).
    """

    __slots__ = ("_keys", "_options")

    def __init__(self, options: TokenOptions, key_set: KeySet | None = None) -> None:
        """Make it from the keys of ``options`` and those of a JWKS document.

        Args:
            options: see `TokenOptions`.
            key_set: further keys, chosen by the ``kid`` of the token; when the document changes, make a new verifier.

        Raises:
            ConfigurationError: a key cannot be used, or there is none (a ``key_set`` without keys counts as given).
            MissingDependencyError: PyJWT is not installed.
        """
        keys = (*map(hmac_key, options.hmac_secrets), *map(pem_key, options.public_keys))
        if not keys and key_set is None:
            raise ConfigurationError("tokens", "there is no key", "set tokens.hmac_secrets or tokens.public_keys")
        self._keys = KeySet(keys + (key_set.keys if key_set else ()))
        self._options = options

    def verify_connection(self, token: str, unix_now: float) -> ConnectionClaims:
        """Return what a connection token says.

        Args:
            token: as the client sent it, at most `MAX_TOKEN_BYTES`.
            unix_now: Unix time in seconds.

        Raises:
            TokenInvalid: it is malformed or too long, no key has signed it, it is for others or for a subscription.
            TokenExpired: it is no longer, or not yet, valid.
        """
        claims = self._verify(token, unix_now)
        if _text(claims, "channel"):
            raise TokenInvalid("it has a 'channel', as only a token for a subscription may")
        subs = _object(claims, "subs")
        return ConnectionClaims(
            user=_text(claims, "sub"),
            expire_at=self._expire_at(claims),
            info=_payload(claims, "info", "b64info"),
            channels=_texts(claims, "channels"),
            subs={_checked(channel, "subs"): _subscription_options(_object(subs, channel)) for channel in subs},
            meta=_object(claims, "meta"),
            portcast=_object(claims, "portcast"),
        )

    def verify_subscription(self, token: str, unix_now: float) -> SubscriptionClaims:
        """Return what a subscription token says.

        Args:
            token: as the client sent it, at most `MAX_TOKEN_BYTES`.
            unix_now: Unix time in seconds.

        Raises:
            TokenInvalid: it is malformed or too long, no key has signed it, it is for others or for a connection.
            TokenExpired: it is no longer, or not yet, valid.
        """
        claims = self._verify(token, unix_now)
        channel = _text(claims, "channel")
        if not channel:
            raise TokenInvalid("it has no 'channel', as a token for a subscription must")
        options = _subscription_options(claims)
        return SubscriptionClaims(
            user=_text(claims, "sub"),
            channel=channel,
            client=_text(claims, "client"),
            expire_at=self._expire_at(claims),
            info=options.info,
            data=options.data,
            override=options.override,
        )

    def _verify(self, token: str, unix_now: float) -> dict[str, object]:
        """Return the claims of a token that is genuine, for us and valid now."""
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenInvalid(f"it is longer than {MAX_TOKEN_BYTES} bytes")
        # Three parts, none empty: an unsigned token ends in a dot and stops here (RFC 7519 §6).
        form = _FORM.fullmatch(token)
        if form is None:
            raise TokenInvalid("it is not three parts of base64url")
        header, payload, signature = form.groups()
        self._check_signature(
            _json(header, "header"), token.rpartition(".")[0].encode(), _bytes(signature, "signature")
        )
        claims = _json(payload, "payload")
        self._check_addressee(claims)
        self._check_time(claims, unix_now)
        return claims

    def _check_signature(self, header: dict[str, object], signed: bytes, signature: bytes) -> None:
        # Extensions that must be understood (RFC 7515 §4.1.11); we understand none.
        if "crit" in header:
            raise TokenInvalid("its header has 'crit'")
        algorithm = _text(header, "alg")
        key_id = _text(header, "kid") if header.get("kid") is not None else None
        # Also beside keys without an id, which are tried for every token: the one that it names may be new.
        is_unknown = key_id is not None and all(key.key_id != key_id for key in self._keys.keys)
        candidates = self._keys.named(key_id)
        if not candidates:
            raise TokenInvalid("there is no key with the 'kid' that it names", is_key_unknown=True)
        candidates = [key for key in candidates if algorithm in key.algorithms]
        if not candidates:
            raise TokenInvalid("there is no key for its algorithm", is_key_unknown=is_unknown)
        if not any(key.verifies(algorithm, signed, signature) for key in candidates):
            raise TokenInvalid("its signature is wrong", is_key_unknown=is_unknown)

    def _check_addressee(self, claims: dict[str, object]) -> None:
        options = self._options
        issuer, _ = _text(claims, "iss"), _text(claims, "jti")  # of the right type even if nobody asks
        if options.issuer and issuer != options.issuer:
            raise TokenInvalid("its 'iss' is not the issuer")
        audience = claims.get("aud")
        audiences = (audience,) if isinstance(audience, str) else _texts(claims, "aud")
        if options.audience and options.audience not in audiences:
            raise TokenInvalid("its 'aud' is not the audience")

    def _check_time(self, claims: dict[str, object], unix_now: float) -> None:
        leeway = self._options.leeway_s
        expires, begins = _seconds(claims, "exp"), _seconds(claims, "nbf")
        _seconds(claims, "iat")
        # "On or after" (RFC 7519 §4.1.4). Below 1 whatever the clock: 0 would read as "never" in the result.
        if expires is not None and (expires < 1 or expires <= unix_now - leeway):
            raise TokenExpired("exp", expires, unix_now)
        # Also as expired, like Centrifugo: then the client asks for another, which is right for a clock that is ahead.
        if begins is not None and begins > unix_now + leeway:
            raise TokenExpired("nbf", begins, unix_now)

    def _expire_at(self, claims: dict[str, object]) -> int:
        at = _seconds(claims, "expire_at")
        if at is None and (expires := _seconds(claims, "exp")) is not None:
            # With the leeway, or a connection accepted within it would have expired already.
            at = expires + self._options.leeway_s
        return max(0, math.ceil(at or 0))


def _subscription_options(claims: dict[str, object]) -> SubscriptionOptions:
    override = _object(claims, "override")
    return SubscriptionOptions(
        info=_payload(claims, "info", "b64info"),
        data=_payload(claims, "data", "b64data"),
        override=SubscriptionOverride(**{name: _switch(override, name) for name in _OVERRIDES}),
    )


def _switch(override: dict[str, object], name: str) -> bool | None:
    """Return an overridden option, which is written ``{"value": true}``; a missing value is false, as in Go."""
    if override.get(name) is None:
        return None
    value = _object(override, name).get("value", False)
    if not isinstance(value, bool):
        raise TokenInvalid(f"its '{name}' has a value that is not true or false")
    return value


def _text(claims: dict[str, object], name: str) -> str:
    """Return a claim that must be a string; "" if it is absent or null."""
    value = claims.get(name)
    return "" if value is None else _checked(value, name)


def _texts(claims: dict[str, object], name: str) -> tuple[str, ...]:
    """Return a claim that must be a list of strings; empty if it is absent or null."""
    value = claims.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise TokenInvalid(f"its '{name}' is not a list")
    return tuple(_checked(item, name) for item in value)


def _checked(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TokenInvalid(f"its '{name}' is not a string, or not of strings")
    try:
        value.encode()
    except UnicodeEncodeError:
        # "\ud800" is JSON, but nothing that could be sent on.
        raise TokenInvalid(f"its '{name}' contains a surrogate, which UTF-8 cannot express") from None
    return value


def _object(claims: dict[str, object], name: str) -> dict[str, object]:
    """Return a claim that must be an object; empty if it is absent or null."""
    value = claims.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TokenInvalid(f"its '{name}' is not an object")
    return value


def _seconds(claims: dict[str, object], name: str) -> float | None:
    """Return a claim that must be a NumericDate (RFC 7519 §2), which may have a fraction; None if it is absent."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenInvalid(f"its '{name}' is not a number")
    if not abs(value) <= MAX_SECONDS:  # "not" for NaN
        raise TokenInvalid(f"its '{name}' is out of range")
    return value


def _payload(claims: dict[str, object], name: str, encoded: str) -> bytes:
    """Return a claim as JSON, or another that holds any bytes in Base64 (RFC 4648 §4) and goes first."""
    if text := _text(claims, encoded):
        try:
            return base64.b64decode(text.encode(), validate=True)
        except ValueError:
            raise TokenInvalid(f"its '{encoded}' is not Base64") from None
    value = claims.get(name)
    if value is None:
        return b""
    try:
        return _ENCODER.encode(value).encode()
    except ValueError:
        raise TokenInvalid(f"its '{name}' cannot be sent on as JSON") from None


def _json(part: str, what: str) -> dict[str, object]:
    """Return the JSON object that a part of the token holds."""
    data = _bytes(part, what)
    if data.count(b"[") + data.count(b"{") > MAX_NESTED:
        raise TokenInvalid(f"its {what} is not JSON in UTF-8 that we would read")
    try:
        value = _DECODER.decode(data.decode())
    except ValueError:
        raise TokenInvalid(f"its {what} is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise TokenInvalid(f"its {what} is not an object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Made once: `json.loads` and `json.dumps` make them anew for each call with options.
_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _bytes(part: str, what: str) -> bytes:
    """Return what a part of the token holds, base64url without padding (RFC 7515 §2)."""
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise TokenInvalid(f"its {what} is not base64url") from None
