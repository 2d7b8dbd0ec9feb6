"""Chromium, and pages of it that fail a test when they complain."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from fabric.builtin import builtin_fabric
from tests.console.browser.fake_api import FakeConsole
from tests.console.browser.fake_world import FakeWorld
from tests.console.browser.visitor import Visitor
from tests.servers.provisioned import missing_server

LAPTOP = {"width": 1366, "height": 768}


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The system's Chromium. For this package only: playwright keeps an event loop in the main thread."""
    found = shutil.which("chromium")
    if found is None:
        missing_server("Debian's chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, serve: object) -> Iterator[Callable[..., Visitor]]:
    """`visit(url, scheme="light", size=LAPTOP, complains=False)`: a page of its own, closed after the test.

    It is closed before what it shows: hence `serve`. Unless it `complains`, a page that writes an error to
    its console fails the test.
    """
    visitors: list[Visitor] = []

    def open_page(
        url: str, scheme: str = "light", size: dict[str, int] | None = None, complains: bool = False
    ) -> Visitor:
        visitors.append(Visitor(chromium, url, scheme, size or LAPTOP, complains))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        visitor.close()
    for visitor in visitors:
        assert visitor.complains or not visitor.complaints, visitor.complaints


@pytest.fixture
def serve() -> Iterator[Callable[[FakeWorld], FakeConsole]]:
    """Serve a made-up world, with the real page on top."""
    with ExitStack() as stack:
        yield lambda world: stack.enter_context(FakeConsole(world))


@pytest.fixture
def world() -> FakeWorld:
    """The fabric of the demo with a fault on a link, one on a chip, and a silenced one."""
    made = FakeWorld(builtin_fabric("demo"))
    made.lose("leaf-1-1~spine-1")
    made.lose("leaf-2-1~tor-2-2", lost=2, passed=4000)
    made.lose("tor-1-2~leaf-1-2", lost=0, passed=100, altered=5)
    made.fault("leaf-1-1~spine-1")
    made.fault(
        "spine-3/lc-1",
        kind="alteration",
        severity="warning",
        story="12 probes were altered at chip lc-1 of spine-3, mostly bit 3 of byte 40 became 1.",
    )
    made.fault("tor-2-1", kind="mirror_outage", severity="warning", silenced="planned work on tor-2-1")
    made.fault("tor-4-4", state="resolved", resolved_at_us=made.now_us - 5_000_000)
    return made


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where screenshots go: a folder that is in no commit."""
    folder = Path("build") / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
