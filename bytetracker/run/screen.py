"""What a run shows while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bytetracker.run.watch import Seen, SeenFault

PLAIN_EVERY_S = 5.0


class Screen:
    """A context manager; `update` with what has been seen, as often as you like."""

    def __init__(
        self,
        title: str,
        sent: Callable[[], tuple[int, int]] | None = None,
        console: Console | None = None,
        page: str = "",
    ) -> None:
        """`sent`: probes and digests sent so far; None where only other processes know that. `page`: address
        of the console, if there is one."""
        self._title = title
        self._page = page
        self._sent = sent
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4) if self._console.is_terminal else None
        self._started = time.monotonic()
        self._shown_at = -PLAIN_EVERY_S
        self._told: dict[str, str] = {}
        self._notes: list[str] = []

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Something that happened, e.g. a fault injected."""
        if self._live is None:
            self._console.print(escape(text), highlight=False)
        else:
            self._notes.append(f"{datetime.now(UTC):%H:%M:%S} {text}")

    def update(self, seen: Seen) -> None:
        """Show the present state."""
        if self._live is not None:
            self._live.update(self._picture(seen))
            return
        for fault_id, fault in seen.faults.items():
            told = f"{fault.event['state']}{fault.event['suspects'][0]['element']}"
            if self._told.get(fault_id) != told:
                self._told[fault_id] = told
                self._console.print(
                    escape(f"fault {fault.event['state']}: {_summary(fault)}"), highlight=False
                )
        now = time.monotonic()
        if now - self._shown_at >= PLAIN_EVERY_S:
            self._shown_at = now
            self._console.print(escape(self._line(seen)), highlight=False)

    def _line(self, seen: Seen) -> str:
        verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in seen.verdicts.most_common())
        sent = ""
        if self._sent is not None:
            probes, digests = self._sent()
            sent = f"{probes:,} probes and {digests:,} mirrored copies sent, "
        elapsed_s = time.monotonic() - self._started
        return f"{elapsed_s:5.0f} s  {sent}{seen.probes:,} probes joined ({verdicts or 'none yet'})"

    def _picture(self, seen: Seen) -> Group:
        faults = Table(title="Faults", title_justify="left", expand=True)
        for column in ("state", "kind", "suspects", "since (UTC)", "story"):
            faults.add_column(column, overflow="fold")
        for fault in list(seen.faults.values())[-12:]:
            event = fault.event
            colour = {"open": "red", "updated": "red", "resolved": "green"}[event["state"]]
            suspects = ", ".join(f"{s['element']} {s['confidence']:.0%}" for s in event["suspects"])
            if event["silenced"]:
                colour = "yellow"
            since = datetime.fromtimestamp(event["first_seen_us"] / 1e6, UTC)
            faults.add_row(
                Text(event["state"] + (", silenced" if event["silenced"] else ""), style=colour),
                Text(event["kind"]),
                Text(suspects),
                Text(f"{since:%H:%M:%S}"),
                Text(event["story"]),
            )
        notes = [Text(note, style="yellow") for note in self._notes[-4:]]
        page = [Text(f"Page: {self._page}", style="cyan")] if self._page else []
        return Group(Text(self._title, style="bold"), *page, Text(self._line(seen)), *notes, faults)


def _summary(fault: SeenFault) -> str:
    suspects = ", ".join(f"{s['element']} ({s['confidence']:.0%})" for s in fault.event["suspects"])
    return f"{fault.event['kind']} at {suspects}: {fault.event['story']}"
