"""Who may connect over the Centrifuge protocol: whose tokens count, and who needs none.

Declared like the options in `portcast.config`: everything that users write is derived from the fields.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from portcast.address import Address
from portcast.errors import ConfigurationError

LEAST_SECRET_BYTES = 32
"""Of a secret that tokens are signed with: RFC 7518 §3.2 for HS256. Shorter ones work, as in Centrifugo."""


@dataclass(frozen=True, slots=True)
class CentrifugeOptions:
    """Who may connect over the Centrifuge protocol. What connections may do is in `portcast.permissions`.

    Raises:
        ConfigurationError: ``token_leeway_s`` is negative or not finite.
    """

    token_hmac_secrets: tuple[str, ...] = field(
        default=(),
        repr=False,
        metadata={
            "help": "secrets shared with those who make tokens (HS256, HS384, HS512), 32 bytes or more; better in the "
            "file or the environment than on the command line, which every user of the machine can see",
            "is_secret": True,
        },
    )
    token_public_keys: tuple[str, ...] = field(
        default=(),
        metadata={"help": "PEM files with public keys of those who make tokens: RSA, EC or Ed25519"},
    )
    token_jwks: str = field(
        default="", metadata={"help": "a JSON Web Key Set with more such keys: an https:// URL, or a file"}
    )
    token_audience: str = field(default="", metadata={"help": "what 'aud' must be or contain; empty = not checked"})
    token_issuer: str = field(default="", metadata={"help": "what 'iss' must be; empty = not checked"})
    token_leeway_s: float = field(
        default=0.0,
        metadata={"help": "by how much clocks may differ: 'exp' is prolonged, 'nbf' advanced", "minimum": 0},
    )
    personal_channel: bool = field(
        default=False, metadata={"help": "subscribe each user to the channel #USER, which no other user may have"}
    )
    anonymous: Literal["auto", "allow", "refuse"] = field(
        default="auto",
        metadata={"help": "connecting without a token; auto = allowed while there are neither keys nor on_connect"},
    )
    insecure: bool = field(
        default=False,
        metadata={
            "help": "serve those who can reach a network address although nothing says who may: everybody reads, "
            "publishes and commands over HTTP, and devices show nothing"
        },
    )

    def __post_init__(self) -> None:
        if not math.isfinite(self.token_leeway_s) or self.token_leeway_s < 0:
            raise ConfigurationError(
                "CentrifugeOptions.token_leeway_s", f"{self.token_leeway_s} cannot work", "at least 0"
            )

    @property
    def has_keys(self) -> bool:
        """True if there is something that tokens are verified with."""
        return bool(self.token_hmac_secrets or self.token_public_keys or self.token_jwks)

    @property
    def has_short_secret(self) -> bool:
        """True if a secret is shorter than HS256 asks for (RFC 7518 §3.2): whoever has a token can try to guess it."""
        return any(len(secret.encode()) < LEAST_SECRET_BYTES for secret in self.token_hmac_secrets)


def check_reach(http: Address, options: CentrifugeOptions, *, is_configured: bool) -> None:
    """Check that whoever can reach the server is meant to.

    Args:
        http: where HTTP is bound.
        options: may say that everybody is.
        is_configured: True if something says who may subscribe.

    Raises:
        ConfigurationError: others than this machine can connect, and nothing says who may.
    """
    if http.is_loopback or is_configured or options.insecure:
        return
    raise ConfigurationError(
        f"http {http.host_port}",
        "everybody who can reach it could follow every topic, because nothing says who may",
        "write an API key into the file ([keys.NAME], see `portcast key`), or token keys into [centrifuge], or "
        "[permissions]; or say --insecure if everybody may",
    )


def check_secrets(http: Address, options: CentrifugeOptions) -> None:
    """Check that no secret of tokens can be guessed by whoever can reach the server.

    `portcast check` calls it a danger, so it is looked at when a server starts and not when its settings are read.

    Args:
        http: where HTTP is bound.
        options: the secrets; may say that everybody is meant to reach it.

    Raises:
        ConfigurationError: others than this machine can connect, and a secret is shorter than RFC 7518 §3.2 asks for.
    """
    if http.is_loopback or options.insecure or not options.has_short_secret:
        return
    raise ConfigurationError(
        "centrifuge.token_hmac_secrets",
        f"a secret is shorter than {LEAST_SECRET_BYTES} bytes, and can be guessed from any token",
        f"http {http.host_port} can be reached from the network: take a longer one, such as `openssl rand -base64 48` "
        "prints; or say --insecure",
    )
