"""Planned maintenance: what is worked on, from when until when, and why.

    maintenance:
    - {element: spine-1, from: 2026-03-01T22:00:00+01:00, until: 2026-03-02T02:00:00+01:00, why: new firmware}

While it lasts, faults at the element and within it are found and stored, and alarm nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from fabric.model import Fabric, Maintenance, UnknownElement
from fabric.within import check_element
from fabric.yaml_record import InventoryError, Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_maintenance(record: Record) -> Maintenance:
    """One entry of the list. Raises InventoryError with the line."""
    found = Maintenance(
        element=record.text("element"),
        from_us=_time_us(record, "from"),
        until_us=_time_us(record, "until"),
        why=record.text("why"),
    )
    record.refuse_unknown_keys()
    return found


def maintenance_document(entry: Maintenance) -> dict[str, str]:
    """The entry as YAML has it, times in UTC."""
    return {
        "element": entry.element,
        "from": (_EPOCH + timedelta(microseconds=entry.from_us)).isoformat(),
        "until": (_EPOCH + timedelta(microseconds=entry.until_us)).isoformat(),
        "why": entry.why,
    }


def wrong_with(entry: Maintenance, fabric: Fabric) -> Iterator[str]:
    """What is wrong with an entry, nothing if it can be used."""
    try:
        check_element(fabric, entry.element)
    except UnknownElement as error:
        yield f"maintenance: {error}"
    if entry.until_us <= entry.from_us:
        yield f"maintenance of {entry.element} must end after it begins"
    if not entry.why.strip():
        yield f"maintenance of {entry.element} needs a reason under `why`"


def _time_us(record: Record, key: str) -> int:
    written = record.text(key)
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InventoryError(
            f"{record.source}:{record.line_of(key)}: {key} must be a time in ISO 8601 with its zone, such as "
            f"2026-03-01T22:00:00+01:00, not {written!r}"
        )
    return (at - _EPOCH) // timedelta(microseconds=1)
