"""What `portcast check` says of a file of settings."""

from __future__ import annotations

from pathlib import Path

from access_kit import digest
from portcast.posture import posture
from portcast.posture_view import Finding
from portcast.settings import load_settings

KEY = "key-0123456789-0123456789"
TOKEN = digest(KEY)
PUBLIC = 'http = "0.0.0.0:8000"\n'
KEYS = f'[keys.page]\nsecret = "{digest(KEY)}"\n'
NO_DEVICES = "listen = []\n"


def findings(text: str, folder: Path) -> list[Finding]:
    """Return all, where there may be 1000 devices and 500 HTTP connections."""
    file = folder / "gateway.toml"
    file.write_text(text, "utf-8")
    return posture(load_settings(file, {}), {}, connections=1000, http_connections=500)


def said(text: str, folder: Path, level: str) -> list[str]:
    """Return those of one level, each with its subject."""
    return [f"{one.subject}: {one.sentence}" for one in findings(text, folder) if one.level == level]
