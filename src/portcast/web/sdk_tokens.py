"""What tokens say, or with which code their bearer is refused.

====================================================  ====================  ========================
a token                                               of a connection       of a subscription
====================================================  ====================  ========================
is malformed, signed by nobody we know, for others    3500 (terminal)       103
is genuine and no longer, or not yet, valid           109: get another      109: get another
cannot be judged: the keys cannot be fetched now      100 (temporary)       100 (temporary)
====================================================  ====================  ========================
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from portcast.centrifuge.codes import INTERNAL, INVALID_TOKEN, PERMISSION_DENIED, TOKEN_EXPIRED, Disconnect, ReplyError
from portcast.centrifuge.deadlines import FOREVER, Lifetime
from portcast.centrifuge.token_keys import KeySet, pem_key
from portcast.centrifuge.tokens import ConnectionClaims, SubscriptionClaims, TokenOptions, TokenVerifier
from portcast.centrifuge_options import CentrifugeOptions
from portcast.errors import ConfigurationError, TokenExpired, TokenInvalid
from portcast.web.sdk_access import Answer, Verdict
from portcast.web.sdk_jwks import JwksKeys

Claims = TypeVar("Claims", ConnectionClaims, SubscriptionClaims)

_logger = logging.getLogger("portcast")

NOT_YET_VALID = ReplyError(TOKEN_EXPIRED.code, "token is not valid yet")
"""By its ``nbf``. The same code, as in Centrifugo: then the client asks for another."""


class Tokens:
    """Reads tokens with the configured keys, at once unless keys must be fetched for it."""

    def __init__(self, options: CentrifugeOptions, unix_now: Callable[[], float] = time.time) -> None:
        """Read the keys that are in files; blocks for that.

        Args:
            options: with keys (`CentrifugeOptions.has_keys`).
            unix_now: returns Unix seconds.

        Raises:
            ConfigurationError: a secret, a key or a file cannot be used.
            MissingDependencyError: PyJWT or cryptography is not installed.
        """
        self._unix_now = unix_now
        self._options = _token_options(options)
        self._jwks = JwksKeys(options.token_jwks, insecure=options.insecure) if options.token_jwks else None
        self._keys: KeySet | None = None
        if self._jwks is not None:
            self._keys = KeySet.from_jwks({"keys": []})  # here it is found out that a package is missing
            self._jwks.load_file()
        self._verifier = _verifier(self._options, self._keys)

    def connection(self, token: str) -> Answer[ConnectionClaims]:
        """Return what a connection token says, or the code of its refusal."""
        return self._read(lambda verifier: verifier.verify_connection(token, self._unix_now()), INVALID_TOKEN)

    def subscription(self, token: str) -> Answer[SubscriptionClaims]:
        """Return what a subscription token says, or the code of its refusal."""
        return self._read(lambda verifier: verifier.verify_subscription(token, self._unix_now()), PERMISSION_DENIED)

    def lifetime(self, expire_at: int) -> Lifetime:
        """Return what is left until then.

        Args:
            expire_at: Unix seconds; 0 is never.
        """
        return Lifetime(expire_at - int(self._unix_now()), is_refreshed_by_client=True) if expire_at else FOREVER

    async def close(self) -> None:
        """Wait until nothing is fetched any more."""
        if self._jwks is not None:
            await self._jwks.close()

    def _read(self, verify: Callable[[TokenVerifier], Claims], invalid: ReplyError | Disconnect) -> Answer[Claims]:
        keys = self._jwks.keys_nowait() if self._jwks is not None else None
        self._use(keys)
        try:
            return verify(self._verifier)
        except TokenExpired as error:
            return _out_of_time(error)
        except TokenInvalid as error:
            if self._jwks is None or not (keys is None or error.is_key_unknown):
                return _refused(error, invalid)
        return self._read_later(verify, invalid, self._jwks, keys)

    async def _read_later(
        self,
        verify: Callable[[TokenVerifier], Claims],
        invalid: ReplyError | Disconnect,
        jwks: JwksKeys,
        keys: KeySet | None,
    ) -> Verdict[Claims]:
        newer = await jwks.wait_read(keys)
        if newer is None:
            # Not "invalid": after that the client would stay away, and the key may be one that was just made.
            return INTERNAL
        self._use(newer)
        try:
            return verify(self._verifier)
        except TokenExpired as error:
            return _out_of_time(error)
        except TokenInvalid as error:
            return _refused(error, invalid)

    def _use(self, keys: KeySet | None) -> None:
        if keys is not None and keys is not self._keys:
            self._keys = keys
            self._verifier = _verifier(self._options, keys)


def _out_of_time(error: TokenExpired) -> ReplyError:
    return NOT_YET_VALID if error.claim == "nbf" else TOKEN_EXPIRED


def _refused(error: TokenInvalid, code: ReplyError | Disconnect) -> ReplyError | Disconnect:
    # At debug: anybody can send bad tokens, as fast as the network allows.
    _logger.debug("token refused problem=%r", error.problem)
    return code


def _token_options(options: CentrifugeOptions) -> TokenOptions:
    return TokenOptions(
        hmac_secrets=options.token_hmac_secrets,
        public_keys=tuple(map(_pem, options.token_public_keys)),
        audience=options.token_audience,
        issuer=options.token_issuer,
        leeway_s=options.token_leeway_s,
    )


def _pem(file: str) -> str:
    key = f"centrifuge.token_public_keys: {file}"
    try:
        text = Path(file).read_text("utf-8")
        pem_key(text)
    except OSError as error:
        raise ConfigurationError(key, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ConfigurationError(key, "it is not a public key in PEM") from None
    except ConfigurationError as error:
        raise ConfigurationError(key, error.problem, error.hint) from None
    return text


def _verifier(options: TokenOptions, keys: KeySet | None) -> TokenVerifier:
    try:
        return TokenVerifier(options, keys)
    except ConfigurationError as error:
        # Under the names that the user wrote.
        texts = (text.replace("tokens.", "centrifuge.token_") for text in (error.key, error.problem, error.hint))
        raise ConfigurationError(*texts) from None
