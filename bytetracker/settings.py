"""One file configures every process; the environment overrides it.

    inventory: deploy/inventory.yaml     # file, or the name of a built-in fabric
    partitions: 8
    kafka:     {bootstrap_servers: "kafka:9092"}            see schemas.kafka.KafkaSettings
    store:     {kind: clickhouse, host: clickhouse}         see sinks.settings
    worker:    {app_id: bytetracker-worker}                 see streams.worker_settings
    sink:      {rows_max: 100000}                           see sinks.settings.SinkSettings
    retention: {probe_results_days: 90}                     see sinks.settings.Retention
    prober:    {name: prober-1}                             see producers.prober_settings
    collector: {name: collector-1, interface: eth1}         see producers.collector_settings
    console:   {token: "...", port: 8080}                   see console.settings
    alerts:    {receivers: {pager: {kind: webhook}}}        see alerts.settings

`BYTETRACKER_STORE__PASSWORD=...` sets `store.password`, and so on for every option. What each section
may hold is what the dataclass named beside it declares; anything else is refused.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from alerts.settings import AlertsSettings, ReceiverSettings
from console.settings import ConsoleSettings
from producers.collector_settings import CollectorSettings
from producers.plan_settings import PlanSettings
from producers.prober_settings import ProberSettings
from schemas.kafka import KafkaSettings
from schemas.rows import Kind
from schemas.topics import PARTITIONS_DEFAULT
from sinks.settings import ChdbSettings, ClickHouseSettings, Retention, SinkSettings, StoreSettings
from streams.worker_settings import WorkerSettings

T = TypeVar("T")

STORES: dict[str, type[ChdbSettings] | type[ClickHouseSettings]] = {
    "chdb": ChdbSettings,
    "clickhouse": ClickHouseSettings,
}


class SettingsError(ValueError):
    """The configuration is wrong; the message names the option and says what to change."""


class Settings(BaseSettings):
    """The whole file. Sections are checked when the process that needs them asks for them."""

    model_config = SettingsConfigDict(
        env_prefix="BYTETRACKER_", env_nested_delimiter="__", extra="forbid", env_ignore_empty=True
    )

    inventory: str = "demo"
    partitions: int = Field(PARTITIONS_DEFAULT, ge=1, le=1024)
    metrics_address: str = "127.0.0.1"
    kafka: dict[str, Any] = Field(default_factory=dict)
    store: dict[str, Any] = Field(default_factory=dict)
    worker: dict[str, Any] = Field(default_factory=dict)
    sink: dict[str, Any] = Field(default_factory=dict)
    retention: dict[str, Any] = Field(default_factory=dict)
    prober: dict[str, Any] = Field(default_factory=dict)
    collector: dict[str, Any] = Field(default_factory=dict)
    alerts: dict[str, Any] = Field(default_factory=dict)
    console: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose values come as arguments."""
        return env_settings, init_settings

    def kafka_settings(self) -> KafkaSettings:
        return _section(KafkaSettings, "kafka", self.kafka)

    def store_settings(self) -> StoreSettings:
        values = dict(self.store)
        kind = values.pop("kind", "chdb")
        if kind not in STORES:
            raise SettingsError(f"store.kind is {kind!r}; it must be one of {', '.join(STORES)}")
        if kind == "chdb":
            values.setdefault("path", "var/store")
        return _section(STORES[kind], "store", values)

    def with_store_in(self, folder: Path) -> Settings:
        """The same with another store: the embedded one in a folder."""
        return self.model_copy(update={"store": {"kind": "chdb", "path": str(folder)}})

    def retention_settings(self) -> Retention:
        return _section(Retention, "retention", self.retention)

    def worker_settings(self) -> WorkerSettings:
        return _section(
            WorkerSettings,
            "worker",
            self.worker,
            kafka=self.kafka_settings(),
            fabric=self.inventory,
            partitions=self.partitions,
        )

    def sink_settings(self) -> SinkSettings:
        kafka = self.kafka_settings()
        return _section(
            SinkSettings,
            "sink",
            self.sink,
            bootstrap_servers=kafka.bootstrap_servers,
            kafka=kafka.librdkafka_security(),
            schema_registry_url=kafka.schema_registry_url or None,
        )

    def prober_settings(self) -> ProberSettings:

        return _section(ProberSettings, "prober", _with_kinds_by_number(self.prober))

    def plan_settings(self) -> PlanSettings:
        """What to probe, also where no Prober is named (`bytetracker plan`)."""
        return _section(PlanSettings, "prober.plan", _with_kinds_by_number(self.prober).get("plan", {}))

    def collector_settings(self) -> CollectorSettings:
        return _section(CollectorSettings, "collector", self.collector)

    def console_settings(self) -> ConsoleSettings:
        return _section(ConsoleSettings, "console", self.console)

    def alerts_settings(self) -> AlertsSettings:
        values = dict(self.alerts)
        receivers = values.pop("receivers", None) or {}
        if not isinstance(receivers, Mapping):
            raise SettingsError("alerts.receivers must hold a section for each receiver, by its name")
        told = {}
        for name, options in receivers.items():
            where = f"alerts.receivers.{name}"
            if not isinstance(options, Mapping):
                raise SettingsError(f"{where} must hold options, at least `kind` and `url`")
            told[str(name)] = _section(ReceiverSettings, where, dict(options), name=str(name))
        return _section(AlertsSettings, "alerts", values, kafka=self.kafka_settings(), receivers=told)


