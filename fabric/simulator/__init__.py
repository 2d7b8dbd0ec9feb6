"""A network that exists as columns: probes in, outcomes and mirror digests out, and the truth besides."""

from fabric.simulator.settings import SimulatorSettings
from fabric.simulator.simulator import Simulator, Slice
from fabric.simulator.truth import Truth

__all__ = ["Simulator", "SimulatorSettings", "Slice", "Truth"]
