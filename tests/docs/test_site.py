"""The documentation as a site: it builds without a warning, and fetches nothing from elsewhere."""

import functools
import re
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.docs.pages import DOCS, ROOT


def built(config: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    ran = built(ROOT / "mkdocs.yml", folder)
    assert ran.returncode == 0, ran.stderr
    assert "WARNING" not in ran.stderr
    return folder


def test_every_page_is_in_the_site_and_in_its_navigation(site: Path) -> None:
    index = (site / "index.html").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        uri = page.with_suffix(".html").name
        assert (site / uri).exists(), uri
        assert f'href="{uri}"' in index, uri
    decisions = (site / "decisions" / "index.html").read_text(encoding="utf-8")
    for page in (DOCS / "decisions").glob("*.md"):
        assert f'href="{page.with_suffix(".html").name}"' in decisions, page.name
    assert 'href="overview.html"' in index
    assert not (site / "generate").exists()


@pytest.mark.parametrize(
    ("page", "warning"),
    [
        ("[x](nowhere.md)", "nowhere.md"),
        ("[x](index.md#nowhere)", "nowhere"),
        ("[x](/absolute.md)", "absolute"),
    ],
)
def test_a_link_that_leads_nowhere_fails_the_build(page: str, warning: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Title\n\n{page}\n")
    config = tmp_path / "mkdocs.yml"
    ours = {"INHERIT": str(ROOT / "mkdocs.yml"), "docs_dir": "docs", "nav": [{"x": "index.md"}], "hooks": []}
    config.write_text(yaml.safe_dump(ours))
    ran = built(config, tmp_path / "site")
    assert ran.returncode != 0
    assert warning in ran.stderr


_FETCHES = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|input)\b[^>]*\bsrc=[\"']?(?:https?:)?//"
    r"|<link\b[^>]*\bhref=[\"']?(?:https?:)?//"
    r"|@import\s+(?:url\()?[\"']?(?:https?:)?//"
    r"|url\([\"']?(?:https?:)?//",
    re.IGNORECASE,
)


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    for file in [*site.rglob("*.html"), *site.rglob("*.css")]:
        found = _FETCHES.search(file.read_text(encoding="utf-8"))
        assert found is None, f"{file}: {found and found[0]}"


def test_lists_and_tables_are_not_left_as_text(site: Path) -> None:
    # GitHub begins a list right below a line of text; Python's Markdown wants an empty line between.
    for file in site.rglob("*.html"):
        for paragraph in re.findall(r"<p>(.*?)</p>", file.read_text(encoding="utf-8"), re.DOTALL):
            assert not re.search(r"^(?:- |\d\. |\||```)", paragraph, re.MULTILINE), (
                f"{file}: {paragraph[:200]}"
            )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


@pytest.mark.servers
def test_a_browser_asks_nobody_else(site: Path) -> None:
    from playwright.sync_api import sync_playwright

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked: list[str] = []
    errors: list[str] = []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: errors.append(str(error)))
            for uri in (
                "index.html",
                "architecture.html",
                "cli.html",
                "overview.html",
                "decisions/index.html",
            ):
                page.goto(f"http://127.0.0.1:{server.server_port}/{uri}", wait_until="networkidle")
                assert page.locator("h1").first.is_visible()
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
    assert {urlsplit(url).hostname for url in asked} == {"127.0.0.1"}
    assert errors == []
