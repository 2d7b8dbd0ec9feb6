"""What the console needs in order to silence; bytetracker/service/console.py brings it."""

from __future__ import annotations

from typing import Protocol

from console.models import Silence


class Silencing(Protocol):
    """Each call asks the broker, for some seconds at most. Raises Refused (with what to change), Away."""

    def silence(self, element: str, until_us: int, why: str, by: str, now_us: int) -> None:
        """Silence an element from now on."""
        ...

    def end(self, element: str, by: str, now_us: int) -> None:
        """End the silence of an element."""
        ...

    def held(self, now_us: int) -> list[Silence]:
        """Silences and planned maintenance that hold or are to come."""
        ...
