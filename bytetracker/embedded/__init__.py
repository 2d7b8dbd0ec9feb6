"""Servers that ByteTracker brings along, so that a demo needs nothing but pip."""
