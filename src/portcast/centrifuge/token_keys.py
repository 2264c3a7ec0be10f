"""The keys that tokens are verified with, each bound to the algorithms that it may be used for.

====================================  =======================================  ==================
key                                   algorithms                               from
====================================  =======================================  ==================
a secret                              HS256, HS384, HS512                      `hmac_key`
RSA public key, 2048 to 16384 bits    RS256, RS384, RS512, PS256, PS384, PS512  `pem_key`, `KeySet`
EC public key on P-256, P-384, P-521  ES256, ES384, ES512, in this order       `pem_key`, `KeySet`
Ed25519 public key                    EdDSA                                    `pem_key`, `KeySet`
====================================  =======================================  ==================

The header of a token, which anybody can write, only chooses among the pairs of key and algorithm that this table
allows (RFC 8725 §3.1). So a public key is never taken for a secret, and ``none`` is nowhere. The signatures themselves
are checked by PyJWT and cryptography, which are imported when the first key is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from portcast.errors import ConfigurationError, MissingDependencyError

MIN_RSA_BITS = 2048
"""RFC 7518 §3.3."""

MAX_RSA_BITS = 16384
"""OpenSSL's own limit; the time to verify grows with the square of the size."""

_HMAC = ("HS256", "HS384", "HS512")
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Mapping[str, tuple[str, ...]] = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
_ED25519 = ("EdDSA",)

_JWK_MEMBERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "RSA": ("RS256", ("n", "e")),
    "EC": ("ES256", ("crv", "x", "y")),
    "OKP": ("EdDSA", ("crv", "x")),
}
"""By type of key: an algorithm of PyJWT that reads it, and its public members (RFC 7518 §6, RFC 8037 §2). A symmetric
key (``oct``) is not among them: a document that is fetched is no place for a secret."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and what it may be used for.

    Attributes:
        key_id: the ``kid`` that a token must name; None if the key is tried for every token.
        algorithms: the algorithms that it may be used with.
        material: the secret as bytes, or cryptography's public key.
    """

    key_id: str | None
    algorithms: frozenset[str]
    material: object = field(repr=False)

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Return True if ``signature`` is this key's for ``signed``; False also for any other algorithm."""
        if algorithm not in self.algorithms:
            return False
        from jwt import get_algorithm_by_name

        return get_algorithm_by_name(algorithm).verify(signed, self.material, signature)


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys to choose from; a value, so new keys mean a new set.

    Attributes:
        keys: the keys.
        ignored: how many keys of a JWKS document were of no use.
    """

    keys: tuple[VerificationKey, ...] = ()
    ignored: int = 0

    @classmethod
    def from_jwks(cls, document: object) -> KeySet:
        """Return the keys of a JSON Web Key Set (RFC 7517 §5) that can verify tokens.

        A key is ignored if its type, curve, size, ``alg``, ``use`` or ``key_ops`` is of no use here, or if it is
        malformed (§5 asks for that); private members are not read. An ``alg`` binds the key to that algorithm.

        Args:
            document: the decoded JSON.

        Raises:
            ConfigurationError: the document is not an object with a list of ``keys``.
            MissingDependencyError: PyJWT or cryptography is not installed.
        """
        _require_cryptography()
        entries = document.get("keys") if isinstance(document, Mapping) else None
        if not isinstance(entries, list):
            raise ConfigurationError("jwks", "it is not an object with a list of 'keys' (RFC 7517 §5)")
        found = [_jwk(entry) for entry in entries]
        keys = tuple(key for key in found if key is not None)
        return cls(keys, ignored=len(found) - len(keys))

    def named(self, key_id: str | None) -> list[VerificationKey]:
        """Return the keys to try for a token with this ``kid``, None if it has none: those with it and those without.

        A key with an id is not tried for a token that names none.
        """
        return [key for key in self.keys if key.key_id is None or key.key_id == key_id]


def hmac_key(secret: str) -> VerificationKey:
    """Return the key that a secret is.

    Args:
        secret: not empty, used as UTF-8. RFC 7518 §3.2 asks for 32 bytes; shorter ones work here.

    Raises:
        ConfigurationError: it is empty, no text, or a key in PEM or SSH form, which others may know.
        MissingDependencyError: PyJWT is not installed.
    """
    _require_jwt()
    if not secret:
        raise ConfigurationError("tokens.hmac_secrets", "a secret is empty")
    if "-----BEGIN" in secret or secret.lstrip().startswith(("ssh-", "ecdsa-sha2-")):
        raise ConfigurationError(
            "tokens.hmac_secrets", "a secret is a key in PEM or SSH form", "put public keys in tokens.public_keys"
        )
    try:
        material = secret.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("tokens.hmac_secrets", "a secret contains a surrogate, not text") from None
    return VerificationKey(None, frozenset(_HMAC), material)


def pem_key(pem: str) -> VerificationKey:
    """Return the public key in ``pem`` (``-----BEGIN PUBLIC KEY-----``).

    Raises:
        ConfigurationError: it is no public key in PEM, or not one of the kinds in the table above.
        MissingDependencyError: PyJWT or cryptography is not installed.
    """
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        # Without the cause: the text may be a private key, and the library quotes what it cannot read.
        raise ConfigurationError(
            "tokens.public_keys", "a key is not a public key in PEM", "it begins with '-----BEGIN PUBLIC KEY-----'"
        ) from None
    algorithms = _algorithms_of(key)
    if not algorithms:
        raise ConfigurationError(
            "tokens.public_keys",
            "a key is of a kind that is not used",
            f"use RSA with {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, EC on P-256, P-384 or P-521, or Ed25519",
        )
    return VerificationKey(None, frozenset(algorithms), key)


def _jwk(entry: object) -> VerificationKey | None:
    """Return an entry of a JWKS document, or None if it is of no use."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from jwt import PyJWTError, get_algorithm_by_name

    if not isinstance(entry, Mapping) or entry.get("use", "sig") != "sig":
        return None
    key_id, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    if not isinstance(key_id, str | None) or not isinstance(operations, list) or "verify" not in operations:
        return None
    kind = entry.get("kty")
    if not isinstance(kind, str) or kind not in _JWK_MEMBERS:
        return None
    reader, members = _JWK_MEMBERS[kind]
    public = {"kty": kind, **{name: entry.get(name) for name in members}}
    if not all(isinstance(value, str) for value in public.values()):
        return None
    try:
        key = get_algorithm_by_name(reader).from_jwk(public)
    except (ValueError, PyJWTError, UnsupportedAlgorithm):
        return None
    algorithms = frozenset(_algorithms_of(key))
    if "alg" in entry:
        algorithms &= {entry["alg"]} if isinstance(entry["alg"], str) else frozenset()
    return VerificationKey(key_id, algorithms, key) if algorithms else None


def _algorithms_of(key: object) -> tuple[str, ...]:
    """Return what a public key may be used for, by its type, curve and size; empty for nothing."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey):
        return _RSA if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS else ()
    if isinstance(key, EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, ())
    return _ED25519 if isinstance(key, Ed25519PublicKey) else ()


def _require_jwt() -> None:
    try:
        import jwt  # noqa: F401  # only to see that it is there
    except ImportError:
        raise MissingDependencyError("portcast[jwt]", "verifying tokens") from None


def _require_cryptography() -> None:
    _require_jwt()
    try:
        import cryptography  # noqa: F401  # only to see that it is there
    except ImportError:
        raise MissingDependencyError("portcast[jwt]", "verifying tokens with public keys") from None
