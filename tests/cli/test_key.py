from __future__ import annotations

from hashlib import sha256

from click.testing import CliRunner

from portcast.api_keys import ApiKey, KeyTable
from portcast.cli.key import key


def test_a_new_key_and_its_digest_belong_together() -> None:
    done = CliRunner().invoke(key)
    (_, made), (_, secret) = (line.split() for line in done.output.splitlines())
    assert len(made) >= 43, "256 bits"
    assert KeyTable({"a": ApiKey(secret)}, {}).find(made)
    assert made not in CliRunner().invoke(key).output


def test_a_key_that_exists_is_not_shown_again() -> None:
    done = CliRunner().invoke(key, ["--stdin"], input="my-key\n")
    assert done.output == f"secret  sha256:{sha256(b'my-key').hexdigest()}\n"


def test_no_key() -> None:
    done = CliRunner().invoke(key, ["--stdin"], input="\n")
    assert done.exit_code == 1
