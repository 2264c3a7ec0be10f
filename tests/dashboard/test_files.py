"""The page's files keep its promises without a browser: nothing foreign, nothing inline, text nodes only."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "src" / "portcast" / "dashboard"
SCRIPTS = sorted(FOLDER.glob("*.js"))
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix in {".js", ".css", ".html", ".svg"})
NAMESPACE = "http://www.w3.org/2000/svg"
"""An identifier that looks like an address; nothing is fetched from it."""

by_name = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
by_script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)


def test_the_folder_holds_the_page() -> None:
    """The gateway serves a fixed table of files; a renamed one must not go unnoticed."""
    assert {path.name for path in FILES} >= {"index.html", "style.css", "main.js", "theme.js", "favicon.svg"}
    assert {path.suffix for path in FOLDER.iterdir() if path.is_file()} <= {".js", ".css", ".html", ".svg", ".py"}


@by_name
def test_nothing_points_outside_the_server(path: Path) -> None:
    """No address of another origin, and none from the root: the gateway may be mounted under a prefix."""
    text = path.read_text("utf-8").replace(NAMESPACE, "")
    assert not re.findall(r"""https?://|["'(]//|url\(|@import""", text)
    assert not re.findall(r"""(?:href|src)=["']/|new URL\(["']/|fetch\(["']/""", text)


def test_markup_is_fit_for_a_strict_policy() -> None:
    """No inline script, style or event attribute: the Content-Security-Policy would refuse them."""
    text = (FOLDER / "index.html").read_text("utf-8")
    assert not re.findall(r"\son[a-z]+=|\sstyle=|<style|javascript:", text)
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", text) == []


def test_markup_refers_to_files_that_exist() -> None:
    """Each ``static/…`` in the page is in the folder."""
    text = (FOLDER / "index.html").read_text("utf-8")
    names = re.findall(r"""(?:href|src)="static/([^"]+)\"""", text)
    assert names
    assert all((FOLDER / name).is_file() for name in names)


@by_script
def test_data_only_becomes_text(path: Path) -> None:
    """Nothing turns a string into markup or code."""
    text = path.read_text("utf-8")
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc"
    assert not re.findall(sinks, text)
    assert not re.findall(r"\beval\(|new Function|setAttribute\(\"(?:style|on)|import\(", text)


@by_script
def test_modules_import_their_neighbours(path: Path) -> None:
    """Imports are relative and resolve inside the folder."""
    names = re.findall(r"""from "([^"]+)";""", path.read_text("utf-8"))
    assert all(name.startswith("./") and (FOLDER / name).is_file() for name in names)


@by_script
def test_ids_used_by_scripts_exist(path: Path) -> None:
    """A ``byId("x")`` without its element would fail only when the page is used."""
    markup = (FOLDER / "index.html").read_text("utf-8")
    ids = re.findall(r"""byId\("([^"]+)"\)""", path.read_text("utf-8"))
    assert [name for name in ids if f'id="{name}"' not in markup] == []


def test_what_others_wrote_is_what_the_note_says() -> None:
    """The SDK is the published file, byte for byte, with its licence beside it."""
    note = (FOLDER / "vendor" / "README.md").read_text("utf-8")
    sdk = FOLDER / "vendor" / "centrifuge.mjs"
    assert hashlib.sha256(sdk.read_bytes()).hexdigest() in note
    assert "MIT License" in (FOLDER / "vendor" / "LICENSE").read_text("utf-8")
    assert {path.name for path in sdk.parent.iterdir()} == {"README.md", "LICENSE", sdk.name}
    code = sdk.read_text("utf-8")
    assert not re.findall(r"^import |innerHTML|\beval\(|new Function|import\(", code, re.MULTILINE)
