"""Fills in the parts of these pages that can be read from the code: `python -m docs.generate`."""
