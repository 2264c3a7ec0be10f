from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from fastapi import FastAPI

from gateway_serving import http, serving
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


@pytest.mark.row(63)
@pytest.mark.parametrize(
    "target",
    [
        "/static/../../pyproject.toml",
        "/static/./../page.py",
        "/static/%2e%2e/errors.py",
        "/static/%252e%252e%252ferrors.py",
        "/../etc/passwd",
        "//etc/passwd",
        "http://localhost/static/../errors.py",
        "/static/main.js/../../errors.py",
    ],
)
async def test_nor_by_a_path_as_it_is_on_the_wire(target: str) -> None:
    """Clients in tests tidy paths up before they send them; attackers do not."""
    async with serving(_app()) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.read()).split(b" ")[1] == b"404"
        writer.close()


@pytest.mark.row(63)
async def test_ranges_are_not_read() -> None:
    """However many a header of 60 kB asks for: the answer is the whole file once, and no later (CVE-2025-62727)."""
    async with http(_app()) as client:
        whole = await client.get("/static/main.js")
        for asked in ("bytes=0-0", "bytes=-1", "bytes=" + "0-," * 20_000 + "0-", "bytes=" + "9-1," * 15_000):
            began = time.process_time()
            answer = await client.get("/static/main.js", headers={"range": asked})
            assert time.process_time() - began < 0.1
            assert (answer.status_code, answer.content) == (200, whole.content)
            assert "content-range" not in answer.headers


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
