"""`bytetracker demo` as a newcomer runs it, and the page that it serves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.pipeline.commands import Command, until

#: What is lost, and where; after so long that the page is open before.
LINK = "leaf-1-1~spine-1"
AFTER_S = 45
FAULT = f"loss:{LINK}:rate=0.3,after={AFTER_S}"
#: For all that is looked at; the run is ended before.
SECONDS = 900
START_TIMEOUT_S = 120.0
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/")


@contextmanager
def running_demo(folder: Path, *faults: str) -> Iterator[str]:
    """Run the demo with these faults; gives the page's address, as the demo prints it."""
    arguments = [word for fault in faults for word in ("--fault", fault)]
    command = Command(["demo", "--seconds", str(SECONDS), *arguments], folder)
    try:
        command.wait_for("Open http", START_TIMEOUT_S)
        found = _ADDRESS.search(command.output)
        assert found, command.output
        until(lambda: _answers(found[0]) or not command.running, START_TIMEOUT_S, "the page does not answer")
        yield found[0]
    finally:
        command.end()


def _answers(url: str) -> bool:
    """The address is printed while the console still starts."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
