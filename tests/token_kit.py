"""Keys and tokens for the tests of tokens; the tokens may be as wrong as a test wants."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt import get_algorithm_by_name

SECRET = "secret"  # as short as the one of the Centrifuge suites
CURVES: dict[str, Any] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1, "K": ec.SECP256K1}


@cache
def private_key(name: str) -> Any:
    """Return a private key: ``RSA``, ``RSA-1024``, ``P-256``, ``P-384``, ``P-521``, ``K``, ``Ed25519`` or ``Ed448``."""
    if name.startswith("RSA"):
        return rsa.generate_private_key(65537, 1024 if name == "RSA-1024" else 2048)
    if name.startswith("Ed"):
        return ed25519.Ed25519PrivateKey.generate() if name == "Ed25519" else ed448.Ed448PrivateKey.generate()
    return ec.generate_private_key(CURVES[name]())


@cache
def public_pem(name: str) -> str:
    public: bytes = private_key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public.decode()


def private_pem(name: str) -> str:
    private: bytes = private_key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode()


def jwk(name: str, **members: object) -> dict[str, object]:
    """Return the public key as a JWK with further members."""
    reader = "RS256" if name.startswith("RSA") else "EdDSA" if name.startswith("Ed") else "ES256"
    public = get_algorithm_by_name(reader).to_jwk(private_key(name).public_key(), as_dict=True)
    return {**{key: value for key, value in public.items() if key in ("kty", "n", "e", "crv", "x", "y")}, **members}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(
    payload: dict[str, object] | str | bytes, key: str = SECRET, algorithm: str = "HS256", **header: object
) -> str:
    """Return a token for ``payload``, which may be text that is no JSON, signed with a secret or a named key."""
    if isinstance(payload, dict):
        payload = json.dumps(payload)
    data = payload.encode() if isinstance(payload, str) else payload
    signed = base64url(json.dumps({"alg": algorithm, **header}).encode()) + "." + base64url(data)
    return signed + "." + base64url(signature(signed, key, algorithm))


def signature(signed: str, key: str, algorithm: str) -> bytes:
    material = key.encode() if algorithm.startswith("HS") else private_key(key)
    return get_algorithm_by_name(algorithm).sign(signed.encode(), material)
