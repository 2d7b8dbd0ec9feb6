"""Mirrored packets to columns and digests: pure functions of byte tables.

`decode` (decode.py) reads any mirror format; `to_digests` (digests.py) keeps the probes among what it read.
"""