def _with_kinds_by_number(prober: dict[str, Any]) -> dict[str, Any]:
    """The section with `plan.kinds` as numbers: people write `[north_south, east_west]`."""
    plan = prober.get("plan")
    if not isinstance(plan, Mapping) or not isinstance(plan.get("kinds"), list | tuple):
        return prober
    by_name = {kind.name.lower(): int(kind) for kind in Kind}
    kinds = [by_name.get(kind, kind) if isinstance(kind, str) else kind for kind in plan["kinds"]]
    for kind in kinds:
        if isinstance(kind, str):
            raise SettingsError(f"prober.plan.kinds holds {kind!r}; known: {', '.join(by_name)}")
    return {**prober, "plan": {**plan, "kinds": kinds}}


def _section(kind: type[T], name: str, values: dict[str, Any], /, **shared: Any) -> T:
    """A section as its dataclass. `shared` comes from elsewhere in the file and must not stand here."""
    _refuse_unknown(kind, name, values, shared)
    try:
        return TypeAdapter(kind).validate_python({**values, **shared})
    except ValidationError as error:
        raise SettingsError(_explain(error, name)) from error
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error


def _refuse_unknown(kind: Any, name: str, values: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
    """A mistyped option must not be ignored, wherever in the section it stands."""
    types = get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind) if f.name not in shared]
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise SettingsError(f"unknown option {name}.{key}; {hint}")
        if dataclasses.is_dataclass(types[key]) and isinstance(value, Mapping):
            _refuse_unknown(types[key], f"{name}.{key}", value, {})


def _explain(error: ValidationError, where: str = "") -> str:
    """One line per wrong option; values are left out, they may be secrets."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        path = ".".join(str(p) for p in ([where] if where else []) + list(problem["loc"]))
        lines.append(f"{path}: {problem['msg']}")
    return "; ".join(lines)


def load_settings(path: str | Path | None) -> Settings:
    """Read the file (None: defaults and environment only). Raises SettingsError."""
    values: Any = {}
    if path is not None:
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise SettingsError(f"cannot read the configuration {path}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is no valid YAML: {error}") from error
        if not isinstance(values, dict):
            raise SettingsError(f"{path} must hold a mapping of sections, not a {type(values).__name__}")
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(f"{path or 'environment'}: {_explain(error)}") from error
