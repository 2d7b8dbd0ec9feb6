"""What `bytetracker path` asks the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bytetracker.path.probe import PROBE_COLUMNS, WAY_COLUMNS, Probe, Way, probe_of, way_of
from sinks.reading import Reader

PROBES_SHOWN = 10


class NothingKnown(LookupError):
    """The store knows nothing of what is asked for; the message says what it could be."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of one server, and how its last hour was."""

    name: str
    tor: str
    pod: str
    addresses: tuple[str, ...]
    answers: bool
    silent: int
    answered: int
    network_losses: int
    faults: tuple[tuple[str, str, str], ...]  # open ones that affect it: id, kind, story


class PathStore:
    """Questions to one store. All raise StoreError."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def probe(self, probe_id: int, at_us: int | None) -> Probe:
        """The probe of that number nearest to a time, or the newest: numbers repeat. Raises NothingKnown."""
        order = "sent_at DESC"
        if at_us is not None:
            order = "abs(toUnixTimestamp64Micro(sent_at) - {at:Int64})"
        rows = self._rows(
            f"SELECT {_columns(PROBE_COLUMNS)} FROM probe_results FINAL "
            f"WHERE probe_id = {{probe:UInt64}} ORDER BY {order} LIMIT 1",
            PROBE_COLUMNS,
            probe=probe_id,
            at=at_us or 0,
        )
        if not rows:
            raise NothingKnown(
                f"no probe {probe_id} in the store; of probes that are plain ok only a sample is kept "
                f"(worker.join.sample_one_in), and all of them no longer than `retention` says"
            )
        return probe_of(rows[0])

    def probes_to(self, server: str, at_us: int | None) -> list[Probe]:
        """The newest stored ones up to a time, newest first."""
        rows = self._rows(
            f"SELECT {_columns(PROBE_COLUMNS)} FROM probe_results FINAL "
            f"WHERE target = {{server:String}} AND toUnixTimestamp64Micro(sent_at) <= {{at:Int64}} "
            f"ORDER BY sent_at DESC, probe_id LIMIT {PROBES_SHOWN}",
            PROBE_COLUMNS,
            server=server,
            at=at_us if at_us is not None else 2**62,
        )
        return [probe_of(row) for row in rows]

    def ways_to(self, target: str) -> list[Way]:
        """The newest known way of each flow and leg."""
        rows = self._rows(
            f"SELECT {_columns(WAY_COLUMNS)} FROM flow_paths FINAL WHERE target = {{target:String}} "
            f"ORDER BY prober, via, source_port, indexOf(['encapsulated', 'probe', 'reply'], leg)",
            WAY_COLUMNS,
            target=target,
        )
        return [way_of(row) for row in rows]

    def server(self, name: str) -> ServerFacts:
        """By its name or one of its addresses. Raises NothingKnown, which lists near names."""
        columns = ("name", "attached_to", "pod", "addresses", "answers")
        rows = self._rows(
            f"SELECT {_columns(columns)} FROM nodes "
            f"WHERE kind = 'server' AND (name = {{name:String}} OR has(addresses, {{name:String}}))",
            columns,
            name=name,
        )
        if not rows:
            raise NothingKnown(self._not_found(name))
        facts = rows[0]
        given = {"server": facts["name"]}
        ((silent, answered, network_losses),) = self._reader.query(
            "SELECT silent, answered, network_losses FROM host_health WHERE server = {server:String}", given
        ).rows
        faults = self._reader.query(
            "SELECT fault_id, kind, story FROM fault_history WHERE state != 'resolved' "
            "AND (has(affected_servers, {server:String}) OR has(suspects, {server:String})) "
            "ORDER BY opened_at",
            given,
        ).rows
        return ServerFacts(
            name=facts["name"],
            tor=facts["attached_to"],
            pod=facts["pod"],
            addresses=tuple(facts["addresses"]),
            answers=bool(facts["answers"]),
            silent=int(silent or 0),
            answered=int(answered or 0),
            network_losses=int(network_losses or 0),
            faults=tuple((fault_id, kind, story) for fault_id, kind, story in faults),
        )

    def _not_found(self, name: str) -> str:
        near = self._reader.query(
            "SELECT name FROM nodes WHERE kind = 'server' "
            "ORDER BY ngramDistance(name, {name:String}), name LIMIT 5",
            {"name": name},
        ).rows
        if not near:
            return "the store holds no inventory: a sink that has it loads it when it starts"
        names = ", ".join(row[0] for row in near)
        return f"no server or address {name!r} in the store's inventory; did you mean {names}?"

    def _rows(self, sql: str, columns: Sequence[str], **parameters: Any) -> list[dict[str, Any]]:
        given = {key: value for key, value in parameters.items() if f"{{{key}:" in sql}
        return [dict(zip(columns, row, strict=True)) for row in self._reader.query(sql, given).rows]


def _columns(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
