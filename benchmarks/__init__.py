"""Rates per core of every stage on the hot path, each beside a plain implementation: `make bench`."""
