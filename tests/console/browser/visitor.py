"""One page in a browser, as somebody uses it, and what it complains about."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, expect

#: The machine that tests run on may be slow; nothing here measures time.
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


class Visitor:
    """A page in a context of its own: no cookies or storage of others."""

    def __init__(
        self, browser: Browser, url: str, scheme: str, size: dict[str, int], complains: bool
    ) -> None:
        self.url = url
        self.complains = complains
        self.complaints: list[str] = []
        self._context = browser.new_context(
            viewport={"width": size["width"], "height": size["height"]},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error}\n{error.stack}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location}")

    def go(self, address: str = "#/fabric") -> Visitor:
        """Open an address of the page, and wait until nothing of it loads any more."""
        self.page.goto(self.url + address)
        return self.settled()

    def settled(self) -> Visitor:
        """Wait until the view of the present address is there and has its data."""
        until(
            lambda: bool(self.ask("() => document.querySelector('main')?.dataset.address === location.hash")),
            "the view does not come",
        )
        expect(self.page.locator("main > *").first).to_be_visible()
        expect(self.page.locator("main .loading")).to_have_count(0)
        expect(self.page.locator("main [aria-busy]")).to_have_count(0)
        return self

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def sees(self, text: str, within: str = "body") -> None:
        expect(self.page.locator(within)).to_contain_text(text)

    def ask(self, script: str, argument: Any = None) -> Any:
        """The value of a JavaScript function in the page."""
        return self.page.evaluate(script, argument)

    def drawn(self) -> Visitor:
        """Wait until the map has been drawn."""
        until(
            lambda: bool(self.ask("() => performance.getEntriesByName('fabric-first-draw').length")),
            "the fabric is not drawn",
        )
        return self

    def shoot(self, path: Path) -> None:
        self.page.screenshot(path=path)

    def close(self) -> None:
        self._context.close()


def until(condition: Callable[[], bool], otherwise: str, timeout_s: float = PATIENCE_MS / 1e3) -> None:
    """Wait for a condition. Playwright's own wait needs `eval`, which the page's policy forbids."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, otherwise
        time.sleep(0.05)
