"""Errors that are the user's to mend: they become one clear line and a non-zero exit."""

from __future__ import annotations

from confluent_kafka import KafkaException

from alerts.log import LogFailed
from alerts.memory import MemoryFailed
from bytetracker.coverage.live import NoCoverage
from bytetracker.embedded.broker import EmbeddedBrokerFull
from bytetracker.embedded.process import ServerFailed
from bytetracker.evaluate.scenario import ScenarioError
from bytetracker.evaluate.suites import UnknownSuite
from bytetracker.moments import BadTime
from bytetracker.path.asked import NothingKnown
from bytetracker.refusals import SilenceRefused
from bytetracker.settings import SettingsError
from bytetracker.topics_admin import BrokerUnreachable, TopicsDiffer
from console.errors import CannotListen
from fabric.faults import FaultError
from fabric.importing.report import ImportRefused
from fabric.inventory import InventoryError
from fabric.lab.namespaces import LabError
from fabric.model import UnknownElement
from producers.plan import PlanRefused
from producers.prober_settings import ProberRefused
from producers.publish import DeliveryError
from producers.sources.records import CaptureError
from sinks.dead_letters import DeadLetterError
from sinks.migrate import MigrationError
from sinks.source import SourceFailed
from sinks.store import StoreError

EXPECTED: tuple[type[Exception], ...] = (
    BadTime,
    BrokerUnreachable,
    CannotListen,
    CaptureError,
    DeadLetterError,
    DeliveryError,
    EmbeddedBrokerFull,
    FaultError,
    ImportRefused,
    InventoryError,
    KafkaException,
    LabError,
    LogFailed,
    MemoryFailed,
    MigrationError,
    NoCoverage,
    NothingKnown,
    OSError,  # no such file, interface or right: the system's own words say which
    PlanRefused,
    ProberRefused,
    ServerFailed,
    ScenarioError,
    SettingsError,
    SilenceRefused,
    SourceFailed,
    StoreError,
    TopicsDiffer,
    UnknownElement,
    UnknownSuite,
)
