"""The one error that reading a message raises."""

from __future__ import annotations


class BadMessage(ValueError):
    """A message that cannot be read. `reason` is short and stable, it becomes a metric label and a
    column of the dead letters; `detail` tells a person what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
