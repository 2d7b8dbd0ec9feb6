"""Ends of alerts, repeated for a while: an Alertmanager that restarts has forgotten them.

Alertmanager keeps alerts in memory. One that went down between taking an end and telling people of it would
otherwise never do so. Prometheus repeats ends for the same time, and for the same reason.
"""

from __future__ import annotations

from dataclasses import replace

from alerts.message import Identity, Message

REPEATED_FOR_S = 900.0
#: Ends that are remembered; of more, the oldest are not repeated.
ENDS_MAX = 5_000


class Endings:
    """The ends that one receiver was told lately."""

    def __init__(self) -> None:
        self._until_s: dict[frozenset[tuple[str, str]], tuple[Message, float]] = {}

    def note(self, message: Message, now_s: float) -> None:
        """It has been delivered."""
        key = _key(message.identity)
        self._until_s.pop(key, None)
        if not message.firing:
            self._until_s[key] = (message, now_s + REPEATED_FOR_S)
        elif message.ended is not None:
            end = replace(
                message,
                firing=False,
                identity=message.ended.identity,
                starts_at_us=message.ended.starts_at_us,
                ended=None,
            )
            self._until_s[_key(end.identity)] = (end, now_s + REPEATED_FOR_S)
        while len(self._until_s) > ENDS_MAX:
            del self._until_s[next(iter(self._until_s))]

    def current(self, now_s: float) -> list[Message]:
        """Those that are to be repeated; forgets the others."""
        self._until_s = {key: each for key, each in self._until_s.items() if each[1] > now_s}
        return [message for message, _ in self._until_s.values()]


def _key(identity: Identity) -> frozenset[tuple[str, str]]:
    return frozenset(identity.items())
