from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from gateway_serving import http
from portcast.web import page
from portcast.web.page import HEADERS, TYPES, add_page, load

pytestmark = pytest.mark.anyio
FOLDER = Path(page.__file__).parents[1] / "dashboard"


def _app() -> FastAPI:
    app = FastAPI()
    add_page(app.router)
    return app


async def test_the_page_is_html_under_a_strict_policy() -> None:
    """Whatever a device sends, it cannot become code: nothing inline, nothing from elsewhere, in no frame."""
    async with http(_app()) as client:
        answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (FOLDER / "index.html").read_bytes()
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    policy = dict(one.strip().split(" ", 1) for one in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}


@pytest.mark.parametrize("name", sorted(load()))
async def test_each_file_has_its_type_and_the_headers(name: str) -> None:
    """With `nosniff` a browser takes a module or a style sheet of the right type only."""
    async with http(_app()) as client:
        answer = await client.get(f"/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == TYPES["." + name.rpartition(".")[2]]
    assert answer.content == (FOLDER / name).read_bytes()
    assert all(answer.headers[header] == value for header, value in HEADERS.items())


@pytest.mark.row(63)
@pytest.mark.parametrize(
    "path",
    [
        "/static/nothing.js",
        "/static/",
        "/static/..%2f..%2fpyproject.toml",
        "/static/..%2fpage.py",
        "/static/%2e%2e/errors.py",
        "/static/..\\errors.py",
        "/static//etc/passwd",
        "/static/%00index.html",
        "/static/INDEX.HTML",
        "/index.html",
    ],
)
async def test_nothing_but_the_table_is_served(path: str) -> None:
    """Names are looked up in a table made at start, so there is no path to escape from."""
    async with http(_app()) as client:
        assert (await client.get(path)).status_code == 404


async def test_the_table_holds_known_types_only() -> None:
    """Something else in the folder is not served."""
    served = {one.relative_to(FOLDER).as_posix() for one in FOLDER.rglob("*") if one.suffix in TYPES}
    assert load().keys() == served
    assert {"index.html", "main.js", "style.css", "vendor/centrifuge.mjs"} <= load().keys()


async def test_other_files_in_the_folder_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note or a module that lies there is nobody's business."""
    (tmp_path / "dashboard").mkdir()
    for name in ("a.html", "notes.txt", "__init__.py"):
        (tmp_path / "dashboard" / name).write_text("x", "utf-8")
    monkeypatch.setattr(page, "files", lambda package: tmp_path)
    assert load() == {"a.html": (b"x", "text/html")}


async def test_the_page_is_no_part_of_the_api() -> None:
    """OpenAPI describes what programs use."""
    assert _app().openapi()["paths"] == {}
