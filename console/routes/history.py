"""What the store tells: probes, the matrix, coverage, health."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from console.context import Console
from console.errors import Away, NoSuchThing, Refused
from console.models import Coverage, Health, Matrix, MatrixSpan, Part, Probe, Probes
from console.queries import matrix as matrices
from console.queries import probes as found_probes
from console.queries.coverage import ask_coverage, coverage_of_report
from console.queries.health import ask_dead_letters, ask_exporters, ask_late, ask_stored

_KEEP_S = 2.0
#: What shows minutes or hours may be so much older when it is asked for now and then; it is renewed
#: meanwhile.
_STALE_S = 15.0
LISTED_MAX = 1_000
_ID_MAX = 2**64 - 1

Time = Annotated[int | None, Query(ge=0)]
Level = Literal["pod", "tor"]
Kind = Literal["", "north_south", "east_west", "inter_prober"]


def history_routes(console: Console) -> APIRouter:
    router = APIRouter(tags=["history"])

    @router.get("/probes")
    def probes(
        server: str = "",
        link: str = "",
        switch: str = "",
        verdict: str = "",
        from_us: Time = None,
        to_us: Time = None,
        limit: Annotated[int, Query(ge=1, le=LISTED_MAX)] = 100,
    ) -> Probes:
        """Probes that are kept (all that were not plain ok, and a sample of the others), newest first;
        without times those of the last hour of event time. `link`: directed, A~B."""
        if link and "~" not in link:
            raise Refused(f"{link!r} is no directed link; write it as A~B")
        wanted = found_probes.Wanted(server, link, switch, verdict, from_us, to_us, limit)
        return Probes(
            probes=console.moments.get(
                ("probes", wanted), _KEEP_S, lambda: found_probes.ask_probes(console.ask, wanted)
            )
        )

    @router.get("/probes/{probe_id}")
    def probe(probe_id: Annotated[str, Path(pattern=r"^[0-9]{1,20}$")], sent_at_us: Time = None) -> Probe:
        """One probe, hop by hop. IDs repeat after hours: without a time the newest is meant."""
        if int(probe_id) > _ID_MAX:
            raise Refused(f"{probe_id} is no probe ID: those have 64 bits")
        found = found_probes.ask_probe(console.ask, console.layout, int(probe_id), sent_at_us)
        if found is None:
            raise NoSuchThing(
                f"probe {probe_id} is not in the store: of those that were plain ok only a sample is kept"
            )
        return found

    @router.get("/matrix")
    def matrix(
        level: Level = "pod",
        kind: Kind = "",
        from_us: Time = None,
        to_us: Time = None,
        pod_from: str = "",
        pod_to: str = "",
    ) -> Matrix:
        """Probes from group to group; without times those of the last 10 minutes of event time."""
        wanted = matrices.Wanted(level, kind, from_us, to_us, pod_from, pod_to)
        return console.moments.get(
            ("matrix", wanted),
            _KEEP_S,
            lambda: matrices.ask_matrix(console.ask, console.layout, wanted),
            _STALE_S,
        )

    @router.get("/matrix/span")
    def span() -> MatrixSpan:
        """The minutes of the last day of event time, for a slider."""
        return console.moments.get("span", 5.0, lambda: matrices.ask_span(console.ask), _STALE_S)

    @router.get("/coverage")
    def coverage() -> Coverage:
        """What probes crossed lately, and what not."""
        try:
            return console.moments.get("coverage", 5.0, lambda: ask_coverage(console.ask), _STALE_S)
        except Away:
            report = console.live.coverage() if console.live is not None else None
            if report is None:
                raise
            return coverage_of_report(report)

    @router.get("/health")
    def health() -> Health:
        """How the parts of the pipeline do."""
        return console.moments.get("health", 5.0, lambda: make_health(console), _STALE_S)

    return router


def make_health(console: Console) -> Health:
    stored = ask_stored(console.ask)
    live = console.live
    parts = [
        Part(
            part="sink",
            what=f"stored {stored['slots']:,} slots with {stored['evidence_rows']:,} rows of evidence "
            "in the last minute of event time",
            last_us=stored["slot_us"] or None,
        ),
        Part(part="localiser", what="reported on coverage", last_us=stored["report_us"] or None),
        Part(part="localiser", what="said something of a fault", last_us=stored["fault_us"] or None),
    ]
    if live is not None:
        pace = live.pace()
        worker = Part(
            part="worker",
            what=f"joined {pace.probes_per_s:,.0f} probes/s, {pace.lag_us / 1e6:.1f} s behind the clock",
            last_us=pace.now_us or None,
        )
        parts.insert(0, worker)
    silent = stored["silent_sources"]
    if silent:
        parts.append(
            Part(part="sources", what=f"silent: {', '.join(silent)}", last_us=stored["slot_us"] or None)
        )
    return Health(
        exporters=ask_exporters(console.ask),
        sources=console.sources.now(console.clock_us()) if console.sources is not None else [],
        late=ask_late(console.ask),
        dead_letters=ask_dead_letters(console.ask),
        pipeline=parts,
    )
