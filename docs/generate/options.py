"""Blocks of docs/configuration.md: every option of every settings dataclass, from its source.

An option's meaning is the comment above it or behind it, as the house rules want one for each.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize
from functools import partial
from typing import Any

from alerts.settings import AlertsSettings, ReceiverSettings
from bytetracker.settings import Settings
from console.settings import ConsoleSettings
from docs.generate.markdown import Block, code, table
from producers.collector_settings import CollectorSettings
from producers.plan_settings import PlanSettings
from producers.prober_settings import ProberSettings
from schemas.kafka import KafkaSettings
from sinks.settings import ChdbSettings, ClickHouseSettings, Retention, SinkSettings
from streams.settings import JoinSettings
from streams.worker_settings import WorkerSettings

#: Section of the file -> what it may hold, and the options that are set elsewhere in the file.
SECTIONS: dict[str, tuple[type[Any], frozenset[str]]] = {
    "kafka": (KafkaSettings, frozenset()),
    "store (clickhouse)": (ClickHouseSettings, frozenset()),
    "store (chdb)": (ChdbSettings, frozenset()),
    "retention": (Retention, frozenset()),
    "worker": (WorkerSettings, frozenset({"kafka", "fabric", "partitions", "join"})),
    "worker.join": (JoinSettings, frozenset()),
    "sink": (SinkSettings, frozenset({"bootstrap_servers", "kafka", "schema_registry_url"})),
    "prober": (ProberSettings, frozenset({"plan"})),
    "prober.plan": (PlanSettings, frozenset()),
    "collector": (CollectorSettings, frozenset()),
    "console": (ConsoleSettings, frozenset()),
    "alerts": (AlertsSettings, frozenset({"kafka", "receivers"})),
    "alerts.receivers.NAME": (ReceiverSettings, frozenset({"name"})),
}
#: Where the file itself gives a default that the dataclass does not have.
_FILE_DEFAULTS = {("store (chdb)", "path"): "var/store"}
_UNITS = ("s", "ms", "us", "ns", "host:port,", "probes/s,")
#: Where the comment in the code is missing, or leans on its neighbours.
_MEANING = {
    "host": "Name or address of the server",
    "port": "Native port; 9440 is usual with TLS",
    "database": "Database that holds the tables; made if need be",
    "user": "User to log in as",
    "ca_file": "PEM file of authorities; none: the system's",
    "certificate_file": "PEM file of a client certificate",
    "key_file": "PEM file of its key",
    "query_deadline_s": "The same for a query",
    "fetch_bytes_max": "Fetched per partition and request; 16 MiB stalled on the embedded broker",
    "backoff_min_ms": "Wait after the store's first failure",
    "backoff_max_ms": "The wait doubles up to this",
    "session_timeout_ms": "Silence after which the group gives a sink's partitions to others",
    "heartbeat_interval_ms": "Time between two signs of life within the group",
    "probe_results_days": "Rows of `probe_results`",
    "link_evidence_days": "Rows of `link_evidence`, `slots`, all else said per slot, and `flow_paths`",
    "link_minutes_days": "Rows of the rollup per minute, and of reports on coverage",
    "fault_events_days": "Rows of `fault_events` and `silences`",
    "dead_letters_days": "Rows of `dead_letters`",
}


def blocks() -> dict[str, Block]:
    return {"top level": _top_level, **{f"section {name}": partial(section, name) for name in SECTIONS}}


def section(name: str) -> str:
    """The table of one section."""
    kind, elsewhere = SECTIONS[name]
    comments = comments_of(kind)
    rows = []
    for field in dataclasses.fields(kind):
        if field.name in elsewhere:
            continue
        known = _MEANING if kind.__module__ == "sinks.settings" else {}
        meaning = known.get(field.name) or comments.get(field.name)
        if not meaning:
            raise ValueError(f"{kind.__name__}.{field.name} has no comment that says what it is")
        rows.append([code(field.name), default_text(name, field), meaning])
    return table(["Option", "Default", "Meaning"], rows)


def default_text(section_name: str, field: dataclasses.Field[Any]) -> str:
    """A default as one writes it in the file."""
    if (section_name, field.name) in _FILE_DEFAULTS:
        return code(_FILE_DEFAULTS[section_name, field.name])
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return "required"
    if isinstance(value, frozenset | tuple):
        value = [int(each) if isinstance(each, int) else each for each in sorted(value)]
    return {"": "empty", "None": "none", "True": "`true`", "False": "`false`"}.get(str(value), code(value))


def comments_of(kind: type[Any]) -> dict[str, str]:
    """Field -> the comment lines directly above it and those on its own lines."""
    source = textwrap.dedent(inspect.getsource(kind))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comment_at = {t.start[0]: t.string.lstrip("#:").strip() for t in tokens if t.type == tokenize.COMMENT}
    lines = source.splitlines()
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for node in body.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        first = node.lineno
        while first > 1 and lines[first - 2].lstrip().startswith("#"):
            first -= 1
        last = node.end_lineno or node.lineno
        text = " ".join(comment_at[line] for line in range(first, last + 1) if line in comment_at)
        found[node.target.id] = _sentence(text)
    return found


def _sentence(text: str) -> str:
    """A comment as a cell: with a capital, unless it begins with a unit, and without a full stop."""
    text = text.removesuffix(".").replace("None:", "none:")
    if text.split(" ", 1)[0] in _UNITS:
        return text
    return text[:1].upper() + text[1:]


def _top_level() -> str:
    meaning = {
        "inventory": "Inventory file, or the name of a built-in fabric",
        "partitions": "Partitions of the joined topics; must be what `bytetracker topics create` made",
        "metrics_address": "Address that the Prometheus endpoints of all parts listen on",
    }
    rows = []
    for name, field in Settings.model_fields.items():
        if name in meaning:
            rows.append([code(name), code(field.default), meaning[name]])
        else:
            rows.append([code(name), "empty", f"A section, see [below](#section-{name})"])
    return table(["Option", "Default", "Meaning"], rows)
