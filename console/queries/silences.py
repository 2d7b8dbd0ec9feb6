"""Silences as the store has them."""

from __future__ import annotations

from console.models import Silence
from console.queries.asking import Ask, rows_of

_SILENCES = """ SELECT what, element, toUnixTimestamp64Micro(starts_at) AS from_us,
toUnixTimestamp64Micro(ends_at) AS until_us,
    why, by
FROM silences_now
"""


def ask_silences(ask: Ask) -> list[Silence]:
    """Those that hold or are to come, by their beginning."""
    return [Silence(**row) for row in rows_of(ask(_SILENCES, {}))]
