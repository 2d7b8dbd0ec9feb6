"""`python -m tests.console.browser.docs_screenshots`: the pictures of docs/screenshots, from a running demo.

Takes some minutes, since there must be something to see. Needs chromium (deploy/test-servers.sh).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser, expect, sync_playwright

from tests.console.browser.running_demo import running_demo
from tests.console.browser.visitor import Visitor

FOLDER = Path("docs") / "screenshots"
#: Small enough to be kept with the sources, large enough to be read.
SIZE = {"width": 1024, "height": 576}
BYTES_MAX = 200_000
FAULTS = (
    "loss:leaf-1-1~spine-1:rate=0.3,after=20",
    "flip:spine-6~leaf-3-3:rate=0.05,offset=100,mask=8,after=25",
)
#: So that charts and the matrix have something to show.
RUN_S = 60.0
FOUND_S = 300.0
#: For one page, beside a demo that works.
PATIENCE_MS = 120_000


def main() -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("chromium is missing; run deploy/test-servers.sh\n")
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with running_demo(Path(folder), *FAULTS) as url:
            faults = _found(url)
            time.sleep(RUN_S)
            for name, address, scheme in _pictures(url, faults):
                _take(browser, url, FOLDER / f"{name}.png", address, scheme)
        browser.close()
    large = [path.name for path in FOLDER.glob("*.png") if path.stat().st_size > BYTES_MAX]
    if large:
        sys.stderr.write(f"over {BYTES_MAX} bytes: {', '.join(large)}\n")
    return 1 if large else 0


def _found(url: str) -> dict[str, str]:
    """Kind -> fault_id, once both faults are open."""
    deadline_s = time.monotonic() + FOUND_S
    while True:
        answer = httpx.get(f"{url}api/v1/faults", params={"state": "open"}, timeout=60).json()
        found = {fault["kind"]: fault["fault_id"] for fault in answer["faults"]}
        if {"network_loss", "alteration"} <= set(found):
            return found
        assert time.monotonic() < deadline_s, f"only these faults were found: {sorted(found)}"
        time.sleep(1)


def _pictures(url: str, faults: dict[str, str]) -> list[tuple[str, str, str]]:
    """(name, address, scheme) of each."""
    asked = {"verdict": "network_loss", "limit": 1}
    probe = httpx.get(f"{url}api/v1/probes", params=asked, timeout=60).json()["probes"][0]
    sent = f"sent_at_us={probe['sent_at_us']}"
    return [
        ("fabric", "#/fabric", "light"),
        ("fabric-dark", "#/fabric/switch/spine-1", "dark"),
        ("fault", f"#/faults/{faults['network_loss']}", "light"),
        ("altered-bits", f"#/faults/{faults['alteration']}", "dark"),
        ("probe", f"#/probe/{probe['probe_id']}?{sent}", "light"),
        ("matrix", "#/matrix?level=tor", "light"),
        ("sql", "#/sql?q=SELECT+*+FROM+worst_links+LIMIT+20", "light"),
    ]


def _take(browser: Browser, url: str, path: Path, address: str, scheme: str) -> None:
    visitor = Visitor(browser, url, scheme, SIZE, complains=True)
    visitor.page.set_default_timeout(PATIENCE_MS)
    visitor.go(address)
    expect(visitor.find(".live")).to_contain_text("live")
    visitor.page.wait_for_timeout(1_500)  # charts and the map have their sizes
    visitor.shoot(path)
    visitor.close()


if __name__ == "__main__":
    sys.exit(main())
