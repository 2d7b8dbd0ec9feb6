"""Whole runs on one machine: the demo and the lab."""
