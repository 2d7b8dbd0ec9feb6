"""Points in time and stretches of it, as operators write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_DURATION_MAX_S = 10 * 366 * 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadTime(ValueError):
    """That is no time, or no length of time; the message says how to write one."""


def duration_us(text: str) -> int:
    """`90s`, `30m`, `2h`, `1d`, `1w`, or several of them from large to small: `1d12h`; in us. Raises
    BadTime."""
    match = _DURATION.fullmatch(text)
    numbers = match.groups(default="0") if match else ()
    total_s = sum(int(number) * unit_s for number, unit_s in zip(numbers, _UNITS.values(), strict=False))
    if not 0 < total_s <= _DURATION_MAX_S:
        raise BadTime(f"{text!r} is no duration; write 90s, 30m, 2h, 1d, 1w or 1d12h")
    return total_s * 1_000_000


def time_us(text: str) -> int:
    """A time in ISO 8601 with its zone, as us since 1970. Raises BadTime."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise BadTime(f"{text!r} is no time with its zone; write it like 2026-03-01T22:00:00+01:00")
    return (at - _EPOCH) // timedelta(microseconds=1)


def since_us(text: str, now_us: int) -> int:
    """`2h` (so long ago) or a time with its zone, as us since 1970. Raises BadTime."""
    if _DURATION.fullmatch(text):
        return now_us - duration_us(text)
    try:
        return time_us(text)
    except BadTime as error:
        raise BadTime(f"{error}, or how long ago: 90s, 30m, 2h, 1d") from error


def us_since_1970(at: datetime) -> int:
    """A point in time with its zone, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def told(at_us: int) -> str:
    """A point in time for a person."""
    return f"{_EPOCH + timedelta(microseconds=at_us):%Y-%m-%d %H:%M:%S} UTC"


def told_us(at_us: int) -> str:
    """The same to the microsecond."""
    return f"{_EPOCH + timedelta(microseconds=at_us):%Y-%m-%d %H:%M:%S.%f} UTC"
