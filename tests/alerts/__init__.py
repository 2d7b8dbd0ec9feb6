"""Alerts: the pure core by properties, the rest against real servers."""
