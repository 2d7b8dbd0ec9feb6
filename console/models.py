"""The answers of the API: decision 0028 as models.

Times are integers, us since 1970, named `_us`. Probe IDs are decimal strings, because JavaScript rounds
integers of 64 bits.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: A cable: indexes of its switches, the lower first.
Cable = tuple[int, int]
#: cable, reverse (0: a to b, 1: b to a), passed, lost, altered, missing.
BadLink = tuple[int, int, int, int, int, int]
#: row, column, probes, answered, lost, silent, altered, mean and longest round-trip time in us (null: no
#: answer).
Cell = tuple[int, int, int, int, int, int, int, float | None, float | None]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Overview(Model):
    name: str = Field(description="of the fabric")
    switches: int
    servers: int
    probers: int
    now_us: int = Field(description="event time: the end of the newest slot; 0: nothing came yet")
    lag_us: int = Field(description="how far event time is behind the clock")
    probes_per_s: float = Field(description="over the window of links/now")
    loss_rate: float = Field(description="share of these probes that the network lost")
    silent_rate: float = Field(description="share that servers left unanswered")
    coverage_share: float | None = Field(
        description="share of links crossed of those that can be; null: no report"
    )
    faults: dict[str, int] = Field(description="open faults that are not silenced, by severity")
    silenced: int = Field(description="open faults that are silenced")
    broker: bool = Field(description="whether the broker answers")
    store: bool = Field(description="whether the store answers")
    broker_advice: str = Field("", description="what to do if not")
    store_advice: str = Field("", description="what to do if not")
    read_only: bool = Field(False, description="whether nothing can be changed here")
    user: str = Field("", description="whom the reverse proxy has let in")


class SwitchBrief(Model):
    name: str
    tier: int = Field(description="index into `tiers`")
    pod: int = Field(description="index into `pods`; -1: none")
    chips: int
    drained: bool


class ProberBrief(Model):
    name: str
    switch: int = Field(description="index of the switch that it hangs on")


class WholeFabric(Model):
    name: str
    tiers: list[str] = Field(description="from top")
    pods: list[str]
    switches: list[SwitchBrief]
    cables: list[Cable]
    servers_by_switch: list[int]
    probers: list[ProberBrief]


class ChipOf(Model):
    label: str
    role: str


class PortOf(Model):
    number: int
    name: str
    chip: str
    peer: str
    peer_kind: Literal["switch", "server", "prober"]
    mirrored: bool = Field(description="whether mirrored copies name this port")


class Work(Model):
    element: str
    from_us: int
    until_us: int
    why: str


class SwitchDetail(Model):
    name: str
    tier: str
    pod: str | None
    drained: bool
    decapsulates: bool
    address: str
    chips: list[ChipOf]
    ports: list[PortOf]
    servers: list[str]
    exporter_addresses: list[str]
    mirror: str = Field(description="format of its mirror packets")
    maintenance: list[Work]


class LinksNow(Model):
    at_us: int = Field(description="end of the window, event time; 0: nothing came yet")
    window_us: int
    crossed: str = Field(
        description="base64 of bits, two a cable (2i: a to b, 2i + 1: b to a), bit 0 of a byte first"
    )
    bad: list[BadLink]


class Suspect(Model):
    element: str
    confidence: float


class ProbeKey(Model):
    probe_id: str
    sent_at_us: int


class Bit(Model):
    byte_offset: int = Field(description="of the IP packet")
    bit: int = Field(description="0 the least")
    to_one: int = Field(description="packets in which it became 1")
    to_zero: int


class Fault(Model):
    """The newest event of a fault."""

    fault_id: str
    version: int
    state: Literal["open", "updated", "resolved"]
    kind: str
    severity: Literal["info", "warning", "critical"]
    suspects: list[Suspect] = Field(description="most likely first")
    direction: str
    loss_rate: float | None
    loss_rate_low: float | None
    loss_rate_high: float | None
    probes_bad: int
    probes_total: int
    first_seen_us: int
    last_seen_us: int
    detected_at_us: int
    opened_at_us: int
    resolved_at_us: int | None
    affected_servers: list[str] = Field(description="at most 100")
    example_probes: list[ProbeKey]
    story: str
    legs: list[str]
    bits: list[Bit]
    silenced: str = Field(description="why nobody is alerted; empty: alert")
    flaps: int
    part_of: str


class Faults(Model):
    faults: list[Fault] = Field(description="newest first")
    total: int = Field(description="of all that fit, not only of those listed")


class ProbeSummary(Model):
    probe_id: str
    sent_at_us: int
    kind: str
    verdict: str
    reason: str
    prober: str
    target: str
    via: str
    rtt_us: float | None
    last_seen: str
    next_node: str
    fault_leg: str


class Probes(Model):
    probes: list[ProbeSummary] = Field(description="newest first")


class FaultPage(Model):
    fault: Fault
    events: list[Fault] = Field(description="oldest first")
    parts: list[str] = Field(description="faults that turned out to be part of it")
    bits: list[Bit]
    examples: list[ProbeSummary] = Field(description="those example probes that the store has")


class Series(Model):
    link: str = Field(description="directed link A~B; A~ where the next hop is not known")
    leg: str
    passed: list[int]
    lost: list[int]
    altered: list[int]
    missing: list[int]


class Evidence(Model):
    slot_us: list[int] = Field(description="starts of slots; one number of each series for each")
    slot_length_us: int
    series: list[Series] = Field(description="worst first")


class PathNode(Model):
    name: str
    kind: Literal["prober", "switch", "server", "unknown"]
    port: str | None = Field(description="by which it came in; null: not known")
    ttl: int | None
    at_us: int | None = Field(description="when the collector received the copy")
    altered: bool
    seen: bool = Field(description="whether its mirror showed the packet")
    expected: bool = Field(description="whether its mirror should have")


class Leg(Model):
    leg: str
    nodes: list[PathNode]


class Alteration(Model):
    byte_offset: int
    xor_mask: int
    sent: int
    seen: int


class Probe(ProbeSummary):
    target_address: str
    source_port: int
    destination_port: int
    reply_kind: str
    reply_ttl: int | None
    sampled: bool
    legs: list[Leg]
    alterations: list[Alteration]


class Matrix(Model):
    rows: list[str] = Field(description="from where")
    columns: list[str] = Field(description="to where")
    cells: list[Cell] = Field(description="pairs between which probes were sent")
    from_us: int
    to_us: int


class MatrixMinute(Model):
    minute_us: int
    probes: int
    lost: int
    silent: int


class MatrixSpan(Model):
    from_us: int
    to_us: int
    minutes: list[MatrixMinute]


class CoverageClass(Model):
    element_class: str = Field(description="port, link, chip_pair")
    total: int
    crossable: int
    seen: int
    unseen: list[str] = Field(description="at most 1000")


class CoverageAt(Model):
    slot_us: int
    element_class: str
    share: float | None


class Coverage(Model):
    slot_us: int = Field(description="of the newest report; 0: there is none yet")
    window_us: int
    classes: list[CoverageClass]
    history: list[CoverageAt] = Field(description="oldest first")


class Exporter(Model):
    switch: str
    received: int
    missing: int = Field(description="copies that other copies prove to have existed")
    lost_in_transit: int = Field(description="copies that the GRE sequence misses")
    missing_rate: float | None
    newest_us: int | None


class Source(Model):
    source: str
    kind: str = Field(description="prober, collector")
    lag_us: int | None = Field(description="how far its promise is behind the clock; null: not heard of")
    rows_per_s: float
    last_us: int | None


class Late(Model):
    late_outcomes: int
    late_digests: int
    duplicates: int


class DeadLetters(Model):
    topic: str
    reason: str
    messages: int
    example: str
    newest_us: int


class Part(Model):
    part: str
    what: str = Field(description="what it did last")
    last_us: int | None


class Health(Model):
    exporters: list[Exporter] = Field(description="of the last hour of event time, worst first")
    sources: list[Source]
    late: Late
    dead_letters: list[DeadLetters]
    pipeline: list[Part]


class Found(Model):
    kind: Literal["switch", "server", "prober", "collector", "pod", "link", "port", "chip", "fault", "probe"]
    name: str


class Answer(Model):
    names: list[str]
    types: list[str]
    rows: list[list[Any]]
    truncated: bool = Field(description="whether there are more rows")
    elapsed_ms: float


class Column(Model):
    name: str
    type: str
    meaning: str


class Table(Model):
    name: str
    kind: Literal["view", "table"]
    meaning: str
    columns: list[Column]


class Example(Model):
    name: str
    section: str
    question: str
    meaning: str
    sql: str


class Silence(Model):
    what: Literal["silence", "maintenance"]
    element: str
    from_us: int
    until_us: int
    why: str
    by: str


class Done(Model):
    """Nothing more to say."""


class Detail(Model):
    """An error, for a person: what is wrong and what to do."""

    detail: str


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=1_000)


class AskSql(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sql: str = Field(min_length=1, max_length=100_000)
    limit: int | None = Field(None, ge=1, description="rows at most; null: as many as the console allows")


class AskSilence(BaseModel):
    model_config = ConfigDict(extra="forbid")
    element: str = Field(min_length=1, max_length=500)
    for_s: int = Field(ge=1, le=10 * 366 * 86_400)
    why: str = Field(min_length=1, max_length=1_000)
    by: str = Field("", max_length=200, description="who asks; with a reverse proxy its user")
