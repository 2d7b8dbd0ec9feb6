"""The answers that the cookbook's queries must give, worked out from what was planted, without SQL."""

from tests.sinks.cookbook.expected import faults, links, pipeline, servers
from tests.sinks.cookbook.expected.answers import ANSWERS

__all__ = ["ANSWERS", "faults", "links", "pipeline", "servers"]
