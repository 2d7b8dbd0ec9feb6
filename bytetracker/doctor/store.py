"""Whether the store answers, has the tables of this version, room, and the right time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bytetracker.doctor.finding import Finding, fail, ok, warn
from bytetracker.doctor.recent import judge_clock, judge_newest_slot
from bytetracker.moments import us_since_1970
from sinks.migrate import Migration, migrations
from sinks.reading import Reader
from sinks.store import StoreError

#: ClickHouse's UNKNOWN_TABLE and UNKNOWN_DATABASE.
_NOT_THERE = frozenset({60, 81})
FREE_WARN, FREE_FAIL = 0.15, 0.05


def check_store(reader: Reader, where: str, clock: Callable[[], int]) -> Iterator[Finding]:
    """All about the store. What cannot be asked for is a finding, not an error."""
    try:
        ((version,),) = reader.query("SELECT version()").rows
    except StoreError as error:
        yield fail(
            "store",
            f"{where}: {_first_line(error)}",
            "start it, or mend the section store (host, port, user, password, TLS)",
        )
        return
    yield ok("store", f"{where} answers, ClickHouse {version}")
    try:
        rows = reader.query("SELECT number, checksum FROM schema_migrations FINAL ORDER BY number").rows
    except StoreError as error:
        if error.code in _NOT_THERE:
            yield fail("store.migrations", "there are no tables", "run `bytetracker migrate`")
        else:
            yield fail("store.migrations", _first_line(error), "grant this user to SELECT from the database")
        return
    yield judge_migrations({int(number): str(checksum) for number, checksum in rows}, migrations())
    yield from _clock(reader)
    yield from _room(reader)
    yield from _newest(reader, clock)


def judge_migrations(applied: dict[int, str], known: tuple[Migration, ...]) -> Finding:
    """`applied`: number -> checksum."""
    check = "store.migrations"
    missing = [f"{m.number:04}_{m.name}" for m in known if m.number not in applied]
    newer = sorted(set(applied) - {m.number for m in known})
    changed = [f"{m.number:04}_{m.name}" for m in known if applied.get(m.number, m.checksum) != m.checksum]
    if newer:
        return fail(
            check,
            f"the store was migrated by a newer version, which knows {newer}",
            "use that version here too",
        )
    if changed:
        return fail(
            check,
            f"changed since they were applied: {', '.join(changed)}",
            "use the version that applied them",
        )
    if missing:
        return fail(check, f"not applied: {', '.join(missing)}", "run `bytetracker migrate`")
    return ok(check, f"all {len(known)} are applied")


def _clock(reader: Reader) -> Iterator[Finding]:
    before_s = time.time()
    try:
        ((there_us,),) = reader.query("SELECT toUnixTimestamp64Micro(now64(6))").rows
    except StoreError:
        return
    # It was read at some moment between; a slow answer must not look like a wrong clock.
    after_s = time.time()
    there_s = int(there_us) / 1e6
    ahead_s = there_s - after_s if there_s > after_s else min(0.0, there_s - before_s)
    yield judge_clock("clock.store", "the store's clock", ahead_s)


def _room(reader: Reader) -> Iterator[Finding]:
    try:
        rows = reader.query(
            "SELECT name, free_space, total_space FROM system.disks WHERE total_space > 0"
        ).rows
    except StoreError:
        return  # this user may not see it
    for name, free, total in rows:
        yield judge_room(str(name), int(free), int(total))


def judge_room(disk: str, free_bytes: int, total_bytes: int) -> Finding:
    """Merges need room too, so a disk is full well before its end."""
    share = free_bytes / total_bytes
    what = f"disk {disk} of the store: {free_bytes / 1e9:,.1f} GB ({share:.0%}) free"
    if share >= FREE_WARN:
        return ok("store.disk", what)
    do = "make room, or keep rows for less long (section retention)"
    return (fail if share < FREE_FAIL else warn)("store.disk", what, do)


def _newest(reader: Reader, clock: Callable[[], int]) -> Iterator[Finding]:
    try:
        ((slot,),) = reader.query("SELECT max(slot) FROM slots").rows
    except StoreError:
        return
    slot_us = us_since_1970(slot)
    yield judge_newest_slot("store.newest", slot_us or None, clock())


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
